"""One chunk of text into tokens by spaCy's own rules, without a spaCy `Doc` for each.

The algorithm is that of spaCy's tokenizer (https://spacy.io/usage/linguistic-features#how-tokenizer-works, spaCy 3.8,
`tokenizer.pyx`): affixes are peeled off the two ends in turn until nothing comes off or a special case is left, then
what is left is a special case, a link, or cut at its infixes. The patterns and special cases are the tokenizer's own.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cluster.text.tokens.found import Tokens
from cluster.text.tokens.words.affixes import Affixes, Search, never
from cluster.text.tokens.words.reach import ALL

Span = tuple[int, int]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Peeled:
    """A chunk without its affixes; places are characters of the chunk."""

    fronts: list[int]
    """0, and where each prefix ends."""
    backs: list[int]
    """The chunk's end, and where each suffix begins."""
    looked_up: list[Span]
    """What was not one of `stops`."""

    @property
    def core(self) -> Span:
        return self.fronts[-1], self.backs[-1]


class Split(NamedTuple):
    """The tokens of chunks: those of one chunk after those of the other are `tokens[i] for i in which`."""

    places: Places
    """Which of the chunks that were given stands here, each once."""
    tokens: list[str]
    which: Places
    counts: Places
    """How many tokens each chunk has."""

    @classmethod
    def of(cls, tokens: Sequence[Tokens]) -> "Split":
        """From the tokens of each chunk, in the order in which they were given."""
        flat = [token for some in tokens for token in some]
        counts = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
        return cls(np.arange(len(tokens)), flat, np.arange(len(flat)), counts)

    def of_those(self, places: Places) -> "Split":
        """The same, of chunks that stand at `places` among others."""
        return self._replace(places=places[self.places])

    def then(self, other: "Split") -> "Split":
        """These chunks and then the others."""
        return Split(
            np.concatenate([self.places, other.places]),
            self.tokens + other.tokens,
            np.concatenate([self.which, other.which + len(self.tokens)]),
            np.concatenate([self.counts, other.counts]),
        )

    @property
    def flat(self) -> list[str]:
        """The tokens of all chunks."""
        return [self.tokens[i] for i in self.which.tolist()]


class ChunkSplitter:
    """What a spaCy tokenizer makes of a chunk without white space, its last pass (special cases across affixes) left
    out.

    `specials`: the tokens of each special case. Not for a tokenizer of another class than spaCy's own.
    """

    def __init__(self, tokenizer: Any, specials: Mapping[str, Tokens]) -> None:
        self.tokenizer = tokenizer
        self.specials = specials
        self.whole: Search = tokenizer.token_match or never
        self.link: Search = tokenizer.url_match or never
        self._anything = Affixes(tokenizer, ALL)

    def __call__(self, chunk: str, affixes: Affixes | None = None) -> Tokens:
        """The tokens of a chunk, all affixes of which are among those given."""
        affixes = affixes or self._anything
        peeled = peel(chunk, affixes, self.specials, self.whole)
        first, last = peeled.core
        core = chunk[first:last]
        if not core:
            inside: Tokens = ()
        elif core in self.specials:
            inside = self.specials[core]
        elif self.whole(core) or self.link(core):
            inside = (core,)
        else:
            inside = pieces(core, cuts(core, affixes))
        if first == 0 and last == len(chunk):
            return inside
        return (*pieces(chunk, peeled.fronts), *inside, *pieces(chunk, peeled.backs[::-1]))


def peel(chunk: str, affixes: Affixes, stops: Container[str], whole: Search) -> Peeled:
    """Takes affixes off until what is left is one of `stops`, or `whole`, or has none."""
    fronts, backs, looked_up = [0], [len(chunk)], []
    before = -1
    rest = chunk
    while rest and len(rest) != before:
        if rest in stops or whole(rest):
            break
        looked_up.append((fronts[-1], backs[-1]))
        before = len(rest)
        found = affixes.prefix[rest[0]](rest)
        front = found.end() - found.start() if found else 0
        if front:
            if rest[front:] in stops:
                fronts.append(fronts[-1] + front)
                break
            looked_up.append((fronts[-1] + front, backs[-1]))
        found = affixes.suffix[rest[-1]](rest[front:])
        back = found.end() - found.start() if found else 0
        if back:
            if rest[:-back] in stops:
                backs.append(backs[-1] - back)
                break
            looked_up.append((fronts[-1], backs[-1] - back))
        if front:
            fronts.append(fronts[-1] + front)
        if back and front + back <= before:
            backs.append(backs[-1] - back)
        rest = chunk[fronts[-1] : backs[-1]]
    return Peeled(fronts, backs, looked_up)


def cuts(core: str, affixes: Affixes) -> list[int]:
    """Where the infixes of a text without affixes cut it, from 0 to its end."""
    places = [0]
    for match in affixes.infixes(core):
        first, last = match.span()
        if first:  # spaCy leaves an infix at the very beginning to what follows it
            if first != places[-1]:
                places.append(first)
            if last != first:
                places.append(last)
    if places[-1] < len(core):
        places.append(len(core))
    return places


def pieces(text: str, places: list[int]) -> Tokens:
    """What lies between the places, which rise."""
    return tuple([text[first:last] for first, last in zip(places, places[1:], strict=False)])
