"""Answers to questions, from encoded documents: windows, the best span of each, and its text.

B questions.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cluster.data.windows import Flat, Shape, cut, windows_of
from cluster.tasks.answer import Answer
from cluster.text.tokens.affixes import apart
from cluster.text.tokens.pipeline import Documents

Found = npt.NDArray[np.float64]
Model = Callable[..., torch.Tensor]


def best_spans(
    model: Model, task: Answer, documents: Documents, most_tokens: int, device: str
) -> tuple[Found, npt.NDArray[np.bool_]]:
    """First and last word of the best span of each question, its probability and that of no answer, among all spans
    that may be given and that (B, 4); and of which questions no answer is given (B,)."""
    assert documents.contexts is not None and documents.flags is not None and documents.beside is not None
    count = documents.lengths.size
    found, none = np.zeros((count, 4)), np.zeros(count, dtype=np.bool_)
    ends = np.cumsum(documents.lengths, dtype=np.int64)
    with torch.inference_mode():
        for chosen in _forwards(documents, task.shape, most_tokens):
            places = np.concatenate([np.arange(ends[i] - documents.lengths[i], ends[i]) for i in chosen])
            flat = Flat(
                documents.tokens[places],
                documents.lengths[chosen],
                documents.beside[places],
                documents.contexts[chosen],
                documents.flags[places],
            )
            batch = windows_of(flat, task.shape)
            batch["beside"] = apart(batch["beside"])
            tokens, lengths, beside, labels = (
                torch.from_numpy(batch[name].astype(np.int64)).to(device)
                for name in ("tokens", "lengths", "beside", "labels")
            )
            best = task.best(model(tokens, lengths, beside), labels, len(chosen))
            shares = [(best.span_B - best.valid_B).exp(), (best.none_B - best.valid_B).exp()]
            found[chosen] = torch.stack([best.first_B, best.last_B, *shares], dim=1).double().cpu().numpy()
            none[chosen] = task.gives_none((best.none_B - best.span_B).cpu().numpy())
    return found, none


def _forwards(documents: Documents, shape: Shape, most_tokens: int) -> Iterator[npt.NDArray[np.int64]]:
    """Which questions to run together: those of like cost."""
    assert documents.contexts is not None
    sizes = cut(documents.lengths, documents.contexts, shape).tokens_B
    order = np.argsort(-sizes, kind="stable")
    first = 0
    while first < order.size:
        rows = max(1, most_tokens // int(sizes[order[first]]))
        yield order[first : first + rows]
        first += rows


def named_answers(found: Found, none: npt.NDArray[np.bool_], documents: Documents, digits: int) -> list[dict[str, Any]]:
    """What `best_spans` found, as text with its characters in the context; `answer` is empty where none is given."""
    answers: list[dict[str, Any]] = []
    for row, is_none, located in zip(found.tolist(), none.tolist(), documents.located, strict=True):
        start, end = located.context.starts[int(row[0])], located.context.ends[int(row[1])]
        scores = {"score": round(row[2], digits), "no_answer": round(row[3], digits)}
        if is_none:
            answers.append({"answer": "", "start": None, "end": None, **scores})
        else:
            answers.append({"answer": located.question.context[start:end], "start": start, "end": end, **scores})
    return answers
