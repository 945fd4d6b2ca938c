"""One row: from its bytes or values to text, labels, target and group, or the reason why not."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from cluster.config.schema import Data
from cluster.config.tasks import TaskKind
from cluster.text.keys import text_key
from cluster.text.raw import conll
from cluster.text.raw.asked import ID, IMPOSSIBLE, Asked, BadQuestion, Question, question_of

Values = tuple[Any, Any, Any, Any]
"""Text (or Asked), label, group and predicate of a row as its file has them, typed as JSON types them; group is "" and
predicate None if none is asked for. In the label's place stands the text to be written, to rewrite."""

Labelled = Literal["classify", "multilabel", "regress", "tag"]
"""Tasks whose rows have labels."""

_BEYOND_EXACT = 11  # bits of a key that a float has no room for
_EXACT = 2**53  # the whole numbers up to here are exact as floats; above, 3.0e20 does not name one label

_KINDS = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}

# what `float` takes is more than what people write: "1_000", "nan", digits of other scripts
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)

NO_PREDICATE = -1
_LABEL = "__label__"
# fastText's words end at these, and nowhere else (github.com/facebookresearch/fastText, Dictionary::readWord)
_LABELS = re.compile(r"(?:^|(?<=[ \t\r\v\f\n\0]))__label__([^ \t\r\v\f\n\0]*)[ \t\r\v\f\n\0]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One readable row. `labels` and `target` are what the task asks for."""

    line: int
    """Its first line in the file, from 1; where a file has no lines, the number of the row."""
    text: str
    labels: tuple[str, ...]
    """Exactly one to classify; any number, none twice, for multilabel; none to regress, to answer, to rewrite or for
    language; one a word to tag."""
    target: float
    """The number to predict (regress); bytes of the text (language); where the first answer begins, or -1 (answer); a
    number that equal texts to be written share (rewrite); else 0."""
    group: str
    """Empty without one."""
    words: tuple[str, ...] = ()
    """Those of the text, to tag; else none."""
    predicate: int = NO_PREDICATE
    """The place of the marked word, from 0."""
    written: str = ""
    """The text to be written, to rewrite."""
    question: Question | None = None
    """To answer; the text is question and context then, a line each."""

    @property
    def identity(self) -> str:
        """What rows that say the same have in common: the text, and which of its words is marked."""
        return self.text if self.predicate == NO_PREDICATE else f"{self.text} {self.predicate}"


class _Bad(Exception):
    """Why a row cannot be read; never leaves this file."""


def json_row(number: int, line: bytes, data: Data, task: TaskKind) -> Row | str:
    """The row on one line of a JSON lines file, or what is wrong with it."""
    try:
        values = _picked(_json_object(line), data)
        return _row(number, values, data, task, "a lone surrogate, which is no character")
    except _Bad as bad:
        return str(bad)


def values_row(number: int, values: Values, data: Data, task: TaskKind) -> Row | str:
    """The row of these values (cells, columns, fields of a JSON array's element), or what is wrong with it.

    Bytes that are no UTF-8 are surrogates in them.
    """
    try:
        return _row(number, values, data, task, "invalid UTF-8 or a lone surrogate")
    except _Bad as bad:
        return str(bad)


def txt_row(number: int, line: bytes, label: str | None, data: Data, task: TaskKind) -> Row | str:
    """The row on one line (or in the whole) of a text file, or what is wrong with it.

    `label` is that of the whole file; None: the line has its own, as fastText writes them.
    """
    try:
        text = _decoded(line)
        if label is not None:
            if data.label and text.startswith(_LABEL):
                raise _Bad(f"begins with {_LABEL}, but {label!r}, from the file's name or folder, labels all of it")
            if task == "regress" and not is_number(label):
                raise _Bad(
                    f"no number to predict: {label!r} is none. A line of text has it as {_LABEL}2.5 before the text"
                )
            return _row(number, (text, label, "", None), data, task, "invalid UTF-8")
        found: list[str] = _LABELS.findall(text)
        if not found:
            raise _Bad(f"no {_LABEL}, which the file's first line has")
        value = _one(found) if task != "multilabel" else found
        return _row(number, (_LABELS.sub("", text), value, "", None), data, task, "invalid UTF-8")
    except _Bad as bad:
        return str(bad)


def sentence_rows(number: int, raw: bytes, kind: conll.Kind, data: Data, task: TaskKind) -> list[Row] | str:
    """The rows of a sentence in columns, or what is wrong with it."""
    if task != "tag":
        return f'a file of words with labels; only task.kind = "tag" reads it, and this is "{task}"'
    try:
        return [
            _row(one.line, (one.words, one.labels, "", one.predicate), data, task, "a lone surrogate")
            for one in conll.tagged(number, raw, kind, data)
        ]
    except (_Bad, conll.BadSentence) as bad:
        return str(bad)


def pick(fields: Any, data: Data) -> Values | str:
    """What `data` asks for from one element of a JSON array, or why it cannot be had."""
    try:
        if not isinstance(fields, dict):
            raise _Bad(f"the element is {_shown(fields)}, not an object")
        return _picked(fields, data)
    except _Bad as bad:
        return str(bad)


def _picked(fields: dict[str, Any], data: Data) -> Values:
    if data.question:
        question, context, answers = (_value(fields, name) for name in (data.question, data.text, data.label))
        asked = Asked(question, context, fields.get(ID, ""), fields.get(IMPOSSIBLE))
        return asked, answers, _value(fields, data.group) if data.group else "", None
    group = _value(fields, data.group) if data.group else ""
    predicate = _value(fields, data.predicate) if data.predicate else None
    text, label = _value(fields, data.text), aim_field(data)
    return text, _value(fields, label) if label else "", group, predicate


def aim_field(data: Data) -> str:
    """The name of the field with what is to be predicted; empty if there is none."""
    return data.target or data.label


def _row(number: int, values: Values, data: Data, task: TaskKind, no_text: str) -> Row:
    text, label, group, predicate = values
    if task == "answer":
        return _asked_row(number, values, data, no_text)
    words: tuple[str, ...] = ()
    if task == "tag":
        words = _words(text, data.text)
        text = " ".join(words)
    if not isinstance(text, str):
        raise _Bad(f"field {data.text!r} is {_shown(text)}, not a string")
    written = _written(label, data) if task == "rewrite" else ""
    labels, target = ((), 0.0) if task == "language" or task == "rewrite" else _aim(label, data, task)
    if task == "tag" and len(labels) != len(words):
        raise _Bad(f"{len(words)} words (field {data.text!r}), but {len(labels)} labels (field {data.label!r})")
    group = _name(group, data.group)
    given = ((data.text, text), (data.target, written), *((data.label, one) for one in labels), (data.group, group))
    for name, value in given:
        if not _is_unicode(value):
            raise _Bad(f"field {name!r} holds {no_text}")
    if not text or text.isspace():
        raise _Bad(f"empty text (field {data.text!r})")
    if not all(labels):
        raise _Bad(f"empty label (field {data.label!r})")
    if task == "language":
        target = float(len(text.encode()))
    if task == "rewrite":
        target = float(text_key(written) >> _BEYOND_EXACT)
    marked = NO_PREDICATE if predicate is None else _place(predicate, data.predicate, len(words))
    return Row(number, text, labels, target, group, words, marked, written)


def _written(value: Any, data: Data) -> str:
    if not isinstance(value, str):
        raise _Bad(f"field {data.target!r} is {_shown(value)}, not a string")
    if not value or value.isspace():
        raise _Bad(f"empty text (field {data.target!r})")
    return value


def _asked_row(number: int, values: Values, data: Data, no_text: str) -> Row:
    asked, answers, group, _ = values
    if not isinstance(asked, Asked):
        raise _Bad('task.kind = "answer" reads files of SQuAD, JSON lines and tables with questions, not plain text')
    try:
        found = question_of(asked, answers, (data.question, data.text, data.label))
    except BadQuestion as bad:
        raise _Bad(str(bad)) from None
    group = _name(group, data.group) or found.context
    for name, value in ((data.question, found.question), (data.text, found.context), (data.group, group)):
        if not _is_unicode(value):
            raise _Bad(f"field {name!r} holds {no_text}")
    start = float(found.references[0].start) if found.references else -1.0
    return Row(number, f"{found.question}\n{found.context}", (), start, group, question=found)


def _words(value: Any, name: str) -> tuple[str, ...]:
    """A list of words, none of them white space alone."""
    if not isinstance(value, list):
        raise _Bad(f"field {name!r} is {_shown(value)}, not a list of words")
    for place, word in enumerate(value):
        if not isinstance(word, str) or not word.strip():
            what = _shown(word) if not isinstance(word, str) else "without a letter or sign"
            raise _Bad(f"word {place} of field {name!r} is {what}")
    if not value:
        raise _Bad(f"field {name!r} holds no word")
    return tuple(value)


def _place(value: Any, name: str, words: int) -> int:
    """The place of a word among so many."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Bad(f"field {name!r} is {_shown(value)}, not the place of the predicate among the words")
    if not 0 <= value < words:
        raise _Bad(f"field {name!r} is {value}, but the {words} words stand at 0 to {words - 1}")
    return value


def _aim(label: Any, data: Data, task: Labelled) -> tuple[tuple[str, ...], float]:
    """Labels and target, whichever the task has."""
    match task:
        case "classify" if isinstance(label, list):
            raise _Bad(f'field {data.label!r} is a list; only task.kind = "multilabel" takes several labels')
        case "classify" if isinstance(label, float) and math.isfinite(label) and not label.is_integer():
            raise _Bad(f'field {data.label!r} is a number ({label}); only task.kind = "regress" takes those')
        case "classify":
            return (_name(label, data.label),), 0.0
        case "multilabel":
            return _names(label, data), 0.0
        case "regress":
            return (), _target(label, data.label)
        case "tag" if not isinstance(label, list):
            raise _Bad(f"field {data.label!r} is {_shown(label)}, not a list of labels, one a word")
        case "tag":
            wanted = "a list of strings, whole numbers and booleans"
            return tuple(_name(one, data.label, wanted, "holds") for one in label), 0.0
        case _:
            assert_never(task)


def _names(value: Any, data: Data) -> tuple[str, ...]:
    """A list of labels, or one string of several; each label once."""
    if isinstance(value, list):
        names = [_name(one, data.label, "a list of strings, whole numbers and booleans", "holds") for one in value]
    elif isinstance(value, str):
        names = [part for part in map(str.strip, value.split(data.label_separator)) if part]
    else:
        names = [_name(value, data.label, "a list of labels or a string of them")]
    return tuple(dict.fromkeys(names))


def _target(value: Any, name: str) -> float:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise _Bad(f"field {name!r} is {value[:40]!r}, not a number")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _Bad(f"field {name!r} is {_shown(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:  # of a whole number with more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise _Bad(f"field {name!r} is {str(value)[:40]}, not a finite number")
    return number


def is_number(text: str) -> bool:
    """Would `task.kind = "regress"` take this as a number?"""
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def _one(found: Sequence[str]) -> str:
    if len(found) > 1:
        raise _Bad(f'{len(found)} labels on one line; only task.kind = "multilabel" takes several')
    return found[0]


def _is_unicode(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _Bad(f"invalid UTF-8 at byte {error.start + 1}") from None


def _json_object(line: bytes) -> dict[str, Any]:
    """The object on a line of a JSON lines file."""
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


def _name(value: Any, name: str, wanted: str = "a string, a whole number or a boolean", verb: str = "is") -> str:
    """The label or group as text."""
    match value:
        case str():
            return value.strip()
        case bool():  # before int: a bool is one in Python
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if value.is_integer() and abs(value) <= _EXACT:
            return str(int(value))
        case _:
            raise _Bad(f"field {name!r} {verb} {_shown(value)}, not {wanted}")


def _shown(value: Any) -> str:
    """`a number (2.5)`: the type as JSON calls it and, where that says more, the value."""
    if value is None:
        return "null"
    kind = _KINDS.get(type(value), type(value).__name__)
    return f"{kind} ({value})" if isinstance(value, int | float) else kind
