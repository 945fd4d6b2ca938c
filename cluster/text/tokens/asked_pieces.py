"""Questions and their contexts in a pretrained model's own tokens, each with the characters that it stands for.

A document is what the model expects of two texts, such as `[CLS] question [SEP] context [SEP]`; the special tokens come
later (`Encoder.documents`). An answer begins and ends with a token, as in transformers; tokens that share a character
(bytes of one letter) go together, and tokens of white space alone are no place for an answer. Here these are the words
of a context.

B documents, N tokens of all of them together, M tokens with the special ones.
"""

import unicodedata
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cluster.config.layout import Pair
from cluster.config.pretrained import names_of
from cluster.data.windows import CONTEXT, MAY_END, MAY_START, NOWHERE, QUESTION
from cluster.text.raw.asked import Question
from cluster.text.tokens.asked import CONTEXTS_KEPT, Located, Marked, Words, spans_of
from cluster.text.tokens.found import encodable
from cluster.text.tokens.model import loaded
from cluster.text.tokens.numbering import Numbered, Numbers

TYPES = ("first text", "second text")
"""Names of the token types: type i is row i + 1 beside the tokens."""
PART = 3
"""The bits of a tag that tell the part, QUESTION or CONTEXT; the flags of `data/windows.py` stand above them."""
NO_PIECE = ""
"""The name of a token that no vocabulary has: the model's unknown one."""


class Context(NamedTuple):
    """The tokens of a context by name, where an answer may begin and end, and the characters of these places."""

    names: list[str]
    flags: list[int]
    places: Words


def placed(text: str, offsets: Iterable[tuple[int, int]]) -> tuple[list[int], Words]:
    """The flags of tokens with these characters of a text, first and behind the last, and its places for answers."""
    flags: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    last = 0
    for start, end in offsets:
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        while start < end < len(text) and unicodedata.combining(text[end]):  # accents that BERT's normaliser drops
            end += 1
        if start == end:
            flags.append(0)
            continue
        if ends and start < ends[-1]:
            flags[last] &= ~MAY_END
            flags.append(MAY_END)
            ends[-1] = max(ends[-1], end)
        else:
            flags.append(MAY_START | MAY_END)
            starts.append(start)
            ends.append(end)
        last = len(flags) - 1
    return flags, Words([text[start:end] for start, end in zip(starts, ends, strict=True)], starts, ends)


class QuestionPieces:
    """Numbers the tokens of questions and contexts. Raises RecipeError for a tokenizer that cannot be read."""

    by_spacy = False

    def __init__(self, contents: Mapping[str, Any]) -> None:
        self._names = names_of(contents)
        self._tokenizer = loaded(contents)
        self._context = lru_cache(CONTEXTS_KEPT)(self._read)

    def locate(self, question: Question) -> Located:
        """The question with the places of its context, and of its answers."""
        places = self._context(question.context).places
        return Located(question, places, spans_of(question, places))

    def number(self, documents: Iterable[Question]) -> tuple[Numbered, list[str], list[Located]]:
        """The documents, the distinct tokens in the order of their appearance, and the questions with their places.
        Tags are parts, with the flags of places above."""
        forms = Numbers()
        tokens, lengths, tags, found = array("I"), array("I"), array("B"), []
        for question in documents:
            asked = [self._names[one] for one in self._encoded(encodable(question.question)).ids]
            context = self._context(question.context)
            found.append(self.locate(question))
            lengths.append(len(asked) + len(context.names))
            tokens.extend(forms[name] for name in asked + context.names)
            tags.extend([QUESTION] * len(asked))
            tags.extend(CONTEXT | flags for flags in context.flags)
        numbered = Numbered(
            tokens_N=np.array(tokens, dtype=np.uint32),
            lengths_B=np.array(lengths, dtype=np.uint32),
            cut_B=np.zeros(len(lengths), dtype=np.bool_),
            tags_N=np.array(tags, dtype=np.uint8),
        )
        return numbered, forms.names, found

    def _read(self, text: str) -> Context:
        text = encodable(text)
        encoded = self._encoded(text)
        flags, places = placed(text, encoded.offsets)
        if places.words:
            return Context([self._names[one] for one in encoded.ids], flags, places)
        # Of letters that the model's normaliser drops nothing is left: an answer still needs a place.
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        return Context([NO_PIECE], [MAY_START | MAY_END], Words([text[start:end]], [start], [end]))

    def _encoded(self, text: str) -> Any:
        return self._tokenizer.encode(text, add_special_tokens=False)


def paired(
    tokens_N: npt.NDArray[np.uint32], lengths_B: npt.NDArray[np.uint32], tags_N: npt.NDArray[np.uint8], pair: Pair
) -> Marked:
    """Puts the model's special tokens (rows of the vocabulary) into documents as `QuestionPieces` tags them; their
    token types, from 1, stand beside."""
    before, between, after = pair.marks
    ends = np.cumsum(lengths_B, dtype=np.int64)
    starts = ends - lengths_B
    context = (tags_N & PART) == CONTEXT
    of_document = np.repeat(np.arange(lengths_B.size), lengths_B)
    asked = np.bincount(of_document[~context], minlength=lengths_B.size)
    places = np.repeat(np.stack([starts, starts + asked, ends], axis=1), pair.marks, axis=1).reshape(-1)
    types = np.array(pair.types, dtype=np.uint8) + np.uint8(1)
    first, second = types[before], types[before + 1 + between]
    around = np.delete(types, [before, before + 1 + between])
    nowhere = np.zeros(before + between + after, dtype=np.uint16)
    nowhere[0] = NOWHERE

    def put(values_N: npt.NDArray[Any], special: Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.insert(values_N, places, np.tile(np.asarray(special, dtype=values_N.dtype), lengths_B.size))

    return Marked(
        put(tokens_N, pair.before + pair.between + pair.after),
        lengths_B + np.uint32(before + between + after),
        put(np.where(context, second, first), around),
        (asked + before + between).astype(np.uint32),
        put((tags_N & (MAY_START | MAY_END)).astype(np.uint16), nowhere),
    )
