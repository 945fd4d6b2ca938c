"""What a rule says: that something is wrong, or that it could not be judged."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.topology.fact import UNREAD, Fact, record
from cluster.topology.node import Node

Level = Literal["warning", "fail"]
Verdict = Literal["pass", "warning", "fail", "unknown"]


@record
class Finding:
    """One thing that is wrong."""

    node: str
    """Empty where it cannot be laid to one node: then `between` names those that it concerns."""
    between: tuple[str, ...] = ()
    level: Level
    """`fail`: do not train here. `warning`: a run works, but slower or nearer to trouble than it should be."""
    rule: str
    """A short fixed name, such as gpu-lost."""
    what: str
    """What was seen, with the values."""
    why: str
    """Why it matters."""
    remedy: str
    """What a person does now."""
    facts: tuple[str, ...] = ()
    """The facts that it rests on, as places in the record."""


@record
class Unjudged:
    """One thing that no rule could judge."""

    node: str
    rule: str
    what: str
    """The fact that is missing, and why."""
    essential: bool = False
    """Without it nobody can say that this node is well."""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A rule's own words for a finding; the rest stands in the table of rules."""

    level: Level
    what: str
    facts: tuple[str, ...] = ()
    remedy: str = ""
    """Where it is another than the rule's."""
    node: str = ""
    """For rules between nodes: the one that it lies with."""
    between: tuple[str, ...] = ()
    rule: str = ""
    """Where one look at the figures tells of two things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A rule's own words for what it could not judge."""

    what: str
    essential: bool = False
    remedy: str = ""
    node: str = ""


Said = Wrong | Missed


@dataclass(frozen=True, slots=True)
class Peers:
    """What is usual in a cluster, for rules that judge one node by the others."""

    nodes: int = 1
    ecc: dict[str, bool] = field(default_factory=dict)
    """By model of GPU, as for the links."""
    links: dict[str, int] = field(default_factory=dict)
    """Active NVLinks of a GPU."""
    rdma_rates: dict[tuple[str, int], int] = field(default_factory=dict)
    """Bits a second, by device and port."""
    rdma_active: frozenset[tuple[str, int]] = frozenset()
    """Ports that are ACTIVE on most nodes."""
    ports_up: frozenset[str] = frozenset()
    """Interfaces that are up on most nodes."""


@dataclass(frozen=True, slots=True)
class NodeRule:
    """One line of the table of rules over a node."""

    name: str
    why: str
    remedy: str
    judge: Callable[[Node, Peers], Iterable[Said]]


def unread(fact: Fact[Any], what: str) -> Iterable[Missed]:
    """That a fact which a rule needs could not be had. Nothing where there is no such thing to judge."""
    if fact.known or (fact.status == "absent" and fact.why != UNREAD.why):
        return ()
    return (Missed(what=f"{what}: {fact.status}: {fact.why}"),)
