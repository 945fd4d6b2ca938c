"""A finished run's model with its encoder: texts in, numbers out.

    predictor = Predictor("runs/sentiment")
    predictor(["a fine film"])            # array of probabilities, (1, 2)
    predictor.predict(["a fine film"])    # [{"label": "positive", "probability": 0.97, "probabilities": {...}}]

A model that answers questions takes `Question(question, context)`:

    predictor.predict([Question("Who came?", "Ada came.")])    # [{"answer": "Ada", "start": 0, "end": 3, ...}]

A tagger's texts may be lists of words, too, and `Words(words, predicate)` where it was trained on marked predicates:

    predictor.predict([["a", "fine", "film"]])    # [{"tokens": [...], "tags": ["DT", "JJ", "NN"], ...}]

B texts, C labels, N words of all texts.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cluster.answerer import best_spans, named_answers
from cluster.data.manifest import FIRST_TARGET
from cluster.errors import DataError, RunError
from cluster.models.build import load_for_inference
from cluster.runs import model_folder
from cluster.tasks.answer import Answer
from cluster.tasks.build import build_for_inference
from cluster.tasks.multilabel import Multilabel
from cluster.tasks.regress import Regress
from cluster.tasks.tag import Tag
from cluster.tasks.task import Answering
from cluster.text.raw.asked import Question
from cluster.text.tokens.affixes import apart
from cluster.text.tokens.given import NOWHERE, Words
from cluster.text.tokens.pipeline import Documents, Encoder
from cluster.training.checkpoint import verify_folder

# Padding counted; one forward of a recurrent model holds a few hidden states for each.
FORWARD_TOKENS = 32_768
DIGITS = 6

Found = npt.NDArray[np.float64]
Given = str | Sequence[str] | Words | Question
"""A text, its words, its words with a mark, or a question about a context."""
NO_QUESTION = "the model answers questions: give question and context"


class Predictor:
    """All that a finished run's `model/` folder holds, at work on one device. Not for several threads at once.

    `folder` is that of the run, or its `model/`. Raises RunError (no finished run, a damaged model), DataError.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.folder, self.device = model_folder(Path(folder)), device
        verify_model(self.folder)
        self.encoder = Encoder.load(self.folder)
        self._model, description = load_for_inference(self.folder, device)
        self._model.eval()
        task = build_for_inference(description)
        if not isinstance(task, Answering | Answer):
            raise RunError(
                f"{self.folder} holds a language model, one that writes texts, or word vectors: it says no label of a "
                "text. Use `muster predict`, or `muster neighbours`."
            )
        self.task: Answering | Answer = task
        self.labels: list[str] = description["labels"]
        layout = "bag" if self.encoder.weighted else "sequence"
        if description.get("layout", layout) != layout:
            raise RunError(
                f"{self.folder}: encoder.json and model.json belong to different runs. Copy the model again."
            )

    def __call__(self, texts: Sequence[Given]) -> Found:
        """The probability of each label for each text (B, C); of a regression the number for each text (B,); of a
        tagger the number of the likeliest label of each word, and its probability (N, 2); of answers the first and
        the last word of the context, their probability and that of no answer (B, 4). Raises DataError for words, marks
        or questions that the model was not trained on."""
        return self.of(self.encoder.encode(self._given(texts)))

    def predict(self, texts: Sequence[Given]) -> list[dict[str, Any]]:
        """An answer for each text, as `muster predict --json` writes it. Raises what calling it raises."""
        return self.answers(self.encoder.encode(self._given(texts)))

    def answers(self, documents: Documents) -> list[dict[str, Any]]:
        """The same, for documents that this model's encoder made."""
        if isinstance(self.task, Answer):
            return named_answers(*self._spans(documents, self.task), documents, DIGITS)
        found = self.of(documents)
        return named_words(found, documents, self.task) if isinstance(self.task, Tag) else self._named(found)

    def refusal(self, given: Given) -> str:
        """Why this model cannot answer for a text or for words; nothing if it can."""
        if isinstance(self.task, Answer):
            whole = isinstance(given, Question) and given.question.strip() and given.context.strip()
            return "" if whole else NO_QUESTION
        if isinstance(given, Question):
            return "a question, but the model was not trained to answer"
        if isinstance(given, str):
            return (
                "the model labels the arguments of a marked predicate: give tokens and predicate" if self.marks else ""
            )
        if not isinstance(self.task, Tag):
            return "a list of words, but the model was trained on texts"
        predicate = given.predicate if isinstance(given, Words) else NOWHERE
        words = given.words if isinstance(given, Words) else given
        if not words or not all(word.strip() for word in words):
            return "there is no word, or one without a letter or sign"
        if self.marks and not 0 <= predicate < len(words):
            return f"predicate must be the place of one of the {len(words)} words, from 0"
        return ""

    @property
    def marks(self) -> bool:
        """Does it need to be told which word is the predicate?"""
        return self.encoder.takes == "predicate"

    @property
    def answers_questions(self) -> bool:
        """Does it take questions about a context?"""
        return isinstance(self.task, Answer)

    def _given(self, texts: Sequence[Given]) -> list[str | Words | Question]:
        for number, one in enumerate(texts, start=1):
            if why := self.refusal(one):
                raise DataError(f"text {number}: {why}.")
        return [one if isinstance(one, str | Words | Question) else Words(one) for one in texts]

    def of(self, documents: Documents) -> Found:
        """As `__call__`, for documents that this model's encoder made."""
        if isinstance(self.task, Answer):
            return self._spans(documents, self.task)[0]
        if isinstance(self.task, Tag):
            return self._of_tokens(documents, self.task)[documents.begins_word]
        count = documents.lengths.size
        found = np.zeros(count if isinstance(self.task, Regress) else (count, len(self.labels)))
        with torch.inference_mode():
            for chosen in _forwards(documents):
                found[chosen] = self.task.answers(self._model(*self._batch(documents, chosen)))
        return found

    def _spans(self, documents: Documents, task: Answer) -> tuple[Found, npt.NDArray[np.bool_]]:
        return best_spans(self._model, task, documents, FORWARD_TOKENS, self.device)

    def _of_tokens(self, documents: Documents, task: Tag) -> Found:
        """The likeliest label of each token, and its probability, one document after the other."""
        found = np.zeros((documents.tokens.size, 2))
        ends = np.cumsum(documents.lengths, dtype=np.int64)
        with torch.inference_mode():
            for chosen in _forwards(documents):
                said_BTC = task.answers(self._model(*self._batch(documents, chosen)))
                lengths = documents.lengths[chosen]
                inside = np.arange(said_BTC.shape[1]) < lengths[:, None]
                places = (ends[chosen] - lengths)[:, None] + np.arange(said_BTC.shape[1])
                best_BT = said_BTC.argmax(axis=2)
                found[places[inside], 0] = best_BT[inside]
                found[places[inside], 1] = said_BTC.max(axis=2)[inside]
        return found

    def _named(self, found: Found) -> list[dict[str, Any]]:
        """What `__call__` found, as answers: a label; several labels; or a value."""
        wide = found.ndim == 2
        rounded = [dict(zip(self.labels, row, strict=True)) for row in found.round(DIGITS).tolist()] if wide else []
        match self.task:
            case Regress():
                return [{"value": value} for value in found.round(DIGITS).tolist()]
            case Multilabel():
                given = (found >= self.task.threshold).tolist()
                return [
                    {"labels": [label for label, there in zip(row, has, strict=True) if there], "probabilities": row}
                    for row, has in zip(rounded, given, strict=True)
                ]
            case _:
                best = [self.labels[number] for number in found.argmax(axis=1).tolist()] if rounded else []
                return [
                    {"label": label, "probability": row[label], "probabilities": row}
                    for label, row in zip(best, rounded, strict=True)
                ]

    def _batch(self, documents: Documents, chosen: npt.NDArray[np.int64]) -> tuple[torch.Tensor | None, ...]:
        """What `forward` takes for these documents: tokens, lengths, and the weights or tags beside the tokens."""
        ends = np.cumsum(documents.lengths, dtype=np.int64)
        lengths = documents.lengths[chosen].astype(np.int64)
        places = np.concatenate([np.arange(ends[i] - documents.lengths[i], ends[i]) for i in chosen]).astype(np.int64)
        tokens = documents.tokens[places].astype(np.int64)
        beside = None if documents.beside is None else documents.beside[places]
        if self.encoder.weighted:
            return self._sent(tokens), self._sent(lengths), self._sent(beside)
        inside = np.arange(max(1, int(lengths.max()))) < lengths[:, None]
        tags = None if beside is None else _padded(apart(beside).astype(np.int64), inside)
        return self._sent(_padded(tokens, inside)), self._sent(lengths), self._sent(tags)

    def _sent(self, array: npt.NDArray[Any] | None) -> torch.Tensor | None:
        return None if array is None else torch.from_numpy(array).to(self.device)


def _padded(values: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    rows = np.zeros(inside.shape + values.shape[1:], dtype=np.int64)
    rows[inside] = values
    return rows


def named_words(found: Found, documents: Documents, task: Tag) -> list[dict[str, Any]]:
    """Words with their labels; and spans, from the first word to the last. A word that was cut (`text.max_tokens`) has
    none."""
    assert documents.given is not None
    of_document = np.repeat(np.arange(documents.lengths.size), documents.lengths)[documents.begins_word]
    counts = np.bincount(of_document, minlength=documents.lengths.size)
    numbers, first = found[:, 0].astype(np.int64), 0
    answers = []
    for words, count in zip(documents.given, counts.tolist(), strict=True):
        here = slice(first, first + count)
        cut = [None] * (len(words) - count)
        answer: dict[str, Any] = {
            "tokens": list(words),
            "tags": [task.labels[number] for number in numbers[here].tolist()] + cut,
            "probabilities": found[here, 1].round(DIGITS).tolist() + cut,
        }
        if task.spans is not None:
            answer["spans"] = _spans(task, numbers[here] + FIRST_TARGET, words)
        answers.append(answer)
        first += count
    return answers


def _spans(task: Tag, codes: npt.NDArray[np.int64], words: Sequence[str]) -> list[dict[str, Any]]:
    assert task.spans is not None
    found = zip(*(column.tolist() for column in task.spans.of(codes)), strict=True)
    return [
        {"label": task.spans.types[kind], "start": start, "end": end, "tokens": list(words[start:end])}
        for start, end, kind in found
    ]


def _forwards(documents: Documents) -> Iterator[npt.NDArray[np.int64]]:
    """Which documents to run together: those of like length under the token limit (a bag has no padding, but is
    as large)."""
    order = np.argsort(documents.lengths, kind="stable")[::-1]
    first = 0
    while first < order.size:
        rows = max(1, FORWARD_TOKENS // max(1, int(documents.lengths[order[first]])))
        yield order[first : first + rows]
        first += rows


def verify_model(folder: Path) -> None:
    """Compare what `predict` reads with the hashes that training wrote beside it, if any. Raises RunError."""
    if not (folder / "manifest.json").exists():
        return  # a model put together by other hands
    try:
        verify_folder(folder)
    except RunError as error:
        raise RunError(f"The model cannot be trusted: {error} Train it again, or copy it again.") from error
