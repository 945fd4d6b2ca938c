"""Counts of tokens in a row: the language model to beat.

Interpolated Kneser-Ney with three discounts for each order (Chen and Goodman 1999, "An empirical study of smoothing
techniques for language modeling", section 4.1.6, doi.org/10.1006/csla.1999.0128), the lowest order interpolated with
equal shares for all tokens. A document's beginning counts as marks before it, its end as one more mark.

N tokens that are asked for, G distinct rows of k tokens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ORDER = 5
PLAIN_DISCOUNT = 0.75
"""Where a text is too short to tell: the usual one of plain Kneser-Ney (its section 4.1.4)."""

Ids = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.integer[Any]]


def log_probabilities(
    train: Tokens, train_lengths: Tokens, scored: Tokens, scored_lengths: Tokens, mark: int, choices: int
) -> npt.NDArray[np.float64]:
    """ln P of each token of the scored documents, and of their ends, given what is before it in its document.

    Documents stand one after the other, each behind its mark; `choices` tokens are possible.
    """
    stream, asked = _stream([(train, train_lengths), (scored, scored_lengths)], mark)
    trained = len(train) + (ORDER - 1) * len(train_lengths)
    counted, wanted = asked[asked < trained], asked[asked >= trained]
    rows = _numbered(stream)
    probability = np.full(wanted.size, 1.0 / choices)
    for order in range(1, ORDER + 1):
        longer = rows[order + 1] if order < ORDER else None
        level = _Level.of(rows[order], rows[order - 1], longer, counted)
        probability = level.interpolated(rows[order][wanted], rows[order - 1][wanted - 1], probability)
    logarithms: npt.NDArray[np.float64] = np.log(probability)
    return logarithms


def _stream(splits: list[tuple[Tokens, Tokens]], mark: int) -> tuple[Ids, Ids]:
    """All documents in a row, ORDER - 1 marks before each and one behind; and the places that are asked for."""
    parts, inside = [], []
    for tokens, lengths in splits:
        ends = np.cumsum(lengths, dtype=np.int64)
        starts = ends - lengths
        before = np.repeat(starts, ORDER - 2)
        parts.append(np.insert(tokens.astype(np.int64), np.concatenate([before, ends]), mark))
        sizes = lengths.astype(np.int64) + ORDER - 1
        place = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        inside.append(place >= ORDER - 1)
    return np.concatenate(parts), np.flatnonzero(np.concatenate(inside))


def _numbered(stream: Ids) -> list[Ids]:
    """For k = 0 to ORDER the number of the k tokens that end at each place; the first places of all have no history
    and nobody asks for it."""
    rows = [np.zeros_like(stream), stream]
    for _ in range(2, ORDER + 1):
        before = np.concatenate([[0], rows[-1][:-1]])
        _, numbers = np.unique(before * (int(stream.max()) + 1) + stream, return_inverse=True)
        rows.append(numbers.astype(np.int64))
    return rows


@dataclass(frozen=True)
class _Level:
    """One order: what each row of k tokens counts, and each history of k - 1."""

    counts: Ids
    """Of each row: how often it stands in the text (highest order), or behind how many different tokens."""
    totals: Ids
    """Of each history, the sum of the counts of its rows."""
    by_count: list[Ids]
    """Of each history, how many of its rows count 1, 2, and 3 or more."""
    discounts: npt.NDArray[np.float64]
    """Of a row that counts 0, 1, 2, and 3 or more."""

    @classmethod
    def of(cls, rows: Ids, histories: Ids, longer: Ids | None, counted: Ids) -> "_Level":
        size, history_size = int(rows.max()) + 1, int(histories.max()) + 1
        places = counted
        if longer is not None:  # one place for each distinct row that is longer by one
            _, first = np.unique(longer[counted], return_index=True)
            places = counted[first]
        counts = np.bincount(rows[places], minlength=size)
        distinct, first = np.unique(rows[counted], return_index=True)
        history_of = histories[counted[first] - 1]
        its = counts[distinct]
        by_count = [np.bincount(history_of[here], minlength=history_size) for here in (its == 1, its == 2, its >= 3)]
        totals = np.bincount(history_of, weights=its, minlength=history_size).astype(np.int64)
        return cls(counts, totals, by_count, _discounts(its))

    def interpolated(self, rows: Ids, histories: Ids, lower: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """P of these rows' last tokens, given what the next lower order says."""
        counts, totals = self.counts[rows], self.totals[histories]
        taken = counts - self.discounts[np.minimum(counts, 3)]
        left = sum(
            discount * number[histories] for discount, number in zip(self.discounts[1:], self.by_count, strict=True)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            found: npt.NDArray[np.float64] = np.where(totals > 0, (taken + left * lower) / totals, lower)
        return found


def _discounts(counts: Ids) -> npt.NDArray[np.float64]:
    """What is taken from a count of 0, 1, 2, and 3 or more."""
    once, twice, thrice, four = (int(np.count_nonzero(counts == number)) for number in (1, 2, 3, 4))
    if not (once and twice and thrice and four):
        return np.array([0.0] + [PLAIN_DISCOUNT] * 3)
    base = once / (once + 2 * twice)
    wanted = [0.0, 1 - 2 * base * twice / once, 2 - 3 * base * thrice / twice, 3 - 4 * base * four / thrice]
    return np.clip(wanted, 0.0, [0.0, 1.0, 2.0, 3.0])
