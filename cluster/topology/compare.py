"""What is otherwise in a second record: two nodes, or one cluster on two days.

Facts that change by themselves (`Live`) are left out, and so are interfaces that come and go with containers.
"""

from collections.abc import Iterator
from typing import Any

from cluster.topology.difference.change import Change, Difference, Level, grouped, paced
from cluster.topology.difference.facts import of_part
from cluster.topology.difference.gpus import moves, of_node
from cluster.topology.difference.matching import Match, matched, matches, same_machine, uuids
from cluster.topology.difference.pace import of_curves, of_pairs, of_rates
from cluster.topology.hosts import by_number
from cluster.topology.node import Cluster, Node
from cluster.topology.parts import MATRICES

ORDER: tuple[Level, ...] = ("lost", "changed", "slower", "new", "faster")
FOLLOWS_GPUS = frozenset({"on_bus", "visible", *MATRICES})
"""Facts that change with the GPUs of a node: the GPU itself is told."""


def differences(a: Cluster, b: Cluster) -> list[Difference]:
    """Losses first, then in order of nodes; the same change on many nodes once. Nodes go by their names; two records of
    one node each are compared whatever the names."""
    both, gone, new = _nodes(a, b)
    moved = moves(a, b, {before.name: after.name for before, after in both})
    changes = [*_of_nodes(gone, "lost", b), *_of_nodes(new, "new", a), *moved.values()]
    paces = [*of_pairs(a, b), *of_curves(a, b)]
    for before, after in both:
        same = same_machine(before, after)
        name = before.name if before.name == after.name else f"{before.name} -> {after.name}"
        changes += of_node(before, after, name, same, moved)
        skipped = FOLLOWS_GPUS if _other_gpus(before, after, same) else frozenset()
        for match in matches(before, after):
            changes += _of_match(match, name, same, skipped)
        paces += of_rates(before, after, name, same)
    return sorted([*grouped(changes), *paced(paces)], key=_place)


def _other_gpus(before: Node, after: Node, same: bool) -> bool:
    """Not the same ones, or between two machines not as many."""
    if same:
        return uuids(before) != uuids(after)
    return len(before.gpus.devices) != len(after.gpus.devices)


def _place(one: Difference) -> tuple[Any, ...]:
    first = by_number("".join(one.nodes[:1]))
    return (ORDER.index(one.level), first, one.part, one.fact, one.before, one.after)


def _nodes(a: Cluster, b: Cluster) -> tuple[list[tuple[Node, Node]], list[Node], list[Node]]:
    if len(a.nodes) == len(b.nodes) == 1 and not a.missing and not b.missing:
        return [(a.nodes[0], b.nodes[0])], [], []
    return matched(a.nodes, b.nodes, [lambda node: node.name])


def _of_nodes(nodes: list[Node], level: Level, other: Cluster) -> Iterator[Change]:
    """Those that the other record does not have."""
    missing = {node.name: f"no answer: {node.why}" for node in other.missing}
    for node in nodes:
        words = missing.get(node.name, "not probed")
        before, after = ("there", words) if level == "lost" else (words, "there")
        yield Change(level, node.name, None, "node", before, after)


def _of_match(match: Match, name: str, same: bool, skipped: frozenset[str]) -> Iterator[Change]:
    before, after = match
    if before is not None and after is not None:
        yield from of_part(before, after, name, same, skipped)
    elif before is not None:
        yield Change("lost", name, before, "", "", "")
    elif after is not None:
        yield Change("new", name, after, "", "", "")
