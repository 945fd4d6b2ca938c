"""Rows from raw files: a cheap sequential pass cuts a file into blocks, which any process can parse.

A bad row is a value (`Rejected`), not an exception: preparation counts them and decides. What makes a whole file
unreadable is a DataError.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar, assert_never

from cluster.config.schema import Data
from cluster.config.tasks import TaskKind
from cluster.errors import DataError
from cluster.text.keys import share_of, text_key
from cluster.text.raw import columnar, conll
from cluster.text.raw.arrays import elements, is_array
from cluster.text.raw.asked import ID, IMPOSSIBLE, Asked, is_squad, squad_questions
from cluster.text.raw.lines import LINE_LIMIT_BYTES, kind_of, lines
from cluster.text.raw.plain import label_of, whole
from cluster.text.raw.rows import Row, Values, aim_field, json_row, pick, sentence_rows, txt_row, values_row
from cluster.text.raw.sources import resolve, told_by_place
from cluster.text.raw.tables import column_names, table

__all__ = [  # what lives in the neighbouring files is part of reading, too
    "Block",
    "FilesBlock",
    "JsonlBlock",
    "Rejected",
    "Row",
    "SentencesBlock",
    "TxtBlock",
    "ValuesBlock",
    "blocks",
    "blocks_of",
    "parse",
    "read_rows",
    "resolve",
    "size_bytes",
    "share_of",
    "text_key",
    "told_by_place",
]

ROWS_PER_BLOCK = 8192
SOURCE_SHIFT = 40
"""Preparation numbers rows `file << 40 | line`."""
_TOO_LONG = f"longer than {LINE_LIMIT_BYTES >> 20} MiB"
BLOCK_BYTES = 16 << 20
"""A block is cut here even if it has few rows, so that blocks of long texts do not fill the memory of every worker."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One unreadable row."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class JsonlBlock:
    """Raw lines of a JSON lines file, each with its number; `rejected` was refused unread."""

    file: str
    numbers: tuple[int, ...]
    rows: tuple[bytes, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class TxtBlock:
    """Raw lines of a text file, each with its number; `label` is that of all, None if each has its own."""

    file: str
    label: str | None
    numbers: tuple[int, ...]
    rows: tuple[bytes, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class SentencesBlock:
    """Raw sentences of a file of words in columns, each with its first line."""

    file: str
    kind: conll.Kind
    numbers: tuple[int, ...]
    rows: tuple[bytes, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class ValuesBlock:
    """Text, label, group and predicate of the rows of a table or of a JSON array, each with its first line or number.

    Bytes that are no UTF-8 are surrogates here; `parse` rejects their rows.
    """

    file: str
    numbers: tuple[int, ...]
    rows: tuple[Values, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class FilesBlock:
    """Whole text files that follow one another in their list, with the label of each; None is one too long to read."""

    files: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[bytes | None, ...]


Block = JsonlBlock | TxtBlock | SentencesBlock | ValuesBlock | FilesBlock
T = TypeVar("T", bytes, Values)
Found = Iterator[tuple[int, T | str, int]]
"""First line (or number), the row or why there is none, size in bytes."""


def blocks(path: Path, data: Data, rows_per_block: int = ROWS_PER_BLOCK) -> Iterator[Block]:
    """Cuts a file into picklable blocks of at most `rows_per_block` rows; the same file always gives the same blocks.

    Lines of white space alone are not rows. Raises DataError: what `lines` raises, a file without rows, a table without
    the columns that `data` names or with a quote that is never closed, JSON that is neither lines nor a whole array.
    """
    empty = True
    for block in _cut(path, data, rows_per_block):
        empty = False
        yield block
    if empty:
        raise DataError(f"{path} is empty: it holds no rows. Name another file, or leave it out.")


def blocks_of(paths: Sequence[Path], data: Data, rows_per_block: int = ROWS_PER_BLOCK) -> Iterator[tuple[int, Block]]:
    """The blocks of several files, each with the position of its (first) file among them; otherwise as `blocks`.

    Where each file is one text, a block holds many: a row's `line` is then `position after the first << 40 | 1`, so
    that `(first << 40) + line` names file and line of any row.
    """
    for first, run in _runs(paths, data):
        if len(run) == 1:
            yield from ((first, block) for block in blocks(run[0], data, rows_per_block))
        else:
            yield from ((first + start, block) for start, block in _whole_files(run, data, rows_per_block))


def _runs(paths: Sequence[Path], data: Data) -> Iterator[tuple[int, Sequence[Path]]]:
    """Cuts the list where a file is not one text."""
    together = [data.txt == "files" and kind_of(path) == "txt" for path in paths]
    start = 0
    for key, group in groupby(together):
        count = len(list(group))
        if key:
            yield start, paths[start : start + count]
        else:
            yield from ((number, [paths[number]]) for number in range(start, start + count))
        start += count


def _whole_files(paths: Sequence[Path], data: Data, rows_per_block: int) -> Iterator[tuple[int, FilesBlock]]:
    start, size_bytes = 0, 0
    texts: list[bytes | None] = []
    for number, path in enumerate(paths, start=1):
        texts.append(whole(path))
        size_bytes += len(texts[-1] or b"")
        if len(texts) >= rows_per_block or size_bytes >= BLOCK_BYTES or number == len(paths):
            files = paths[start:number]
            yield (
                start,
                FilesBlock(tuple(map(str, files)), tuple(label_of(file, data) or "" for file in files), tuple(texts)),
            )
            start, size_bytes, texts = number, 0, []


def _cut(path: Path, data: Data, rows_per_block: int) -> Iterator[Block]:
    values: Found[Values]
    match kind_of(path):
        case "txt" if data.txt == "files":
            yield from (block for _, block in _whole_files([path], data, rows_per_block))
            return
        case "txt":
            label = label_of(path, data)
            for numbers, texts, rejected in _gathered(str(path), _lines(path), rows_per_block):
                yield TxtBlock(str(path), label, numbers, texts, rejected)
            return
        case "json" if data.question and is_squad(path):
            values = _squad_values(path, data)
        case "json" if is_array(path, data.text):
            values = _array_values(path, data)
        case "jsonl" | "json":
            for numbers, objects, rejected in _gathered(str(path), _lines(path), rows_per_block):
                yield JsonlBlock(str(path), numbers, objects, rejected)
            return
        case "conllu" | "conll" as kind:
            conll.refuse_unknown_columns(path, kind, data)
            for numbers, found, rejected in _gathered(str(path), conll.sentences(path), rows_per_block):
                yield SentencesBlock(str(path), kind, numbers, found, rejected)
            return
        case "csv" | "tsv":
            values = _table_values(path, data)
        case "parquet" | "arrow":
            values = _columnar_values(path, data)
        case unknown:
            assert_never(unknown)
    for numbers, rows, rejected in _gathered(str(path), values, rows_per_block):
        yield ValuesBlock(str(path), numbers, rows, rejected)


def size_bytes(block: Block) -> int:
    """About how much memory the rows of a block take."""
    return sum(_size(row[0]) if isinstance(row, tuple) else len(row or b"") for row in block.rows)


def _size(text: Any) -> int:
    """Of a text, of a list of words, or of a question and its context."""
    if isinstance(text, Asked):
        return _size(text.question) + _size(text.context)
    if isinstance(text, list):
        return sum(len(word) for word in text if isinstance(word, str))
    return len(text) if isinstance(text, str) else 0


def parse(block: Block, data: Data, task: TaskKind) -> tuple[list[Row], list[Rejected]]:
    """The rows of a block in order, and those that cannot be read, in order, with the reason.

    A label may be a string (white space around it goes), a whole number (`3` and `3.0` are "3") or a boolean; for
    multilabel a list of these, or a string of several with `data.label_separator` between them. To regress takes a
    number, or a string that is one; to tag a list of labels for a list of words; to answer a list of answers with the
    characters of the context that they begin with; to rewrite a text.
    """
    if isinstance(block, FilesBlock):
        return _parse_files(block, data, task)
    if isinstance(block, SentencesBlock):
        return _parse_sentences(block, data, task)
    match block:
        case JsonlBlock():
            read = [json_row(number, line, data, task) for number, line in zip(block.numbers, block.rows, strict=True)]
        case TxtBlock():
            found = zip(block.numbers, block.rows, strict=True)
            read = [txt_row(number, line, block.label, data, task) for number, line in found]
        case ValuesBlock():
            pairs = zip(block.numbers, block.rows, strict=True)
            read = [values_row(number, values, data, task) for number, values in pairs]
        case _:
            assert_never(block)
    rejected = list(block.rejected)
    rows = []
    for number, row in zip(block.numbers, read, strict=True):
        if isinstance(row, Row):
            rows.append(row)
        else:
            rejected.append(Rejected(block.file, number, row))
    rejected.sort(key=lambda bad: bad.line)
    return rows, rejected


def _parse_files(block: FilesBlock, data: Data, task: TaskKind) -> tuple[list[Row], list[Rejected]]:
    rows, rejected = [], []
    for offset, (file, label, text) in enumerate(zip(block.files, block.labels, block.rows, strict=True)):
        row = _TOO_LONG if text is None else txt_row(offset << SOURCE_SHIFT | 1, text, label, data, task)
        if isinstance(row, Row):
            rows.append(row)
        else:
            rejected.append(Rejected(file, 1, row))
    return rows, rejected


def _parse_sentences(block: SentencesBlock, data: Data, task: TaskKind) -> tuple[list[Row], list[Rejected]]:
    """A sentence may make several rows, and a heading none."""
    rows, rejected = [], list(block.rejected)
    for number, raw in zip(block.numbers, block.rows, strict=True):
        found = sentence_rows(number, raw, block.kind, data, task)
        if isinstance(found, str):
            rejected.append(Rejected(block.file, number, found))
        else:
            rows += found
    rejected.sort(key=lambda bad: bad.line)
    return rows, rejected


def read_rows(path: Path, data: Data, task: TaskKind) -> Iterator[Row | Rejected]:
    """Every row of a file in order, good or bad, in this process. Raises DataError as `blocks` does."""
    for block in blocks(path, data):
        rows, rejected = parse(block, data, task)
        together: list[Row | Rejected] = [*rows, *rejected]
        yield from sorted(together, key=lambda row: row.line)


def _gathered(
    file: str, found: Found[T], rows_per_block: int
) -> Iterator[tuple[tuple[int, ...], tuple[T, ...], tuple[Rejected, ...]]]:
    """Numbers, rows and rejections of one block after another."""
    numbers: list[int] = []
    rows: list[T] = []
    rejected: list[Rejected] = []
    size_bytes = 0
    for number, row, row_bytes in found:
        if isinstance(row, str):
            rejected.append(Rejected(file, number, row))
        else:
            numbers.append(number)
            rows.append(row)
        size_bytes += row_bytes
        if len(rows) + len(rejected) >= rows_per_block or size_bytes >= BLOCK_BYTES:
            yield tuple(numbers), tuple(rows), tuple(rejected)
            numbers, rows, rejected, size_bytes = [], [], [], 0
    if rows or rejected:
        yield tuple(numbers), tuple(rows), tuple(rejected)


def _lines(path: Path) -> Found[bytes]:
    for number, line in enumerate(lines(path), start=1):
        if line is None:
            yield number, _TOO_LONG, 0
        elif line.strip():
            yield number, line, len(line)


def _array_values(path: Path, data: Data) -> Found[Values]:
    for number, element in elements(path):
        yield number, *_sized(pick(element, data))


def _squad_values(path: Path, data: Data) -> Found[Values]:
    if data.group not in ("", "title"):
        raise DataError(
            f"data.group = {data.group!r}, but a file of SQuAD ({path}) groups its questions by title alone: leave it "
            "out."
        )
    for number, asked, answers, title in squad_questions(path):
        yield number, *_sized((asked, answers, title, None))


def _asked_values(path: Path, data: Data) -> Found[Values]:
    """Rows of a table in columns, one question each; answers may be lists inside a struct."""
    names = columnar.column_names(path)
    _require(path, names, data)
    fields = [data.question, data.text, data.label, *((data.group,) if data.group else ())]
    wanted = list(dict.fromkeys([*fields, *(name for name in (ID, IMPOSSIBLE) if name in names)]))
    for number, values in columnar.rows(path, wanted, plain=[name for name in wanted if name != data.label]):
        yield number, *_sized(pick(dict(zip(wanted, values, strict=True)), data))


def _columnar_values(path: Path, data: Data) -> Found[Values]:
    if data.question:
        yield from _asked_values(path, data)
        return
    wanted = [name for name in (data.text, data.label, data.group, data.predicate) if name]
    aim = aim_field(data)
    wanted = [name for name in (data.text, aim, data.group, data.predicate) if name]
    _require(path, columnar.column_names(path), data)
    for number, values in columnar.rows(path, wanted):
        found = dict(zip(wanted, values, strict=True))
        given = (found[data.text], found.get(aim, ""), found.get(data.group, ""), found.get(data.predicate))
        yield number, *_sized(given)


def _table_values(path: Path, data: Data) -> Found[Values]:
    if data.question:
        raise DataError(
            f'{path}: task.kind = "answer" needs lists of answers, which no cell of a table holds: write JSON lines, '
            "Parquet or a file of SQuAD."
        )
    columns: tuple[int, int, int] | None = None
    for first_line, cells in table(path):
        if isinstance(cells, str):
            yield first_line, cells, 0
        elif columns is None:
            columns = _columns(path, column_names(path, cells), data)
        else:
            text, label, group = (cells[column] if column >= 0 else "" for column in columns)
            yield first_line, (text, label, group, None), len(text)


def _sized(values: Values | str) -> tuple[Values | str, int]:
    return values, _size(values[0]) if isinstance(values, tuple) else 0


def _columns(path: Path, names: list[str], data: Data) -> tuple[int, int, int]:
    """Where text, label and group stand; -1 for what is not asked for."""
    _require(path, names, data)
    text, label, group = (names.index(name) if name else -1 for name in (data.text, aim_field(data), data.group))
    return text, label, group


def _require(path: Path, names: list[str], data: Data) -> None:
    """Raises DataError unless each column that `data` names is there once."""
    wanted = {
        "data.text": data.text,
        "data.target" if data.target else "data.label": aim_field(data),
        "data.group": data.group,
        "data.predicate": data.predicate,
        "data.question": data.question,
    }
    missing = [f"{setting} = {name!r}" for setting, name in wanted.items() if name and name not in names]
    if missing:
        hint = ""
        if len(names) == 1 and any(mark in names[0] for mark in ",;\t|"):
            hint = " Columns are separated by commas in .csv, by tabs in .tsv."
        raise DataError(f"{path} has no column for {', '.join(missing)}; its columns are {names[:50]!r}.{hint}")
    twice = sorted({name for name in wanted.values() if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has more than one column named {', '.join(map(repr, twice))}")
