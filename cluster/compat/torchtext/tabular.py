"""Files of examples: CSV, TSV, and a JSON object on each line."""

import contextlib
import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.compat.torchtext.dataset import Dataset
from cluster.compat.torchtext.example import Column, Example
from cluster.compat.torchtext.ranks import tell
from cluster.errors import DataError, InputError
from cluster.text.raw.lines import LINE_LIMIT_BYTES, lines

_DELIMITERS = {"csv": ",", "tsv": "\t"}

Row = tuple[int, list[str]]
"""The number of its (first) line, and its cells."""


class TabularDataset(Dataset):
    """The rows of a file (`.gz` and `.zst` are unpacked).

    format             "csv", "tsv" or "json" (a JSON object on each line), in any case
    fields             a list of (name, field), one for each column of a CSV or TSV file, (name, None) for one that is
                       left out; or, by key of an object or name of a column, (name, field) or a list of such
    skip_header        leave the first line out; with `fields` by name of column it is read
    csv_reader_params  arguments of `csv.reader`
    filter_pred        as in `Dataset`

    Raises InputError for arguments that contradict each other, DataError for a file or a row that cannot be read, with
    its line.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        format: str,
        fields: Sequence[Column] | Mapping[str, Any],
        skip_header: bool = False,
        csv_reader_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kind, file = format.lower(), Path(path).expanduser()
        params = dict(csv_reader_params or {})
        if kind == "json":
            if not isinstance(fields, Mapping):
                raise InputError('format="json" needs fields by key: {"key": ("name", FIELD), ...}.')
            if params:
                raise InputError('csv_reader_params are for format="csv" and "tsv", but format is "json".')
            examples = _objects(file, fields, skip_header)
        elif kind not in _DELIMITERS:
            raise InputError(f'format must be "csv", "tsv" or "json", but is {format!r}.')
        else:
            rows = _rows(file, {"delimiter": _DELIMITERS[kind]} | params)
            if isinstance(fields, Mapping):
                if skip_header:
                    raise InputError("fields by name of column need the line of names: leave skip_header out.")
                examples = _by_name(file, rows, fields)
            else:
                examples = _by_place(file, rows, list(fields), skip_header)
        columns = _pairs(fields) if isinstance(fields, Mapping) else fields
        super().__init__(examples, columns, **kwargs)


def _pairs(fields: Mapping[str, Any]) -> list[Column]:
    found: list[Column] = []
    for columns in fields.values():
        if columns is not None:
            found += columns if isinstance(columns, list) else [columns]
    return found


def _objects(path: Path, fields: Mapping[str, Any], skip_header: bool) -> Iterator[Example]:
    for number, line in _text_lines(path):
        if line.strip() and not (skip_header and number == 1):
            with _placed(path, number):
                example = Example.fromJSON(line, fields)
            yield example


def _by_name(path: Path, rows: Iterator[Row], fields: Mapping[str, Any]) -> Iterator[Example]:
    _, header = next(rows, (0, []))
    wanted = [key for key, columns in fields.items() if columns is not None]
    for key in wanted:
        if key not in header:
            raise DataError(f"{path} has no column {key!r}; its first line names {', '.join(map(repr, header))}.")
    places = {key: header.index(key) for key in wanted}
    for number, cells in rows:
        with _placed(path, number):
            example = Example.fromCSV(cells, fields, places)
        yield example


def _by_place(path: Path, rows: Iterator[Row], fields: list[Column], skip_header: bool) -> Iterator[Example]:
    if skip_header:
        next(rows, None)
    for count, (number, cells) in enumerate(rows):
        if count == 0 and len(cells) > len(fields):
            tell(
                f"{path} has {len(cells)} columns, fields names {len(fields)}: the others are left out. Write (None, "
                "None) for each to say so."
            )
        with _placed(path, number):
            example = Example.fromlist(cells, fields)
        yield example


@contextlib.contextmanager
def _placed(path: Path, number: int) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}:{number}: {error}") from None


def _rows(path: Path, params: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of as many cells as the first has; empty ones are left out."""
    # One limit for the whole process, raised and never lowered: the default of 128 kB is less than many a text.
    csv.field_size_limit(max(csv.field_size_limit(), LINE_LIMIT_BYTES))
    of_row: list[str] = []
    try:
        reader = csv.reader(_kept(path, of_row), **params)
    except (TypeError, ValueError) as error:
        raise InputError(f"csv_reader_params {dict(params)!r} are none of csv.reader's: {error}.") from None
    width = 0
    while True:
        first = reader.line_num + 1
        of_row.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}:{first}: broken table: {error}. {_QUOTES}") from None
        if len(of_row) > 1:
            _refuse_open_quote(path, first, of_row, params)
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue
        width = width or len(cells)
        if len(cells) != width:
            raise DataError(f"{path}:{first}: {len(cells)} cells, the first row has {width}. {_QUOTES}")
        yield first, cells


_QUOTES = (
    "Put a cell with delimiters in it in quotes; for a file whose quotes mean nothing, use "
    'csv_reader_params={"quoting": csv.QUOTE_NONE}.'
)


def _refuse_open_quote(path: Path, first: int, of_row: list[str], params: Mapping[str, Any]) -> None:
    """A quote that is never closed swallows the rest of a file, and csv's reader takes it for a cell."""
    try:
        list(csv.reader(of_row, **dict(params) | {"strict": True}))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise DataError(f"{path}:{first}: a quote opened in this row is never closed. {_QUOTES}") from None


def _kept(path: Path, of_row: list[str]) -> Iterator[str]:
    for _, line in _text_lines(path):
        of_row.append(line)
        yield line


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines(path, any_name=True), start=1):
        if line is None:
            raise DataError(f"{path}:{number}: the line is longer than {LINE_LIMIT_BYTES >> 20} MiB.")
        try:
            yield number, line.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: {error}. Turn the file into UTF-8: iconv -f LATIN1 -t UTF-8") from None
