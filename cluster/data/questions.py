"""What models are asked that say tokens: sequences of a split, each with the tokens that are to be said, and where.

The tokens of a split stand in a row, each document behind its mark (`marks.py`). So the mark that begins the next
document is also what ends this one, and every token of every text is asked for once.

B sequences of a batch, T tokens of the longest.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from cluster.data.marks import MARKS, mark_of, mask_of
from cluster.data.permutation import mix, mixed
from cluster.data.sequences import Sequences
from cluster.data.shards import Array, Ids, ShardReader

NOTHING = -1
"""In the place of a target where nothing is asked."""
EVALUATION = -1
"""The step whose chance evaluations take: the same questions each time."""
# What chance is used for: no two uses share it.
MASKING, PLACES, KINDS, OTHERS = 6, 1, 2, 3
FIRST_WORD = 2


@runtime_checkable
class Asks(Protocol):
    """A reader whose targets stand at the places of the tokens, and may be others at each step."""

    def asked(self, ids: Ids, counts: Sequence[int], step: int) -> Iterator[Mapping[str, Array]]:
        """Batches, one after the other in `ids`, with so many sequences each: `tokens` [B, T], `lengths` [B], `labels`
        [B, T], NOTHING where nothing is asked, and, if documents begin inside a sequence, `beside` [B, T]: the number
        of the document that each place belongs to, counted in its sequence; of pairs the tokens before those asked for
        (`pairs.py`)."""
        ...


class NextTokens(Sequences):
    """At each place the token that follows; at the end of the split the mark, which ends its last document."""

    def __init__(self, reader: ShardReader, length: int) -> None:
        super().__init__(reader, length)
        self.labels = self.lengths
        """How many tokens are asked for in each sequence, u32 [N]."""

    def asked(self, ids: Ids, counts: Sequence[int], step: int) -> Iterator[dict[str, Array]]:
        """As `Asks` says; the same at every step."""
        starts, lengths = self._starts(ids), self.lengths[ids].astype(np.int64)
        ahead = np.minimum(lengths + 1, self._reader.tokens - starts)
        mark = mark_of(self.manifest.vocabulary_rows)
        rows = np.zeros((len(ids), int(lengths.max(initial=0)) + 1), dtype=self._reader.token_dtype)
        found, _ = self._reader.stretches(starts, ahead)
        rows[:, : found.shape[1]] = found
        last = np.flatnonzero(ahead == lengths)
        rows[last, lengths[last]] = mark
        first = 0
        for count in counts:
            here = slice(first, first + count)
            its = lengths[here]
            width = int(its.max(initial=0))
            inside = np.arange(width) < its[:, None]
            tokens = np.where(inside, rows[here, :width], 0)
            labels = np.where(inside, rows[here, 1 : width + 1].astype(np.int32), NOTHING)
            yield _batch(tokens, its, labels, mark)
            first += count


class MissingTokens(Sequences):
    """Some tokens of each sequence, chosen by chance: exactly max(1, round(share x tokens)).

    Of these 8 in 10 are hidden behind the mask, 1 in 10 by any token of the vocabulary, 1 in 10 not at all
    (arxiv.org/abs/1810.04805, section 3.1). The chance is that of the seed, the step and the sequence alone, so it is
    the same on any number of ranks.
    """

    def __init__(self, reader: ShardReader, length: int, share: float, seed: int) -> None:
        super().__init__(reader, length)
        self._share, self._seed = share, seed
        self.labels = self.asked_of(self.lengths)
        """How many tokens are asked for in each sequence, i64 [N]."""

    def asked_of(self, lengths: Array) -> Ids:
        """How many tokens are asked for in sequences of these lengths."""
        counts: Ids = np.maximum(1, np.rint(self._share * lengths)).astype(np.int64)
        return counts

    def asked(self, ids: Ids, counts: Sequence[int], step: int) -> Iterator[dict[str, Array]]:
        """As `Asks` says. Marks are asked for only where a sequence has too few other tokens."""
        rows_of_vocabulary = self.manifest.vocabulary_rows
        mark = mark_of(rows_of_vocabulary)
        first = 0
        for tokens, lengths, _ in self.padded_each(ids, counts):
            its = ids[first : first + len(lengths)]
            inside = np.arange(tokens.shape[1]) < lengths[:, None]
            chosen = self._chosen(tokens, lengths, its, step, inside, mark)
            labels = np.where(chosen, tokens.astype(np.int32), NOTHING)
            kinds = self._chance(its, tokens.shape[1], step, KINDS) % np.uint64(10)
            others = self._chance(its, tokens.shape[1], step, OTHERS) % np.uint64(
                rows_of_vocabulary - MARKS - FIRST_WORD
            )
            hidden = np.where(chosen & (kinds < 8), mask_of(rows_of_vocabulary), tokens)
            hidden = np.where(chosen & (kinds == 8), others + np.uint64(FIRST_WORD), hidden).astype(tokens.dtype)
            yield _batch(hidden, lengths.astype(np.int64), labels, mark, tokens)
            first += len(lengths)

    def _chosen(self, tokens: Array, lengths: Array, ids: Ids, step: int, inside: Array, mark: int) -> Array:
        """True [B, T] at exactly so many places of each sequence as are asked for."""
        order = self._chance(ids, tokens.shape[1], step, PLACES) >> np.uint64(2)
        order |= (tokens == mark).astype(np.uint64) << np.uint64(62)  # marks last
        order |= (~inside).astype(np.uint64) << np.uint64(63)  # and what is no place never
        places = np.argsort(order, axis=1, kind="stable")
        chosen = np.zeros(tokens.shape, dtype=np.bool_)
        asked = np.arange(tokens.shape[1]) < self.asked_of(lengths)[:, None]
        np.put_along_axis(chosen, places, asked, axis=1)
        return chosen

    def _chance(self, ids: Ids, width: int, step: int, use: int) -> Array:
        """u64 [B, T] of a sequence at a step; not those of another use."""
        keys = np.array([mix(self._seed, MASKING, step, number, use) for number in ids.tolist()], dtype=np.uint64)
        return mixed(keys[:, None], width)


def _batch(tokens: Array, lengths: Ids, labels: Array, mark: int, unhidden: Array | None = None) -> dict[str, Array]:
    begins = (tokens if unhidden is None else unhidden) == mark
    batch = {"tokens": tokens, "lengths": lengths, "labels": labels}
    if begins[:, 1:].any():
        batch["beside"] = np.cumsum(begins, axis=1, dtype=np.int32)
    return batch
