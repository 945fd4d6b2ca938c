"""The manifest of a prepared folder: what lies there, how large it is, and the hashes that prove it.

    manifest.json       written last: a folder with a manifest is complete
    train/00000.tokens  u16 or u32, the tokens of whole documents, one after the other
    train/00000.weights f32, one weight a token (bags only)
    train/00000.tags    u8, one part-of-speech tag (`text.tags`) or mark of the predicate a token, row 0 is padding
    train/00000.affixes u64, four u16 a token: its tag or mark, first letter, ending, shape (`text.affixes` only)
    train/00000.targets u16, one label a token (tag): 0 none (padding, a later piece of a word), 1 a label that training
                        never saw, label c is c + 2; flags of a token (answer): where answers begin, end, or may
                        (windows.py)
    train/lengths       u32, tokens of each document
    train/offsets       u64, tokens of the split before it
    train/labels        what is to be predicted: i32, -1 a label that training never saw (classify);
                        f64 (regress); a row of 0s and 1s, u8, one a label (multilabel); u32, how many words have
                        a label (tag); u32, tokens before the context (answer); u32, the bytes of the document's text
                        (language); u32, how many of the document's tokens, its last, are to be written (rewrite)
    test/references.jsonl   the texts to be written, a JSON string a line (rewrite only; not of the training split)
    test/questions.jsonl    questions, contexts and answers as text (answer; asked.py), not of the training split
    train/source        u64, file index << 40 | line number

Every file is a raw little-endian array without a header. A document's id is its row in its split.
A manifest is input from outside: nothing in it is believed before it was checked.
"""

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from cluster.data.durable import write_atomically
from cluster.errors import DataError

FORMAT = 1
MANIFEST = "manifest.json"
BLOCK_BYTES = 4 << 20

Layout = Literal["sequence", "bag"]
TaskKind = Literal["classify", "multilabel", "regress", "tag", "answer", "language", "rewrite"]
LABEL_TYPES: dict[TaskKind, str] = {
    "classify": "<i4", "multilabel": "|u1", "regress": "<f8", "tag": "<u4", "answer": "<u4",
    "language": "<u4", "rewrite": "<u4",
}  # fmt: skip
COLUMNS = ("lengths", "offsets", "labels", "source")
TOKEN_TYPES = ("<u2", "<u4")
BESIDE_TYPES = {"weights": "<f4", "tags": "|u1", "affixes": "<u8"}
"""What may stand beside the tokens for the model to read, one item each: the file's extension and its type."""
TARGET_TYPE = "<u2"
TARGETED: tuple[TaskKind, ...] = ("tag", "answer")
"""Tasks whose tokens have labels."""
ANSWER_OUTPUTS = 2
"""Of each token: does an answer begin there, does one end there?"""
NO_TARGET, UNSEEN_TARGET, FIRST_TARGET = 0, 1, 2
"""Of the labels of tokens: no label, one that training never saw, the first class."""
AFFIX_ROWS = 8192
"""Affixes are hashed to rows below this; row 0 is padding. Two of the some 5,000 endings of English seldom meet."""
ITEM_BYTES = {"|u1": 1, "<u2": 2, "<u4": 4, "<u8": 8, "<i4": 4, "<f4": 4, "<f8": 8}


def column_types(task: TaskKind) -> dict[str, str]:
    """The type of each column of a split (keys are `COLUMNS`)."""
    return {"lengths": "<u4", "offsets": "<u8", "labels": LABEL_TYPES[task], "source": "<u8"}


@dataclass(frozen=True)
class FileEntry:
    """One file: `name` is relative to the prepared folder, `count` items of `dtype`, `blocks` one sha256 per 4 MiB."""

    name: str
    dtype: str
    count: int
    bytes: int
    sha256: str
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class ShardEntry:
    """One shard: whole documents, their tokens, what stands beside them (`weights`, `tags`, `affixes`, or nothing), and
    the tokens' labels, if they have such (tag)."""

    documents: int
    tokens: FileEntry
    beside: FileEntry | None
    targets: FileEntry | None = None


@dataclass(frozen=True)
class SplitEntry:
    """One split: its shards in the order of the documents, and its columns (keys of `COLUMNS`)."""

    documents: int
    tokens: int
    layout: Layout
    shards: tuple[ShardEntry, ...]
    columns: Mapping[str, FileEntry]

    def files(self) -> Iterator[FileEntry]:
        for shard in self.shards:
            yield shard.tokens
            if shard.beside is not None:
                yield shard.beside
            if shard.targets is not None:
                yield shard.targets
        yield from self.columns.values()


@dataclass(frozen=True)
class Manifest:
    """A prepared folder, checked: types, names, counts and sizes agree with each other (not yet with the disk)."""

    folder: Path
    format: int
    fingerprint: str
    layout: Layout
    vocabulary_rows: int
    task: TaskKind
    labels: tuple[str, ...]
    """Names of the labels, none if numbers are to be predicted."""
    tags: tuple[str, ...]
    """Part-of-speech tags, or marks, beside the tokens: tag i is stored as i + 1; none if there are no tags."""
    splits: Mapping[str, SplitEntry]
    report: Mapping[str, Any]
    extra_files: tuple[FileEntry, ...] = ()
    """Other files that `verify` covers (the encoder), listed under "files"; see `describe_file`."""
    affixes: bool = False
    """Do the first letter, ending and shape of each token stand beside it?"""

    @property
    def outputs(self) -> int:
        """Values that a model gives for a document (tag, answer: for a token): one a label, or one number; of a
        model that writes, for each token, one a row of the vocabulary."""
        match self.task:
            case "regress":
                return 1
            case "answer":
                return ANSWER_OUTPUTS
            case "language" | "rewrite":
                return self.vocabulary_rows
            case _:
                return len(self.labels)

    @property
    def tag_rows(self) -> int:
        """Rows of an embedding of the tags, 0 without tags."""
        return len(self.tags) + 1 if self.tags else 0

    @property
    def affix_rows(self) -> int:
        """Rows of each embedding of affixes, 0 without them."""
        return AFFIX_ROWS if self.affixes else 0

    @property
    def each_token(self) -> bool:
        """Is something to be predicted of each token, not of each document?"""
        return self.task in TARGETED

    def files(self) -> Iterator[FileEntry]:
        """Every file that the manifest answers for."""
        for split in self.splits.values():
            yield from split.files()
        yield from self.extra_files


def write_manifest(folder: Path, contents: Mapping[str, Any]) -> None:
    """Writes `manifest.json`, atomically; call it last.

    `contents`: "fingerprint", "layout", "vocabulary_rows", "labels", "splits" (what `SplitWriter.close` returned, by
    name), "report" (free), and optionally "task" ("classify"), "tags", "affixes" and "files" (what `describe_file`
    returned, a list). Raises DataError if it does not hold, OSError.
    """
    contents = {"format": FORMAT, **contents}
    _manifest(folder, contents)
    text = json.dumps(contents, ensure_ascii=False, allow_nan=False, indent=1)
    write_atomically(folder / MANIFEST, text.encode() + b"\n")


def open_prepared(folder: Path) -> Manifest:
    """Reads and checks the manifest of a prepared folder. Raises DataError."""
    way_out = "Remove the folder and prepare the data again: muster prepare RECIPE."
    try:
        contents = json.loads(file_inside(folder, MANIFEST).read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"{folder} holds no {MANIFEST}: it is not prepared data, or damaged. Name a folder that `muster prepare` "
            "printed; if this was one, remove it and prepare the data again."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{folder / MANIFEST} cannot be read as JSON: {error}. {way_out}") from None
    return _manifest(folder, contents)


def file_inside(folder: Path, name: str) -> Path:
    """The path of a file that a manifest names. Raises DataError unless it is a regular file inside `folder`;
    FileNotFoundError if there is none."""
    _check_name(folder, name)
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except RuntimeError:  # what Python 3.11 makes of links that go in a circle
        raise DataError(f"{path} is a link that leads to itself: a manifest names regular files.") from None
    if not real.is_relative_to(folder.resolve()):
        raise DataError(f"{path} is a link that leads out of the prepared folder, to {real}: it must stay inside.")
    if not stat.S_ISREG(real.stat().st_mode):
        raise DataError(f"{path} must be a regular file, and is none.")
    return real


def checked_file(folder: Path, entry: FileEntry) -> Path:
    """`file_inside`, with the size compared. Raises DataError."""
    try:
        path = file_inside(folder, entry.name)
        size = path.stat().st_size
    except OSError as error:
        raise DataError(
            f"{folder / entry.name} is in the manifest but cannot be opened ({error.strerror}). Remove the folder "
            "and prepare the data again."
        ) from None
    if size != entry.bytes:
        raise DataError(
            f"{folder / entry.name} has {size:,} bytes, the manifest says {entry.bytes:,}: "
            "the file was cut or changed. Remove the folder and prepare the data again."
        )
    return path


def describe_file(folder: Path, name: str) -> dict[str, Any]:
    """A manifest entry for a file that somebody else wrote (bytes, hashes). Raises DataError, OSError."""
    whole, blocks, size = hashlib.sha256(), [], 0
    with open(file_inside(folder, name), "rb") as file:
        while block := file.read(BLOCK_BYTES):
            whole.update(block)
            blocks.append(hashlib.sha256(block).hexdigest())
            size += len(block)
    return {
        "name": name, "dtype": "|u1", "count": size, "bytes": size, "sha256": whole.hexdigest(), "blocks": blocks,
    }  # fmt: skip


def _check_name(folder: Path, name: str) -> None:
    path = PurePosixPath(name)
    strange = not name.isprintable() or "\\" in name
    if not path.parts or path.is_absolute() or ".." in path.parts or strange:
        raise DataError(
            f"the manifest of {folder} names the file {name!r}: names must be relative and stay inside the folder. "
            "Do not use this data; prepare it again."
        )


# ---- from JSON to the classes above -------------------------------------------------------------------------------


def _fail(folder: Path, where: str, rule: str, value: object) -> DataError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return DataError(
        f"{folder / MANIFEST}: {where} {rule}, but is {shown}. Remove the folder and prepare the data again."
    )


class _Fields:
    """One JSON object, read field by field; `where` is its dotted path, for messages."""

    def __init__(self, folder: Path, where: str, value: object) -> None:
        if not isinstance(value, dict):
            raise _fail(folder, where or "the whole", "must be an object", value)
        self.folder, self.where, self.value = folder, where, value

    def path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def fail(self, key: str, rule: str) -> DataError:
        return _fail(self.folder, self.path(key), rule, self.value.get(key, "missing"))

    def count(self, key: str) -> int:
        number = self.value.get(key)
        if type(number) is not int or not 0 <= number < 1 << 62:
            raise self.fail(key, "must be a whole number, 0 or more")
        return number

    def text(self, key: str, allowed: tuple[str, ...] = ()) -> str:
        text = self.value.get(key)
        if not isinstance(text, str) or (allowed and text not in allowed):
            raise self.fail(key, f"must be one of {', '.join(allowed)}" if allowed else "must be a string")
        return text

    def task(self) -> TaskKind:
        match self.text("task", tuple(LABEL_TYPES)) if "task" in self.value else "classify":
            case "multilabel":
                return "multilabel"
            case "regress":
                return "regress"
            case "tag":
                return "tag"
            case "answer":
                return "answer"
            case "language":
                return "language"
            case "rewrite":
                return "rewrite"
            case _:
                return "classify"

    def layout(self) -> Layout:
        return "bag" if self.text("layout", ("sequence", "bag")) == "bag" else "sequence"

    def texts(self, key: str) -> tuple[str, ...]:
        texts = self.value.get(key)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self.fail(key, "must be a list of strings")
        return tuple(texts)

    def objects(self, key: str) -> "list[_Fields]":
        items = self.value.get(key)
        if not isinstance(items, list):
            raise self.fail(key, "must be a list")
        return [_Fields(self.folder, f"{self.path(key)}[{i}]", item) for i, item in enumerate(items)]

    def object(self, key: str) -> "_Fields":
        return _Fields(self.folder, self.path(key), self.value.get(key))


def _manifest(folder: Path, contents: object) -> Manifest:
    fields = _Fields(folder, "", contents)
    if fields.count("format") != FORMAT:
        raise fields.fail("format", f"must be {FORMAT}, the one that this version reads")
    labels = fields.texts("labels")
    if len(set(labels)) != len(labels):
        raise fields.fail("labels", "must not repeat a label")
    layout, task = fields.layout(), fields.task()
    tags = fields.texts("tags") if "tags" in fields.value else ()
    affixes = fields.value.get("affixes", False)
    if affixes not in (True, False):
        raise fields.fail("affixes", "must be true or false")
    if layout == "bag" and (tags or affixes):
        raise fields.fail("tags" if tags else "affixes", "must be empty in a bag")
    if layout == "bag" and (task in TARGETED or task == "rewrite"):
        raise fields.fail("layout", "must be sequence, as the order of the tokens counts")
    rows = fields.count("vocabulary_rows")
    splits = fields.object("splits")
    beside = "weights" if layout == "bag" else "affixes" if affixes else "tags" if tags else ""
    shape = _Shape(layout, task, rows, 1 if task != "multilabel" else len(labels), beside)
    extra = fields.objects("files") if "files" in fields.value else []
    return Manifest(
        folder=folder,
        format=FORMAT,
        fingerprint=fields.text("fingerprint"),
        layout=layout,
        vocabulary_rows=rows,
        task=task,
        labels=labels,
        tags=tags,
        splits={name: _split(splits.object(name), shape) for name in splits.value},
        report=fields.object("report").value,
        extra_files=tuple(_file(entry, ("|u1",)) for entry in extra),
        affixes=bool(affixes),
    )


def token_type(vocabulary_rows: int) -> str:
    """The narrowest type that holds every token id."""
    return "<u2" if vocabulary_rows <= 1 << 16 else "<u4"


@dataclass(frozen=True)
class _Shape:
    """What all splits of a folder have in common."""

    layout: Layout
    task: TaskKind
    vocabulary_rows: int
    labels_per_document: int
    beside: str


def _split(fields: _Fields, shape: _Shape) -> SplitEntry:
    if fields.layout() != shape.layout:
        raise fields.fail("layout", f"must be {shape.layout}, as the manifest's own")
    documents, tokens = fields.count("documents"), fields.count("tokens")
    shards = tuple(_shard(shard, shape) for shard in fields.objects("shards"))
    if sum(shard.documents for shard in shards) != documents:
        raise fields.fail("documents", "must be the sum over the shards")
    if sum(shard.tokens.count for shard in shards) != tokens:
        raise fields.fail("tokens", "must be the sum over the shards")
    given = fields.object("columns")
    counts = dict.fromkeys(COLUMNS, documents) | {"labels": documents * shape.labels_per_document}
    types = column_types(shape.task)
    columns = {name: _file(given.object(name), (types[name],), counts[name]) for name in COLUMNS}
    return SplitEntry(documents, tokens, shape.layout, shards, columns)


def _shard(fields: _Fields, shape: _Shape) -> ShardEntry:
    tokens = _file(fields.object("tokens"), (token_type(shape.vocabulary_rows),))
    beside = shape.beside and _file(fields.object(shape.beside), (BESIDE_TYPES[shape.beside],), tokens.count)
    targets = _file(fields.object("targets"), (TARGET_TYPE,), tokens.count) if shape.task in TARGETED else None
    return ShardEntry(fields.count("documents"), tokens, beside or None, targets)


def _file(fields: _Fields, dtypes: tuple[str, ...], count: int | None = None) -> FileEntry:
    name, dtype = fields.text("name"), fields.text("dtype", dtypes)
    _check_name(fields.folder, name)
    if fields.count("count") != (fields.count("count") if count is None else count):
        raise fields.fail("count", f"must be {count}")
    size, blocks = fields.count("bytes"), fields.texts("blocks")
    if size != fields.count("count") * ITEM_BYTES[dtype]:
        raise fields.fail("bytes", f"must be the count times {ITEM_BYTES[dtype]}")
    if len(blocks) != -(-size // BLOCK_BYTES):
        raise fields.fail("blocks", f"must hold {-(-size // BLOCK_BYTES)} hashes, one per 4 MiB")
    return FileEntry(name, dtype, fields.count("count"), size, fields.text("sha256"), blocks)
