"""Can a regular expression match inside a text of certain characters only? The answer no is a proof, yes is a guess."""

import re
from collections.abc import Iterable, Set
from re import _constants as codes  # type: ignore[attr-defined]  # Python's own parse of a pattern: there is no other
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any


def may_match(pattern: re.Pattern[str], characters: Set[int]) -> bool:
    """False if `pattern` matches nowhere in any text made of these code points alone."""
    if pattern.flags & re.IGNORECASE:
        return True
    return _all(parser.parse(pattern.pattern, pattern.flags), characters)


def _all(nodes: Iterable[Any], characters: Set[int]) -> bool:
    return all(_one(kind, value, characters) for kind, value in nodes)


def _one(kind: Any, value: Any, characters: Set[int]) -> bool:
    if kind is codes.LITERAL:
        return value in characters
    if kind is codes.IN:
        return _in(value, characters)
    if kind is codes.BRANCH:
        return any(_all(branch, characters) for branch in value[1])
    if kind is codes.SUBPATTERN:
        return _all(value[-1], characters)
    if kind in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        return value[0] == 0 or _all(value[2], characters)
    if kind is codes.ASSERT:  # what stands before or behind is of the same text
        return _all(value[1], characters)
    return True


def _in(items: Iterable[Any], characters: Set[int]) -> bool:
    items = list(items)
    if items[0][0] is codes.NEGATE:
        left = set(characters)
        for kind, value in items[1:]:
            if kind is codes.LITERAL:
                left.discard(value)
            elif kind is codes.RANGE:
                left -= {code for code in left if value[0] <= code <= value[1]}
        return bool(left)
    for kind, value in items:
        if kind is codes.LITERAL:
            found = value in characters
        elif kind is codes.RANGE:
            found = any(value[0] <= code <= value[1] for code in characters)
        elif kind is codes.CATEGORY and value in (codes.CATEGORY_DIGIT, codes.CATEGORY_SPACE):
            found = any(chr(code).isdecimal() or chr(code).isspace() for code in characters)
        else:
            found = True
        if found:
            return True
    return False
