"""Nodes that are equal in all but what is each machine's own: "62 nodes like this, 2 that differ"."""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.topology.fact import Fact
from cluster.topology.hosts import by_number
from cluster.topology.node import Node
from cluster.topology.parts import (
    ALIKE,
    MATRICES,
    OF_ONE_JOB,
    ROUGH,
    Part,
    facts,
    lasting,
    parts,
    titled,
    together,
    told,
)

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Kind:
    """Nodes that are alike."""

    nodes: tuple[str, ...]
    """In order of names."""
    sample: Node
    """The first of them."""
    differs: tuple[str, ...]
    """From the largest group, in words; empty for that one."""


def kinds(nodes: Sequence[Node]) -> list[Kind]:
    """The largest group first; whatever the order of `nodes`. Facts that change by themselves do not count."""
    rough = _settled(nodes)
    groups: dict[Hashable, list[Node]] = {}
    for node in nodes:
        groups.setdefault(_shape(node, rough), []).append(node)
    ordered = [sorted(group, key=lambda node: by_number(node.name)) for group in groups.values()]
    ordered.sort(key=lambda group: (-len(group), by_number(group[0].name)))
    return [
        Kind(tuple(node.name for node in group), group[0], _differs(group[0], ordered[0][0], rough))
        for group in ordered
    ]


def _settled(nodes: Sequence[Node]) -> dict[float, float]:
    """Every rough amount to the least that it is alike to."""
    values = set()
    for node in nodes:
        for record in (node.memory, *node.numa, *node.storage, *node.gpus.devices):
            for name in ROUGH & set(facts(record).names):
                value = getattr(record, name).value
                if isinstance(value, int):
                    values.add(value)
    settled: dict[float, float] = {}
    first = 0.0
    for value in sorted(values):
        first = first if value <= first * (1 + ALIKE) else value
        settled[value] = first
    return settled


def _shape(node: Node, rough: Mapping[float, float]) -> Hashable:
    """Equal for nodes of one kind."""
    return (
        _facts(node.host, rough),
        _facts(node.software, rough),
        _facts(node.cpu, rough),
        _facts(node.memory, rough),
        (len(node.gpus.on_bus.or_else(())), _facts(node.gpus, rough)),
        _facts(node.network, rough),
        tuple((numa.number, _facts(numa, rough)) for numa in node.numa),
        tuple(_facts(gpu, rough) for gpu in node.gpus.devices),
        tuple(_facts(port, rough) for port in lasting(node.network.ports)),
        tuple((rdma.port, _facts(rdma, rough)) for rdma in node.network.rdma),
        tuple((storage.role, _facts(storage, rough)) for storage in node.storage),
    )


def _facts(record: Any, rough: Mapping[float, float]) -> Hashable:
    names, of = facts(record)
    return tuple([_value(name, fact, rough) for name, fact in zip(names, of(record), strict=True)])


def _value(name: str, fact: Fact[Any], rough: Mapping[float, float]) -> Any:
    if fact.status != "ok":
        return (fact.status,)
    return _general(name, fact.value, rough) if name in SPECIAL else fact.value


def _general(name: str, value: Any, rough: Mapping[float, float]) -> Hashable:
    """What of a value is not one machine's own."""
    if name in ROUGH:
        return rough.get(value, value) if isinstance(value, int) else str(value)
    match name:
        case "nvlinks":
            return tuple((link.link, link.active, link.version, link.peer) for link in value)
        case "remapped_rows":
            return (value.pending, value.failed)
        case "mig_devices":
            return tuple((device.name, device.memory_bytes) for device in value)
        case "environment":
            return tuple(sorted((key, words) for key, words in value.items() if key not in OF_ONE_JOB))
        case _:
            return UUID.sub("", value)


SPECIAL = {"nvlinks", "remapped_rows", "mig_devices", "environment", "fabric", *ROUGH}


def _differs(node: Node, usual: Node, rough: Mapping[float, float]) -> tuple[str, ...]:
    """In which facts one node differs from the usual, each with both values."""
    if node is usual:
        return ()
    here, there = _by_kind(node), _by_kind(usual)
    found: list[str] = []
    for kind in list(dict.fromkeys([*there, *here])):
        ours, theirs = here.get(kind, []), there.get(kind, [])
        if len(ours) == len(theirs):
            found += _in_facts(ours, theirs, rough)
        else:
            found.append(f"{len(ours)} {kind if kind.endswith('s') else kind + 's'} instead of {len(theirs)}")
    on_bus, usual_on_bus = (len(one.gpus.on_bus.or_else(())) for one in (node, usual))
    if on_bus != usual_on_bus:
        found.append(f"{on_bus} GPUs on the PCI bus instead of {usual_on_bus}")
    return tuple(found)


def _by_kind(node: Node) -> dict[str, list[Part]]:
    groups: dict[str, list[Part]] = {}
    for part in parts(node):
        groups.setdefault(part.kind, []).append(part)
    return groups


def _in_facts(ours: list[Part], theirs: list[Part], rough: Mapping[float, float]) -> Iterable[str]:
    """Of parts alike, one by one; the same change in several of them once."""
    changes: dict[tuple[str, str], list[Part]] = {}
    for mine, yours in zip(ours, theirs, strict=True):
        for name in facts(mine.record).names:
            a, b = getattr(mine.record, name), getattr(yours.record, name)
            if _value(name, a, rough) != _value(name, b, rough):
                words = f"{told(name, a)} instead of {told(name, b)}"
                if name in MATRICES or told(name, a) == told(name, b):
                    words = "otherwise"
                changes.setdefault((name, words), []).append(mine)
    return [f"{titled(together(some), name)} {words}" for (name, words), some in changes.items()]
