"""Prepared documents on disk, mapped and gathered by every rank.

The layout is `manifest.py`'s; `writing.py` made it. Letters: N documents of a split, B documents of a batch,
T tokens of its longest.
"""

import mmap
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cluster.data.manifest import BESIDE_TYPES, FileEntry, checked_file, open_prepared, token_type
from cluster.errors import DataError

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
# Python's mmap keeps a descriptor open for each mapping; a common limit is 1,024 for the whole process.
MOST_MAPPED_SHARDS = 256


class Packed(NamedTuple):
    """Documents one after the other without padding: the form that FlashAttention-style kernels take."""

    tokens: Array
    """Stored type [N]."""
    cu_seqlens: npt.NDArray[np.int32]
    """[B + 1]: document b is `tokens[cu_seqlens[b] : cu_seqlens[b + 1]]`."""
    longest: int
    """Tokens of the longest document."""
    beside: Array | None
    """What stands beside the tokens [N]: tags or, in a bag, weights."""


class Reader(Protocol):
    """What the loader needs of a split: `ShardReader` gives its documents, `Sequences` pieces of a fixed length."""

    @property
    def documents(self) -> int: ...
    @property
    def lengths(self) -> npt.NDArray[np.uint32]: ...
    @property
    def labels(self) -> Array: ...
    @property
    def weighted(self) -> bool: ...
    def padded(self, ids: Ids) -> tuple[Array, npt.NDArray[np.uint32], Array | None]: ...
    def flat(self, ids: Ids) -> tuple[Array, npt.NDArray[np.uint32], Array | None]: ...
    def packed(self, ids: Ids) -> Packed: ...


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

    @property
    def planned_tokens(self) -> int | None:
        """What `Order` takes as the total of the lengths, known without reading them; None for bags, of which some may
        be empty."""
        return None if self.weighted else self.tokens

    def padded(self, ids: Ids) -> tuple[Array, npt.NDArray[np.uint32], Array | None]:
        """Tokens [B, T] in the stored type, zero (`<pad>`) behind each document's end; lengths u32 [B]; the tags beside
        the tokens, u8 [B, T], if there are any. The arrays are new at each call.

        Raises IndexError for an id outside the split, DataError if the columns do not fit the shards.
        """
        lengths, starts, _ = self._located(ids)
        rows = self._rows(starts, lengths, int(lengths.max(initial=0)))
        return rows[0], lengths, rows[1] if len(rows) > 1 else None

    def flat(self, ids: Ids) -> tuple[Array, npt.NDArray[np.uint32], Array | None]:
        """Tokens of all documents one after the other, in the stored type; lengths u32 [B]; what stands beside the
        tokens: their weights in a bag, their tags in a sequence that has them.

        Raises IndexError for an id outside the split, DataError if the columns do not fit the shards.
        """
        lengths, starts, shard_of = self._located(ids)
        touched = shard_of[lengths > 0]
        if touched.size and touched.min() == touched.max():  # the common case: documents come in the order asked for
            places = _ranges(starts - self._shard_starts[touched[0]], lengths)
            found = [self._map(int(touched[0]), which).take(places) for which in range(len(self._types))]
        else:
            ends: Ids = np.cumsum(lengths, dtype=np.int64)
            found = [np.empty(int(ends[-1]) if ends.size else 0, dtype=dtype) for dtype in self._types]
            self._scatter(starts, lengths.astype(np.int64), found, ends - lengths)
        return found[0], lengths, found[1] if len(found) > 1 else None

    def packed(self, ids: Ids) -> Packed:
        """What `flat` gives, with the documents' boundaries. Raises what `flat` raises, and DataError for more tokens
        than the boundaries' int32 can count."""
        tokens, lengths, beside = self.flat(ids)
        return Packed(tokens, boundaries_of(lengths), int(lengths.max(initial=0)), beside)

    def stretches(self, starts: Ids, length: int) -> tuple[Array, Array | None]:
        """Tokens [B, length] of the split from each of `starts` [B] on, counted over all its documents and shards, in
        the stored type; what stands beside them, if anything does.

        Raises IndexError for a stretch that is not wholly inside the split.
        """
        starts = np.asarray(starts, dtype=np.int64)
        if starts.size and not 0 <= int(starts.min()) <= int(starts.max()) <= self.tokens - length:
            raise IndexError(f"a stretch must begin in 0..{self.tokens - length}: {starts.min()}..{starts.max()}")
        rows = self._rows(starts, np.full(len(starts), length, dtype=np.uint32), length)
        return rows[0], rows[1] if len(rows) > 1 else None

    def documents_from(self, starts: Ids, length: int) -> tuple[Ids, Ids]:
        """Where in each stretch documents begin: offsets from its start, one stretch after the other, ascending; and
        how many in each, int64 [B]. A document without tokens begins nowhere."""
        # Sought as the column's own type: numpy would turn the whole column into floats otherwise.
        first = np.searchsorted(self._offsets, starts.astype(np.uint64))
        behind = np.searchsorted(self._offsets, (starts + length).astype(np.uint64))
        documents = _ranges(first, behind - first)
        stretch = np.repeat(np.arange(len(starts)), behind - first)
        real = self.lengths[documents] > 0
        documents, stretch = documents[real], stretch[real]
        begins: Ids = self._offsets[documents].astype(np.int64) - starts[stretch]
        return begins, np.bincount(stretch, minlength=len(starts))

    def _located(self, ids: Ids) -> tuple[npt.NDArray[np.uint32], Ids, Ids]:
        """Length, first token and shard of each document, checked."""
        ids = np.asarray(ids, dtype=np.int64)
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < self.documents:
            raise IndexError(f"document ids must be in 0..{self.documents - 1}: {int(ids.min())}..{int(ids.max())}")
        lengths = self.lengths[ids]
        starts = self._offsets[ids].astype(np.int64)
        shard_of, limits = self._shards_of(starts)
        # A flipped bit in a column must not become somebody else's tokens (nor a crash far from its cause).
        if bool(((starts > limits - lengths) & (lengths > 0)).any()) or bool((starts < 0).any()):
            raise DataError(
                f"{self._folder}: a document reaches past the end of its shard, so lengths or offsets are damaged. "
                "Prepare the data again."
            )
        return lengths, starts, shard_of

    def _shards_of(self, starts: Ids) -> tuple[Ids, Ids]:
        """The shard that each place is in, and where that shard ends."""
        shard_of = np.searchsorted(self._shard_starts, starts, side="right") - 1
        return shard_of, self._shard_starts[np.minimum(shard_of + 1, len(self._shard_starts) - 1)]

    def _rows(self, starts: Ids, lengths: npt.NDArray[np.uint32], width: int) -> list[Array]:
        """For tokens and what stands beside them, [B, width]: `lengths` of them from `starts` on, zero behind.

        Whole windows are copied and their tails set to zero: many times as fast as looking up each token's place. A
        window that reaches past its shard's end is put together from the tokens that are its own.
        """
        if not len(starts) or not width:
            return [np.empty((len(starts), width), dtype=dtype) for dtype in self._types]
        shard_of, limits = self._shards_of(starts)
        local = starts - self._shard_starts[shard_of]
        whole = starts <= limits - width
        shards = _distinct(shard_of[whole])
        kinds = range(len(self._types))
        if len(shards) == 1 and whole.all():
            found = [self._windows(shards[0], which, width)[local] for which in kinds]
        else:
            found = [np.empty((len(starts), width), dtype=dtype) for dtype in self._types]
            for shard in shards:
                here = (whole & (shard_of == shard)).nonzero()[0]
                for which in kinds:
                    found[which][here] = self._windows(shard, which, width)[local[here]]
            rest = (~whole).nonzero()[0]
            flat = [rows.reshape(-1) for rows in found]
            self._scatter(starts[rest], lengths[rest].astype(np.int64), flat, rest * width)
        shortest = int(lengths.min())
        if shortest < width:
            behind = np.arange(shortest, width, dtype=np.uint32) >= lengths[:, None]
            for rows in found:
                rows[:, shortest:][behind] = 0
        return found

    def _windows(self, shard: int, which: int, width: int) -> Array:
        """Every window of a shard, one for each token it can begin at: a view, nothing is copied."""
        array = self._map(shard, which)
        shape, strides = (array.size - width + 1, width), (array.itemsize, array.itemsize)
        return np.ndarray(shape, array.dtype, buffer=array, strides=strides)

    def _scatter(self, starts: Ids, lengths: Ids, found: Sequence[Array], targets: Ids) -> None:
        """Copy `lengths` tokens from `starts` on, across shards, to the places from `targets` on of flat arrays."""
        while (left := lengths.nonzero()[0]).size:
            starts, lengths, targets = starts[left], lengths[left], targets[left]
            shard_of, limits = self._shards_of(starts)
            sizes = np.minimum(lengths, limits - starts)
            for shard in _distinct(shard_of):
                here = (shard_of == shard).nonzero()[0]
                places = _ranges(starts[here] - self._shard_starts[shard], sizes[here])
                into = _ranges(targets[here], sizes[here])
                for which, array in enumerate(found):
                    array[into] = self._map(shard, which).take(places)
            starts, lengths, targets = starts + sizes, lengths - sizes, targets + sizes

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


def boundaries_of(lengths: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
    """0 and the end of each document, [B + 1], of documents that stand one after the other. Raises DataError."""
    ends = np.cumsum(lengths, dtype=np.int64)
    if ends.size and ends[-1] > np.iinfo(np.int32).max:
        raise DataError(
            f"a packed batch holds at most {np.iinfo(np.int32).max} tokens, but {ends[-1]} were asked for: "
            "set a smaller train.micro_batch_tokens."
        )
    return np.concatenate([[0], ends]).astype(np.int32)


def _distinct(values: Ids) -> list[int]:
    return sorted(set(values.tolist()))  # a batch has few rows: a quarter of np.unique's time


def _ranges(starts: Ids, lengths: npt.NDArray[Any]) -> Ids:
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
