"""One chunk of text into tokens by spaCy's own rules, without a spaCy `Doc` for each.

The algorithm is that of spaCy's tokenizer (https://spacy.io/usage/linguistic-features#how-tokenizer-works, spaCy 3.8,
`tokenizer.pyx`): affixes are peeled off the two ends in turn until nothing comes off or a special case is left, then
what is left is a special case, a link, or cut at its infixes. The patterns and special cases are the tokenizer's own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster.text.tokens.found import Tokens
from cluster.text.tokens.reach import may_match

# Letters of Latin scripts: most chunks are made of them alone, and in most languages no rule but a special case is
# about such a chunk.
LETTERS = "".join(letter for letter in map(chr, range(0x250)) if letter.isalpha())


class ChunkSplitter:
    """What a spaCy tokenizer makes of a chunk without white space, its last pass (special cases across affixes) left
    out.

    `specials`: the tokens of each special case. Not for a tokenizer of another class than spaCy's own.
    """

    def __init__(self, tokenizer: Any, specials: Mapping[str, Tokens]) -> None:
        self._specials = specials
        self._prefix: Callable[[str], Any] = tokenizer.prefix_search or _nothing
        self._suffix: Callable[[str], Any] = tokenizer.suffix_search or _nothing
        self._infixes: Callable[[str], Any] = tokenizer.infix_finditer or _no_matches
        self._whole: Callable[[str], Any] = tokenizer.token_match or _nothing
        self._link: Callable[[str], Any] = tokenizer.url_match or _nothing
        rules = (self._prefix, self._suffix, self._infixes, self._whole, self._link)
        self._alone = re.compile(f"[{LETTERS}]+").fullmatch if all(map(_ignores_letters, rules)) else _nothing

    def __call__(self, chunk: str, known: Mapping[str, Tokens | None]) -> Tokens:
        """The tokens of a chunk. `known` holds those of chunks met before: what is left when affixes are off is often
        one of them."""
        specials, whole = self._specials, self._whole
        prefixes: list[str] = []
        suffixes: list[str] = []
        before = 0
        while chunk and len(chunk) != before:
            if chunk in specials:
                break
            if self._alone(chunk):
                return (*prefixes, chunk, *reversed(suffixes)) if before else (chunk,)
            if whole(chunk):
                break
            before = len(chunk)
            found = self._prefix(chunk)
            front = found.end() - found.start() if found else 0
            if front and chunk[front:] in specials:
                prefixes.append(chunk[:front])
                chunk = chunk[front:]
                break
            found = self._suffix(chunk[front:])
            back = found.end() - found.start() if found else 0
            if back and chunk[:-back] in specials:
                suffixes.append(chunk[-back:])
                chunk = chunk[:-back]
                break
            if front and back and front + back <= before:
                prefixes.append(chunk[:front])
                suffixes.append(chunk[-back:])
                chunk = chunk[front:-back]
            elif front:
                prefixes.append(chunk[:front])
                chunk = chunk[front:]
            elif back:
                suffixes.append(chunk[-back:])
                chunk = chunk[:-back]
            else:
                continue  # the loop ends: nothing came off
            tokens = known.get(chunk)
            if tokens is not None:
                return (*prefixes, *tokens, *reversed(suffixes))
        if chunk:
            prefixes += self._core(chunk)
        return (*prefixes, *reversed(suffixes))

    def _core(self, chunk: str) -> Sequence[str]:
        """What has no affix, or is a special case or a whole match."""
        special = self._specials.get(chunk)
        if special is not None:
            return special
        if self._whole(chunk) or self._link(chunk):
            return (chunk,)
        tokens, start = [], 0
        for match in self._infixes(chunk):
            first, last = match.span()
            if first == 0:
                continue  # spaCy leaves an infix at the very beginning to what follows it
            if first != start:
                tokens.append(chunk[start:first])
            if first != last:
                tokens.append(chunk[first:last])
            start = last
        if start < len(chunk):
            tokens.append(chunk[start:])
        return tokens


def _ignores_letters(search: Callable[[str], Any]) -> bool:
    """Is it proven that this search finds nothing in a text of `LETTERS`?"""
    pattern = getattr(search, "__self__", None)
    if isinstance(pattern, re.Pattern):
        return not may_match(pattern, frozenset(map(ord, LETTERS)))
    return search in (_nothing, _no_matches)


def _nothing(_: str) -> None:
    return None


def _no_matches(_: str) -> tuple[()]:
    return ()
