"""What a regular expression looks at, from Python's own parse of it: what is said here of a pattern is proven.

A set of characters is a whole number: bit c stands for the code point c. All is said of texts of code points below
`UNIVERSE`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache, reduce
from math import inf
from operator import or_
from re import _constants as codes  # type: ignore[attr-defined]  # Python's own parse of a pattern: there is no other
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

UNIVERSE = 0x20C0
"""Latin, Greek, Cyrillic and what stands around them, quotation marks and currencies."""
ALL = (1 << UNIVERSE) - 1
MOST_REPEATS = 8
UNFOLLOWED = re.IGNORECASE | re.ASCII | re.LOCALE


class Unclear(Exception):
    """A pattern of a kind that this module does not follow."""


class Texts(NamedTuple):
    """All texts of certain characters."""

    characters: int
    before: int = 0
    never_behind: int = 0
    """Right behind one of `before` stands none of these."""

    def possible(self, some: int, behind: int) -> int:
        """Those of `some` characters that may stand behind one of `behind`."""
        never = self.never_behind if behind and not behind & ~self.before else 0
        return some & self.characters & ~never


def may_match(pattern: re.Pattern[str], texts: Texts) -> bool:
    """False if `pattern` matches nowhere in any of these texts. True is a guess."""
    return bool(pattern.flags & UNFOLLOWED) or _all(_parsed(pattern), texts)


def asked(pattern: re.Pattern[str], texts: Texts) -> set[int]:
    """The sets that the pattern asks characters to be in, but for the parts that match nowhere in these texts: it
    cannot tell two of them apart that differ in none of these sets. Raises Unclear."""
    if pattern.flags & UNFOLLOWED:
        raise Unclear(str(pattern.flags))
    return set(_asked(_parsed(pattern), texts))


def first(pattern: re.Pattern[str]) -> int:
    """What a match at a text's beginning may begin with: all, if the pattern may also match elsewhere or match
    nothing."""
    return _edge(pattern, codes.AT_BEGINNING, 1)


def last(pattern: re.Pattern[str]) -> int:
    """What a match at a text's end may end with, likewise."""
    return _edge(pattern, codes.AT_END, -1)


def needed(pattern: re.Pattern[str], characters: int) -> int:
    """A set of which every match in a text of `characters` takes at least one; all, if none is found."""
    if pattern.flags & UNFOLLOWED:
        return ALL
    return _needed(_parsed(pattern), characters)


@lru_cache(maxsize=32)
def alternatives(pattern: re.Pattern[str]) -> list[re.Pattern[str]]:
    """The pattern cut at the bars that stand outside all brackets."""
    parts, depth, inside = [""], 0, False
    letters = iter(pattern.pattern)
    for letter in letters:
        if letter == "\\":
            letter += next(letters)
        elif inside:
            inside = letter != "]" or parts[-1].endswith("[") or parts[-1].endswith("[^")
        elif letter == "[":
            inside = True
        elif letter == "|" and depth == 0:
            parts.append("")
            continue
        else:
            depth += {"(": 1, ")": -1}.get(letter, 0)
        parts[-1] += letter
    return [re.compile(part, pattern.flags) for part in parts]


def of_text(text: Iterable[str]) -> int:
    """The set of these characters."""
    found = 0
    for letter in text:
        found |= 1 << ord(letter)
    return found & ALL


@lru_cache(maxsize=4096)
def _parsed(pattern: re.Pattern[str]) -> Any:
    return parser.parse(pattern.pattern, pattern.flags)


def in_a_row(pattern: re.Pattern[str], texts: Texts, some: int) -> float:
    """How many characters of the set `some`, next to each other, one match in these texts looks at at most, what stands
    around it included; infinitely many, if no limit is found."""
    if pattern.flags & UNFOLLOWED:
        return inf
    try:
        return max((_row(_parsed(one), some).longest for one in _possible(pattern, texts)), default=0)
    except Unclear:
        return inf


@lru_cache(maxsize=256)
def _possible(pattern: re.Pattern[str], texts: Texts) -> list[re.Pattern[str]]:
    return [one for one in alternatives(pattern) if may_match(one, texts)]


class _Row(NamedTuple):
    """Of what a part of a pattern looks at: how many of the characters asked about may stand together anywhere, at its
    beginning, at its end, and all through it (less than 0: never)."""

    longest: float
    first: float
    last: float
    through: float

    def then(self, other: "_Row") -> "_Row":
        return _Row(
            max(self.longest, other.longest, self.last + other.first),
            max(self.first, self.through + other.first),
            max(other.last, self.last + other.through),
            self.through + other.through,
        )

    def otherwise(self, other: "_Row") -> "_Row":
        return _Row(*map(max, self, other))


_NOTHING = _Row(0, 0, 0, 0)
_ONE, _NONE_OF_THEM = _Row(1, 1, 1, 1), _Row(0, 0, 0, -inf)


def _row(nodes: Iterable[Any], some: int) -> _Row:
    return reduce(_Row.then, (_row_of(kind, value, some) for kind, value in nodes), _NOTHING)


def _row_of(kind: Any, value: Any, some: int) -> _Row:
    if kind in (codes.LITERAL, codes.NOT_LITERAL, codes.IN):
        return _ONE if _set(kind, value) & some else _NONE_OF_THEM
    if kind is codes.ANY:
        return _ONE
    if kind is codes.BRANCH:
        return reduce(_Row.otherwise, (_row(branch, some) for branch in value[1]))
    if kind is codes.SUBPATTERN and not value[1]:
        return _row(value[-1], some)
    if kind in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        one = _row(value[2], some)
        if one.through >= 0 and one.longest and value[1] > MOST_REPEATS:
            return _Row(inf, inf, inf, inf)
        times = [_NOTHING] if value[0] == 0 else []
        found = one
        for _ in range(min(value[1], MOST_REPEATS)):
            times.append(found)
            found = found.then(one)
        return reduce(_Row.otherwise, times)
    if kind is codes.ASSERT:  # what it overlaps is the same text: if it holds others, that does
        return _row(value[1], some)
    if kind is codes.ASSERT_NOT:  # what does not stand there may be anything
        width = value[1].getwidth()[1]
        return _Row(*[width if width <= MOST_REPEATS else inf] * 4)
    if kind is codes.AT and value not in (codes.AT_BOUNDARY, codes.AT_NON_BOUNDARY):
        return _NOTHING
    raise Unclear(str(kind))


def _all(nodes: Iterable[Any], texts: Texts, behind: int = ALL) -> bool:
    """May all nodes match one after the other, the first of them behind one of the characters `behind`?"""
    for kind, value in nodes:
        if not _one(kind, value, texts, behind):
            return False
        behind = _left(kind, value, behind)
    return True


def _one(kind: Any, value: Any, texts: Texts, behind: int) -> bool:
    if kind in (codes.LITERAL, codes.IN):
        try:
            return bool(texts.possible(_set(kind, value), behind))
        except Unclear:
            return True
    if kind is codes.BRANCH:
        return any(_all(branch, texts, behind) for branch in value[1])
    if kind is codes.SUBPATTERN:
        # flags of its own may be about upper and lower case
        return bool(value[1]) or _all(value[-1], texts, behind)
    if kind in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        return value[0] == 0 or _all(value[2], texts, behind)
    if kind is codes.ASSERT:  # what stands before or behind is of the same text
        return _all(value[1], texts)
    return True


def _left(kind: Any, value: Any, behind: int) -> int:
    """What stands right before what follows this node: all, if that is not plain."""
    if kind is codes.AT:
        return behind
    if kind is codes.ASSERT and value[0] < 0 and len(value[1]) == 1:
        kind, value = value[1][0]
    try:
        return _set(kind, value) if kind in (codes.LITERAL, codes.IN) else ALL
    except Unclear:
        return ALL


def _asked(nodes: Iterable[Any], texts: Texts, behind: int = ALL) -> Iterator[int]:
    if not _all(nodes, texts, behind):
        return
    for kind, value in nodes:
        if kind in (codes.LITERAL, codes.NOT_LITERAL, codes.IN):
            yield _set(kind, value)
        elif kind is codes.ANY:
            yield of_text("\n")
        elif kind is codes.BRANCH:
            for branch in value[1]:
                yield from _asked(branch, texts, behind)
        elif kind is codes.SUBPATTERN and not value[1]:
            yield from _asked(value[-1], texts, behind)
        elif kind in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            yield from _asked(value[2], texts, behind if value[1] == 1 else ALL)
        elif kind in (codes.ASSERT, codes.ASSERT_NOT):
            yield from _asked(value[1], texts)
        elif kind is codes.AT and value in (codes.AT_BOUNDARY, codes.AT_NON_BOUNDARY):
            yield _category(codes.CATEGORY_WORD)
        elif kind is not codes.AT:
            raise Unclear(str(kind))
        behind = _left(kind, value, behind)


def _needed(nodes: Sequence[Any], characters: int) -> int:
    if not _all(nodes, Texts(characters)):
        return 0
    found = ALL
    for kind, value in nodes:
        one = ALL
        if kind in (codes.LITERAL, codes.IN):
            try:
                one = _set(kind, value) & characters
            except Unclear:
                continue
        elif kind is codes.BRANCH:
            one = reduce(or_, (_needed(branch, characters) for branch in value[1]))
        elif kind is codes.SUBPATTERN and not value[1]:
            one = _needed(value[-1], characters)
        elif kind in (codes.MAX_REPEAT, codes.MIN_REPEAT) and value[0]:
            one = _needed(value[2], characters)
        if one.bit_count() < found.bit_count():
            found = one
    return found


def _edge(pattern: re.Pattern[str], anchor: Any, step: int) -> int:
    if pattern.flags & (UNFOLLOWED | re.MULTILINE):
        return ALL
    try:
        return _taken_first(list(_parsed(pattern))[::step], anchor, step, False)
    except Unclear:
        return ALL


def _taken_first(nodes: Sequence[Any], anchor: Any, step: int, anchored: bool) -> int:
    """What the first of the nodes to take a character may take, behind an anchor; nodes as they are met at `step`."""
    if not nodes:
        raise Unclear("a match of nothing")
    (kind, value), rest = nodes[0], nodes[1:]

    def then(inner: Iterable[Any]) -> int:
        return _taken_first([*list(inner)[::step], *rest], anchor, step, anchored)

    if kind in (codes.ASSERT, codes.ASSERT_NOT):
        return then(())
    if kind is codes.AT and value is anchor:
        return _taken_first(rest, anchor, step, True)
    if kind in (codes.LITERAL, codes.NOT_LITERAL, codes.IN) and anchored:
        return _set(kind, value)
    if kind is codes.BRANCH:
        return reduce(or_, map(then, value[1]))
    if kind is codes.SUBPATTERN and not value[1]:
        return then(value[-1])
    if kind in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        return then(value[2]) | (0 if value[0] else then(()))
    raise Unclear(str(kind))


_sets_met: dict[int, tuple[Any, int]] = {}
"""By identity, for a parsed pattern cannot be hashed; what is held here keeps its identity."""


def _set(kind: Any, value: Any) -> int:
    if kind is codes.LITERAL:
        return _range(value, value)
    if kind is codes.NOT_LITERAL:
        return ALL & ~_range(value, value)
    if id(value) not in _sets_met:
        _sets_met[id(value)] = value, _set_of(list(value))
    return _sets_met[id(value)][1]


def _set_of(items: list[Any]) -> int:
    negated = items[0][0] is codes.NEGATE
    found = 0
    for one, of_it in items[1:] if negated else items:
        if one is codes.LITERAL:
            found |= _range(of_it, of_it)
        elif one is codes.RANGE:
            found |= _range(*of_it)
        elif one is codes.CATEGORY:
            found |= _category(of_it)
        else:
            raise Unclear(str(one))
    return ALL & ~found if negated else found


def _range(first: int, last: int) -> int:
    last = min(last, UNIVERSE - 1)
    return (1 << (last + 1)) - (1 << first) if first <= last else 0


_CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}


@cache
def _category(category: Any) -> int:
    matches = re.compile(_CATEGORIES[category]).match
    return of_text(letter for letter in map(chr, range(UNIVERSE)) if matches(letter))
