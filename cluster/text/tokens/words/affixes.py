"""The rules that matter to chunks of certain characters: of a hundred alternatives of a pattern, one or two.

spaCy's patterns are long lists of alternatives. A chunk that ends with a bracket can have no suffix that ends with a
letter, and one without a digit no unit: what is left for a chunk's last character and its kinds of characters finds the
same matches in a tenth of the time.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cluster.text.tokens.words import reach
from cluster.text.tokens.words.reach import ALL, UNIVERSE, Texts


def never(_: str) -> Any:
    """Searches for nothing: of matches there are none, in either form."""
    return ()


Search = Callable[[str], Any]
End = Callable[[re.Pattern[str]], int]


class Affixes:
    """The affix searches of a tokenizer, for chunks of `alphabet` alone; `ALL` also stands for characters beyond it."""

    def __init__(self, tokenizer: Any, alphabet: int) -> None:
        self.prefix = _ByEnd(tokenizer.prefix_search or never, alphabet, reach.first)
        """The search for a prefix, by the first character."""
        self.suffix = _ByEnd(tokenizer.suffix_search or never, alphabet, reach.last)
        """The search for a suffix, by the last character."""
        self._infixes: Search = tokenizer.infix_finditer or never
        pattern = pattern_of(self._infixes)
        needed = ALL if pattern is None else reach.needed(pattern, alphabet)
        self._needed = None if needed & ALL == ALL or alphabet == ALL else frozenset(letters_of(needed))

    def infixes(self, text: str) -> Any:
        """The matches of infixes."""
        if self._needed is not None and self._needed.isdisjoint(text):
            return ()
        return self._infixes(text)


class _ByEnd(dict[str, Search]):
    """Searches that find what `search` finds at a text's end, by the character that stands there."""

    def __init__(self, search: Search, alphabet: int, end: End) -> None:
        self._search, self._alternatives = search, list[tuple[str, int]]()
        pattern = pattern_of(search)
        self._flags = 0
        if pattern is not None and alphabet != ALL:
            self._flags = pattern.flags
            texts = Texts(alphabet)
            self._alternatives = [
                (one.pattern, ends) for one, ends in _ends(pattern, end) if reach.may_match(one, texts)
            ]

    def __missing__(self, character: str) -> Search:
        search = self._search
        if self._alternatives and ord(character) < UNIVERSE:
            bit = 1 << ord(character)
            chosen = [one for one, ends in self._alternatives if ends & bit]
            search = re.compile("|".join(chosen), self._flags).search if chosen else never
        self[character] = search
        return search


@lru_cache(maxsize=8)
def _ends(pattern: re.Pattern[str], end: End) -> list[tuple[re.Pattern[str], int]]:
    """The alternatives of a pattern, and what stands at the end of what each matches."""
    return [(one, end(one)) for one in reach.alternatives(pattern)]


def pattern_of(search: Search) -> re.Pattern[str] | None:
    """The regular expression that does the searching; None if something else does."""
    pattern = getattr(search, "__self__", None)
    return pattern if isinstance(pattern, re.Pattern) else None


def letters_of(characters: int) -> str:
    """The characters of a set."""
    return "".join([chr(code) for code, bit in enumerate(bin(characters)[:1:-1]) if bit == "1"])
