"""What is to be predicted: texts from arguments, a file or standard input, read lazily, bad lines as values."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cluster.errors import DataError
from cluster.text.lines import lines

LINE_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True)
class Request:
    """One text, with the JSON object it came in, if it did; or the reason why there is none."""

    line: int
    text: str = ""
    fields: dict[str, Any] | None = None
    error: str = ""


def from_arguments(texts: Sequence[str]) -> Iterator[Request]:
    """One request for each; an empty text is an error."""
    for number, text in enumerate(texts, start=1):
        yield Request(number, text) if text.strip() else Request(number, error="empty text")


def from_file(path: Path, field: str | None) -> Iterator[Request]:
    """JSON objects if the name says `.jsonl` (also `.gz`, `.zst`) or a field is named, else one text a line.

    The file is opened at once, read as the requests are taken. Raises DataError.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if ".csv" in suffixes[-2:]:
        raise DataError(f"{path}: predict reads JSON lines (.jsonl, also .gz and .zst) and text, one a line, not CSV.")
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if ".jsonl" in suffixes[-2:]:
        return _requests(lines(path), field or "text")
    return _requests(_plain_lines(path), field)


def from_stream(stream: IO[bytes], field: str | None) -> Iterator[Request]:
    """One text a line, or one JSON object if a field is named."""
    return _requests(_cut(stream), field)


def _plain_lines(path: Path) -> Iterator[bytes | None]:
    try:
        with open(path, "rb") as file:
            yield from _cut(file)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _cut(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Lines; None for one that is too long to hold."""
    while line := stream.readline(LINE_LIMIT_BYTES + 1):
        if len(line) <= LINE_LIMIT_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(1 << 20)
        yield None


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
    if field not in fields:
        there = ", ".join(map(repr, list(fields)[:8])) or "none"
        return Request(number, error=f"no field {field!r} (there are: {there}); --field names another")
    text = fields[field]
    if not isinstance(text, str) or not text.strip():
        return Request(number, error=f"field {field!r} is not a string with text in it")
    return Request(number, text, fields)


def same_file(one: Path, other: Path) -> bool:
    """Do both paths lead to one file that exists?"""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
