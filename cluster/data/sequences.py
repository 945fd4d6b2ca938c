"""A split as sequences of one length, for language models: its tokens in a row, cut without regard to documents.

B sequences of a batch, L tokens of each.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cluster.data.shards import Array, Ids, Packed, Rows, ShardReader, boundaries_of
from cluster.errors import DataError


class Sequences:
    """Sequence i holds the tokens i x length to (i + 1) x length of the split, counted over its documents and shards;
    the last one what is left.

    The loader and `Order` take this in a `ShardReader`'s place. Raises ValueError for a length below 1, DataError for a
    split without a token or of bags, whose words stand in no order.
    """

    weighted = False

    def __init__(self, reader: ShardReader, length: int) -> None:
        if length < 1:
            raise ValueError(f"length must be 1 or more, but is {length}")
        if reader.weighted:
            raise DataError("a split of bags has no order of words to cut: prepare the data for a model of sequences.")
        if reader.tokens == 0:
            raise DataError("the split holds no tokens, so there is no sequence to read: give more data.")
        self.documents = -(-reader.tokens // length)
        self.manifest = reader.manifest
        self._reader, self._length = reader, length
        self.lengths: npt.NDArray[np.uint32] = np.full(self.documents, length, dtype=np.uint32)
        self.lengths[-1] = reader.tokens - (self.documents - 1) * length
        # One number in memory, however many sequences there are.
        self.labels: Array = np.broadcast_to(np.int64(0), (self.documents,))
        """All 0: what a language model is to say stands in the tokens."""

    @property
    def sizes(self) -> npt.NDArray[np.uint32]:
        """Tokens of each sequence: the lengths."""
        return self.lengths

    @property
    def planned_tokens(self) -> int:
        """What `Order` takes as the total of the lengths."""
        return self._reader.tokens

    @property
    def text_bytes(self) -> int:
        """Bytes of the texts of all documents (`task.kind = "language"`), as they were before they became tokens."""
        return int(self._reader.labels.sum(dtype=np.int64))

    def settle(self) -> None:
        """As `ShardReader.settle`."""
        self._reader.settle()

    def padded(self, ids: Ids) -> Rows:
        """Tokens [B, L] in the stored type, zero behind the last sequence's end; lengths i64 [B]; tags u8 [B, L], if
        there are any.

        Raises IndexError for an id that is no sequence's.
        """
        starts = self._starts(ids)
        lengths: Ids = self.lengths[ids].astype(np.int64)
        tokens, tags = self._reader.stretches(starts, lengths)
        return tokens, lengths, tags

    def padded_each(self, ids: Ids, counts: Sequence[int]) -> Iterator[Rows]:
        """The same of several batches, one after the other in `ids`, with so many sequences each."""
        tokens, lengths, tags = self.padded(ids)
        first, width = 0, self._length
        short = bool(lengths.min(initial=width) < width)  # the last sequence is among them
        for count in counts:
            here = slice(first, first + count)
            if short:
                width = int(lengths[here].max(initial=0))
            yield tokens[here, :width], lengths[here], None if tags is None else tags[here, :width]
            first += count

    def flat(self, ids: Ids) -> Rows:
        """The same, one sequence after the other without padding."""
        tokens, lengths, tags = self.padded(ids)
        inside = np.arange(tokens.shape[1]) < lengths[:, None]
        return tokens[inside], lengths, None if tags is None else tags[inside]

    def packed(self, ids: Ids) -> Packed:
        """The same with the sequences' boundaries; those of the documents inside them are `boundaries`."""
        tokens, lengths, tags = self.flat(ids)
        return Packed(tokens, boundaries_of(lengths), int(lengths.max(initial=0)), tags)

    def labels_each(self, ids: Ids, counts: Sequence[int], packed: bool) -> Iterator[Array]:
        """A 0 for each sequence of several batches."""
        zeros, first = np.zeros(len(ids), dtype=np.int64), 0
        for count in counts:
            yield zeros[first : first + count]
            first += count

    def boundaries(self, ids: Ids) -> tuple[Ids, Ids]:
        """Where documents begin inside each sequence: places 0 to L - 1, ascending, one sequence after the other; and
        how many in each, int64 [B]. None begins where one that began earlier goes on.

        Raises IndexError for an id that is no sequence's.
        """
        return self._reader.documents_from(self._starts(ids), self._length)

    def _starts(self, ids: Ids) -> Ids:
        ids = np.asarray(ids, dtype=np.int64)
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < self.documents:
            raise IndexError(f"sequence ids must be in 0..{self.documents - 1}: {int(ids.min())}..{int(ids.max())}")
        return ids * self._length
