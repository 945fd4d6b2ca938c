"""One row: from its bytes or cells to text, label and group, or the reason why not."""

import json
from dataclasses import dataclass
from typing import Any

from cluster.config.schema import Data

_EXACT = 2**53  # the whole numbers up to here are exact as floats; above, 3.0e20 does not name one label

_KINDS = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Row:
    """One readable row: its first line in the file (from 1), and its fields as text; `group` is empty without one."""

    line: int
    text: str
    label: str
    group: str


class _Bad(Exception):
    """Why a row cannot be read; never leaves this file."""


def json_row(number: int, line: bytes, data: Data) -> Row | str:
    """The row on one line of a JSON lines file, or what is wrong with it."""
    try:
        fields = _json_object(line)
        text = _value(fields, data.text)
        if not isinstance(text, str):
            raise _Bad(f"field {data.text!r} is {_shown(text)}, not a string")
        label = _name(fields, data.label)
        group = _name(fields, data.group) if data.group else ""
        return _row(number, text, label, group, data, "a lone surrogate, which is no character")
    except _Bad as bad:
        return str(bad)


def csv_row(number: int, cells: tuple[str, str, str], data: Data) -> Row | str:
    """The row of text, label and group from a CSV file, or what is wrong with it."""
    text, label, group = cells
    try:
        return _row(number, text, label.strip(), group.strip(), data, "invalid UTF-8")
    except _Bad as bad:
        return str(bad)


def _row(number: int, text: str, label: str, group: str, data: Data, no_text: str) -> Row:
    for name, value in ((data.text, text), (data.label, label), (data.group, group)):
        if not _is_unicode(value):
            raise _Bad(f"field {name!r} holds {no_text}")
    if not text or text.isspace():
        raise _Bad(f"empty text (field {data.text!r})")
    if not label:
        raise _Bad(f"empty label (field {data.label!r})")
    return Row(number, text, label, group)


def _is_unicode(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _Bad(f"invalid UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise _Bad(f"broken JSON at column {error.colno}: {error.msg}") from None
    except ValueError as error:  # a number of more than 4,300 digits
        raise _Bad(f"broken JSON: {error}") from None
    except RecursionError:
        raise _Bad("broken JSON: nested too deeply") from None
    if not isinstance(fields, dict):
        raise _Bad(f"the line is {_shown(fields)}, not an object")
    return fields


def _value(fields: dict[str, Any], name: str) -> Any:
    try:
        return fields[name]
    except KeyError:
        there = ", ".join(repr(key) for key in list(fields)[:8]) or "none"
        raise _Bad(f"no field {name!r} (there are: {there})") from None


def _name(fields: dict[str, Any], name: str) -> str:
    """The label or group as text."""
    match value := _value(fields, name):
        case str():
            return value.strip()
        case bool():  # before int: a bool is one in Python
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if value.is_integer() and abs(value) <= _EXACT:
            return str(int(value))
        case _:
            raise _Bad(f"field {name!r} is {_shown(value)}, not a string, a whole number or a boolean")


def _shown(value: Any) -> str:
    """`a number (2.5)`: the type as JSON calls it and, where that says more, the value."""
    if value is None:
        return "null"
    kind = _KINDS[type(value)]
    return f"{kind} ({value})" if isinstance(value, int | float) else kind
