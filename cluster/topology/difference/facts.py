"""Which facts of one part are others in the second record."""

from collections.abc import Iterator
from typing import Any

from cluster.topology.difference.change import Change
from cluster.topology.fact import Fact
from cluster.topology.parts import ALIKE, MATRICES, OF_ONE_JOB, ROUGH, Part, fact_words, facts, stands_alone, told
from cluster.topology.storage import Storage

NEVER = {"network_namespace"}
"""A number that every container and every boot draws anew."""
CELLS = 4


def of_part(
    before: Part, after: Part, node: str, same: bool, skipped: frozenset[str] = frozenset()
) -> Iterator[Change]:
    """`same`: one machine at two times, so that serials and addresses count too."""
    part = None if stands_alone(before) else before
    if isinstance(before.record, Storage) and before.record.path != after.record.path:
        yield Change("changed", node, part, "path", before.record.path, after.record.path)
    names, of = facts(before.record, individual=same)
    for name, a, b in zip(names, of(before.record), of(after.record), strict=True):
        if name in NEVER or name in skipped or _equal(name, a, b):
            continue
        for fact, was, is_now in _words(name, a, b):
            yield Change("changed", node, part, fact, was, is_now)


def _equal(name: str, a: Fact[Any], b: Fact[Any]) -> bool:
    if not a.known or not b.known:
        return a.known == b.known and a.status == b.status
    if name in ROUGH and isinstance(a.value, int) and isinstance(b.value, int):
        return abs(a.value - b.value) <= ALIKE * max(a.value, b.value)
    return bool(a.value == b.value)


def _words(name: str, a: Fact[Any], b: Fact[Any]) -> Iterator[tuple[str, str, str]]:
    """The fact in words, before and after; of what is long only what differs."""
    if name == "boot":
        yield "restarted", "", ""
    elif name == "environment" and a.known and b.known:
        ours: dict[str, str] = a.or_else({})
        theirs: dict[str, str] = b.or_else({})
        for variable in sorted((ours.keys() | theirs.keys()) - OF_ONE_JOB):
            if ours.get(variable) != theirs.get(variable):
                yield variable, ours.get(variable, "not set"), theirs.get(variable, "not set")
    else:
        was, is_now = _pair(name, a, b)
        if was == is_now:
            yield f"{fact_words(name)} otherwise", "", ""
        else:
            yield fact_words(name), was, is_now


def _pair(name: str, a: Fact[Any], b: Fact[Any]) -> tuple[str, str]:
    ours: Any = a.value
    theirs: Any = b.value
    if name in MATRICES and a.known and b.known:
        return _cells(ours, theirs)
    if _is_list(ours) and _is_list(theirs) and set(ours) != set(theirs):
        return _only(ours, theirs), _only(theirs, ours)
    return _told(name, a), _told(name, b)


def _told(name: str, fact: Fact[Any]) -> str:
    return told(name, fact) if fact.known else f"{fact.status} ({fact.why})"


def _is_list(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) for one in value)


def _only(these: tuple[str, ...], others: tuple[str, ...]) -> str:
    return ", ".join(one for one in these if one not in others) or "none"


def _cells(a: tuple[tuple[str, ...], ...], b: tuple[tuple[str, ...], ...]) -> tuple[str, str]:
    """The first cells that differ, as in `0-1 NV18`."""
    ours, theirs = _by_cell(a), _by_cell(b)
    apart = [cell for cell in sorted(ours.keys() | theirs.keys()) if ours.get(cell) != theirs.get(cell)]
    more = f", and {len(apart) - CELLS} more" if len(apart) > CELLS else ""
    written = [
        ", ".join(f"{row}-{column} {cells.get((row, column), 'none')}" for row, column in apart[:CELLS]) + more
        for cells in (ours, theirs)
    ]
    return written[0], written[1]


def _by_cell(matrix: tuple[tuple[str, ...], ...]) -> dict[tuple[int, int], str]:
    return {(row, column): cell for row, cells in enumerate(matrix) for column, cell in enumerate(cells)}
