"""spaCy's tokens, as fast as a dictionary look-up for each chunk of text that was met before.

spaCy is imported when a text is met, not before: a training rank may load an encoder without having spaCy.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from cluster.config.schema import Text
from cluster.errors import RecipeError
from cluster.text.tokens.forms import Forms
from cluster.text.tokens.found import Found, encodable

# About 300 MB with what spaCy keeps of each chunk. A language has endless distinct chunks (numbers, names, links) and
# spaCy's string store never shrinks, so both are dropped together when this is reached.
MOST_CHUNKS = 1 << 18


class Tokenizer:
    """The tokens of spaCy's tokenizer for `text.language`, whitespace dropped, in the forms that the settings ask for.

    spaCy works on one whitespace-separated chunk after the other, so a chunk seen before need not be split again. But
    its last pass looks for special cases (emoticons, "a.m.") over the whole text, longest match first, and a match
    across two chunks, though it changes nothing itself, keeps others that it overlaps from being applied: in
    "foo: (:bar" the false ":(" leaves "(:" in two tokens, while "(:bar" alone gives "(:". So chunks are split by a twin
    of the tokenizer that lacks this pass; a text is given to spaCy whole if the pass could change one of its chunks, or
    if it holds a special case with a space in it. All else is exact by construction, and tested over whole corpora.

    Not for use by several threads at once. Raises RecipeError for a language spaCy cannot tokenize here.
    """

    def __init__(self, text: Text) -> None:
        self._text = text
        self._chunks: dict[str, tuple[str, ...] | None] = {}
        self._forms: Forms
        self._spacy: Any = None
        self._twin: Any = None
        self._spaced: re.Pattern[str] | None = None
        self._cases: dict[str, list[tuple[str, ...]]] = {}
        self._whole_texts = 0
        self._start()

    def __call__(self, text: str) -> list[str]:
        """The tokens of one text; none for a text of whitespace alone."""
        if self._twin is None or (self._spaced is not None and self._spaced.search(text)):
            return self._whole(text)
        tokens: list[str] = []
        known = self._chunks
        for chunk in text.split():
            try:
                found = known[chunk]
            except KeyError:
                found = self._learn(chunk)
                known = self._chunks
            if found is None:
                return self._whole(text)
            tokens += found
        return tokens

    def each(self, texts: Iterable[str]) -> Iterator[Found]:
        """The tokens of one text after the other."""
        return ((self(text), b"") for text in texts)

    def _start(self) -> None:
        """A fresh spaCy tokenizer and an empty memory of chunks."""
        from spacy.tokenizer import Tokenizer as SpacyTokenizer

        language = blank(self._text)
        self._spacy, self._forms = language.tokenizer, Forms(language, self._text)
        self._chunks, self._whole_texts = {}, 0
        # Chinese and its like have tokenizers of another kind, which are not about chunks.
        if type(self._spacy) is SpacyTokenizer:
            self._twin, self._cases, self._spaced = _without_last_pass(self._spacy)

    def _learn(self, chunk: str) -> tuple[str, ...] | None:
        """The tokens of a chunk not met before; None if spaCy has to see the text around it."""
        if len(self._chunks) + self._whole_texts >= MOST_CHUNKS:
            self._start()
        tokens = tuple(token.text for token in self._twin(encodable(chunk)))
        starts = ((i, case) for i, token in enumerate(tokens) for case in self._cases.get(token, ()))
        hidden = any(tokens[i : i + len(case)] == case for i, case in starts)
        found = self._chunks[chunk] = None if hidden else tuple(self._forms(tokens))
        return found

    def _whole(self, text: str) -> list[str]:
        self._whole_texts += 1
        if self._whole_texts >= MOST_CHUNKS:
            self._start()
        return self._forms([token.text for token in self._spacy(encodable(text)) if not token.text.isspace()])


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


def _without_last_pass(tokenizer: Any) -> tuple[Any, dict[str, list[tuple[str, ...]]], re.Pattern[str] | None]:
    """A twin that splits chunks as `tokenizer` does before its last pass; the token sequences that this pass would
    change, by their first token; and a pattern of the special cases that hold a space.
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
    cases: dict[str, list[tuple[str, ...]]] = {}
    for rule in plain:
        if rule.isspace():
            continue
        before = tuple(token.text for token in bare(rule))
        if before != tuple(token.text for token in twin(rule)):
            cases.setdefault(before[0], []).append(before)
    return twin, cases, re.compile("|".join(map(re.escape, spaced))) if spaced else None


class _Gate:
    """An affix search that finds nothing until it is opened."""

    def __init__(self, search: Callable[[str], Any], nothing: Any) -> None:
        self._search, self.nothing, self.open = search, nothing, False

    def __call__(self, text: str) -> Any:
        return self._search(text) if self.open else self.nothing
