"""What is to be predicted: texts, or lists of words, from arguments, a file or standard input, read lazily, bad lines
as values."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, assert_never

from cluster.errors import DataError
from cluster.text.raw import columnar, conll
from cluster.text.raw.arrays import elements, is_array
from cluster.text.raw.asked import is_squad, squad_questions
from cluster.text.raw.lines import LINE_LIMIT_BYTES, kind_of, lines, lines_of
from cluster.text.raw.tables import column_names, table

QUESTION = "question"
"""Field of a row with what is asked of its text."""


@dataclass(frozen=True)
class Request:
    """One text, with the fields of its row, if it has others; or the reason why there is none."""

    line: int
    text: str = ""
    fields: dict[str, Any] | None = None
    error: str = ""
    words: tuple[str, ...] = ()
    """Those of the text, if they were given one by one."""
    question: str = ""
    """What is asked of the text, of a model that answers questions."""


def from_arguments(texts: Sequence[str]) -> Iterator[Request]:
    """One request for each; an empty text is an error."""
    for number, text in enumerate(texts, start=1):
        yield Request(number, text) if text.strip() else Request(number, error="empty text")


def from_file(path: Path, field: str | None) -> Iterator[Request]:
    """The rows of a file, whose name says what it holds, as everywhere in muster; `field` holds the text.

    `.txt`, or a name that says nothing: one text a line, or one JSON object if a field is named. The file is opened at
    once, read as the requests are taken. Raises DataError, also while they are.
    """
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        kind = kind_of(path)
    except DataError:
        return _requests(lines(path, any_name=True), field)
    name = field or "text"
    match kind:
        case "txt":
            return _requests(lines(path), field)
        case "jsonl":
            return _requests(lines(path), name)
        case "json":
            return _array_requests(path, name) if is_array(path, name) else _requests(lines(path), name)
        case "csv" | "tsv":
            return _table_requests(path, name)
        case "parquet" | "arrow":
            return _columnar_requests(path, name)
        case "conllu" | "conll" as kind:
            return _sentence_requests(path, kind, name)
        case unknown:
            assert_never(unknown)


def from_stream(stream: IO[bytes], field: str | None) -> Iterator[Request]:
    """One text a line, or one JSON object if a field is named. Raises DataError for UTF-16."""
    return _requests(lines_of(stream, "standard input"), field)


def _requests(found: Iterator[bytes | None], field: str | None) -> Iterator[Request]:
    """Lines of white space alone are no requests, as everywhere in muster."""
    for number, line in enumerate(found, start=1):
        if line is None:
            yield Request(number, error=f"longer than {LINE_LIMIT_BYTES >> 20} MiB")
        elif line.strip():
            yield _json_request(number, line, field) if field else _text_request(number, line)


def _text_request(number: int, line: bytes) -> Request:
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return Request(number, error=f"invalid UTF-8 at byte {error.start + 1}")
    return Request(number, text) if text.strip() else Request(number, error="empty text")


def _json_request(number: int, line: bytes, field: str) -> Request:
    try:
        fields = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Request(number, error=f"invalid UTF-8 at byte {error.start + 1}")
    except (ValueError, RecursionError) as error:
        return Request(number, error=f"broken JSON: {error}")
    if not isinstance(fields, dict):
        return Request(number, error="the line is not a JSON object")
    return _request(number, fields, field)


def _request(number: int, fields: dict[str, Any], field: str) -> Request:
    if field not in fields:
        there = ", ".join(map(repr, list(fields)[:8])) or "none"
        return Request(number, error=f"no field {field!r} (there are: {there}); --field names another")
    text = fields[field]
    if isinstance(text, list) and text and all(isinstance(word, str) and word.strip() for word in text):
        return Request(number, " ".join(text), fields, words=tuple(text))
    if not isinstance(text, str) or not text.strip():
        return Request(number, error=f"field {field!r} is not a string with text in it")
    return Request(number, text, fields)


def from_squad(path: Path) -> Iterator[Request] | None:
    """The questions of a file of SQuAD, answers left aside; None for another file. Raises DataError, also while they
    are taken."""
    try:
        if kind_of(path) != "json" or not is_squad(path):
            return None
    except DataError:  # whoever reads it as something else says more
        return None
    return _squad_requests(path)


def _squad_requests(path: Path) -> Iterator[Request]:
    for number, asked, _, _ in squad_questions(path):
        fields = {"id": asked.id, "question": asked.question, "context": asked.context}
        yield replace(_of_bytes(_request(number, fields, "context")), question=str(asked.question or ""))


def asking(requests: Iterator[Request], question: str | None) -> Iterator[Request]:
    """The requests, each with its question: the one given, or that of the field `question` of its row."""
    for request in requests:
        if request.error or request.question:
            yield request
            continue
        asked = question or (request.fields or {}).get(QUESTION)
        if not isinstance(asked, str) or not asked.strip():
            yield Request(
                request.line, error=f"no field {QUESTION!r} with a question in it; --question asks one of all"
            )
            continue
        fields = {QUESTION: asked, "context": request.text} if request.fields is None else request.fields
        yield replace(request, question=asked, fields=fields)


def _array_requests(path: Path, field: str) -> Iterator[Request]:
    for number, fields in elements(path):
        if isinstance(fields, dict):
            yield _of_bytes(_request(number, fields, field))
        else:
            yield Request(number, error="the element is not a JSON object")


def _table_requests(path: Path, field: str) -> Iterator[Request]:
    names: list[str] = []
    for number, cells in table(path):
        if isinstance(cells, str):
            yield Request(number, error=cells)
        elif names:
            yield _of_bytes(_request(number, dict(zip(names, cells, strict=True)), field))
        else:
            names = column_names(path, cells)
            _require(path, names, field)


def _sentence_requests(path: Path, kind: conll.Kind, field: str) -> Iterator[Request]:
    for number, found, _ in conll.sentences(path):
        if isinstance(found, str):
            yield Request(number, error=found)
            continue
        try:
            words = conll.words_of(number, found, kind, field)
        except conll.BadSentence as bad:
            yield Request(number, error=str(bad))
            continue
        if words:
            yield Request(number, " ".join(words), words=tuple(words))


def _columnar_requests(path: Path, field: str) -> Iterator[Request]:
    names = columnar.column_names(path)
    _require(path, names, field)
    for number, values in columnar.rows(path, names, plain=[field]):
        yield _of_bytes(_request(number, dict(zip(names, values, strict=True)), field))


def _require(path: Path, names: list[str], field: str) -> None:
    """One bad row for each would not be read to the end."""
    if names.count(field) != 1:
        what = f"no column {field!r}" if field not in names else f"more than one column {field!r}"
        raise DataError(f"{path} has {what}; its columns are {names[:50]!r}. --field names the one with the text.")


def _of_bytes(request: Request) -> Request:
    """Bytes that are no UTF-8 came in as surrogates, U+DC80 to U+DCFF."""
    try:
        request.text.encode("utf-8")
    except UnicodeEncodeError as error:
        if "\udc80" <= request.text[error.start] <= "\udcff":
            return Request(request.line, error="invalid UTF-8")
    return request


def same_file(one: Path, other: Path) -> bool:
    """Do both paths lead to one file that exists?"""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
