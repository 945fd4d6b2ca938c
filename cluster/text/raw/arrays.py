"""JSON files that hold more than lines: an array of objects, element by element, in bounded memory."""

import codecs
import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from cluster.errors import DataError
from cluster.text.raw.lines import LINE_LIMIT_BYTES, lines, pieces

_SPACE = " \t\n\r"
# an escape or a literal cut in two by the end of the buffer is reported at its beginning, so far before the end
_LONGEST_ATOM = 16


def is_array(path: Path, field: str) -> bool:
    """Does a `.json` file hold an array (True), or one object a line (False)? The first byte tells.

    Raises DataError: neither, a single object without `field`, what `lines` raises.
    """
    first = b""
    for piece in pieces(path, 1 << 16):
        if first := piece.strip(_SPACE.encode())[:1]:
            break
    if first == b"[":
        return True
    if first and first != b"{":
        raise _neither(path, f"it begins with {first.decode('latin-1')!r}")
    _check_lines(path, field)
    return False


def _check_lines(path: Path, field: str) -> None:
    """One bad line is a bad row; but if neither of the first two is an object, the file holds no lines of them."""
    objects: list[dict[str, Any]] = []
    first_two = list(islice((line for line in lines(path) if line is None or line.strip()), 2))
    for line in first_two:
        try:
            value = json.loads(line or b"")
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            objects.append(value)
    if first_two and not objects:
        raise _neither(path, "it begins with an object of several lines, or with a broken one")
    if len(first_two) == 1 and field not in objects[0]:
        there = ", ".join(map(repr, list(objects[0])[:8])) or "none"
        raise _neither(path, f"it holds a single object without a field {field!r} (there are: {there})")


def _neither(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} holds neither an array of objects nor one object a line: {why}. If the examples are a list inside it, "
        "write that list into a file of its own."
    )


def elements(path: Path) -> Iterator[tuple[int, Any]]:
    """The elements of the array in a file, each with its number from 1; bytes that are no UTF-8 are surrogates.

    Raises DataError: what `lines` raises; JSON that is broken (nothing after that place could be trusted) or goes on
    after the array; an element of more than LINE_LIMIT_BYTES characters.
    """
    reader = JsonCharacters(path)
    number = 0
    for number, element in enumerate(reader.array(), start=1):  # noqa: B007 - told below
        yield number, element
    if found := reader.peek():
        raise DataError(f"{path} goes on after the array: {found!r} follows element {number}")


class JsonCharacters:
    """A window that moves over the characters of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        decoded = (decoder.decode(piece) for piece in pieces(path))
        self._pieces = chain(decoded, (decoder.decode(b"", True) for _ in (1,)))
        self._text = ""
        self._at = 0
        self._decode = json.JSONDecoder().raw_decode

    def _more(self, wanted: int = 1) -> bool:
        """At least so many characters more, if there are; what was read is given up."""
        found = [self._text[self._at :]]
        length = 0
        for piece in self._pieces:
            found.append(piece)
            length += len(piece)
            if length >= wanted:
                break
        self._text, self._at = "".join(found), 0
        return length > 0

    def peek(self) -> str:
        """The next character that is no space, or nothing at the end of the file."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> None:
        found = self.peek()
        if not found:
            raise DataError(f"{self._path} ends inside the array: it was cut off. Make it again, or close the array.")
        if found != wanted:
            raise DataError(f"{self._path} is broken JSON: {found!r} stands where {wanted!r} should")
        self._at += 1

    def array(self) -> Iterator[Any]:
        """The elements of the array that begins here, one after the other."""
        number = 0
        self.take("[")
        while self.peek() != "]":
            if number:
                self.take(",")
            number += 1
            yield self.element(number)
        self.take("]")

    def element(self, number: int) -> Any:
        """The value that begins here; errors call it element `number`."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                whole = not error.msg.startswith("Unterminated") and error.pos < len(self._text) - _LONGEST_ATOM
                if not whole and self._wider(number):
                    continue
                raise self._broken(number, error.msg if whole else f"{error.msg} (the file ends there)") from None
            except (ValueError, RecursionError) as error:  # a number of more than 4,300 digits, nested too deeply
                raise self._broken(number, str(error)) from None
            cut = end + len("e+1") > len(self._text) and not isinstance(value, dict | list | str)
            length = end - self._at
            if cut and self._wider(number):
                continue  # 12 may go on as 123, or as 12e+1
            self._at += length  # not `end`: what moved the window moved that, too
            return value

    def _wider(self, number: int) -> bool:
        """Twice the window, so that an element is not tried more often than its length doubles."""
        length = len(self._text) - self._at
        if length > LINE_LIMIT_BYTES:
            raise DataError(f"{self._path}: element {number} is longer than {LINE_LIMIT_BYTES >> 20} MiB")
        return self._more(length)

    def _broken(self, number: int, why: str) -> DataError:
        return DataError(
            f"{self._path} is broken JSON in element {number}: {why}. What follows cannot be trusted: mend the file, "
            "or write one object a line (.jsonl), where a broken line is lost alone."
        )
