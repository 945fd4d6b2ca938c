"""Prepared documents on disk, mapped and gathered by every rank.

The layout is `manifest.py`'s; `writing.py` made it. Letters: N documents of a split, B documents of a batch,
T tokens of its longest.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cluster.data.blocks import Blocks
from cluster.data.manifest import (
    BESIDE_TYPES,
    TARGET_TYPE,
    FileEntry,
    SplitEntry,
    checked_file,
    open_prepared,
    token_type,
)
from cluster.data.mapped import MappedShards, mapped_file
from cluster.errors import DataError

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
Types = Mapping[str, np.dtype[Any]]
TARGETS: Types = {"targets": np.dtype(TARGET_TYPE)}
# Documents of so many tokens are copied sooner one by one (1 us each) than by each token's place (2 to 5 ns each).
LONG_DOCUMENT = 256

Rows = tuple[Array, Ids, Array | None]
"""Documents, padded: tokens [B, T], lengths [B], tags or affixes [B, T] if there are any; or flat, in one row [N]."""


class Packed(NamedTuple):
    """Documents one after the other without padding: the form that FlashAttention-style kernels take."""

    tokens: Array
    """Stored type [N]."""
    cu_seqlens: npt.NDArray[np.int32]
    """[B + 1]: document b is `tokens[cu_seqlens[b] : cu_seqlens[b + 1]]`."""
    longest: int
    """Tokens of the longest document."""
    beside: Array | None
    """What stands beside the tokens [N]: tags, affixes or, in a bag, weights."""


class _Spans(NamedTuple):
    """Runs of tokens, each from a place of the split on."""

    starts: Ids
    """Counted over all shards, [B]."""
    lengths: npt.NDArray[np.uint32]
    shard_of: Ids
    """The shard that each begins in."""
    room: Ids
    """Tokens from its start to the end of that shard."""

    def part(self, here: slice | Ids) -> "_Spans":
        return _Spans(self.starts[here], self.lengths[here], self.shard_of[here], self.room[here])


class Reader(Protocol):
    """What loader and training need of a split: `ShardReader` gives its documents, `Sequences` pieces of a fixed
    length, `Pairs` pairs of texts. `lengths` are what documents are put in order and cut by, `sizes` how many tokens
    each has."""

    @property
    def documents(self) -> int: ...
    @property
    def lengths(self) -> npt.NDArray[np.uint32]: ...
    @property
    def sizes(self) -> npt.NDArray[np.uint32]: ...
    @property
    def labels(self) -> Array: ...
    @property
    def weighted(self) -> bool: ...
    def padded(self, ids: Ids) -> Rows: ...
    def padded_each(self, ids: Ids, counts: Sequence[int]) -> Iterator[Rows]: ...
    def flat(self, ids: Ids) -> Rows: ...
    def packed(self, ids: Ids) -> Packed: ...
    def labels_each(self, ids: Ids, counts: Sequence[int], packed: bool) -> Iterator[Array]: ...
    @property
    def planned_tokens(self) -> int | None: ...
    def settle(self) -> None: ...


class ShardReader:
    """One split of a prepared folder, mapped: nothing is copied before it is asked for. Several threads may use one.

    Opening checks the size of every file; its blocks of 4 MiB are checked in the background when they are first read
    (`blocks.py`). So every method may raise DataError for a damaged block that an earlier one read, and whoever keeps
    what came of the data calls `settle` first. Raises DataError.
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
        beside = "weights" if self.weighted else "affixes" if self.manifest.affixes else "tags" if self.tagged else ""
        self._types: dict[str, np.dtype[Any]] = {"tokens": self.token_dtype}
        """What the model reads of each token, by column."""
        if beside:
            self._types["beside"] = np.dtype(BESIDE_TYPES[beside])
        self._blocks = Blocks(folder, _columns_of(entry) | {"files": self.manifest.extra_files})
        for whole in ("lengths", "labels", "files"):
            self._blocks.mark_whole(whole)
        self.lengths: npt.NDArray[np.uint32] = mapped_file(folder, entry.columns["lengths"])
        self.labels = mapped_file(folder, entry.columns["labels"])
        """i32 [N] (classify), f64 [N] (regress), u8 [N, C] (multilabel), u32 [N], words with a label (tag), tokens
        before the context (answer), bytes of the texts (language), or tokens to be written (rewrite)."""
        if self.manifest.task == "multilabel":
            self.labels = self.labels.reshape(self.documents, len(self.manifest.labels))
        self._sources: npt.NDArray[np.uint64] = mapped_file(folder, entry.columns["source"])
        self._offsets: npt.NDArray[np.uint64] = mapped_file(folder, entry.columns["offsets"])
        self._shard_starts: Ids = np.cumsum([0, *(shard.tokens.count for shard in entry.shards)], dtype=np.int64)
        self._maps = MappedShards(folder, entry.shards)
        if self.documents:
            self._blocks.mark("offsets", np.array([self.documents - 1]))
            if int(self._offsets[-1]) + int(self.lengths[-1]) != self.tokens:
                raise self._misfit(f"{folder / split}: its lengths do not add up to its tokens.")

    @property
    def sizes(self) -> npt.NDArray[np.uint32]:
        """Tokens of each document: the lengths."""
        return self.lengths

    @property
    def sources(self) -> npt.NDArray[np.uint64]:
        """Where each document came from, [N]: file index << 40 | line number."""
        self._blocks.mark_whole("source")
        return self._sources

    def settle(self) -> None:
        """Waits until every block that was read is checked; nothing that rests on the data is kept before that.

        About half a second for each GB that is still to do. Raises DataError naming the damaged file and block.
        """
        self._blocks.settle()

    @property
    def planned_tokens(self) -> int | None:
        """What `Order` takes as the total of the lengths, known without reading them; None for bags, of which some may
        be empty."""
        return None if self.weighted else self.tokens

    def padded(self, ids: Ids) -> Rows:
        """Tokens [B, T] in the stored type, zero (`<pad>`) behind each document's end; lengths i64 [B]; the tags beside
        the tokens, u8 [B, T], if there are any. The arrays are new at each call.

        Raises IndexError for an id outside the split, DataError if the columns do not fit the shards.
        """
        return next(self.padded_each(ids, [len(ids)]))

    def padded_each(self, ids: Ids, counts: Sequence[int]) -> Iterator[Rows]:
        """The same of several batches, one after the other in `ids`, with so many documents each: what there is to do
        once is done once for all of them."""
        spans = self._located(ids)
        lengths, first = spans.lengths.astype(np.int64), 0
        for count, rows in zip(counts, self._rows(spans, counts, self._types), strict=True):
            yield rows[0], lengths[first : first + count], rows[1] if len(rows) > 1 else None
            first += count

    def labels_each(self, ids: Ids, counts: Sequence[int], packed: bool) -> Iterator[Array]:
        """What is to be predicted of several batches, one after the other in `ids`, with so many documents each: one
        item a document, classes as i64, or (tag) `targets` of the tokens that `padded_each` or, if `packed`, `packed`
        gives."""
        if not self.manifest.each_token:
            labels, first = self.labels[ids], 0
            if labels.dtype.kind == "i":
                labels = labels.astype(np.int64)
            for count in counts:
                yield labels[first : first + count]
                first += count
            return
        spans = self._located(ids)
        self._blocks.mark("targets", spans.starts, spans.lengths)
        if not packed:
            yield from (rows[0] for rows in self._rows(spans, counts, TARGETS))
            return
        first = 0
        for count in counts:
            yield self._flat(spans.part(slice(first, first + count)), TARGETS)[0]
            first += count

    def targets(self, ids: Ids) -> Array:
        """The labels of the tokens that `flat` gives, u16 in the stored numbers. Only of a split that has them."""
        return next(self.labels_each(ids, [len(ids)], packed=True))

    def flat(self, ids: Ids) -> Rows:
        """Tokens of all documents one after the other, in the stored type; lengths i64 [B]; what stands beside the
        tokens: their weights in a bag, their tags in a sequence that has them.

        Raises IndexError for an id outside the split, DataError if the columns do not fit the shards.
        """
        spans = self._located(ids)
        found = self._flat(spans, self._types)
        return found[0], spans.lengths.astype(np.int64), found[1] if len(found) > 1 else None

    def packed(self, ids: Ids) -> Packed:
        """What `flat` gives, with the documents' boundaries. Raises what `flat` raises, and DataError for more tokens
        than the boundaries' int32 can count."""
        tokens, lengths, beside = self.flat(ids)
        return Packed(tokens, boundaries_of(lengths), int(lengths.max(initial=0)), beside)

    def stretches(self, starts: Ids, lengths: Ids | int) -> tuple[Array, Array | None]:
        """Tokens [B, longest] of the split from each of `starts` [B] on, so many of each, counted over all its
        documents and shards, in the stored type, zero behind; what stands beside them, if anything does.

        Raises IndexError for a stretch that is not wholly inside the split.
        """
        starts = np.asarray(starts, dtype=np.int64)
        wanted = np.broadcast_to(np.asarray(lengths, dtype=np.int64), starts.shape)
        if starts.size and not (int(starts.min()) >= 0 and int((starts + wanted).max()) <= self.tokens):
            longest = int(wanted.max())
            raise IndexError(f"a stretch must begin in 0..{self.tokens - longest}: {starts.min()}..{starts.max()}")
        spans = self._spans(starts, wanted.astype(np.uint32))
        (rows,) = self._rows(spans, [len(starts)], self._types)
        return rows[0], rows[1] if len(rows) > 1 else None

    def documents_from(self, starts: Ids, length: int) -> tuple[Ids, Ids]:
        """Where in each stretch documents begin: offsets from its start, one stretch after the other, ascending; and
        how many in each, int64 [B]. A document without tokens begins nowhere."""
        self._blocks.mark_whole("offsets")
        # Sought as the column's own type: numpy would turn the whole column into floats otherwise.
        first = np.searchsorted(self._offsets, starts.astype(np.uint64))
        behind = np.searchsorted(self._offsets, (starts + length).astype(np.uint64))
        documents = _ranges(first, behind - first)
        stretch = np.repeat(np.arange(len(starts)), behind - first)
        real = self.lengths[documents] > 0
        documents, stretch = documents[real], stretch[real]
        begins: Ids = self._offsets[documents].astype(np.int64) - starts[stretch]
        return begins, np.bincount(stretch, minlength=len(starts))

    def _located(self, ids: Ids) -> _Spans:
        """The documents' tokens, checked."""
        ids = np.asarray(ids, dtype=np.int64)
        if ids.size and ids.view(np.uint64).max() >= self.documents:  # seen so, a negative id is very large
            raise IndexError(f"document ids must be in 0..{self.documents - 1}: {int(ids.min())}..{int(ids.max())}")
        self._blocks.mark("offsets", ids)
        spans = self._spans(self._offsets[ids].astype(np.int64), self.lengths[ids])
        # A flipped bit in a column must not become somebody else's tokens (nor a crash far from its cause).
        if ids.size and (spans.starts.min() < 0 or bool((spans.room < spans.lengths).any())):
            raise self._misfit(
                f"{self._folder}: a document reaches past the end of its shard, so lengths or offsets are damaged."
            )
        return spans

    def _misfit(self, words: str) -> DataError:
        """The error to raise where the columns do not fit; the damaged block behind it, if there is one, is raised in
        its stead."""
        self.settle()
        return DataError(f"{words} Prepare the data again.")

    def _spans(self, starts: Ids, lengths: npt.NDArray[np.uint32]) -> _Spans:
        for column in self._types:
            self._blocks.mark(column, starts, lengths)
        behind = np.searchsorted(self._shard_starts, starts, side="right")
        room = self._shard_starts[np.minimum(behind, len(self._shard_starts) - 1)] - starts
        return _Spans(starts, lengths, behind - 1, room)

    def _flat(self, spans: _Spans, types: Types) -> list[Array]:
        """These columns of all spans, one after the other."""
        ends: Ids = np.cumsum(spans.lengths, dtype=np.int64)
        total = int(ends[-1]) if ends.size else 0
        found = {column: np.empty(total, dtype=dtype) for column, dtype in types.items()}
        if total >= LONG_DOCUMENT * ends.size:
            self._copy_each(spans, found, ends - spans.lengths)
        else:
            self._copy_places(spans, found, ends - spans.lengths)
        return list(found.values())

    def _rows(self, spans: _Spans, counts: Sequence[int], types: Types) -> Iterator[list[Array]]:
        """These columns as rows [B, T], zero behind each span's end, of several batches, one after the other in
        `spans`, with so many spans each.

        Whole windows are copied and their tails set to zero, many times as fast as looking up each token's place. A
        window that reaches past the end of its shard is not there: such rows are copied one by one. Where each row is
        to be had is found for all batches at once.
        """
        starts, lengths, shard_of, room = spans
        ends = np.cumsum(counts)
        batch_of = np.repeat(np.arange(len(counts)), counts)
        widths = np.zeros(len(counts), dtype=np.int64)
        np.maximum.at(widths, batch_of, lengths)
        local = starts - self._shard_starts[shard_of]
        windowed = room >= np.maximum(widths, 1)[batch_of]
        joined = [self._maps.joined(column, shard_of[windowed]) for column in types] if windowed.any() else []
        places = [one.places(shard_of, local) for one in joined]
        for count, end, width in zip(counts, ends.tolist(), widths.tolist(), strict=True):
            here = slice(end - count, end)
            if joined and windowed[here].all():
                found = [one.windows(at[here], width) for one, at in zip(joined, places, strict=True)]
            else:
                found = [np.empty((count, width), dtype=dtype) for dtype in types.values()]
                whole, alone = windowed[here].nonzero()[0], (~windowed[here]).nonzero()[0]
                if whole.size:
                    for rows, one, at in zip(found, joined, places, strict=True):
                        rows[whole] = one.windows(at[here][whole], width)
                flat = {column: rows.reshape(-1) for column, rows in zip(types, found, strict=True)}
                self._copy_each(spans.part(alone + here.start), flat, alone * width)
            _clear_tails(found, lengths[here], width)
            yield found

    def _copy_each(self, spans: _Spans, found: Mapping[str, Array], targets: Ids) -> None:
        """Copy each span, across shards if need be, to its place in flat arrays, by column."""
        local = spans.starts - self._shard_starts[spans.shard_of]
        order = np.argsort(spans.shard_of, kind="stable")  # so that each shard is asked for once
        columns = (column[order].tolist() for column in (spans.shard_of, local, spans.room, spans.lengths, targets))
        mapped, arrays = -1, []
        for shard, start, room, length, target in zip(*columns, strict=True):
            while length:
                if shard != mapped:
                    mapped, arrays = shard, [self._maps.array(shard, column) for column in found]
                size = min(length, room)
                for into, array in zip(found.values(), arrays, strict=True):
                    into[target : target + size] = array[start : start + size]
                shard, start, length, target = shard + 1, 0, length - size, target + size
                room = length and self._entry.shards[shard].tokens.count

    def _copy_places(self, spans: _Spans, found: Mapping[str, Array], targets: Ids) -> None:
        """Copy spans that end in their shard, token by token but many at once, to their places in flat arrays."""
        shards = _distinct(spans.shard_of[spans.lengths > 0])
        if len(shards) == 1:  # nothing else stands between the documents
            places = _ranges(spans.starts - self._shard_starts[shards[0]], spans.lengths)
            for column, array in found.items():
                array[:] = self._maps.array(shards[0], column).take(places)
            return
        for shard in shards:
            here = (spans.shard_of == shard).nonzero()[0]
            lengths = spans.lengths[here]
            places = _ranges(spans.starts[here] - self._shard_starts[shard], lengths)
            into = _ranges(targets[here], lengths)
            for column, array in found.items():
                array[into] = self._maps.array(shard, column).take(places)


def _columns_of(split: SplitEntry) -> dict[str, Sequence[FileEntry]]:
    """The files of a split by what they hold."""
    shards = split.shards
    gathered = {
        "tokens": [shard.tokens for shard in shards],
        "beside": [shard.beside for shard in shards if shard.beside is not None],
        "targets": [shard.targets for shard in shards if shard.targets is not None],
    }
    return {**gathered, **{name: [file] for name, file in split.columns.items()}}


def boundaries_of(lengths: Ids) -> npt.NDArray[np.int32]:
    """0 and the end of each document, [B + 1], of documents that stand one after the other. Raises DataError."""
    ends = np.cumsum(lengths, dtype=np.int64)
    if ends.size and ends[-1] > np.iinfo(np.int32).max:
        raise DataError(
            f"a packed batch holds at most {np.iinfo(np.int32).max} tokens, but {ends[-1]} were asked for: "
            "set a smaller train.micro_batch_tokens."
        )
    return np.concatenate([[0], ends]).astype(np.int32)


def _clear_tails(rows: Sequence[Array], lengths: npt.NDArray[np.uint32], width: int) -> None:
    """Set what lies behind each row's length to zero: not times 0, as it may be no number."""
    shortest = int(lengths.min(initial=width))
    if shortest < width:
        behind = np.arange(shortest, width, dtype=np.uint32) >= lengths[:, None]
        for each in rows:
            each[:, shortest:][behind] = 0


def _distinct(values: Ids) -> list[int]:
    return sorted(set(values.tolist()))  # a batch has few rows: a quarter of np.unique's time


def _ranges(starts: Ids, lengths: npt.NDArray[Any]) -> Ids:
    """starts[0], starts[0]+1, ... (lengths[0] of them), starts[1], ..."""
    ends: Ids = np.cumsum(lengths, dtype=np.int64)
    places: Ids = np.repeat(starts - (ends - lengths), lengths)
    places += np.arange(places.size, dtype=np.int64)
    return places
