"""Questions about a context, as SQuAD has them (rajpurkar.github.io/SQuAD-explorer): v1.1, v2.0, and rows of the same.

A file of SQuAD is one object, `{"data": [{"title", "paragraphs": [{"context", "qas": [...]}]}]}`, which is read article
by article. In JSON lines and tables a row is one question; its answers are a list of `{"text", "answer_start"}`, or, as
Hugging Face `datasets` has them, `{"text": [...], "answer_start": [...]}`. Starts are characters, from 0. Plausible
answers (v2.0) are no answers, and are passed over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cluster.errors import DataError
from cluster.text.raw.arrays import JsonCharacters
from cluster.text.raw.lines import pieces

IMPOSSIBLE, ID = "is_impossible", "id"
"""Fields that a row may have besides: is there no answer, and what the question is called."""
SHOWN = 40


class Reference(NamedTuple):
    """An answer, and the character of the context that it begins with."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a context. Without references there is no answer, or none is known."""

    question: str
    context: str
    id: str = ""
    references: tuple[Reference, ...] = ()


class Asked(NamedTuple):
    """What stands in the place of a row's text: a question as its file has it."""

    question: Any
    context: Any
    id: Any = ""
    impossible: Any = None
    place: str = ""
    """Where in the file it stands, in words; empty if its line says so."""


class BadQuestion(Exception):
    """Why a question cannot be read."""


def is_squad(path: Path) -> bool:
    """Is a `.json` file an object that holds articles? Its first key that holds a list is "data" then."""
    first = b""
    for piece in pieces(path, 1 << 12):
        first += piece
        if len(first) >= 1 << 12:
            break
    return first.lstrip().startswith(b"{") and (b'"data"' in first or b'"paragraphs"' in first)


def squad_questions(path: Path) -> Iterator[tuple[int, Asked, Any, str]]:
    """Number from 1, question, answers and title of each question of a file.

    Raises DataError: broken JSON, an object without articles, or an article that is none.
    """
    number = 0
    for place, article in enumerate(_articles(path), start=1):
        title, paragraphs = _within(path, f"article {place}", article, "paragraphs")
        for row, paragraph in enumerate(paragraphs, start=1):
            where = f"article {place} {title!r}, paragraph {row}" if title else f"article {place}, paragraph {row}"
            _, questions = _within(path, where, paragraph, "qas")
            for one in questions:
                number += 1
                fields: Mapping[str, Any] = one if isinstance(one, dict) else {}
                asked = Asked(
                    fields.get("question"),
                    paragraph.get("context"),
                    fields.get(ID, ""),
                    fields.get(IMPOSSIBLE),
                    f"{where}, question {str(fields.get(ID, number))[:SHOWN]}",
                )
                yield number, asked, fields.get("answers"), title


def _articles(path: Path) -> Iterator[Any]:
    reader = JsonCharacters(path)
    reader.take("{")
    met = False
    while reader.peek() not in ("}", ""):
        key = reader.element(0)
        reader.take(":")
        if key == "data":
            met = True
            yield from reader.array()
        else:
            reader.element(0)
        if reader.peek() == ",":
            reader.take(",")
    reader.take("}")
    if not met:
        raise DataError(f'{path} is an object without "data", which holds the articles of a file of SQuAD.')


def _within(path: Path, where: str, found: Any, key: str) -> tuple[str, list[Any]]:
    """The title and the list of an article or a paragraph."""
    items = found.get(key) if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise DataError(f"{path}: {where} holds no list {key!r}, as those of SQuAD do.")
    title = found.get("title", "")
    return (title if isinstance(title, str) else ""), items


def question_of(asked: Asked, answers: Any, names: tuple[str, str, str]) -> Question:
    """The question, its answers checked against the context. Raises BadQuestion.

    `names` are those of the fields of question, context and answers.
    """
    try:
        return _question_of(asked, answers, names)
    except BadQuestion as bad:
        raise BadQuestion(f"{asked.place}: {bad}" if asked.place else str(bad)) from None


def _question_of(asked: Asked, answers: Any, names: tuple[str, str, str]) -> Question:
    for name, value in zip(names, (asked.question, asked.context), strict=False):
        if not isinstance(value, str):
            raise BadQuestion(f"field {name!r} is not a string")
        if not value.strip():
            raise BadQuestion(f"empty text (field {name!r})")
    references = tuple(_references(answers, asked.context, names[2]))
    if asked.impossible not in (None, True, False):
        raise BadQuestion(f"field {IMPOSSIBLE!r} is {asked.impossible!r:.40}, not true or false")
    if asked.impossible and references:
        raise BadQuestion(f"{IMPOSSIBLE!r} is true, but there are answers (field {names[2]!r})")
    if asked.impossible is False and not references:
        raise BadQuestion(f"{IMPOSSIBLE!r} is false, but there is no answer (field {names[2]!r})")
    if not isinstance(asked.id, str | int) or isinstance(asked.id, bool):
        raise BadQuestion(f"field {ID!r} is no string")
    return Question(asked.question, asked.context, str(asked.id), references)


def _references(answers: Any, context: str, name: str) -> Iterator[Reference]:
    for one in _each(answers, name):
        text, start = (one.get("text"), one.get("answer_start")) if isinstance(one, dict) else (None, None)
        if not isinstance(text, str) or isinstance(start, bool) or not isinstance(start, int):
            raise BadQuestion(f"an answer (field {name!r}) needs text and answer_start, a whole number: {one!r:.80}")
        if not text.strip():
            raise BadQuestion(f"an answer (field {name!r}) is empty")
        if start < 0 or context[start : start + len(text)] != text:
            there = context[max(start, 0) : max(start, 0) + min(len(text), SHOWN)]
            raise BadQuestion(
                f"the answer {text[:SHOWN]!r} does not stand at answer_start {start} (characters, from 0), where the "
                f"context has {there!r}"
            )
        yield Reference(text, start)


def _each(answers: Any, name: str) -> list[Any]:
    if isinstance(answers, dict):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
            return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
        if isinstance(texts, str):
            return [answers]
        raise BadQuestion(f"field {name!r} needs two lists of equal length, text and answer_start")
    if not isinstance(answers, list):
        raise BadQuestion(f"field {name!r} is not a list of answers; one without an answer is empty, []")
    return answers
