"""Prepared documents written to the disk, with the hashes that prove them. The layout is `manifest.py`'s."""

import contextlib
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.data.durable import fsync_folder
from cluster.data.manifest import (
    BESIDE_TYPES,
    BLOCK_BYTES,
    COLUMNS,
    FIRST_TARGET,
    TARGET_TYPE,
    TARGETED,
    Layout,
    TaskKind,
    column_types,
    token_type,
)

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]


class SplitWriter:
    """Writes the shards and columns of one split into `folder/split`, in the order of `append`.

    Use it as a context manager, or call `close`, which returns the split's manifest entry once everything is on the
    disk. What an earlier, broken attempt left in the folder is replaced. Raises OSError.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        *,
        vocabulary_rows: int,
        layout: Layout,
        tag_rows: int = 0,
        affixes: bool = False,
        task: TaskKind = "classify",
        classes: int = 0,
        shard_tokens: int = 1 << 26,
    ) -> None:
        self._path, self._split, self._layout = folder / split, split, layout
        self._rows, self._tag_rows, self._shard_tokens = vocabulary_rows, tag_rows, shard_tokens
        self._task, self._classes = task, classes
        self._beside = "weights" if layout == "bag" else "affixes" if affixes else "tags" if tag_rows else ""
        self._path.mkdir(parents=True, exist_ok=True)
        for left in self._path.iterdir():
            if left.suffix in (".tokens", ".targets", *(f".{kind}" for kind in BESIDE_TYPES)) or left.name in COLUMNS:
                left.unlink()
        self._columns = {name: self._file(name, dtype) for name, dtype in column_types(task).items()}
        self._open: dict[str, _HashedFile] = {}
        self._shards: list[dict[str, Any]] = []
        self._shard_documents = self._documents = self._tokens = 0
        self._entry: dict[str, Any] | None = None

    def append(
        self,
        tokens: npt.NDArray[np.uint32],
        lengths: npt.NDArray[np.uint32],
        labels: Array,
        sources: npt.NDArray[np.uint64],
        beside: Array | None = None,
        targets: npt.NDArray[np.uint16] | None = None,
    ) -> None:
        """Adds many documents: `tokens` flat, one document after the other; `beside` has one item a token, f32 weights
        in a bag, tags or affixes in a sequence that has them; `lengths` and `sources` one a document. `labels` are
        whole numbers [N] (classify), numbers [N] (regress), 0 and 1 [N, classes] (multilabel), bytes [N] (language),
        tokens to be written [N] (rewrite), the number of words that have a label [N] (tag), or of tokens before the
        context [N] (answer); of the last two `targets` holds the label, or the flags, of each token.

        Raises ValueError if the sizes do not fit together, a token is outside the vocabulary, or a weight not finite.
        """
        self._check(tokens, lengths, sources, beside)
        self._check_labels(labels, len(lengths))
        self._check_targets(targets, labels, tokens)
        ends: Ids = np.cumsum(lengths, dtype=np.int64)
        starts = ends - lengths
        columns: tuple[Array, ...] = (lengths, starts + self._tokens, labels, sources)
        for name, column in zip(COLUMNS, columns, strict=True):
            self._columns[name].write(column)
        first, count = 0, len(lengths)
        while first < count:
            room = self._shard_tokens - (self._open["tokens"].count if self._open else 0)
            last = int(np.searchsorted(ends, int(starts[first]) + room, side="right"))
            if last <= first and self._shard_documents:
                self._close_shard()
                continue
            last = max(last, first + 1)  # a document longer than a shard has one to itself
            self._write(slice(int(starts[first]), int(ends[last - 1])), last - first, tokens, beside, targets)
            first = last
        self._documents += count
        self._tokens += tokens.size

    def close(self) -> dict[str, Any]:
        """Everything to the disk; returns the manifest entry of this split."""
        if self._entry is None:
            self._close_shard()
            self._entry = {
                "documents": self._documents,
                "tokens": self._tokens,
                "layout": self._layout,
                "shards": self._shards,
                "columns": {name: file.close() for name, file in self._columns.items()},
            }
            fsync_folder(self._path)
            fsync_folder(self._path.parent)
        return self._entry

    def __enter__(self) -> "SplitWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.close()
        finally:
            for file in (*self._open.values(), *self._columns.values()):
                file.abandon()

    def _check(self, tokens: Array, lengths: Array, sources: Array, beside: Array | None) -> None:
        if self._entry is not None:
            raise ValueError(f"split {self._split} is closed")
        if any(column.ndim != 1 or column.size != lengths.size for column in (lengths, sources)):
            raise ValueError(f"{lengths.shape} lengths and {sources.shape} sources differ")
        if any(column.dtype.kind not in "iu" for column in (tokens, lengths, sources)):
            raise ValueError("tokens, lengths and sources must be arrays of whole numbers")
        total = int(lengths.sum(dtype=np.uint64))
        if tokens.ndim != 1 or total != tokens.size:
            raise ValueError(f"the lengths add up to {total}, there are {tokens.size} tokens")
        if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < self._rows:
            raise ValueError(f"token {int(tokens.max())} is outside the vocabulary of {self._rows} rows")
        if (beside is not None) != bool(self._beside):
            raise ValueError(f"beside the tokens of this split stand {self._beside or 'neither weights nor tags'}")
        if beside is not None and beside.shape != tokens.shape:
            raise ValueError(f"{beside.shape} {self._beside} for {tokens.shape} tokens")
        if self._beside == "weights" and beside is not None and not np.isfinite(beside).all():
            raise ValueError("a weight is not finite")
        if self._beside == "tags" and beside is not None and beside.size and int(beside.max()) >= self._tag_rows:
            raise ValueError(f"tag {int(beside.max())} is outside the {self._tag_rows} rows of tags")

    def _check_labels(self, labels: Array, documents: int) -> None:
        shape = (documents, self._classes) if self._task == "multilabel" else (documents,)
        if labels.shape != shape:
            raise ValueError(f"labels have the shape {labels.shape}, {self._task} needs {shape}")
        match self._task:
            case "classify":
                if labels.dtype.kind not in "iu" or (labels.size and int(labels.min()) < -1):
                    raise ValueError("labels must be whole numbers, not below -1 (unseen in training)")
            case "multilabel":
                if labels.size and not np.isin(labels, (0, 1)).all():
                    raise ValueError("labels of a multilabel split are 0 and 1")
            case "regress":
                if not np.isfinite(labels).all():
                    raise ValueError("a number to be predicted is not finite")
            case "language" | "answer":
                if labels.dtype.kind != "u":
                    raise ValueError("bytes of texts, or tokens before contexts, must be whole numbers")
            case "rewrite":
                if labels.dtype.kind != "u" or (labels.size and int(labels.min()) < 1):
                    raise ValueError("every document of a rewrite split has a token to be written, its end")
            case "tag":
                if labels.dtype.kind not in "iu" or (labels.size and int(labels.min()) < 1):
                    raise ValueError("every document of a tag split needs a word with a label")

    def _check_targets(self, targets: Array | None, labels: Array, tokens: Array) -> None:
        if (targets is not None) != (self._task in TARGETED):
            raise ValueError(f"the tokens of a {self._task} split have {'' if self._task in TARGETED else 'no '}labels")
        if targets is None:
            return
        if self._task == "answer":
            if targets.shape != tokens.shape:
                raise ValueError(f"{targets.shape} flags of tokens do not fit {tokens.shape} tokens")
            return
        if targets.shape != tokens.shape or int(np.count_nonzero(targets)) != int(labels.sum(dtype=np.int64)):
            raise ValueError(f"{targets.shape} labels of tokens do not fit {tokens.shape} tokens")
        if targets.size and int(targets.max()) >= self._classes + FIRST_TARGET:
            raise ValueError(f"label {int(targets.max())} is outside the {self._classes} classes")

    def _write(self, span: slice, documents: int, tokens: Array, beside: Array | None, targets: Array | None) -> None:
        if not self._open:
            number = f"{len(self._shards):05d}"
            self._open["tokens"] = self._file(f"{number}.tokens", token_type(self._rows))
            if self._beside:
                self._open[self._beside] = self._file(f"{number}.{self._beside}", BESIDE_TYPES[self._beside])
            if targets is not None:
                self._open["targets"] = self._file(f"{number}.targets", TARGET_TYPE)
        self._open["tokens"].write(tokens[span])
        if beside is not None:
            self._open[self._beside].write(beside[span])
        if targets is not None:
            self._open["targets"].write(targets[span])
        self._shard_documents += documents

    def _close_shard(self) -> None:
        if self._open:
            files = {kind: file.close() for kind, file in self._open.items()}
            self._shards.append({"documents": self._shard_documents, **files})
        self._open, self._shard_documents = {}, 0

    def _file(self, name: str, dtype: str) -> "_HashedFile":
        return _HashedFile(self._path / name, f"{self._split}/{name}", dtype)


class _HashedFile:
    """A raw array that grows, with the hashes of what went into it."""

    def __init__(self, path: Path, name: str, dtype: str) -> None:
        self._file = open(path, "wb", buffering=1 << 20)  # noqa: SIM115 - closed by `close` or `abandon`
        self._name, self._dtype = name, np.dtype(dtype)
        self._whole, self._block = hashlib.sha256(), hashlib.sha256()
        self._block_filled = 0
        self._blocks: list[str] = []
        self.count = 0

    def write(self, items: Array) -> None:
        data = np.ascontiguousarray(items, dtype=self._dtype).data.cast("B") if items.size else memoryview(b"")
        self._file.write(data)
        self._whole.update(data)
        self.count += items.size
        while len(data):
            taken = data[: BLOCK_BYTES - self._block_filled]
            self._block.update(taken)
            self._block_filled += len(taken)
            data = data[len(taken) :]
            if self._block_filled == BLOCK_BYTES:
                self._end_block()

    def close(self) -> dict[str, Any]:
        if self._block_filled:
            self._end_block()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {
            "name": self._name,
            "dtype": self._dtype.str,
            "count": self.count,
            "bytes": self.count * self._dtype.itemsize,
            "sha256": self._whole.hexdigest(),
            "blocks": self._blocks,
        }

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # the disk may be full: that is what is being reported already
            self._file.close()

    def _end_block(self) -> None:
        self._blocks.append(self._block.hexdigest())
        self._block, self._block_filled = hashlib.sha256(), 0
