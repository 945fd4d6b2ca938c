"""Which part of one record is which of another: by what stays with the thing, then by where it is."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

from cluster.topology.network import Port, RdmaPort
from cluster.topology.node import Node
from cluster.topology.parts import Part, parts

T = TypeVar("T")
Key = Callable[[T], Hashable]
"""None where a thing has no such name."""


class Match(NamedTuple):
    """Two parts that are the same, or one that has no other."""

    before: Part | None
    after: Part | None


def matched(
    before: Sequence[T], after: Sequence[T], keys: Sequence[Key[T]]
) -> tuple[list[tuple[T, T]], list[T], list[T]]:
    """By the first key that fits, each thing once; those that are left over on either side."""
    found: list[tuple[T, T]] = []
    for key in keys:
        ours, theirs = _by_key(before, key), _by_key(after, key)
        found += [(ours[name], theirs[name]) for name in ours if name in theirs]
        taken = {id(one) for both in found for one in both}
        before = [one for one in before if id(one) not in taken]
        after = [one for one in after if id(one) not in taken]
    return found, list(before), list(after)


def _by_key(things: Sequence[T], key: Key[T]) -> dict[Hashable, T]:
    """Names that two things share do not tell them apart."""
    names = [key(thing) for thing in things]
    counts = Counter(names)
    return {name: thing for name, thing in zip(names, things, strict=True) if name is not None and counts[name] == 1}


def same_machine(a: Node, b: Node) -> bool:
    """One node at two times, and not two nodes."""
    return a.name == b.name or bool(uuids(a) & uuids(b))


def uuids(node: Node) -> set[str]:
    return {gpu.uuid.value for gpu in node.gpus.devices if gpu.uuid.value is not None}


def matches(a: Node, b: Node) -> list[Match]:
    """All parts but GPUs, which may move between nodes (`gpus.py`)."""
    found: list[Match] = []
    ours, theirs = _by_kind(a), _by_kind(b)
    for kind in dict.fromkeys([*ours, *theirs]):
        if kind == "GPU":
            continue
        keys = _keys(kind, same_machine(a, b))
        both, gone, new = matched(ours.get(kind, []), theirs.get(kind, []), keys)
        found += [Match(*pair) for pair in both]
        found += [Match(part, None) for part in gone]
        found += [Match(None, part) for part in new]
    return found


def _by_kind(node: Node) -> dict[str, list[Part]]:
    groups: dict[str, list[Part]] = {}
    for part in parts(node):
        groups.setdefault(part.kind, []).append(part)
    return groups


def _keys(kind: str, same: bool) -> list[Key[Part]]:
    if same and kind == "interface":
        return [lambda part: _mac(part.record), lambda part: part.record.bus_id.value, _number]
    if same and kind == "RDMA port":
        return [lambda part: _guid(part.record), _number]
    return [_number]


def _number(part: Part) -> Hashable:
    return part.number


def _mac(port: Port) -> Hashable:
    mac = port.mac.or_else("")
    return mac if mac.strip("0:") else None


def _guid(port: RdmaPort) -> Hashable:
    return (port.guid.value, port.port) if port.guid.known else None
