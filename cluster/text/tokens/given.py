"""Words that are given, not found in a text: numbered one by one, with what stands beside each.

B documents, N words of all of them together.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Data, Text
from cluster.config.tasks import TaskKind
from cluster.text.tokens.affixes import affixes_of
from cluster.text.tokens.found import encodable
from cluster.text.tokens.numbering import Numbered, Numbers, splits_of
from cluster.text.tokens.pieces import stretch_of

Input = Literal["text", "language", "pairs", "words", "predicate", "question"]
"""What documents are: texts; texts of which a language model learns; pairs of a text and one that is to be written of
it; words that are given; words that are given, one of which is marked; questions about a context."""
GIVEN: tuple[Input, ...] = ("words", "predicate")
WORD_MARKS = ("word", "predicate")
"""Names of the marks: mark i is row i + 1 beside the words."""
WORD, PREDICATE = 1, 2
NOWHERE = -1


class Words(NamedTuple):
    """The words of a document, and the place of the marked one."""

    words: Sequence[str]
    predicate: int = NOWHERE


def input_of(data: Data, task: TaskKind) -> Input:
    """What a recipe's documents are."""
    match task:
        case "tag":
            return "predicate" if data.roles or data.predicate else "words"
        case "rewrite":
            return "pairs"
        case "language":
            return "language"
        case "answer":
            return "question"
        case _:
            return "text"


class GivenWords:
    """Numbers words as they are given, each in the form of the settings: in lower case, or as a stretch of letters for
    bytes where pieces of words are learned."""

    by_spacy = False

    def __init__(self, text: Text, marked: bool) -> None:
        self._text, self._marked = text, marked
        self.form: Callable[[str], str] = form_of(text)
        """What becomes of a word."""

    def number(self, documents: Iterable[Words]) -> tuple[Numbered, list[str]]:
        """The documents, cut to `text.max_tokens` words, and the distinct forms in the order of their appearance."""
        forms = Numbers()
        known: dict[str, tuple[int, int]] = {}
        tokens, lengths, beside = array("I"), array("Q"), array("Q")
        limit = self._text.max_tokens
        for words, predicate in documents:
            lengths.append(len(words))
            for place, word in enumerate(words[:limit]):
                try:
                    number, affixes = known[word]
                except KeyError:
                    number = forms[self.form(encodable(word))]
                    affixes = affixes_of(word) if self._text.affixes else 0
                    known[word] = number, affixes
                tokens.append(number)
                if self._marked:
                    affixes |= PREDICATE if place == predicate else WORD
                beside.append(affixes)
        whole = np.array(lengths, dtype=np.uint64)
        return (
            Numbered(
                tokens_N=np.array(tokens, dtype=np.uint32),
                lengths_B=np.minimum(whole, limit).astype(np.uint32),
                cut_B=whole > limit,
                tags_N=self._beside(beside),
            ),
            forms.names,
        )

    def _beside(self, found: "array[int]") -> npt.NDArray[Any] | None:
        if self._text.affixes:
            return np.array(found, dtype=np.uint64)
        return np.array(found, dtype=np.uint64).astype(np.uint8) if self._marked else None


def form_of(text: Text) -> Callable[[str], str]:
    """What becomes of a given word."""
    if text.tokens == "bpe":
        return stretch_of(text)
    return str.lower if text.lower else str


class RawSplits:
    """The words of raw texts, as they stand there, for a model whose words were given."""

    def __init__(self, text: Text) -> None:
        tokens = "words" if text.tokens in ("bpe", "model") else text.tokens
        self._splits = splits_of(replace(text, tokens=tokens, lower=False, affixes=False))

    def words(self, text: str) -> list[str]:
        """The words of a text. Raises RecipeError if what splits it is not there."""
        ((found, _),) = self._splits.each([text])
        return list(found)
