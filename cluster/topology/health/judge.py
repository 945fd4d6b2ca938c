"""A verdict on every node of a record, with what is wrong, why it matters and what to do; and what nobody could judge.

Pure functions over records: nothing here looks at the machine.
"""

import functools
import re
from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter

from cluster.topology.fact import record
from cluster.topology.health import between
from cluster.topology.health.finding import Finding, NodeRule, Peers, Said, Unjudged, Verdict, Wrong
from cluster.topology.health.rules import CLUSTER_RULES, FACT_RULES, LOAD_RULES, ClusterRule
from cluster.topology.hosts import by_number, compressed
from cluster.topology.node import Cluster, Node, json_schema

HOST = re.compile(r"[\w.-]+")
ORDER: tuple[Verdict, ...] = ("fail", "unknown", "warning", "pass")
"""The worst first: what nobody could look at may be as bad as anything."""


@record
class Health:
    """What is to be thought of a cluster."""

    verdict: Verdict
    """The worst of all."""
    verdicts: dict[str, Verdict]
    """By name of the node, missing ones too."""
    findings: tuple[Finding, ...] = ()
    """Failures first, then in order of nodes."""
    unjudged: tuple[Unjudged, ...] = ()
    """Rules that had nothing to go by: they are not passed."""


def judge(cluster: Cluster) -> Health:
    """By all rules. The order of nodes in the record does not matter."""
    peers = between.peers_of(cluster)
    found: list[Finding | Unjudged] = []
    for node in cluster.nodes:
        found += _of_node(node, FACT_RULES + LOAD_RULES, peers)
    for rule in CLUSTER_RULES:
        found += [_told(rule, said, said.node) for said in rule.judge(cluster)]
    return _health([node.name for node in cluster.nodes] + [node.name for node in cluster.missing], found)


def before_start(node: Node) -> Health:
    """By the rules over facts alone, as they are gone through before every start."""
    peers = between.peers_of(Cluster(nodes=(node,)))
    return _health([node.name], _of_node(node, FACT_RULES, peers))


def exclude_line(health: Health) -> str:
    """For Slurm, the nodes that failed or did not answer: `--exclude=n3,n[7-9]`. Empty where none did. Not in it is who
    has no name that Slurm would know: `node 3` never said its own.

    Where nodes contradict each other and nobody can say which is right, none is in it: the finding's remedy has a line
    for each side.
    """
    failed = [name for name, verdict in health.verdicts.items() if verdict == "fail" and HOST.fullmatch(name)]
    return f"--exclude={compressed(failed)}" if failed else ""


def health_json(health: Health) -> dict[str, Any]:
    plain: dict[str, Any] = _adapter().dump_python(health, mode="json")
    return plain


def health_schema() -> dict[str, Any]:
    """The JSON Schema of what `health_json` gives."""
    return _adapter().json_schema(mode="serialization")


def printed_schema() -> dict[str, Any]:
    """The JSON Schema of what `muster probe --json` prints: a record, with what is to be thought of it."""
    whole, health = json_schema(), health_schema()
    shapes = whole["$defs"] | health.pop("$defs") | {"Health": health}
    return whole | {"$defs": shapes, "properties": whole["properties"] | {"health": {"$ref": "#/$defs/Health"}}}


@functools.cache
def _adapter() -> TypeAdapter[Health]:
    return TypeAdapter(Health)


def _of_node(node: Node, rules: Iterable[NodeRule], peers: Peers) -> list[Finding | Unjudged]:
    return [_told(rule, said, node.name) for rule in rules for said in rule.judge(node, peers)]


def _told(rule: NodeRule | ClusterRule, said: Said, node: str) -> Finding | Unjudged:
    if isinstance(said, Wrong):
        return Finding(
            node=node,
            between=said.between,
            level=said.level,
            rule=said.rule or rule.name,
            what=said.what,
            why=rule.why,
            remedy=said.remedy or rule.remedy,
            facts=said.facts,
        )
    return Unjudged(node=node, rule=rule.name, what=said.what, essential=said.essential, remedy=said.remedy)


def _health(names: Iterable[str], found: Iterable[Finding | Unjudged]) -> Health:
    ordered = sorted(found, key=_place)
    findings = tuple(one for one in ordered if isinstance(one, Finding))
    unjudged = tuple(one for one in ordered if isinstance(one, Unjudged))
    verdicts: dict[str, Verdict] = {name: "pass" for name in sorted(set(names), key=by_number)}
    for one in ordered:
        for name in (one.node,) if one.node else one.between if isinstance(one, Finding) else ():
            # Nobody fails for what may as well be another's fault.
            verdict = _alone(one) if one.node else "warning"
            verdicts[name] = min(verdicts[name], verdict, key=ORDER.index)
    every: list[Verdict] = [*verdicts.values(), *map(_alone, ordered)]
    worst: Verdict = min(every, key=ORDER.index, default="pass")
    return Health(verdict=worst, verdicts=verdicts, findings=findings, unjudged=unjudged)


def _alone(one: Finding | Unjudged) -> Verdict:
    if isinstance(one, Finding):
        return one.level
    return "unknown" if one.essential else "pass"


def _place(one: Finding | Unjudged) -> tuple[Any, ...]:
    between = one.between if isinstance(one, Finding) else ()
    return (ORDER.index(_alone(one)), by_number(one.node), list(map(by_number, between)), one.rule, one.what)
