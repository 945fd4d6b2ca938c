"""Prepared documents on disk, mapped and gathered by every rank.

The layout is `manifest.py`'s; `writing.py` made it. Letters: N documents of a split, B documents of a batch,
T tokens of its longest.
"""

import mmap
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.data.manifest import BESIDE_TYPES, FileEntry, checked_file, open_prepared, token_type
from cluster.errors import DataError

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
# Python's mmap keeps a descriptor open for each mapping; a common limit is 1,024 for the whole process.
MOST_MAPPED_SHARDS = 256


class ShardReader:
    """One split of a prepared folder, mapped: nothing is copied before it is asked for. Several threads may use one.

    Opening checks the size of every file, not its hashes (`verify.py` does). Raises DataError.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.manifest = open_prepared(folder)
        if split not in self.manifest.splits:
            known = ", ".join(self.manifest.splits) or "none"
            raise DataError(f"{folder} holds no split {split!r}, only: {known}.")
        entry = self.manifest.splits[split]
        self._folder, self._entry = folder, entry
        for file in entry.files():
            checked_file(folder, file)
        self.documents, self.tokens = entry.documents, entry.tokens
        self.weighted = entry.layout == "bag"
        self.tagged = bool(self.manifest.tags)
        self.token_dtype = np.dtype(token_type(self.manifest.vocabulary_rows))
        beside = "weights" if self.weighted else "tags" if self.tagged else ""
        self._types = [self.token_dtype, *([np.dtype(BESIDE_TYPES[beside])] if beside else [])]
        self.lengths: npt.NDArray[np.uint32] = _mapped(folder, entry.columns["lengths"])
        self.labels = _mapped(folder, entry.columns["labels"])
        """i32 [N] (classify), f64 [N] (regress), or u8 [N, C] (multilabel)."""
        if self.manifest.task == "multilabel":
            self.labels = self.labels.reshape(self.documents, len(self.manifest.labels))
        self.sources: npt.NDArray[np.uint64] = _mapped(folder, entry.columns["source"])
        self._offsets: npt.NDArray[np.uint64] = _mapped(folder, entry.columns["offsets"])
        self._shard_starts: Ids = np.cumsum([0, *(shard.tokens.count for shard in entry.shards)], dtype=np.int64)
        self._maps: OrderedDict[str, Array] = OrderedDict()
        self._lock = threading.Lock()
        if self.documents and int(self._offsets[-1]) + int(self.lengths[-1]) != self.tokens:
            raise DataError(f"{folder / split}: its lengths do not add up to its tokens. Prepare the data again.")

    def padded(self, ids: Ids) -> tuple[Array, npt.NDArray[np.uint32], Array | None]:
        """Tokens [B, T] in the stored type, zero (`<pad>`) behind each document's end; lengths u32 [B]; the tags beside
        the tokens, u8 [B, T], if there are any.

        Raises IndexError for an id outside the split, DataError if the columns do not fit the shards.
        """
        tokens, lengths, tags = self.flat(ids)
        longest = int(lengths.max(initial=0))
        inside = np.arange(longest, dtype=np.uint32) < lengths[:, None]
        rows = np.zeros((len(lengths), longest), dtype=self.token_dtype)
        rows[inside] = tokens
        if tags is None:
            return rows, lengths, None
        tag_rows = np.zeros((len(lengths), longest), dtype=tags.dtype)
        tag_rows[inside] = tags
        return rows, lengths, tag_rows

    def flat(self, ids: Ids) -> tuple[Array, npt.NDArray[np.uint32], Array | None]:
        """Tokens of all documents one after the other, in the stored type; lengths u32 [B]; what stands beside the
        tokens: their weights in a bag, their tags in a sequence that has them.

        Raises IndexError for an id outside the split, DataError if the columns do not fit the shards.
        """
        ids = np.asarray(ids, dtype=np.int64)
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < self.documents:
            raise IndexError(f"document ids must be in 0..{self.documents - 1}: {int(ids.min())}..{int(ids.max())}")
        lengths = self.lengths[ids]
        starts = self._offsets[ids].astype(np.int64)
        total = int(lengths.sum(dtype=np.int64))
        if total == 0:
            empty = np.empty(0, dtype=self._types[-1]) if len(self._types) > 1 else None
            return np.empty(0, dtype=self.token_dtype), lengths, empty
        shard_of = np.searchsorted(self._shard_starts, starts, side="right") - 1
        touched = np.unique(shard_of[lengths > 0]).tolist()
        self._check_ends(starts, lengths, shard_of)
        if len(touched) == 1:  # the common case needs no places: documents come in the order asked for
            places = _ranges(starts - self._shard_starts[touched[0]], lengths)
            found = [self._map(touched[0], which).take(places) for which in range(len(self._types))]
        else:
            found = self._gather_from_many(touched, shard_of, starts, lengths)
        return found[0], lengths, found[1] if len(found) > 1 else None

    def _gather_from_many(
        self, touched: Sequence[int], shard_of: Ids, starts: Ids, lengths: npt.NDArray[np.uint32]
    ) -> list[Array]:
        ends: Ids = np.cumsum(lengths, dtype=np.int64)
        found = [np.empty(int(ends[-1]), dtype=dtype) for dtype in self._types]
        for shard in touched:
            here = np.flatnonzero(shard_of == shard)
            places = _ranges(starts[here] - self._shard_starts[shard], lengths[here])
            targets = _ranges(ends[here] - lengths[here], lengths[here])
            for which, array in enumerate(found):
                array[targets] = self._map(shard, which).take(places)
        return found

    def _check_ends(self, starts: Ids, lengths: npt.NDArray[np.uint32], shard_of: Ids) -> None:
        """A flipped bit in a column must not become somebody else's tokens (nor a crash far from its cause)."""
        used = lengths > 0
        limits = self._shard_starts[np.minimum(shard_of + 1, len(self._shard_starts) - 1)]
        if bool(((starts > limits - lengths) & used).any()) or bool((starts < 0).any()):
            raise DataError(
                f"{self._folder}: a document reaches past the end of its shard, so lengths or offsets are damaged. "
                "Prepare the data again."
            )

    def _map(self, shard: int, which: int) -> Array:
        """The tokens of a shard (0), or what stands beside them (1)."""
        entry = self._entry.shards[shard]
        file = entry.beside if which else entry.tokens
        assert file is not None
        with self._lock:
            if file.name in self._maps:
                self._maps.move_to_end(file.name)
                return self._maps[file.name]
            array = self._maps[file.name] = _mapped(self._folder, file)
            if len(self._maps) > MOST_MAPPED_SHARDS:
                self._maps.popitem(last=False)  # unmapped when the last gather that uses it is done
            return array


def _ranges(starts: Ids, lengths: npt.NDArray[np.uint32]) -> Ids:
    """starts[0], starts[0]+1, ... (lengths[0] of them), starts[1], ..."""
    ends: Ids = np.cumsum(lengths, dtype=np.int64)
    places: Ids = np.repeat(starts - (ends - lengths), lengths)
    places += np.arange(places.size, dtype=np.int64)
    return places


def _mapped(folder: Path, entry: FileEntry) -> Array:
    """A read-only array over the file; a plain ndarray, which slices faster than np.memmap."""
    if entry.count == 0:
        return np.empty(0, dtype=entry.dtype)
    with open(checked_file(folder, entry), "rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), entry.bytes, access=mmap.ACCESS_READ), dtype=entry.dtype)
