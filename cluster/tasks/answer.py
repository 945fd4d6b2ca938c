"""A span of the context as the answer to a question: cross-entropy of its first and its last token.

The places of all windows of a question share one softmax ("shared normalization", Clark and Gardner, ACL 2018,
aclanthology.org/P18-1078), so scores of different windows can be compared; any of the marked places is right (there may
be several answers, and a token may stand in two windows). That a question has no answer is a place of its own: the mark
at the beginning of each window, as in BERT (arxiv.org/abs/1810.04805, section 4.3). A span is given unless having none
beats it by more than a margin, which is chosen on the validation split.

Shapes: W windows of a micro-batch, T tokens, B questions of it, N questions of a split. Outputs are (W, T, 2): does the
answer begin there, does it end there. Labels (W, T) are flags and numbers, as `data/windows.py` has them.
"""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cluster import squad
from cluster.data.asked import QuestionText
from cluster.data.windows import FIRST, FLAG_BITS, LAST, MAY_END, MAY_START, NOWHERE, Shape
from cluster.tasks.task import Sums, at_least_float32, scatter

MASKED = -1e30
"""The score of a place where no answer can be: finite, so that no gradient is NaN."""
FIRST_WORD, LAST_WORD, MARGIN, LOSS, HAS_LOSS, START, END, EXACT, F1, ANSWERABLE = range(10)
"""Columns of what an evaluation keeps of each question."""


class Best(NamedTuple):
    """The best span of each question: first and last word of its context, and how its log-probability and that of no
    answer compare. Log-probabilities are those of first and last place together."""

    first_B: Tensor
    last_B: Tensor
    span_B: Tensor
    none_B: Tensor
    valid_B: Tensor
    """Of all spans that may be given and, if there may be none, that: what probabilities are shares of."""


class Answer:
    """`shape` says how questions are cut into windows. `unanswerable`: training has questions without an answer, so
    that the model can say so; `threshold` is the margin above which it does, None while it is to be chosen for each
    evaluation anew."""

    def __init__(
        self,
        shape: Shape,
        answer_tokens: int,
        unanswerable: bool,
        language: str = "en",
        threshold: float | None = None,
    ) -> None:
        self.shape, self.answer_tokens = shape, answer_tokens
        self.unanswerable, self.language, self.threshold = unanswerable, language, threshold
        self._split = squad.splitter(language)

    def loss_sum(self, outputs_WT2: Tensor, labels_WT: Tensor) -> Tensor:
        """Sum over the questions: half of the loss of the first place, half of that of the last."""
        return self._losses(outputs_WT2, labels_WT)[0].sum()

    def weight(self, contexts_B: npt.NDArray[Any]) -> float:
        """The questions of the step."""
        return float(len(contexts_B))

    def _losses(self, outputs_WT2: Tensor, labels_WT: Tensor) -> tuple[Tensor, Tensor]:
        """Of each question, in W places of which the last are free; and whether it has a place that is right."""
        question_W = labels_WT[:, 0] >> FLAG_BITS
        total, known = None, None
        for which, (golden, may) in enumerate(((FIRST, MAY_START), (LAST, MAY_END))):
            scores_WT = at_least_float32(outputs_WT2[..., which])
            open_WT = (labels_WT & (may | (NOWHERE if self.unanswerable else 0))) > 0
            right_WT = open_WT & ((labels_WT & golden) > 0)
            all_B = _together(_logsumexp(scores_WT, open_WT), question_W)
            right_B = _together(_logsumexp(scores_WT, right_WT), question_W)
            has_B = _together(right_WT.any(1).to(scores_WT).log().clamp(min=MASKED), question_W) > MASKED / 2
            losses_B = torch.where(has_B, all_B - right_B, 0.0) / 2
            total, known = (losses_B, has_B) if total is None or known is None else (total + losses_B, known & has_B)
        assert total is not None and known is not None
        return total, known

    def best(self, outputs_WT2: Tensor, labels_WT: Tensor, questions: int) -> Best:
        """The best span of each of so many questions, at most `answer_tokens` long; the first of equals."""
        starts_WT, ends_WT = (at_least_float32(outputs_WT2[..., which]).double() for which in (0, 1))
        question_W = labels_WT[:, 0] >> FLAG_BITS
        nowhere = NOWHERE if self.unanswerable else 0
        logs = []
        for scores_WT, may in ((starts_WT, MAY_START), (ends_WT, MAY_END)):
            total_B = _together(_logsumexp(scores_WT, (labels_WT & (may | nowhere)) > 0), question_W)
            logs.append(scores_WT - total_B[question_W, None])
        first_WT = torch.where((labels_WT & MAY_START) > 0, logs[0], MASKED)
        last_WT = torch.where((labels_WT & MAY_END) > 0, logs[1], MASKED)
        best_WT, length_WT = first_WT + last_WT, torch.zeros_like(labels_WT)
        sums_WT = best_WT
        for further in range(1, min(self.answer_tokens, labels_WT.shape[1])):
            span_WT = torch.full_like(best_WT, MASKED)
            span_WT[:, :-further] = first_WT[:, :-further] + last_WT[:, further:]
            better_WT = span_WT > best_WT
            best_WT = torch.where(better_WT, span_WT, best_WT)
            length_WT = torch.where(better_WT, further, length_WT)
            sums_WT = torch.logaddexp(sums_WT, span_WT)
        span_W, place_W = best_WT.max(dim=1)
        end_W = place_W + length_WT.gather(1, place_W[:, None])[:, 0]
        words_WT = labels_WT >> FLAG_BITS
        window_B = _first_of_best(span_W, question_W, questions)
        here_W = torch.arange(len(question_W), device=span_W.device)
        none_B = torch.full((questions,), MASKED, dtype=torch.float64, device=span_W.device)
        if self.unanswerable:
            # The mark stands in every window: each of its places is right, as in the loss.
            at_mark_WT = (labels_WT & NOWHERE) > 0
            marks = [_together(_logsumexp(log, at_mark_WT), question_W)[:questions] for log in logs]
            none_B = marks[0] + marks[1]
        valid_B = torch.logaddexp(_together(sums_WT.logsumexp(1), question_W)[:questions], none_B)
        return Best(
            words_WT[here_W, place_W][window_B],
            words_WT[here_W, end_W][window_B],
            span_W[window_B],
            none_B,
            valid_B,
        )

    def gives_none(self, margin_N: Any) -> Any:
        """Where no answer is given, from how far having none beats the best span."""
        return margin_N > (self.threshold or 0.0) if self.unanswerable else margin_N > np.inf

    def empty_sums(self, lengths: npt.NDArray[Any], keep: bool) -> Sums:
        return {"questions": torch.zeros(len(lengths), ANSWERABLE + 1, dtype=torch.float64)}

    def add(self, sums: Sums, outputs_WT2: Tensor, labels_WT: Tensor, documents: npt.NDArray[np.int64]) -> None:
        losses_W, known_W = self._losses(outputs_WT2, labels_WT)
        count = len(documents)
        best = self.best(outputs_WT2, labels_WT, count)
        margin_B = (best.none_B - best.span_B).clamp(min=MASKED)
        columns = [best.first_B, best.last_B, margin_B, losses_W[:count], known_W[:count]]
        rows = torch.zeros_like(sums["questions"][: len(documents)])
        scatter(rows[:, : len(columns)], np.arange(count), *columns)
        sums["questions"][torch.from_numpy(documents)] = rows

    def judge(self, sums: Sums, reader: Any, documents: Sequence[int]) -> None:
        """Compare the best span of each question with its references."""
        v2 = reader.manifest.report["splits"][reader.split]["unanswerable"] > 0
        rows = sums["questions"].numpy()
        for document in documents:
            asked: QuestionText = reader.references[document]
            start = asked.starts[int(rows[document, FIRST_WORD])]
            end = asked.ends[int(rows[document, LAST_WORD])]
            found = squad.judge(asked.context[start:end], asked.answers, v2, self._split)
            rows[document, START:] = (start, end, *found, float(bool(asked.answers)))

    def scores(self, sums: Sums) -> dict[str, Any]:
        """Official figures at the threshold, or while there is none, at the best one of these sums."""
        rows = sums["questions"].numpy()
        answerable = rows[:, ANSWERABLE] > 0
        threshold = self._best_threshold(rows) if self.threshold is None else self.threshold
        answered = rows[:, MARGIN] <= threshold if self.unanswerable else np.ones(len(rows), dtype=np.bool_)
        found = squad.figures(rows[:, EXACT], rows[:, F1], answerable, answered)
        scored = int(rows[:, HAS_LOSS].sum())
        loss = {"loss": float(rows[:, LOSS].sum()) / scored if scored else None}
        told = {"threshold": threshold, "answered": int(answered.sum())} if self.unanswerable else {}
        return {"task": "answer"} | found | loss | told

    def _best_threshold(self, rows: npt.NDArray[np.float64]) -> float:
        return squad.best_threshold(rows[:, F1], rows[:, MARGIN], rows[:, ANSWERABLE] > 0)

    def calibrate(self, sums: Sums) -> str:
        """From now on the margin with the best F1 over these questions."""
        if not self.unanswerable:
            return ""
        self.threshold = self._best_threshold(sums["questions"].numpy())
        return f"no answer is given where having none beats the best span by more than {self.threshold:.4g}"

    def headline(self, scores: dict[str, Any]) -> dict[str, Any]:
        return {name: scores[name] for name in ("loss", "answer_f1", "exact_match")}

    def documents(self, sums: Sums) -> dict[str, npt.NDArray[Any]]:
        """Of each question the characters of the context that its best span begins with and ends before, whether it is
        withheld for none, how far that beats it, what it scores if it is given, and whether there is an answer."""
        rows = sums["questions"].numpy()
        return {
            "loss": rows[:, LOSS],
            "start": rows[:, START].astype(np.int32),
            "end": rows[:, END].astype(np.int32),
            "none": self.gives_none(rows[:, MARGIN]),
            "margin": rows[:, MARGIN],
            "exact": rows[:, EXACT],
            "f1": rows[:, F1],
            "answerable": rows[:, ANSWERABLE] > 0,
        }

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "answer",
            "windows": list(astuple(self.shape)),
            "answer_tokens": self.answer_tokens,
            "unanswerable": self.unanswerable,
            "language": self.language,
            "threshold": self.threshold or 0.0,
        }


def _logsumexp(scores_WT: Tensor, where_WT: Tensor) -> Tensor:
    """Over the places of each window that count (W,); where there is none, about MASKED."""
    return torch.where(where_WT, scores_WT, MASKED).logsumexp(dim=1)


def _together(values_W: Tensor, question_W: Tensor) -> Tensor:
    """log of the sum of e to the values of each question's windows, in W places; MASKED where there is no question."""
    numbers = torch.arange(len(question_W), device=question_W.device)
    mine_WW = question_W[None, :] == numbers[:, None]
    return torch.where(mine_WW, values_W[None, :], MASKED).logsumexp(dim=1)


def _first_of_best(span_W: Tensor, question_W: Tensor, questions: int) -> Tensor:
    """The window of each question with the best span."""
    numbers = torch.arange(questions, device=question_W.device)
    mine_BW = question_W[None, :] == numbers[:, None]
    return torch.where(mine_BW, span_W[None, :], -torch.inf).argmax(dim=1)
