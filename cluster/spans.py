"""Spans that labels of words spell (B-PER, I-PER, O), and how many of them were found: the rules of conlleval.

The rules are those of the CoNLL-2000 shared task's conlleval (clips.uantwerpen.be/conll2000/chunking/output.html),
with E and S of BIOES as github.com/mayhewsw/conlleval.py has them: a span also begins with an I that follows no span of
its type, and ends where the type changes. A span is found if its first word, its last word and its type are right.

Labels are codes, as shards hold them (`data/manifest.py`): 0 none, 1 a label that training never saw, c + 2 label c.
Words that training never saw the labels of form spans of one more type, which nothing predicted can be: they count as
missed.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.errors import DataError

Codes = npt.NDArray[np.int64]
_LABEL = re.compile(r"([BIESLU])(?:-(.*))?", re.DOTALL)
BEGINS, ENDS = frozenset("BSU"), frozenset("ESLU")  # L and U of BILOU are E and S
OUTSIDE = "O"


class SpanRules:
    """What the labels of a task say of spans. Raises DataError if one of them says nothing."""

    def __init__(self, labels: Sequence[str]) -> None:
        read = [self._read(label) for label in labels]
        self.types = sorted({kind for _, kind in read if kind is not None})
        """Names of the spans' types; the one beyond is that of labels that training never saw."""
        number = {kind: place for place, kind in enumerate(self.types)}
        unseen = len(self.types)
        self._type = np.array([-1, unseen, *(-1 if kind is None else number[kind] for _, kind in read)])
        self._begins = np.array([False, False, *(letter in BEGINS for letter, _ in read)])
        self._ends = np.array([False, False, *(letter in ENDS for letter, _ in read)])

    @staticmethod
    def _read(label: str) -> tuple[str, str | None]:
        if label == OUTSIDE:
            return "", None
        match = _LABEL.fullmatch(label)
        if match is None:
            raise DataError(
                f"task.spans = true, but the label {label!r} is no part of a span: labels are B-X, I-X and O (or also "
                "E-X and S-X). Use task.spans = false, or other labels."
            )
        return match[1], match[2] or ""

    def of(self, codes_N: Codes) -> tuple[Codes, Codes, Codes]:
        """First place, place behind the last, and type of each span, in order; code 0 parts documents."""
        before, behind = np.concatenate([[0], codes_N]), np.concatenate([codes_N, [0]])
        kinds_before, kinds = self._type[before], self._type[behind]
        changes = self._ends[before] | self._begins[behind] | (kinds_before != kinds)
        starts = np.flatnonzero((kinds >= 0) & changes)
        ends = np.flatnonzero((kinds_before >= 0) & changes)
        return starts, ends, kinds[starts]

    def count(self, true_BT: Codes, predicted_BT: Codes) -> npt.NDArray[np.int64]:
        """Spans found, predicted, and true, of each type and of labels never seen: [3, types + 1].

        Only words that have a true label are looked at.
        """
        rows, columns = true_BT.nonzero()
        places = np.arange(rows.size) + rows  # one free place, a 0, behind each document
        true, predicted = np.zeros((2, rows.size + len(true_BT)), dtype=np.int64)
        true[places], predicted[places] = true_BT[rows, columns], predicted_BT[rows, columns]
        wanted, given = self.of(true), self.of(predicted)
        _, here, there = np.intersect1d(wanted[0], given[0], assume_unique=True, return_indices=True)
        found = here[(wanted[1][here] == given[1][there]) & (wanted[2][here] == given[2][there])]
        size = len(self.types) + 1
        return np.stack([np.bincount(kinds, minlength=size) for kinds in (wanted[2][found], given[2], wanted[2])])

    def scores(self, counts: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Precision, recall and F1 over all spans, and of each type, from summed counts."""
        found, given, true = counts.tolist()
        per_type = {kind: _figures(found[i], given[i], true[i]) for i, kind in enumerate(self.types)}
        whole = _figures(sum(found), sum(given), sum(true))
        spans = {"found": sum(found), "predicted": sum(given), "true": sum(true), "never_taught": true[-1]}
        return {
            "span_f1": whole["f1"],
            "span_precision": whole["precision"],
            "span_recall": whole["recall"],
            "spans": spans | {"per_type": per_type},
        }


def _figures(found: int, given: int, true: int) -> dict[str, Any]:
    """A ratio of nothing is 0, as in conlleval."""
    return {
        "precision": found / given if given else 0.0,
        "recall": found / true if true else 0.0,
        "f1": 2 * found / (given + true) if given + true else 0.0,
        "true": true,
        "predicted": given,
    }
