"""What health says of a node and of the things on it, as a picture needs it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.topology.gpu import Gpu
from cluster.topology.health.finding import Finding, Unjudged
from cluster.topology.health.judge import ORDER, Health
from cluster.topology.health.slow import LEAST_OF_LINK
from cluster.topology.rate import Pair

PCIE = ("pcie", "gpu-slot", "host to gpu", "gpu to host")
NVLINK = ("nvlink", "gpu to gpu")
"""In a finding's rule or words: it is about this kind of link."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding, or a fact without which nobody can judge a node."""

    node: str
    level: str
    rule: str
    what: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one node, or on several that are drawn as one, and the remarks behind it."""

    verdict: str
    """Empty where nothing was judged."""
    remarks: tuple[Remark, ...] = ()
    """The worst first."""
    unjudged: tuple[str, ...] = ()
    """What else no rule could judge."""

    def on(self, names: Sequence[str], about: Sequence[str] = ("",)) -> Remark | None:
        """The worst that names a thing by one of its names; `about`: and is of that kind."""
        known = [re.escape(name) for name in names if name]
        if not known:
            return None
        pattern = re.compile(rf"(?<![\w.:-])(?:{'|'.join(known)})(?![\w-]|:\w)", re.IGNORECASE)
        for remark in self.remarks:
            words = f"{remark.rule} {remark.what}".lower()
            if pattern.search(remark.what) and any(word in words for word in about):
                return remark
        return None


def names_of(gpu: Gpu) -> list[str]:
    """What a finding may call a GPU."""
    return [f"GPU {gpu.index}", gpu.uuid.or_else(""), gpu.bus_id.or_else("")]


class Judgements:
    """Those of all nodes, found by name."""

    def __init__(self, health: Health | None) -> None:
        self._verdicts: dict[str, str] = {} if health is None else dict(health.verdicts)
        self._remarks: dict[str, list[Remark]] = {}
        self._slow: set[str | tuple[str, ...]] | None = None if health is None else set()
        """Nodes and groups of nodes that are slow to each other."""
        self._unjudged: dict[str, list[str]] = {}
        for missed in () if health is None else health.unjudged:
            if not missed.essential:
                self._unjudged.setdefault(missed.node, []).append(missed.what)
        for remark, names in () if health is None else _remarks(health):
            for name in names:
                self._remarks.setdefault(name, []).append(remark)
            if remark.rule.startswith("network") and self._slow is not None:
                self._slow.add(remark.node or names)

    def of(self, name: str) -> Judgement:
        return self._judgement(self._verdicts.get(name, ""), [name])

    def of_all(self, names: Sequence[str]) -> Judgement:
        """The worst verdict, and every remark."""
        verdicts = {self._verdicts.get(name, "") for name in names}
        worst = next((verdict for verdict in ORDER if verdict in verdicts), "")
        return self._judgement(worst, names)

    def _judgement(self, verdict: str, names: Sequence[str]) -> Judgement:
        remarks = [one for name in names for one in self._remarks.get(name, [])]
        unjudged = dict.fromkeys(what for name in names for what in self._unjudged.get(name, []))
        return Judgement(verdict, _worst_first(remarks), tuple(unjudged))

    def counted(self, names: Sequence[str]) -> str:
        """The verdicts of some nodes, the worst first; empty where all have the same."""
        verdicts = [self._verdicts.get(name, "") for name in names]
        told = [f"{verdicts.count(verdict):,} {verdict}" for verdict in ORDER if verdict in verdicts]
        return ", ".join(told) if len(told) > 1 else ""

    def everything(self) -> list[tuple[Remark, list[str]]]:
        """Each remark once, with the nodes that it concerns, the worst first."""
        nodes: dict[Remark, list[str]] = {}
        for name, remarks in self._remarks.items():
            for remark in remarks:
                nodes.setdefault(remark, []).append(name)
        return [(remark, nodes[remark]) for remark in _worst_first(nodes)]

    def is_low(self, pair: Pair) -> bool:
        """As health found; by its share of the limit where nobody judged."""
        if self._slow is None:
            return bool(pair.limit) and pair.bytes_per_second < LEAST_OF_LINK * (pair.limit or 0)
        if pair.a in self._slow or pair.b in self._slow:
            return True
        return any(isinstance(names, tuple) and pair.a in names and pair.b in names for names in self._slow)


def _remarks(health: Health) -> Iterable[tuple[Remark, tuple[str, ...]]]:
    """With the names of the nodes that each concerns."""
    for one in health.findings:
        yield Remark(one.node, one.level, one.rule, one.what, one.why, one.remedy), _nodes(one)
    for missed in health.unjudged:
        if missed.essential:
            yield Remark(missed.node, "unknown", missed.rule, missed.what, "", missed.remedy), _nodes(missed)


def _nodes(one: Finding | Unjudged) -> tuple[str, ...]:
    return one.between if isinstance(one, Finding) and not one.node else (one.node,)


def _worst_first(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    order: dict[str, int] = {verdict: place for place, verdict in enumerate(ORDER)}
    return tuple(sorted(remarks, key=lambda one: order.get(one.level, len(order))))
