"""Rows from raw files: a cheap sequential pass cuts a file into blocks, which any process can parse.

A bad row is a value (`Rejected`), not an exception: preparation counts them and decides. What makes a whole file
unreadable is a DataError.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, assert_never

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.keys import share_of, text_key
from cluster.text.lines import LINE_LIMIT_BYTES, kind_of, lines
from cluster.text.rows import Row, csv_row, json_row
from cluster.text.sources import resolve

__all__ = [  # what lives in the neighbouring files is part of reading, too
    "Block",
    "CsvBlock",
    "JsonlBlock",
    "Rejected",
    "Row",
    "blocks",
    "parse",
    "read_rows",
    "resolve",
    "share_of",
    "text_key",
]

ROWS_PER_BLOCK = 8192
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
class CsvBlock:
    """The text, label and group of the rows of a CSV file, each with the number of its first line.

    Bytes that are no UTF-8 are surrogates here; `parse` rejects their rows.
    """

    file: str
    numbers: tuple[int, ...]
    rows: tuple["Cells", ...]
    rejected: tuple[Rejected, ...]


Block = JsonlBlock | CsvBlock
Cells = tuple[str, str, str]
T = TypeVar("T", bytes, Cells)


def blocks(path: Path, data: Data, rows_per_block: int = ROWS_PER_BLOCK) -> Iterator[Block]:
    """Cuts a file into picklable blocks of at most `rows_per_block` rows; the same file always gives the same blocks.

    Lines of white space alone are not rows. Raises DataError: what `lines` raises, a file without rows, CSV without the
    columns that `data` names or with a quote that is never closed.
    """
    empty = True
    match kind_of(path):
        case "jsonl":
            cut: Iterator[Block] = _jsonl_blocks(path, rows_per_block)
        case "csv":
            cut = _csv_blocks(path, data, rows_per_block)
        case unknown:
            assert_never(unknown)
    for block in cut:
        empty = False
        yield block
    if empty:
        raise DataError(f"{path} is empty: it holds no rows. Name another file, or leave it out.")


def parse(block: Block, data: Data) -> tuple[list[Row], list[Rejected]]:
    """The rows of a block in order, and those that cannot be read, in order, with the reason.

    A label may be a string (white space around it goes), a whole number (`3` and `3.0` are "3") or a boolean.
    """
    rows: list[Row] = []
    rejected = list(block.rejected)

    def keep(number: int, read: Row | str) -> None:
        if isinstance(read, Row):
            rows.append(read)
        else:
            rejected.append(Rejected(block.file, number, read))

    match block:
        case JsonlBlock():
            for number, line in zip(block.numbers, block.rows, strict=True):
                keep(number, json_row(number, line, data))
        case CsvBlock():
            for number, fields in zip(block.numbers, block.rows, strict=True):
                keep(number, csv_row(number, fields, data))
        case _:
            assert_never(block)
    rejected.sort(key=lambda bad: bad.line)
    return rows, rejected


def read_rows(path: Path, data: Data) -> Iterator[Row | Rejected]:
    """Every row of a file in order, good or bad, in this process. Raises DataError as `blocks` does."""
    for block in blocks(path, data):
        rows, rejected = parse(block, data)
        together: list[Row | Rejected] = [*rows, *rejected]
        yield from sorted(together, key=lambda row: row.line)


def _jsonl_blocks(path: Path, rows_per_block: int) -> Iterator[Block]:
    for numbers, rows, rejected in _gathered(_jsonl_records(path), rows_per_block):
        yield JsonlBlock(str(path), numbers, rows, rejected)


def _csv_blocks(path: Path, data: Data, rows_per_block: int) -> Iterator[Block]:
    for numbers, rows, rejected in _gathered(_csv_records(path, data), rows_per_block):
        yield CsvBlock(str(path), numbers, rows, rejected)


def _gathered(
    records: Iterator[tuple[int, T | Rejected, int]], rows_per_block: int
) -> Iterator[tuple[tuple[int, ...], tuple[T, ...], tuple[Rejected, ...]]]:
    """Numbers, rows and rejections of one block after another, from (first line, row or rejection, size in bytes)."""
    numbers: list[int] = []
    rows: list[T] = []
    rejected: list[Rejected] = []
    size_bytes = 0
    for number, record, record_bytes in records:
        if isinstance(record, Rejected):
            rejected.append(record)
        else:
            numbers.append(number)
            rows.append(record)
        size_bytes += record_bytes
        if len(rows) + len(rejected) >= rows_per_block or size_bytes >= BLOCK_BYTES:
            yield tuple(numbers), tuple(rows), tuple(rejected)
            numbers, rows, rejected, size_bytes = [], [], [], 0
    if rows or rejected:
        yield tuple(numbers), tuple(rows), tuple(rejected)


def _jsonl_records(path: Path) -> Iterator[tuple[int, bytes | Rejected, int]]:
    for number, line in enumerate(lines(path), start=1):
        if line is None:
            yield number, Rejected(str(path), number, f"longer than {LINE_LIMIT_BYTES >> 20} MiB"), 0
        elif line.strip():
            yield number, line, len(line)


def _csv_records(path: Path, data: Data) -> Iterator[tuple[int, Cells | Rejected, int]]:
    """Only csv's reader knows where a row ends (a quoted cell may hold line feeds), so cells are cut here already."""
    # one limit for the whole process, raised and never lowered: the default of 128 kB is less than many a text
    csv.field_size_limit(max(csv.field_size_limit(), LINE_LIMIT_BYTES))
    reader = csv.reader(_csv_lines(path), strict=True)
    width, columns = 0, (-1, -1, -1)
    while True:
        first_line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            _stop_if_never_closed(path, first_line, str(error))
            if not width:
                raise DataError(f"{path}: the line of column names cannot be read: {error}") from error
            yield first_line, Rejected(str(path), first_line, f"broken CSV: {error}"), 0
            continue
        if not cells or (len(cells) == 1 and cells[0].isspace()):
            continue
        if not width:
            width, columns = len(cells), _columns(path, cells, data)
        elif len(cells) != width:
            reason = f"broken CSV: {len(cells)} cells, the line of column names has {width}"
            yield first_line, Rejected(str(path), first_line, reason), 0
        else:
            text, label, group = (cells[column] if column >= 0 else "" for column in columns)
            yield first_line, (text, label, group), len(text)


def _csv_lines(path: Path) -> Iterator[str]:
    for number, line in enumerate(lines(path), start=1):
        if line is None:  # it may have closed a quote: nothing that follows could be trusted
            raise DataError(f"{path}: line {number} is longer than {LINE_LIMIT_BYTES >> 20} MiB")
        yield line.decode("utf-8", "surrogateescape")


def _stop_if_never_closed(path: Path, line: int, error: str) -> None:
    """An open quote swallows all rows that follow: it must not count as one bad row."""
    if error == "unexpected end of data" or error.startswith("field larger than field limit"):
        raise DataError(f"{path}: a quote opened in the row that begins on line {line} is never closed")


def _columns(path: Path, names: list[str], data: Data) -> tuple[int, int, int]:
    """Where text, label and group stand; -1 for a group that is not asked for."""
    stripped = [name.strip() for name in names]
    wanted = {"data.text": data.text, "data.label": data.label, "data.group": data.group}
    missing = [f"{setting} = {name!r}" for setting, name in wanted.items() if name and name not in stripped]
    if missing:
        hint = ""
        if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
            hint = " Columns must be separated by commas."
        raise DataError(f"{path} has no column for {', '.join(missing)}; its columns are {stripped[:50]!r}.{hint}")
    twice = sorted({name for name in wanted.values() if stripped.count(name) > 1})
    if twice:
        raise DataError(f"{path} has more than one column named {', '.join(map(repr, twice))}")
    text, label, group = (stripped.index(name) if name else -1 for name in wanted.values())
    return text, label, group
