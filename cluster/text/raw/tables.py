"""Tables as text: the rows of `.csv` and `.tsv` files, cell by cell."""

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path

from cluster.errors import DataError
from cluster.text.raw.lines import LINE_LIMIT_BYTES, kind_of, lines


def table(path: Path) -> Iterator[tuple[int, list[str] | str]]:
    """The cells of each row with the number of its first line, column names first; a broken row is its reason.

    Rows are as long as the line of names is. Cells are as they stand, bytes that are no UTF-8 as surrogates; lines of
    white space alone are no rows. Raises DataError: what `lines` raises, a quote that is never closed.
    """
    # one limit for the whole process, raised and never lowered: the default of 128 kB is less than many a text
    csv.field_size_limit(max(csv.field_size_limit(), LINE_LIMIT_BYTES))
    if kind_of(path) == "tsv":
        yield from _by_tabs(path)
        return
    # only csv's reader knows where a row ends: a quoted cell may hold line feeds
    reader = csv.reader(_decoded(path), strict=True)
    width = 0
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
            yield first_line, f"broken CSV: {error}"
            continue
        if not cells or (len(cells) == 1 and cells[0].isspace()):
            continue
        if not width:
            width = len(cells)
        elif len(cells) != width:
            yield first_line, f"broken CSV: {len(cells)} cells, the line of column names has {width}"
            continue
        yield first_line, cells


def _by_tabs(path: Path) -> Iterator[tuple[int, list[str] | str]]:
    """Rows of a `.tsv`: one line each, so that a quote in a text, which most of these files leave as it is, takes no
    other row along. A cell that is quoted as a whole loses the quotes; tabs may stand in one if its line has too many
    cells otherwise."""
    width = 0
    for number, line in enumerate(_decoded(path), start=1):
        row = line.rstrip("\r\n")
        if not row.strip():
            continue
        cells = [_unquoted(cell) for cell in row.split("\t")]
        if width and len(cells) != width:
            with contextlib.suppress(csv.Error, StopIteration):
                cells = next(csv.reader([row], strict=True, delimiter="\t"))
        width = width or len(cells)
        if len(cells) == width:
            yield number, cells
        else:
            yield number, f"broken TSV: {len(cells)} cells, the line of column names has {width}; a row is one line"


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"' or '"' in inner.replace('""', ""):
        return cell
    return inner.replace('""', '"')


def column_names(path: Path, cells: list[str]) -> list[str]:
    """The names of the columns, without white space around them. Raises DataError if they are no UTF-8."""
    try:
        "".join(cells).encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{path}: the line of column names is not UTF-8, which muster reads") from None
    return [cell.strip() for cell in cells]


def _decoded(path: Path) -> Iterator[str]:
    for number, line in enumerate(lines(path), start=1):
        if line is None:  # it may have closed a quote: nothing that follows could be trusted
            raise DataError(f"{path}: line {number} is longer than {LINE_LIMIT_BYTES >> 20} MiB")
        yield line.decode("utf-8", "surrogateescape")


def _stop_if_never_closed(path: Path, line: int, error: str) -> None:
    """An open quote swallows all rows that follow: it must not count as one bad row."""
    if error == "unexpected end of data" or error.startswith("field larger than field limit"):
        raise DataError(f"{path}: a quote opened in the row that begins on line {line} is never closed")
