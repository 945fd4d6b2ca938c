"""A split of pairs: a text to be read, and one that is to be written of it.

In the shards a pair is one document: the tokens of both, each text with the mark that ends it (`marks.py`), and
`labels` tell how many, the last, are to be written. Models read the first part whole, and the second one token behind:
at each place they are asked for the next token, the end among them.

B pairs of a batch, S tokens of the longest text that is read, T of the longest that is written.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cluster.data.marks import mark_of
from cluster.data.questions import NOTHING
from cluster.data.shards import Array, Ids, Packed, Rows, ShardReader

Lengths = npt.NDArray[np.uint32]


class Pairs:
    """The loader and `Order` take this in a `ShardReader`'s place.

    A pair is as long as the longer of its two texts: pairs are bucketed by it, and a budget of tokens holds for each
    side, padding counted.
    """

    weighted = False

    def __init__(self, reader: ShardReader) -> None:
        self._reader, self.manifest = reader, reader.manifest
        self.documents = reader.documents
        self.labels = reader.labels
        """Tokens to be written, u32 [N]; the end is one of them."""
        self.sizes = reader.lengths
        """Tokens of both texts, u32 [N]."""
        self.sources: Lengths = reader.lengths - self.labels
        """Tokens to be read, u32 [N]."""
        self.lengths: Lengths = np.maximum(self.sources, self.labels)

    @property
    def planned_tokens(self) -> int:
        """What `Order` takes as the total of the lengths."""
        return int(self.lengths.sum(dtype=np.int64))

    def settle(self) -> None:
        """As `ShardReader.settle`."""
        self._reader.settle()

    def asked(self, ids: Ids, counts: Sequence[int], step: int) -> Iterator[dict[str, Array]]:
        """Batches, one after the other in `ids`, with so many pairs each; the same at every step: `tokens` [B, S] and
        `lengths` [B] of what is read, `beside` [B, T], the tokens before those asked for, `labels` [B, T], NOTHING
        behind the end. Raises IndexError for an id that is no pair's, DataError."""
        first, mark = 0, mark_of(self.manifest.vocabulary_rows)
        for rows, _, _ in self._reader.padded_each(ids, counts):
            its = ids[first : first + len(rows)]
            sources, targets = self.sources[its].astype(np.int64), self.labels[its].astype(np.int64)
            places = np.arange(int(sources.max(initial=0)))
            tokens = np.where(places < sources[:, None], rows[:, : places.size], 0)
            places = np.arange(int(targets.max(initial=0)))
            inside = places < targets[:, None]
            behind = np.minimum(sources[:, None] + places, rows.shape[1] - 1)
            written = np.take_along_axis(rows, behind, axis=1)
            before = np.concatenate([np.full((len(rows), 1), mark, rows.dtype), written[:, :-1]], axis=1)
            yield {
                "tokens": tokens,
                "lengths": sources,
                "beside": np.where(inside, before, 0),
                "labels": np.where(inside, written.astype(np.int32), NOTHING),
            }
            first += len(rows)

    # As stored: both texts of a pair in a row.

    def padded(self, ids: Ids) -> Rows:
        return self._reader.padded(ids)

    def padded_each(self, ids: Ids, counts: Sequence[int]) -> Iterator[Rows]:
        return self._reader.padded_each(ids, counts)

    def flat(self, ids: Ids) -> Rows:
        return self._reader.flat(ids)

    def packed(self, ids: Ids) -> Packed:
        return self._reader.packed(ids)

    def labels_each(self, ids: Ids, counts: Sequence[int], packed: bool) -> Iterator[Array]:
        return self._reader.labels_each(ids, counts, packed)
