"""A spaCy tokenizer's own rules, taken apart: what splits chunks, and what its last pass does to a text."""

import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from cluster.text.tokens.found import Tokens
from cluster.text.tokens.words.last_pass import LastPass
from cluster.text.tokens.words.shapes import Shapes
from cluster.text.tokens.words.splitting import ChunkSplitter, Split

# What the rules are tried on before they are used in spaCy's place, with this many of the special cases.
HARD_CHUNKS = ("U.S.", "e.g.", "don't", "$12.50", "12km", "http://a.org/b?c=d", "a@b.org", "...", "(:", "C++", "1990s")
CASES_TRIED = 40
# About 100 MB of spaCy's string store, which never shrinks.
MOST_STRINGS = 1 << 19

Splits = Callable[[Sequence[str]], Split]
"""Splits chunks, none of which is empty, in any order; the last pass is to come."""


def rules_of(make_tokenizer: Callable[[], Any]) -> tuple[Splits, LastPass]:
    """The rules of a spaCy tokenizer, which `make_tokenizer` makes anew at every call."""
    from spacy.tokenizer import Tokenizer as SpacyTokenizer

    tokenizer = make_tokenizer()
    twin = _without_last_pass(tokenizer)
    affixes = {name: getattr(tokenizer, name) for name in ("prefix_search", "suffix_search", "infix_finditer")}
    searches = {"token_match": tokenizer.token_match, "url_match": tokenizer.url_match}
    bare = SpacyTokenizer(tokenizer.vocab, **searches, **affixes)
    cases = [case for case in tokenizer.rules if not case.isspace()]
    after = {case: _tokens(twin, case) for case in cases if not any(map(str.isspace, case))}
    spaced = {case: _tokens(tokenizer, case) for case in cases if case not in after}
    last_pass = LastPass(tokenizer, lambda case: _tokens(bare, case), after | spaced)
    return _quickest(ChunkSplitter(tokenizer, after), twin, make_tokenizer), last_pass


def _tokens(tokenizer: Any, text: str) -> Tokens:
    return tuple(token.text for token in tokenizer(text))


def _without_last_pass(tokenizer: Any) -> Any:
    """A spaCy tokenizer with the same rules and no last pass, but for special cases with a space."""
    from spacy.tokenizer import Tokenizer as SpacyTokenizer

    # A special case is registered for the last pass only if it holds an affix or a space when the tokenizer is made.
    gates = {
        name: _Gate(search, nothing)
        for name, nothing in (("prefix_search", None), ("suffix_search", None), ("infix_finditer", ()))
        if (search := getattr(tokenizer, name)) is not None
    }
    plain = {case: tokens for case, tokens in tokenizer.rules.items() if not any(map(str.isspace, case))}
    searches = {"token_match": tokenizer.token_match, "url_match": tokenizer.url_match}
    twin = SpacyTokenizer(tokenizer.vocab, rules=plain, **searches, **gates)
    for gate in gates.values():
        gate.open = True
    return twin


def _quickest(splitter: ChunkSplitter, twin: Any, make_tokenizer: Callable[[], Any]) -> Splits:
    """By shapes, if that agrees with a tokenizer of this spaCy on chunks made to be hard; else that tokenizer."""
    shapes = Shapes(splitter)
    cases = list(splitter.specials)
    for case in [*HARD_CHUNKS, *cases[:: max(len(cases) // CASES_TRIED, 1)]]:
        chunks = [case, f"({case}", f"{case},", f'"{case}."', f"{case}'s", f"a-{case}", f"{case}/{case}"]
        for chunk in chunks:
            if not tuple(shapes.split([chunk]).flat) == splitter(chunk) == _tokens(twin, chunk):
                warnings.warn(
                    f"spaCy {version('spacy')} splits {chunk!r} otherwise than its rules say: its own tokenizer is "
                    "used for every chunk, which takes several times as long.",
                    stacklevel=2,
                )
                return _BySpacy(twin, make_tokenizer)
    return shapes.split


class _BySpacy:
    """Splits chunks by spaCy's own tokenizer, one by one."""

    def __init__(self, twin: Any, make_tokenizer: Callable[[], Any]) -> None:
        self._twin, self._make_tokenizer = twin, make_tokenizer

    def __call__(self, chunks: Sequence[str]) -> Split:
        if len(self._twin.vocab.strings) > MOST_STRINGS:
            self._twin = _without_last_pass(self._make_tokenizer())
        return Split.of([_tokens(self._twin, chunk) for chunk in chunks])


class _Gate:
    """An affix search that finds nothing until it is opened."""

    def __init__(self, search: Callable[[str], Any], nothing: Any) -> None:
        self._search, self._nothing, self.open = search, nothing, False

    def __call__(self, text: str) -> Any:
        return self._search(text) if self.open else self._nothing
