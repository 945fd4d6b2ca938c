"""Questions and their contexts as words: numbered one by one, with the characters of the context that each stands for.

A document is the words of a question, then those of its context. Between them stand marks, which come later
(`Encoder.documents`): `<begin> question <between> context`.

B documents, N words of all of them together, M pieces of words and marks.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Text
from cluster.data.windows import BEGIN, CONTEXT, MAY_END, MAY_START, NOWHERE, QUESTION, SHARED
from cluster.text.raw.asked import Question
from cluster.text.tokens.affixes import LANE_BITS, affixes_of
from cluster.text.tokens.found import encodable
from cluster.text.tokens.given import RawSplits, form_of
from cluster.text.tokens.numbering import Numbered, Numbers

PARTS = ("mark", "question", "context", "shared")
"""Names of what may stand beside a word: part i is row i + 1. A shared word of the context is one of the question."""
CONTEXTS_KEPT = 64
"""Questions about one context follow one another in most files: it is split once."""

Flags = npt.NDArray[np.uint16]


class Words(NamedTuple):
    """The words of a text, where each begins, and where it ends: characters, the end behind the last."""

    words: Sequence[str]
    starts: Sequence[int]
    ends: Sequence[int]

    def covering(self, start: int, end: int) -> tuple[int, int]:
        """First and last of the fewest words that hold these characters (white space around them does not count)."""
        first, last = bisect_right(self.ends, start), bisect_left(self.starts, end) - 1
        # Between words there may be letters that a model's tokenizer drops: then it is the word before them.
        return min(first, max(last, 0)), max(last, 0)


def located(text: str, words: Sequence[str]) -> Words:
    """Words with their places: they follow one another in the text, with nothing but white space between."""
    starts, at = [], 0
    for word in words:
        starts.append(text.index(word, at))
        at = starts[-1] + len(word)
    return Words(words, starts, [start + len(word) for start, word in zip(starts, words, strict=True)])


@dataclass(frozen=True)
class Located:
    """A question with the words of its context and, of each reference, the first and the last word that cover it."""

    question: Question
    context: Words
    spans: tuple[tuple[int, int], ...]

    @property
    def widened(self) -> bool:
        """Does an answer begin or end inside a word?"""
        pairs = zip(self.question.references, self.spans, strict=True)
        return any(
            self.context.starts[first] < start + _blank_before(text)
            or self.context.ends[last] > start + len(text.rstrip())
            for (text, start), (first, last) in pairs
        )

    def to_json(self) -> list[Any]:
        """What a part on the disk keeps of it."""
        asked, words = self.question, self.context
        answers = [text for text, _ in asked.references]
        spans = [list(span) for span in self.spans]
        places = list(words.starts), list(words.ends)
        return [asked.id, asked.question, asked.context, *places, answers, spans, self.widened]


def _blank_before(text: str) -> int:
    return len(text) - len(text.lstrip())


def spans_of(question: Question, context: Words) -> tuple[tuple[int, int], ...]:
    """First and last word of each reference."""
    return tuple(
        context.covering(start + _blank_before(text), start + len(text.rstrip())) for text, start in question.references
    )


class QuestionWords:
    """Numbers the words of questions and contexts, each in the form of the settings, as `GivenWords` does."""

    by_spacy = False

    def __init__(self, text: Text) -> None:
        self._text = text
        self._splits = RawSplits(text)
        self._form: Callable[[str], str] = form_of(text)
        self._context = lru_cache(CONTEXTS_KEPT)(self._words)

    def locate(self, question: Question) -> Located:
        """Raises RecipeError if what splits texts is not there."""
        context = self._context(question.context)
        return Located(question, context, spans_of(question, context))

    def number(self, documents: Iterable[Question]) -> tuple[Numbered, list[str], list[Located]]:
        """The documents, the distinct forms in the order of their appearance, and the questions with their words."""
        forms = Numbers()
        known: dict[str, tuple[int, int]] = {}
        tokens, lengths, beside, found = array("I"), array("I"), array("Q"), []
        for question in documents:
            asked = self._words(question.question).words
            found.append(self.locate(question))
            lengths.append(len(asked) + len(found[-1].context.words))
            numbers = [self._numbered(word, forms, known) for word in asked]
            shared = {number for number, _ in numbers}
            for number, affixes in numbers:
                tokens.append(number)
                beside.append(affixes | QUESTION)
            for word in found[-1].context.words:
                number, affixes = self._numbered(word, forms, known)
                tokens.append(number)
                beside.append(affixes | (SHARED if number in shared else CONTEXT))
        tags = np.array(beside, dtype=np.uint64)
        numbered = Numbered(
            tokens_N=np.array(tokens, dtype=np.uint32),
            lengths_B=np.array(lengths, dtype=np.uint32),
            cut_B=np.zeros(len(lengths), dtype=np.bool_),
            tags_N=tags if self._text.affixes else tags.astype(np.uint8),
        )
        return numbered, forms.names, found

    def _words(self, text: str) -> Words:
        return located(encodable(text), self._splits.words(text) or [text.strip()])

    def _numbered(self, word: str, forms: Numbers, known: dict[str, tuple[int, int]]) -> tuple[int, int]:
        try:
            return known[word]
        except KeyError:
            found = forms[self._form(word)], affixes_of(word) if self._text.affixes else 0
            return known.setdefault(word, found)


class Marked(NamedTuple):
    """Documents with their marks: `<begin> question <between> context`."""

    tokens_M: npt.NDArray[np.uint32]
    lengths_B: npt.NDArray[np.uint32]
    beside_M: npt.NDArray[Any]
    contexts_B: npt.NDArray[np.uint32]
    """Tokens before the context: marks and question."""
    flags_M: Flags
    """Where an answer may begin and end (at the first, and the last, piece of a word of the context), and the place
    that says that there is none (`data/windows.py`)."""


def marked(
    tokens_N: npt.NDArray[np.uint32],
    lengths_B: npt.NDArray[np.uint32],
    beside_N: npt.NDArray[Any],
    begins_N: npt.NDArray[np.bool_],
    marks: tuple[int, int],
) -> Marked:
    """Puts the two marks (rows of the vocabulary) into documents whose pieces `begins_N` says begin a word."""
    starts = np.cumsum(lengths_B, dtype=np.int64) - lengths_B
    parts = part_of(beside_N)
    context = parts >= CONTEXT
    ends = np.append(begins_N[1:], True)
    flags = (context & begins_N) * np.uint16(MAY_START) | (context & ends) * np.uint16(MAY_END)
    of_document = np.repeat(np.arange(lengths_B.size), lengths_B)
    asked = np.bincount(of_document[~context], minlength=lengths_B.size)
    # Where a question has no piece (byte-pair encoding of letters that it normalises away), both marks stand together.
    places = np.stack([starts, starts + asked], axis=1).reshape(-1)
    mark = np.asarray(BEGIN, dtype=beside_N.dtype)
    return Marked(
        np.insert(tokens_N, places, np.tile(np.array(marks, dtype=np.uint32), lengths_B.size)),
        lengths_B + np.uint32(2),
        np.insert(beside_N, places, mark),
        (asked + 2).astype(np.uint32),
        np.insert(flags, places, np.tile(np.array([NOWHERE, 0], dtype=np.uint16), lengths_B.size)),
    )


def part_of(beside: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The row of the part alone, where affixes stand in the higher lanes."""
    return beside if beside.dtype != np.uint64 else beside & np.uint64((1 << LANE_BITS) - 1)
