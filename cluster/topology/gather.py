"""The records of several nodes as one: who brought one, who is missing and why, and what they see of each other."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cluster.topology.fact import Fact, unknown
from cluster.topology.head import Head
from cluster.topology.member import Member
from cluster.topology.node import Cluster, Missing, Node, to_bytes
from cluster.topology.place import Place
from cluster.topology.tokens import Left, sees

BRING_SECONDS = 30.0


class Gathered(NamedTuple):
    """The cluster, and the number that each of its nodes has among those that were started."""

    cluster: Cluster
    numbers: tuple[int, ...]


def of_head(node: Node, left: Left) -> Node:
    """The merging node's own record, with what it is to the others."""
    skew = Fact(0.0, "s", "this node merges the records: the others' clocks are set against its own")
    return _among(node, left, node.name, skew)


def brought(member: Member, node: Node, now: Callable[[], float]) -> Node:
    """The record of another node, with what it sees of the merging one."""
    return _among(node, member.left, member.head_name, member.skew(now).fact(member.head_name))


def bring(member: Member, node: Node) -> None:
    """Raises InfrastructureError."""
    member.bring(to_bytes(node), BRING_SECONDS)


def gathered(place: Place, own: Node, head: Head, wait_seconds: float, everybody: bool) -> Gathered:
    """All records that come in time. `everybody`: wait for all processes of the job, not only for records."""
    head.wait_for(set(range(1, place.nodes)), place.ranks - 1 if everybody else 0, wait_seconds)
    records = {0: own, **head.close()}
    why = {node: _why(head.heard_of(node), wait_seconds) for node in range(place.nodes) if node not in records}
    return Gathered(merged(place, records, why, head.problems), tuple(sorted(records)))


def merged(place: Place, records: Mapping[int, Node], why: Mapping[int, str], problems: Sequence[str]) -> Cluster:
    """`records` and `why` (there is none), by the number of the node."""
    found = dict(sorted(records.items()))
    names = distinct([_name(place, number, node) for number, node in found.items()])
    nodes = tuple(dataclasses.replace(node, name=name) for node, name in zip(found.values(), names, strict=True))
    left_over = [name for name in place.names if name not in names] or [f"node {number}" for number in sorted(why)]
    missing = tuple(Missing(name=name, why=why[number]) for name, number in zip(left_over, sorted(why), strict=False))
    return Cluster(nodes=nodes, missing=missing, problems=tuple(problems))


def distinct(names: Sequence[str]) -> list[str]:
    """Two containers of one name get numbers: everything else goes by the names of nodes."""
    count, seen, told = Counter(names), Counter[str](), []
    for name in names:
        told.append(f"{name}#{seen[name]}" if count[name] > 1 else name)
        seen[name] += 1
    return told


def _name(place: Place, number: int, node: Node) -> str:
    return place.names[number] if place.launcher == "srun" else node.name


def _why(heard: str, wait_seconds: float) -> str:
    """`heard`: how far it has come."""
    if not heard:
        return f"it did not call within {wait_seconds:g} s"
    return f"{heard}, and brought no record within {wait_seconds:g} s"


def _among(node: Node, left: Left, head: str, skew: Fact[float]) -> Node:
    nobody = unknown("absent", f"{head} has no folder of this part", "a file that it would have left there")
    return dataclasses.replace(
        node,
        host=dataclasses.replace(node.host, clock_skew_seconds=skew),
        storage=tuple(
            dataclasses.replace(storage, shared=sees(storage.path, left.get(storage.role, nobody), head))
            for storage in node.storage
        ),
    )
