"""What is to be predicted of each document: labels as numbers into a list of names (to tag, one a word), or a number.

B documents, M labels of all of them together, C classes.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from cluster.config.tasks import TaskKind
from cluster.data.manifest import FIRST_TARGET, NO_TARGET
from cluster.errors import DataError
from cluster.text.preparation.splits import in_order
from cluster.text.raw.rows import Row
from cluster.text.tokens.found import encodable
from cluster.text.tokens.numbering import Numbers
from cluster.text.tokens.pipeline import Documents

UNSEEN = -1
MOST_LABELS = 1 << 31


@dataclass(frozen=True)
class Truth:
    """Labels of all documents, one after the other, and how many each has; `targets_B` are numbers to predict
    (regress), bytes of the texts (language), where the first answer begins, -1 without one (answer), or equal where the
    texts to be written are (rewrite); else 0."""

    labels_M: npt.NDArray[np.int64]
    counts_B: npt.NDArray[np.uint32]
    targets_B: npt.NDArray[np.float64]

    def chosen(self, chosen_B: npt.NDArray[np.bool_]) -> "Truth":
        """Those documents alone."""
        kept = np.repeat(chosen_B, self.counts_B)
        return Truth(self.labels_M[kept], self.counts_B[chosen_B], self.targets_B[chosen_B])

    def same(self, task: TaskKind) -> npt.NDArray[np.int64]:
        """A number for each document, equal where the same is to be predicted."""
        match task:
            case "classify":
                return self.labels_M
            case "language":
                return np.zeros(self.counts_B.size, dtype=np.int64)
            case "regress" | "answer" | "rewrite":
                return (self.targets_B + 0.0).view(np.int64)  # there are two zeros, but not in a sum
            case "multilabel" | "tag":
                ends = np.cumsum(self.counts_B, dtype=np.int64)
                spans = zip((ends - self.counts_B).tolist(), ends.tolist(), strict=True)
                each = (self.labels_M[first:last] for first, last in spans)
                told = (np.sort(one) if task == "multilabel" else one for one in each)
                digests = b"".join(hashlib.blake2b(one.tobytes(), digest_size=8).digest() for one in told)
                return np.frombuffer(digests, dtype=np.int64)
            case _:
                assert_never(task)

    def column(self, task: TaskKind, numbers: npt.NDArray[np.int64], classes: int) -> npt.NDArray[Any]:
        """The column of labels as shards hold it; name i is class `numbers[i]`, -1 if training never saw it.

        i32 [B] (classify), f64 [B] (regress), u8 [B, C] of 0 and 1 without the unseen labels (multilabel), u32 [B], the
        bytes of the texts (language). To tag it follows from the tokens' own labels: `of_tokens`; to answer, from where
        the contexts begin; to rewrite it is how many tokens are to be written, which the tokens tell.
        """
        match task:
            case "classify":
                return numbers[self.labels_M].astype(np.int32)
            case "regress":
                return self.targets_B
            case "language":
                return self.targets_B.astype(np.uint32)
            case "multilabel":
                column = np.zeros((self.counts_B.size, classes), dtype=np.uint8)
                rows = np.repeat(np.arange(self.counts_B.size), self.counts_B)
                found = numbers[self.labels_M]
                column[rows[found >= 0], found[found >= 0]] = 1
                return column
            case "tag" | "answer" | "rewrite":
                return self.counts_B
            case _:
                assert_never(task)

    def of_tokens(
        self, numbers: npt.NDArray[np.int64], documents: Documents
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
        """To tag: how many tokens of each document have a label [B], and the label of each token as shards hold it: the
        first piece of a word carries it, the others have none."""
        stored = (numbers[self.labels_M] + FIRST_TARGET).astype(np.uint16)
        targets = stored if documents.words is None else stored[documents.words]
        targets = np.where(documents.begins_word, targets, np.uint16(NO_TARGET))
        of_document = np.repeat(np.arange(documents.lengths.size), documents.lengths)
        counts = np.bincount(of_document[targets != NO_TARGET], minlength=documents.lengths.size)
        return counts.astype(np.uint32), targets


def truth_of(rows: Sequence[Row], most_labels: int = MOST_LABELS) -> tuple[Truth, list[str]]:
    """What the rows say, and the names of their labels in the order of their first appearance; of each row so many
    labels at most."""
    names = Numbers()
    labels = [names[encodable(label)] for row in rows for label in row.labels[:most_labels]]
    counts = np.array([min(len(row.labels), most_labels) for row in rows], dtype=np.uint32)
    targets = np.array([row.target for row in rows], dtype=np.float64)
    return Truth(np.array(labels, dtype=np.int64), counts, targets), list(names)


def class_numbers(names: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """The class of each name, -1 for one that is none."""
    known = {name: number for number, name in enumerate(classes)}
    return np.array([known.get(name, UNSEEN) for name in names], dtype=np.int64)


class TruthTally:
    """What a report says of the documents of one split, counted while they go by."""

    def __init__(self, task: TaskKind) -> None:
        self._task = task
        self.documents = self._unlabelled = 0
        self._bytes = self._unanswerable = 0
        self._labels: Counter[str] = Counter()
        self._spread = Spread()

    def add(self, truth: Truth, names: Sequence[str]) -> None:
        """Some more documents; `names` are those of their labels."""
        self.documents += truth.counts_B.size
        if self._task == "regress":
            self._spread.add(truth.targets_B)
            return
        if self._task == "answer":
            self._unanswerable += int(np.count_nonzero(truth.targets_B < 0))
            return
        if self._task == "rewrite":
            return
        if self._task == "language":
            self._bytes += int(truth.targets_B.sum())
            return
        self._unlabelled += int(np.count_nonzero(truth.counts_B == 0))
        counts = np.bincount(truth.labels_M, minlength=len(names)).tolist()
        self._labels.update({name: count for name, count in zip(names, counts, strict=True) if count})

    def report(self, classes: Sequence[str]) -> dict[str, Any]:
        """Documents of each label, and of each that is no class; for regress the spread of the targets, to answer
        questions without an answer, for language the bytes of the texts. Raises DataError if the spread is none."""
        unknown = in_order(set(self._labels) - set(classes))
        report: dict[str, Any] = {
            "labels": {name: self._labels[name] for name in classes if name in self._labels},
            "unknown_labels": {name: self._labels[name] for name in unknown},
        }
        if self._task == "tag":
            report["labelled_words"] = self._labels.total()
        if self._task == "answer":
            report["unanswerable"] = self._unanswerable
        if self._task == "multilabel":
            report["unlabelled"] = self._unlabelled
        if self._task == "regress":
            report["targets"] = self._spread.report()
        if self._task == "language":
            report["bytes"] = self._bytes
        return report


class Spread:
    """Mean and standard deviation of numbers that come in pieces (Chan, Golub and LeVeque 1979, "Updating formulae and
    a pairwise algorithm for computing sample variances")."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._min, self._max = float("inf"), float("-inf")

    def add(self, numbers: npt.NDArray[np.float64]) -> None:
        if not numbers.size:
            return
        self._min, self._max = min(self._min, float(numbers.min())), max(self._max, float(numbers.max()))
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            mean = float(numbers.mean())
            squares = float(np.square(numbers - mean).sum())
            count, apart = self._count + numbers.size, np.float64(mean - self._mean)
            self._squares += squares + float(apart * apart * (self._count / count) * numbers.size)
            self._mean += float(apart * (numbers.size / count))
            self._count = count

    def report(self) -> dict[str, float]:
        """Raises DataError if the deviation is no number."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            std = float(np.sqrt(np.float64(self._squares) / self._count))
        if not np.isfinite(std) or (std == 0.0 and self._max > self._min):
            raise DataError(
                f"the numbers to predict reach from {self._min:g} to {self._max:g}: their spread cannot be computed in "
                "double precision. Scale them."
            )
        return {"min": self._min, "max": self._max, "mean": self._mean, "std": std}
