"""spaCy's tokens, as fast as a dictionary look-up for each distinct chunk of a text.

spaCy is imported when a text is met, not before: a training rank may load an encoder without having spaCy.
"""

import gc
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from cluster.config.schema import Text
from cluster.errors import RecipeError
from cluster.text.tokens.forms import Forms
from cluster.text.tokens.found import Found, Tokens, encodable
from cluster.text.tokens.numbering import MOST_CHUNKS, Numbered, number_each
from cluster.text.tokens.words.chunks import number_chunks
from cluster.text.tokens.words.last_pass import LastPass
from cluster.text.tokens.words.memory import UNKNOWN, Chunks, Memory, Words
from cluster.text.tokens.words.rules import Splits, rules_of

# From so many texts on, arrays are faster than a look-up for each chunk of each text.
TEXTS_FOR_COLUMNS = 32


class Tokenizer:
    """The tokens of spaCy's tokenizer for `text.language`, whitespace dropped, in the forms that the settings ask for.

    spaCy works on one whitespace-separated chunk after the other, so a chunk seen before need not be split again, and a
    new one is split by spaCy's rules without spaCy (`rules.py`). Its last pass alone is over the whole text. What it
    does to a chunk alone is done when the chunk is met; texts in which it may do something else are gone through one by
    one: those in which what stands around such a chunk matters, and those with a special case with a space in it.
    Languages with a tokenizer of another kind are left to spaCy, text by text.

    A language has endless distinct chunks (numbers, names, links): all are forgotten when a text finds `most_chunks` of
    them known. Not for use by several threads at once. Raises RecipeError for a language spaCy cannot tokenize here.
    """

    def __init__(self, text: Text, most_chunks: int = MOST_CHUNKS) -> None:
        from spacy.tokenizer import Tokenizer as SpacyTokenizer

        self._text, self._most_chunks = text, most_chunks
        self._rules: tuple[Splits, LastPass] | None = None
        # Chinese and its like have tokenizers of another kind, which are not about chunks.
        if type(blank(text).tokenizer) is SpacyTokenizer:
            self._rules = rules_of(lambda: blank(text).tokenizer)
        self._start()

    def __call__(self, text: str) -> list[str]:
        """The tokens of one text; none for a text of whitespace alone."""
        if self._rules is None:
            return self._forms(self._by_spacy(text))
        text = encodable(text)
        chunks = text.split()
        self.numbers(list(dict.fromkeys(chunks)))
        numbers = self._memory.find(chunks).tolist()
        spaced = self._rules[1].spaced
        if (spaced and spaced.search(text)) or not self._hiding.keys().isdisjoint(numbers):
            return self._forms(self._whole(text))
        return self._forms(token for number in numbers for token in self._memory.tokens(number))

    def each(self, texts: Iterable[str]) -> Iterator[Found]:
        """The tokens of one text after the other."""
        return ((self(text), b"") for text in texts)

    def number(self, texts: Sequence[str], limit: int) -> tuple[Numbered, list[str]]:
        """The texts' tokens as numbers, cut to `limit`, and the words that they are; see `numbering.number`."""
        if self._rules is None or len(texts) < TEXTS_FOR_COLUMNS:
            return number_each(self.each(texts), limit)
        plain = [text if text.isascii() else encodable(text) for text in texts]
        return number_chunks(plain, self, limit)

    def numbers(self, chunks: Sequence[str]) -> Chunks:
        """The number of each of the distinct chunks. Forgets all chunks first if too many are known."""
        if len(self._memory) >= self._most_chunks:
            self._start()
        found = self._memory.find(chunks)
        new = np.flatnonzero(found == UNKNOWN)
        if new.size:
            with _no_collection():
                found[new] = self._learn(list(map(chunks.__getitem__, new.tolist())))
        return found

    def words(self, numbers: Chunks) -> tuple[Words, Chunks]:
        """The words of these chunks, as numbers; see `Memory.words`."""
        return self._memory.words(numbers)

    @property
    def by_spacy(self) -> bool:
        """Is the tokenizer of this language of another kind, so that each text goes through spaCy's own?"""
        return self._rules is None

    @property
    def names(self) -> Sequence[str]:
        """All words."""
        return self._memory.names

    @property
    def hiding(self) -> Mapping[int, object]:
        """Chunks that hold a special case across affixes."""
        return self._hiding

    def depends(self, before: int | None, number: int, behind: int | None) -> bool:
        """May such a chunk have other tokens between these two than it has alone?"""
        hidden = self._hiding[number]
        return (before is not None and not hidden.before.isdisjoint(self._raw(before)[-1:])) or (
            behind is not None and not hidden.behind.isdisjoint(self._raw(behind)[:1])
        )

    def needs_whole(self, texts: Sequence[str]) -> Sequence[bool] | None:
        """Which texts hold a special case with a space; None where the language has no such case."""
        assert self._rules is not None
        spaced = self._rules[1].spaced
        return None if spaced is None else [spaced.search(text) is not None for text in texts]

    def whole(self, text: str) -> int:
        """The number of a chunk that has the tokens of a text, the chunks of which are known."""
        return self._memory.keep_text(self._whole(text))

    def _whole(self, text: str) -> Tokens:
        assert self._rules is not None
        return self._rules[1](text, self._raw_of_chunk)

    def _start(self) -> None:
        """Nothing is known of any chunk."""
        language = blank(self._text)
        self._spacy: Any = language.tokenizer
        self._forms = Forms(language, self._text)
        self._memory = Memory(self._forms.each, self._rules[1].marks if self._rules else ())
        self._hiding: dict[int, _Hidden] = {}
        self._texts = 0

    def _learn(self, chunks: Sequence[str]) -> Chunks:
        """Remembers distinct chunks not met before; their numbers."""
        assert self._rules is not None
        splits, last_pass = self._rules
        first = self._memory.keep(chunks, splits(chunks))
        numbers = np.arange(first, first + len(chunks))
        for number in self._memory.marked(first):
            raw = self._memory.tokens(number)
            if last_pass.changes(raw):
                chunk = chunks[number - first]
                numbers[number - first] = other = self._memory.keep_other(
                    chunk, last_pass(chunk, {chunk: raw}.__getitem__)
                )
                self._hiding[other] = _Hidden(raw, *last_pass.neighbours(raw))
        return numbers

    def _raw(self, number: int) -> Tokens:
        """The tokens of a chunk before the last pass."""
        hidden = self._hiding.get(number)
        return self._memory.tokens(number) if hidden is None else hidden.tokens

    def _raw_of_chunk(self, chunk: str) -> Tokens:
        (number,) = self._memory.find([chunk]).tolist()
        return self._raw(number)

    def _by_spacy(self, text: str) -> list[str]:
        self._texts += 1
        if self._texts >= self._most_chunks:  # spaCy's string store never shrinks
            self._start()
        return [token.text for token in self._spacy(encodable(text)) if not token.text.isspace()]


@dataclass(frozen=True, slots=True)
class _Hidden:
    """A chunk that the last pass changes."""

    tokens: Tokens
    """Before it."""
    before: frozenset[str]
    behind: frozenset[str]
    """Next to which tokens it may be changed otherwise than alone."""


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the search for cycles, of which a hundred thousand strings make none: it takes a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def blank(text: Text) -> Any:
    """spaCy's blank pipeline for `text.language` and `text.tokens`. Raises RecipeError if it cannot be had here."""
    import spacy

    jieba = text.tokens == "jieba"
    if jieba:
        _import_jieba()
    try:
        return spacy.blank(text.language, config={"nlp": {"tokenizer": {"segmenter": "jieba"}}} if jieba else {})
    except (ImportError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(
            f"text.language = {text.language!r}: spaCy has no tokenizer for it here ({reason}). "
            "Use a code such as en, de, es, fr, or xx for several languages, or install what it asks for."
        ) from None


def _import_jieba() -> None:
    """jieba warns of its own code when it is compiled, and says on standard error that it reads its dictionary."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            jieba = import_module("jieba")
    except ImportError:
        raise RecipeError('text.tokens = "jieba" needs the package jieba: pip install jieba') from None
    jieba.setLogLevel("WARNING")
