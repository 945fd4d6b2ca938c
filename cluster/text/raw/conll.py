"""Files of words with labels: `.conllu` (universaldependencies.org/format.html) and `.conll`, columns of any kind.

One word a line, its columns apart by tabs (`.conllu`) or white space (`.conll`), a blank line after each sentence.
Spans may stand in brackets, as CoNLL-2005 and CoNLL-2012 write them (cemantix.org/conll/2012/data.html): `(A0*`, `*`,
`*)`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.raw.lines import LINE_LIMIT_BYTES, lines

Kind = Literal["conllu", "conll"]
CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
DEFAULTS = {"text": ("form", "1"), "label": ("upos", "-1")}
"""What the default of `data.text` and of `data.label` means in `.conllu` and in `.conll`."""
_NUMBER = re.compile(r"-?[1-9][0-9]*")
_APART = re.compile(r"[ \t]+")  # no other white space: a word may hold U+00A0
_BRACKETS = re.compile(r"(?:\(([^()*]+))?\*(?:[^()*]*(\)))?")
_BETWEEN_DOCUMENTS = ("#begin document", "#end document", "-DOCSTART-")  # CoNLL-2012; CoNLL-2003
OUTSIDE = "O"


class BadSentence(Exception):
    """Why a sentence cannot be read."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """One example of a sentence; `predicate` is the place of a word, or None."""

    line: int
    words: list[str]
    labels: list[str]
    predicate: int | None


def sentences(path: Path) -> Iterator[tuple[int, bytes | str, int]]:
    """The lines of each sentence with the number of the first, or why they are none, and their size in bytes. Raises
    DataError as `lines` does."""
    found: list[bytes] = []
    first = size = 0
    too_long = False
    for number, line in enumerate(lines(path), start=1):
        if line is not None and not line.strip():
            if found or too_long:
                yield first, _whole(found, too_long), size
            found, size, too_long = [], 0, False
            continue
        if not found and not too_long:
            first = number
        too_long = too_long or line is None or size + len(line) > LINE_LIMIT_BYTES
        if not too_long and line is not None:
            found.append(line)
            size += len(line)
    if found or too_long:
        yield first, _whole(found, too_long), size


def _whole(found: Sequence[bytes], too_long: bool) -> bytes | str:
    return f"a sentence longer than {LINE_LIMIT_BYTES >> 20} MiB" if too_long else b"".join(found)


def refuse_unknown_columns(path: Path, kind: Kind, data: Data) -> None:
    """Raises DataError for a name that no column has, and for settings that such files cannot follow."""
    if data.group:
        raise DataError(f"data.group = {data.group!r}, but {path} has no field besides its words': leave it out.")
    if data.predicate:
        raise DataError(
            f"data.predicate = {data.predicate!r} names a field of JSON lines or of a table, but {path} has columns of "
            "words: name those with the arguments of the predicates (data.roles)."
        )
    names = CONLLU_COLUMNS if kind == "conllu" else data.columns
    for setting in ("text",) if data.roles else ("text", "label"):
        _column(kind, setting, getattr(data, setting), names, path)


def _column(kind: Kind, setting: str, name: str, names: Sequence[str], path: Path | None = None) -> int:
    """The place of a column, from 0, or from the end if it is below."""
    known = {known.lower() if kind == "conllu" else known: place for place, known in enumerate(names)}
    wanted = name.lower() if kind == "conllu" else name
    if wanted not in known and name == setting:
        wanted = DEFAULTS[setting][kind == "conll"]
    if wanted in known:
        return known[wanted]
    if not _NUMBER.fullmatch(wanted):
        there = ", ".join(names) or "none has a name: data.columns gives them"
        raise DataError(
            f"data.{setting} = {name!r}: {path} has no such column ({there}). A number is one, too: 1 is the first, "
            "-1 the last."
        )
    return int(wanted) - (int(wanted) > 0)


def tagged(first_line: int, raw: bytes, kind: Kind, data: Data) -> list[Tagged]:
    """The examples of a sentence: one, or with `data.roles` one for each predicate. Raises BadSentence."""
    table, numbers = _table(first_line, raw, kind)
    if not table:
        return []
    names = CONLLU_COLUMNS if kind == "conllu" else data.columns
    words = _cells(table, numbers, _column(kind, "text", data.text, names))
    if data.roles:
        return _by_predicate(table, numbers, words, data.roles)
    labels = _cells(table, numbers, _column(kind, "label", data.label, names))
    return [Tagged(first_line, words, from_brackets(labels) if data.brackets else labels, None)]


def words_of(first_line: int, raw: bytes, kind: Kind, name: str) -> list[str]:
    """The words of a sentence alone: the column `name`, or "text" for FORM and the first. Raises BadSentence, and
    DataError for a name that is no column."""
    table, numbers = _table(first_line, raw, kind)
    return _cells(table, numbers, _column(kind, "text", name, CONLLU_COLUMNS if kind == "conllu" else ()))


def _table(first_line: int, raw: bytes, kind: Kind) -> tuple[list[list[str]], list[int]]:
    """The columns of each word, and its line; without comments, ranges (`1-2`) and empty nodes (`8.1`) of CoNLL-U."""
    table: list[list[str]] = []
    numbers: list[int] = []
    for number, line in enumerate(raw.split(b"\n"), start=first_line):
        try:
            text = line.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise BadSentence(f"invalid UTF-8 in line {number} at byte {error.start + 1}") from None
        if kind == "conllu":
            if not text or text.startswith("#"):
                continue
            cells = text.split("\t")
            if len(cells) != len(CONLLU_COLUMNS):
                raise BadSentence(f"line {number} has {len(cells)} columns; CoNLL-U has 10, apart by tabs")
            if not cells[0].isdecimal():
                continue
        else:
            if not text or text.startswith(_BETWEEN_DOCUMENTS):
                continue
            cells = _APART.split(text.strip(" \t"))
        table.append(cells)
        numbers.append(number)
    return table, numbers


def _cells(table: Sequence[Sequence[str]], numbers: Sequence[int], column: int) -> list[str]:
    try:
        return [cells[column] for cells in table]
    except IndexError:
        short = next(place for place, cells in enumerate(table) if not -len(cells) <= column < len(cells))
        wanted = f"column {column + 1}" if column >= 0 else f"column {column}"
        raise BadSentence(f"line {numbers[short]} has {len(table[short])} columns, and no {wanted}") from None


def _by_predicate(table: Sequence[Sequence[str]], numbers: Sequence[int], words: list[str], roles: str) -> list[Tagged]:
    width = len(table[0])
    for number, cells in zip(numbers, table, strict=True):
        if len(cells) != width:
            raise BadSentence(f"line {number} has {len(cells)} columns, the sentence's first {width}")
    first, last = roles.split(":")
    start = int(first) - 1 if int(first) > 0 else width + int(first)
    end = width if not last else int(last) if int(last) > 0 else width + int(last) + 1
    found: dict[int, Tagged] = {}
    for column in range(max(start, 0), end):
        labels = from_brackets([cells[column] for cells in table])
        if "B-V" not in labels:
            raise BadSentence(f"column {column + 1} marks no predicate, (V*), but holds arguments (data.roles)")
        predicate = labels.index("B-V")
        if predicate in found:
            raise BadSentence(f"two columns mark {words[predicate]!r} (line {numbers[predicate]}) as the predicate")
        arguments = [OUTSIDE if label in ("B-V", "I-V") else label for label in labels]
        found[predicate] = Tagged(numbers[predicate], words, arguments, predicate)
    return [found[predicate] for predicate in sorted(found)]


def from_brackets(cells: Sequence[str]) -> list[str]:
    """`(A0*`, `*)`, `*` as B-A0, I-A0, O. Raises BadSentence for anything else."""
    labels = []
    inside = ""
    for cell in cells:
        match = _BRACKETS.fullmatch(cell)
        if match is None or (match[1] and inside) or (match[2] and not (match[1] or inside)):
            raise BadSentence(f"{cell!r} is no part of a span in brackets, such as (A0* or * or *)")
        if match[1]:
            labels.append(f"B-{match[1]}")
        else:
            labels.append(f"I-{inside}" if inside else OUTSIDE)
        inside = "" if match[2] else match[1] or inside
    if inside:
        raise BadSentence(f"the span ({inside}* is never closed")
    return labels
