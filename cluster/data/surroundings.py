"""What word vectors learn from: for each word of a text the words around it, and words drawn by chance beside them.

Word2Vec's skip-gram with negative sampling (Mikolov et al. 2013, arxiv.org/abs/1310.4546). The tokens of a split stand
in a row and are read in sequences, as language models read them; unknown words are left out, a document's mark parts
what stands before it from what follows. Frequent words are left out by chance, before anybody looks for neighbours, as
in the authors' program.

Words drawn by chance are shared by all words of a sequence: what is multiplied are then matrices, not single rows, and
each pair meets more of them, with less weight each. The chance is that of the seed, the step and the sequence alone, so
it is the same on any number of ranks.

B sequences of a batch, T words that are left of the longest, K words drawn.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cluster.data.marks import mark_of
from cluster.data.permutation import mix, mixed
from cluster.data.sequences import Sequences
from cluster.data.shards import Array, Ids, ShardReader

SEQUENCE_TOKENS = 256
"""Tokens of a sequence. No pair reaches over its end: of 256 tokens and a window of 5, some 2 in 100 pairs are lost."""
SHARED_NEGATIVES = 64
"""Words drawn for a sequence."""
NOISE_POWER = 0.75
"""A word is drawn as often as it stands in the text to this power (section 2.2)."""
# What chance is used for: no two uses share it (`questions.py` has others).
SURROUNDINGS = 7
FIRST_WORD = 2
COUNTED_AT_ONCE = 1 << 22
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


class Surroundings(Sequences):
    """Sequences of words, how far each one's surroundings reach, and words that are not in them.

    A split's own counts decide which words are frequent. They are counted when it is opened, in one pass over its
    tokens.
    """

    def __init__(self, reader: ShardReader, window: int, subsample: float, seed: int) -> None:
        super().__init__(reader, SEQUENCE_TOKENS)
        self._window, self._seed = window, seed
        self.labels = self.lengths
        """Tokens of each sequence before any is left out, u32 [N]: what losses are divided by."""
        counts = _counts(reader)
        self.frequencies = counts / max(int(counts.sum()), 1)
        """Share of each row among the words of the split, f64 [V]; 0 for what is no word."""
        self._keep = _thresholds(kept_shares(self.frequencies, subsample))
        noise = np.cumsum(self.frequencies**NOISE_POWER)
        self._noise = noise / noise[-1] if noise[-1] else noise

    @property
    def noise(self) -> npt.NDArray[np.float64]:
        """How probable each row is to be drawn, f64 [V]."""
        noise: npt.NDArray[np.float64] = np.diff(self._noise, prepend=0.0)
        return noise

    def asked(self, ids: Ids, counts: Sequence[int], step: int) -> Iterator[dict[str, Array]]:
        """Batches, one after the other in `ids`, with so many sequences each: `tokens` [B, T], 0 behind the words that
        are left; `lengths` [B]; `labels` [B, K], the rows drawn; `beside` u8 [B, T, 2], how many words before and
        behind each are its surroundings."""
        first = 0
        for tokens, lengths, _ in self.padded_each(ids, counts):
            its = ids[first : first + len(lengths)]
            width = tokens.shape[1]
            chance = self._chance(its, width + SHARED_NEGATIVES, step)
            drawn = (chance[:, width:] >> np.uint64(11)).astype(np.float64) * 2.0**-53
            negatives = np.searchsorted(self._noise, drawn, side="right").astype(np.int32)
            words, left, reach = self._thinned(tokens, lengths, chance[:, :width])
            yield {"tokens": words, "lengths": left, "labels": negatives, "beside": reach}
            first += len(lengths)

    def _chance(self, ids: Ids, width: int, step: int) -> Array:
        """u64 [B, width] of a sequence at a step."""
        keys = np.array([mix(self._seed, SURROUNDINGS, step, number) for number in ids.tolist()], dtype=np.uint64)
        return mixed(keys[:, None], width)

    def _thinned(self, tokens: Array, lengths: Array, chance: Array) -> tuple[Array, Ids, Array]:
        """The words that are left, how many in each sequence, and how far their surroundings reach."""
        inside = np.arange(tokens.shape[1]) < lengths[:, None]
        kept = inside & (chance >> _HALF < self._keep[tokens])
        left = np.count_nonzero(kept, axis=1)
        rows, places = np.nonzero(kept)
        columns = np.arange(rows.size) - np.repeat(np.cumsum(left) - left, left)
        shape = tokens.shape[0], int(left.max(initial=0)) or 1  # a row without a word is one of padding
        words = np.zeros(shape, dtype=tokens.dtype)
        words[rows, columns] = tokens[rows, places]
        # The window of each word is as wide as chance says, from 1 to `window`.
        wide = (chance[rows, places] & _LOW) % np.uint64(self._window) + np.uint64(1)
        documents = np.cumsum(tokens == mark_of(self.manifest.vocabulary_rows), axis=1)
        document = rows.astype(np.int64) * (tokens.shape[1] + 1) + documents[rows, places]
        starts = np.searchsorted(document, document, side="left")
        ends = np.searchsorted(document, document, side="right")
        at = np.arange(rows.size)
        reach = np.zeros((*shape, 2), dtype=np.uint8)
        reach[rows, columns, 0] = np.minimum(at - starts, wide)
        reach[rows, columns, 1] = np.minimum(ends - 1 - at, wide)
        return words, left.astype(np.int64), reach


def kept_shares(frequencies: npt.NDArray[np.float64], subsample: float) -> npt.NDArray[np.float64]:
    """How probable each word is to be left in: sqrt(t / f) + t / f for a word of frequency f, at most 1, as the program
    of the authors has it (code.google.com/archive/p/word2vec); `subsample` t, 0 leaves all words in."""
    if not subsample:
        return (frequencies > 0).astype(np.float64)
    ratio = np.divide(subsample, frequencies, out=np.zeros_like(frequencies), where=frequencies > 0)
    shares: npt.NDArray[np.float64] = np.minimum(np.sqrt(ratio) + ratio, 1.0)
    return shares


def _thresholds(shares: npt.NDArray[np.float64]) -> Array:
    """What 32 bits of chance must be below, u64 [V]."""
    return np.rint(shares * 2.0**32).astype(np.uint64)


def _counts(reader: ShardReader) -> Ids:
    """How often each word stands in the split, i64 [V]; 0 for padding, the unknown word and the marks."""
    rows = reader.manifest.vocabulary_rows
    counts = np.zeros(rows, dtype=np.int64)
    for start in range(0, reader.tokens, COUNTED_AT_ONCE):
        many = min(COUNTED_AT_ONCE, reader.tokens - start)
        tokens, _ = reader.stretches(np.array([start]), many)
        counts += np.bincount(tokens[0], minlength=rows)
    counts[:FIRST_WORD] = 0
    counts[mark_of(rows) :] = 0
    return counts
