"""Chunks of one shape are cut at the same places: the rules are asked once for all of them.

spaCy's rules ask of a character only whether it is in certain sets: capital letters, closing brackets, and so on. Two
characters that are in the same of them are of one class, and the shape of a chunk is the classes of its characters. The
sets are read off the rules' own patterns (`reach.py`), without those parts that cannot match in a chunk of such
characters: were the units after a digit ("12km") among them, all letters would be of classes of their own. In prose
about ten distinct chunks have one shape, in code two (measured over 75 MB and 52 MB of English).

What depends on more than the shape is asked of each chunk: is what is left without an affix a special case, or a link?
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_

import numpy as np
import numpy.typing as npt

from cluster.text.tokens.words.affixes import Affixes, Search, never, pattern_of
from cluster.text.tokens.words.reach import ALL, UNIVERSE, Unclear, asked, may_match, of_text
from cluster.text.tokens.words.splitting import ChunkSplitter, Split, cuts, peel

# Kinds of characters, as bits. Which of them a chunk holds decides which parts of the rules matter to it.
LETTER, NUMBER, APOSTROPHE, POINT, OTHER, FOREIGN = 1, 2, 4, 8, 16, 32
APOSTROPHES = "'’"
LONGEST = 48
"""Longer chunks are rarely of one shape."""
MOST_PLANS = 1 << 16
"""About 60 MB; they are dropped when there are more."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How all chunks of one shape are cut; places are characters of the chunk."""

    tokens: tuple[slice, ...]
    """If nothing that is looked up is found."""
    looked_up: tuple[slice, ...]
    """What may be a special case, and then ends the peeling of affixes."""
    link: slice | None
    """What is one token if it is a link."""
    if_link: tuple[slice, ...]


@dataclass(frozen=True)
class _Kind:
    """What tells chunks of the same kinds of characters apart."""

    affixes: Affixes
    whole: Search
    """`token_match`, if it may match."""
    classes: npt.NDArray[np.uint8] | None
    """The class of each code point; None where too much depends on single characters."""
    examples: str
    """A character of each class."""
    plans: dict[bytes, _Plan]


class Shapes:
    """Splits chunks by their shapes, as `splitter` does one by one."""

    def __init__(self, splitter: ChunkSplitter) -> None:
        self._splitter = splitter
        self._sets = _sets()
        self._kind_of = _table(self._sets, FOREIGN)
        self._kinds: dict[int, _Kind] = {}
        self._links: dict[int, bool] = {}
        self._plans = 0

    def split(self, chunks: Sequence[str]) -> Split:
        """Splits chunks, none of which is empty."""
        lengths = np.fromiter(map(len, chunks), dtype=np.int64, count=len(chunks))
        ends = np.cumsum(lengths)
        codes = np.minimum(np.frombuffer("".join(chunks).encode("utf-32-le"), dtype=np.uint32), UNIVERSE)
        kinds = np.bitwise_or.reduceat(self._kind_of[codes], ends - lengths) if chunks else ends
        kinds[lengths > LONGEST] |= FOREIGN
        found = Split([], [], [])
        for number in np.unique(kinds).tolist():
            places = np.flatnonzero(kinds == number)
            kind = self._kind(number)
            chosen = [chunks[i] for i in places.tolist()]
            found.chunks += chosen
            if kind.classes is None:
                for chunk in chosen:
                    found.add(self._splitter(chunk, kind.affixes))
            else:
                shapes = kind.classes[codes].tobytes()
                self._by_shape(chosen, shapes, ends[places].tolist(), kind, found)
        return found

    def _by_shape(self, chunks: Sequence[str], shapes: bytes, ends: Sequence[int], kind: _Kind, found: Split) -> None:
        """Adds the tokens of chunks of one kind, the shape of each of which ends at one of `ends`."""
        specials, whole, link = self._splitter.specials, kind.whole, self._splitter.link
        plans, tokens, counts = kind.plans, found.tokens, found.counts
        for chunk, end in zip(chunks, ends, strict=True):
            shape = shapes[end - len(chunk) : end]
            plan = plans.get(shape) or self._learn(shape, kind)
            for span in plan.looked_up:
                rest = chunk[span]
                if rest in specials or (whole is not never and whole(rest)):
                    found.add(self._splitter(chunk, kind.affixes))
                    break
            else:
                spans = plan.tokens
                if plan.link is not None and link(chunk[plan.link]):
                    spans = plan.if_link
                tokens += [chunk[span] for span in spans]
                counts.append(len(spans))

    def _learn(self, shape: bytes, kind: _Kind) -> _Plan:
        """Asks the rules about a chunk of this shape that is made up."""
        if self._plans >= MOST_PLANS:
            self._plans = 0
            for known in self._kinds.values():
                known.plans.clear()
        chunk = "".join([kind.examples[one] for one in shape])
        peeled = peel(chunk, kind.affixes, (), never)
        start, end = peeled.core
        before, behind = _slices(peeled.fronts), _slices(peeled.backs[::-1])
        core = chunk[start:end]
        may_be_link = bool(core) and self._may_be_link(int(np.bitwise_or.reduce(self._kind_of[list(map(ord, core))])))
        inside = _slices([start + place for place in cuts(core, kind.affixes)])
        plan = kind.plans[shape] = _Plan(
            tokens=(*before, *inside, *behind),
            looked_up=tuple(_slice(*span) for span in peeled.looked_up),
            link=_slice(start, end) if may_be_link else None,
            if_link=(*before, _slice(start, end), *behind),
        )
        self._plans += 1
        return plan

    def _may_be_link(self, kinds: int) -> bool:
        if kinds not in self._links:
            self._links[kinds] = _may(self._splitter.link, _union(self._sets, kinds))
        return self._links[kinds]

    def _kind(self, number: int) -> _Kind:
        if number not in self._kinds:
            classes = self._classes(number)
            self._kinds[number] = _Kind(
                affixes=Affixes(self._splitter.tokenizer, ALL if number & FOREIGN else _union(self._sets, number)),
                whole=self._splitter.whole if _may(self._splitter.whole, _union(self._sets, number)) else never,
                classes=None if classes is None else _table(dict(enumerate(classes)), len(classes)),
                examples="".join(chr((one & -one).bit_length() - 1) for one in classes or ()),
                plans={},
            )
        return self._kinds[number]

    def _classes(self, number: int) -> list[int] | None:
        """Sets of characters that the rules treat alike in chunks of these kinds."""
        if number & FOREIGN or (number & LETTER and number & NUMBER):
            return None
        alphabet = _union(self._sets, number)
        sets = set(self._sets.values())
        tokenizer = self._splitter.tokenizer
        for search in (tokenizer.prefix_search, tokenizer.suffix_search, tokenizer.infix_finditer):
            pattern = pattern_of(search)
            try:
                if pattern is not None:
                    sets |= asked(pattern, alphabet)
                elif search is not None:
                    return None
            except Unclear:
                return None
        classes = [alphabet]
        for one in sets:
            classes = [part for whole in classes for part in (whole & one, whole & ~one) if part]
        return classes if len(classes) < 256 else None


@cache
def _slice(start: int, end: int) -> slice:
    return slice(start, end)


def _slices(places: Sequence[int]) -> list[slice]:
    return list(map(_slice, places, places[1:]))


def _sets() -> dict[int, int]:
    """The characters of each kind."""
    letters = of_text(letter for letter in map(chr, range(UNIVERSE)) if letter.isalpha())
    numbers = of_text(letter for letter in map(chr, range(UNIVERSE)) if letter.isnumeric()) & ~letters
    apostrophes, point = of_text(APOSTROPHES), of_text(".")
    other = ALL & ~(letters | numbers | apostrophes | point)
    return {LETTER: letters, NUMBER: numbers, APOSTROPHE: apostrophes, POINT: point, OTHER: other}


def _union(sets: dict[int, int], kinds: int) -> int:
    """All characters of these kinds."""
    return reduce(or_, (found for bit, found in sets.items() if bit & kinds), 0)


def _table(sets: dict[int, int], beyond: int) -> npt.NDArray[np.uint8]:
    """For each code point the number of the set that it is in, `beyond` for those from `UNIVERSE` on."""
    table = np.full(UNIVERSE + 1, beyond, dtype=np.uint8)
    for number, one in sets.items():
        bits = np.frombuffer(bin(one)[:1:-1].encode(), dtype=np.uint8)
        table[np.flatnonzero(bits == ord("1"))] = number
    return table


def _may(search: Search, characters: int) -> bool:
    """May the search find something in a text of these characters?"""
    pattern = pattern_of(search)
    return search is not never if pattern is None else may_match(pattern, characters)
