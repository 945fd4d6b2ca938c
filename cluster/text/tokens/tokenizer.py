"""spaCy's tokens, as fast as a dictionary look-up for each chunk of text that was met before.

spaCy is imported when a text is met, not before: a training rank may load an encoder without having spaCy.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

from cluster.config.schema import Text
from cluster.errors import RecipeError
from cluster.text.tokens.chunks import number_chunks
from cluster.text.tokens.forms import Forms
from cluster.text.tokens.found import Found, Tokens, encodable
from cluster.text.tokens.numbering import Numbered, number_each
from cluster.text.tokens.splitting import ChunkSplitter

# About 130 MB. A language has endless distinct chunks (numbers, names, links) and spaCy's string store, which grows by
# the texts that it sees whole, never shrinks: both are dropped together when this is reached.
MOST_CHUNKS = 1 << 19
# What the rules are tried on before they are used in spaCy's place, with this many of the special cases.
HARD_CHUNKS = ("U.S.", "e.g.", "don't", "$12.50", "12km", "http://a.org/b?c=d", "a@b.org", "...", "(:", "C++", "1990s")
CASES_TRIED = 40
# From so many texts on, arrays are faster than a look-up for each chunk of each text.
TEXTS_FOR_COLUMNS = 32

Split = Callable[[str, Mapping[str, Tokens | None]], Tokens]
"""The tokens of a chunk, given those of chunks met before."""


class Tokenizer:
    """The tokens of spaCy's tokenizer for `text.language`, whitespace dropped, in the forms that the settings ask for.

    spaCy works on one whitespace-separated chunk after the other, so a chunk seen before need not be split again. But
    its last pass looks for special cases (emoticons, "a.m.") over the whole text, longest match first, and a match
    across two chunks, though it changes nothing itself, keeps others that it overlaps from being applied: in
    "foo: (:bar" the false ":(" leaves "(:" in two tokens, while "(:bar" alone gives "(:". So chunks are split without
    this pass (`splitting.py`); a text is given to spaCy whole if the pass could change one of its chunks, or if it
    holds a special case with a space in it. All else is exact by construction, and tested over whole corpora.

    Not for use by several threads at once. Raises RecipeError for a language spaCy cannot tokenize here.
    """

    def __init__(self, text: Text) -> None:
        self._text = text
        self._chunks: dict[str, Tokens | None] = {}
        self._forms: Forms
        self._spacy: Any = None
        self._split: Split | None = None
        self._spaced: re.Pattern[str] | None = None
        self._cases: dict[str, list[tuple[str, ...]]] = {}
        self._whole_texts = 0
        self._start()

    def __call__(self, text: str) -> list[str]:
        """The tokens of one text; none for a text of whitespace alone."""
        return self._forms(self._tokens(text))

    def each(self, texts: Iterable[str]) -> Iterator[Found]:
        """The tokens of one text after the other."""
        return ((self(text), b"") for text in texts)

    def number(self, texts: Sequence[str], limit: int) -> tuple[Numbered, list[str]]:
        """The texts' tokens as numbers, cut to `limit`, and the words that they are; see `numbering.number`."""
        if self._split is None or len(texts) < TEXTS_FOR_COLUMNS:
            return number_each(self.each(texts), limit)
        return number_chunks([encodable(text) for text in texts], self, limit)

    def of_chunks(self, chunks: Iterable[str]) -> list[Tokens | None]:
        """The tokens of chunks, before they take their forms; None where spaCy has to see the text around it."""
        found = []
        for chunk in chunks:
            try:
                found.append(self._chunks[chunk])
            except KeyError:
                found.append(self._learn(chunk))
        return found

    def needs_whole(self, texts: Sequence[str]) -> Sequence[bool] | None:
        """Which texts hold a special case with a space; None where the language has no such case."""
        return None if self._spaced is None else [self._spaced.search(text) is not None for text in texts]

    def whole(self, text: str) -> Tokens:
        """The tokens of one text by spaCy's own tokenizer, before they take their forms."""
        self._whole_texts += 1
        if self._whole_texts >= MOST_CHUNKS:
            self._start()
        return tuple(token.text for token in self._spacy(encodable(text)) if not token.text.isspace())

    def form(self, token: str) -> str:
        """What becomes of a token; empty if it is left out."""
        return self._forms.of(token)

    def _tokens(self, text: str) -> Sequence[str]:
        if self._split is None or (self._spaced is not None and self._spaced.search(text)):
            return self.whole(text)
        tokens: list[str] = []
        for found in self.of_chunks(encodable(text).split()):
            if found is None:
                return self.whole(text)
            tokens += found
        return tokens

    def _start(self) -> None:
        """A fresh spaCy tokenizer and an empty memory of chunks."""
        from spacy.tokenizer import Tokenizer as SpacyTokenizer

        language = blank(self._text)
        self._spacy, self._forms = language.tokenizer, Forms(language, self._text)
        self._chunks, self._whole_texts = {}, 0
        # Chinese and its like have tokenizers of another kind, which are not about chunks.
        if type(self._spacy) is SpacyTokenizer:
            self._split, self._cases, self._spaced = _without_last_pass(self._spacy)

    def _learn(self, chunk: str) -> Tokens | None:
        """The tokens of a chunk not met before; None if spaCy has to see the text around it."""
        if len(self._chunks) + self._whole_texts >= MOST_CHUNKS:
            self._start()
        assert self._split is not None
        tokens = self._split(chunk, self._chunks)
        found = self._chunks[chunk] = None if self._hides_case(tokens) else tokens
        return found

    def _hides_case(self, tokens: Tokens) -> bool:
        """Would spaCy's last pass, over the whole text, change these tokens?"""
        if self._cases.keys().isdisjoint(tokens):
            return False
        starts = ((i, case) for i, token in enumerate(tokens) for case in self._cases.get(token, ()))
        return any(tokens[i : i + len(case)] == case for i, case in starts)


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


def _without_last_pass(tokenizer: Any) -> tuple[Split, dict[str, list[Tokens]], re.Pattern[str] | None]:
    """What splits chunks as `tokenizer` does before its last pass; the token sequences that this pass would change, by
    their first token; and a pattern of the special cases that hold a space.
    """
    from spacy.tokenizer import Tokenizer as SpacyTokenizer

    rules: dict[str, Any] = tokenizer.rules
    spaced = [rule for rule in rules if not rule.isspace() and any(letter.isspace() for letter in rule)]
    searches = {"token_match": tokenizer.token_match, "url_match": tokenizer.url_match}
    affixes = {name: getattr(tokenizer, name) for name in ("prefix_search", "suffix_search", "infix_finditer")}
    # A special case is registered for the last pass only if it holds an affix or a space when the tokenizer is made.
    gates = {name: _Gate(search, None) for name, search in affixes.items() if search is not None}
    if "infix_finditer" in gates:
        gates["infix_finditer"].nothing = ()
    plain = {rule: tokens for rule, tokens in rules.items() if rule not in spaced}
    twin = SpacyTokenizer(tokenizer.vocab, rules=plain, **searches, **gates)
    for gate in gates.values():
        gate.open = True
    bare = SpacyTokenizer(tokenizer.vocab, **searches, **affixes)
    cases: dict[str, list[Tokens]] = {}
    specials: dict[str, Tokens] = {}
    for rule in plain:
        if rule.isspace():
            continue
        before, after = (tuple(token.text for token in one(rule)) for one in (bare, twin))
        specials[rule] = after
        if before != after:
            cases.setdefault(before[0], []).append(before)
    return (
        _quickest(ChunkSplitter(tokenizer, specials), twin, list(specials)),
        cases,
        re.compile("|".join(map(re.escape, spaced))) if spaced else None,
    )


def _quickest(splitter: Split, twin: Any, specials: Sequence[str]) -> Split:
    """The splitter, if it agrees with a tokenizer of this spaCy on chunks made to be hard; else that tokenizer."""

    def by_spacy(chunk: str, _: Mapping[str, Tokens | None]) -> Tokens:
        return tuple(token.text for token in twin(chunk))

    for case in [*HARD_CHUNKS, *specials[:: max(len(specials) // CASES_TRIED, 1)]]:
        for chunk in (case, f"({case}", f"{case},", f'"{case}."', f"{case}'s", f"a-{case}", f"{case}/{case}"):
            if splitter(chunk, {}) != by_spacy(chunk, {}):
                warnings.warn(
                    f"spaCy {version('spacy')} splits {chunk!r} otherwise than its rules say: its own tokenizer is "
                    "used for every chunk, which takes several times as long.",
                    stacklevel=2,
                )
                return by_spacy
    return splitter


class _Gate:
    """An affix search that finds nothing until it is opened."""

    def __init__(self, search: Callable[[str], Any], nothing: Any) -> None:
        self._search, self.nothing, self.open = search, nothing, False

    def __call__(self, text: str) -> Any:
        return self._search(text) if self.open else self.nothing
