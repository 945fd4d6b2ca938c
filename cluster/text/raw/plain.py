"""Text files: whose labels stand in their lines, in their names, or in the names of their folders."""

import os
from pathlib import Path

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.raw.lines import LINE_LIMIT_BYTES, lines, pieces, stem_of

_LABEL = b"__label__"


def label_of(path: Path, data: Data) -> str | None:
    """The label of all that a text file holds; None if each line has its own, as the first one shows.

    `data.txt = "files"`: the name of the folder; "lines": the name of the file without extension; empty where no label
    is asked for. Raises DataError: as `lines` does; `data.group` or `data.target` is set.
    """
    if data.group:
        raise DataError(f"data.group = {data.group!r}, but {path} is plain text, which has no fields: leave it out.")
    if data.target:
        raise DataError(
            f"{path} is plain text, which has no field {data.target!r} to be written: give .jsonl, .csv, .tsv or "
            ".parquet (two files, line by line: `paste SOURCES TARGETS`, with a first line that names the columns)."
        )
    if not data.label:
        return ""
    if data.txt == "files":
        return Path(os.path.abspath(path)).parent.name  # folds "..", keeps symbolic links
    for line in lines(path):
        if line is None:
            break
        if line.strip():
            return None if line.lstrip().startswith(_LABEL) else stem_of(path)
    return stem_of(path)


def whole(path: Path) -> bytes | None:
    """All that a file holds, or None if it is too long to be one text. Raises DataError as `lines` does."""
    found: list[bytes] = []
    length = 0
    for piece in pieces(path):
        found.append(piece)
        length += len(piece)
        if length > LINE_LIMIT_BYTES:
            return None
    return b"".join(found)
