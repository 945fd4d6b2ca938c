"""Rules between nodes, from measurements: a node, a GPU or a link that is slower than its peers."""

import statistics
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cluster.topology.gpu import Gpu
from cluster.topology.health.finding import Level, Missed, Said, Wrong
from cluster.topology.health.gpu import named
from cluster.topology.hosts import by_number, compressed
from cluster.topology.node import Cluster, Node
from cluster.topology.peers import ENOUGH, low
from cluster.topology.rate import Pair, Rate
from cluster.topology.words import KNOWN_RATES, duration, percent, rate, size

FAIL_SHARE = 0.75
"""Of what is usual: a rank on such a node holds up all others by a third."""
FAIL_SHARE_DISK = 0.5
"""Others use the same file system."""
LATE = 0.5
"""A message between nodes that takes twice as long is late; less than that is often chance."""
LEAST_OF_LINK = 0.60
"""Between nodes 73 % (EFA) to 92 % of the line's rate is usual, and 80 % of NVLink's in a ring (stas00/ml-engineering,
network; NCCL reckons 12 GB/s for 100 Gb/s)."""
GLOO_BYTES_PER_SECOND = 1.0e9
"""gloo copies on one core: 1.07 GB/s on a line of 40 Gb/s (pytorch/gloo#248). A faster line is not its measure."""
TOLD = 4
"""Figures that one finding spells out."""


@dataclass(frozen=True, slots=True)
class Slow:
    """One figure that lies far below its peers'."""

    words: str
    value: float
    usual: float
    unit: str
    among: int
    least: float
    """Share of the usual below which it fails."""

    @property
    def level(self) -> Level:
        """Among few nobody can say how much is chance."""
        return "fail" if self.among >= ENOUGH and self.value < self.least * self.usual else "warning"

    @property
    def told(self) -> str:
        usual = rate(self.usual, self.unit)
        return f"{self.words} {rate(self.value, self.unit)}, {percent(1 - self.value / self.usual)} below {usual}"


Group = tuple[Hashable, ...]
Samples = dict[tuple[str, str], list[float]]
"""Node and place to what was measured there."""


def rates(cluster: Cluster) -> Iterator[Said]:
    """A node that is slow in all its parts is told as a node, else its slow GPUs."""
    slow_nodes: dict[str, list[Slow]] = {}
    slow_gpus: dict[tuple[str, str], list[Slow]] = {}
    for group, samples in _groups(cluster.nodes).items():
        words, unit, least = str(group[0]), str(group[1]), FAIL_SHARE_DISK if group[2] else FAIL_SHARE
        of_nodes = _by_node(samples)
        odd = low(of_nodes)
        for name, usual in odd.items():
            slow_nodes.setdefault(name, []).append(Slow(words, of_nodes[name], usual, unit, len(of_nodes), least))
        of_gpus = {key: statistics.median(values) for key, values in samples.items() if key[1] and key[0] not in odd}
        for key, usual in low(of_gpus).items():
            slow_gpus.setdefault(key, []).append(Slow(words, of_gpus[key], usual, unit, len(of_gpus), least))
    for name, found in slow_nodes.items():
        peers = f"the {'others' if found[0].among < ENOUGH else f'median of {found[0].among} nodes'}"
        yield Wrong(level=_worst(found), node=name, what=f"slower than {peers}: {_all(found)}", facts=("rates",))
    names = {(node.name, gpu.uuid.value): gpu for node in cluster.nodes for gpu in node.gpus.devices}
    for key, found in slow_gpus.items():
        what = f"{_gpu(names, key)} is slower than its peers ({found[0].among} of them): {_all(found)}"
        yield Wrong(rule="gpu-slow", level=_worst(found), node=key[0], what=what, facts=(f"rates[{key[1]}]",))


def _gpu(names: Mapping[tuple[str, str | None], Gpu], key: tuple[str, str]) -> str:
    name, where = key
    return " -> ".join(named(names[name, part]) if (name, part) in names else part for part in where.split(" -> "))


def _groups(nodes: Iterable[Node]) -> dict[Group, Samples]:
    """What may be compared: the same figure of the same hardware. The first three: words, unit, is it a disk's."""
    groups: dict[Group, Samples] = {}
    for node in nodes:
        models = {gpu.uuid.value: gpu.name.or_else("?") for gpu in node.gpus.devices}
        cpu = node.cpu.model.or_else("?")
        for one in node.rates:
            first = one.where.partition(" -> ")[0]
            gpu = first in models
            words = f"{KNOWN_RATES.get(one.what, one.what.replace('_', ' '))} ({one.how})"
            if not gpu:
                words += f" of {one.where}"
            hardware = (models[first], one.limit if first != one.where else None) if gpu else (cpu, one.where)
            group = (words, one.unit, _of_disk(one), one.what, one.how, *hardware)
            key = (node.name, one.where if gpu else "")
            groups.setdefault(group, {}).setdefault(key, []).append(one.value)
    return groups


def _of_disk(one: Rate) -> bool:
    return one.what in ("disk_write", "disk_read", "small_files")


def _by_node(samples: Samples) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for (name, _), some in samples.items():
        values.setdefault(name, []).extend(some)
    return {name: statistics.median(some) for name, some in values.items()}


def _worst(found: list[Slow]) -> Level:
    return "fail" if any(one.level == "fail" for one in found) else "warning"


def _all(found: list[Slow]) -> str:
    ordered = sorted(found, key=lambda one: (one.value / one.usual, one.words))
    more = f"; and {len(ordered) - TOLD} more" if len(ordered) > TOLD else ""
    return "; ".join(one.told for one in ordered[:TOLD]) + more


def pairs(cluster: Cluster) -> Iterator[Said]:
    """A node is slow if the faster half of its pairs is; a link, if it is slow between two nodes that are not."""
    if len(cluster.pairs) < 2:
        return  # two nodes: which of them is slow, one pair cannot tell; see `below_limit`
    odd = _odd(cluster.pairs)
    for name, usual in odd.nodes.items():
        found = Slow("from and to others", odd.scores[name], usual, "bytes/s", len(odd.scores), FAIL_SHARE)
        what = f"its ways to the other nodes are slow: {found.told}, the median of {len(odd.scores)} nodes"
        yield Wrong(level=found.level, node=name, what=what, facts=("pairs",))
    for (a, b), usual in odd.links.items():
        found = Slow("between them", odd.good[a, b], usual, "bytes/s", len(odd.good), FAIL_SHARE)
        what = (
            f"the way between them is slow, and neither of them is: {found.told}, the median of {len(odd.good)} pairs"
        )
        yield Wrong(
            rule="link-slow", level="warning", between=tuple(sorted((a, b), key=by_number)), what=what, facts=("pairs",)
        )
    yield from _late(cluster.pairs)


Link = tuple[str, str]


class Odd(NamedTuple):
    """Nodes whose ways are slow, and slow ways between others, each with what is usual."""

    scores: dict[str, float]
    nodes: dict[str, float]
    good: dict[Link, float]
    """All ways between nodes that are not slow."""
    links: dict[Link, float]


def _odd(pairs: Iterable[Pair]) -> Odd:
    speeds = {(pair.a, pair.b): pair.bytes_per_second for pair in pairs}
    scores = _scores(speeds)
    nodes = low(scores) if len(speeds) > 1 else {}
    good = {(a, b): speed for (a, b), speed in speeds.items() if a not in nodes and b not in nodes}
    return Odd(scores, nodes, good, low(good))


def _late(pairs: Iterable[Pair]) -> Iterator[Wrong]:
    """By the faster half too; the inverse of a latency, so that low is bad."""
    scores = _scores({(pair.a, pair.b): 1 / max(pair.latency_seconds, 1e-9) for pair in pairs})
    for name, usual in low(scores, least_share=LATE).items():
        what = f"messages from and to it take {duration(1 / scores[name])}, those of others {duration(1 / usual)}"
        yield Wrong(level="warning", node=name, what=what, facts=("pairs",))


def _scores(values: Mapping[Link, float]) -> dict[str, float]:
    """Of each node, the median of the faster half of its pairs: a good node has some good ways, whoever is slow."""
    of_nodes: dict[str, list[float]] = {}
    for nodes, value in values.items():
        for name in nodes:
            of_nodes.setdefault(name, []).append(value)
    return {name: statistics.median(sorted(some)[len(some) // 2 :]) for name, some in of_nodes.items()}


def below_limit(cluster: Cluster) -> Iterator[Said]:
    """Pairs and collectives against what the lines allow."""
    backends = {curve.backend for curve in cluster.curves}
    odd = _odd(cluster.pairs)
    usual = [pair for pair in cluster.pairs if (pair.a, pair.b) in odd.good and (pair.a, pair.b) not in odd.links]
    short = [pair for pair in usual if pair.limit and pair.bytes_per_second < _least(pair.limit, backends)]
    if short:
        worst = min(short, key=lambda pair: (pair.bytes_per_second / (pair.limit or 1), pair.a, pair.b))
        names = tuple(sorted({name for pair in short for name in (pair.a, pair.b)}, key=by_number))
        seen = f"{rate(worst.bytes_per_second, 'bytes/s')} of {rate(worst.limit or 0, 'bytes/s')}"
        what = f"between {worst.a} and {worst.b} {seen} ({worst.limit_reason})"
        if len(cluster.pairs) == 1:
            what += ": with which of the two it lies cannot be told from one pair; measure with a third node"
        else:
            what += f", the slowest of {len(short)} of {len(cluster.pairs)} pairs that are far below their limit"
        yield Wrong(level="warning", between=names, what=what, facts=("pairs",))
    for curve in cluster.curves:
        best = max((point.bus_bytes_per_second for point in curve.sizes), default=0.0)
        if curve.limit and best < _least(curve.limit, {curve.backend}):
            at = max(curve.sizes, key=lambda point: point.bus_bytes_per_second, default=None)
            told = f" at {size(at.message_bytes)}" if at else ""
            what = (
                f"{curve.collective} over {curve.ranks} ranks ({curve.backend}) reaches {rate(best, 'bytes/s')}{told} "
                f"of {rate(curve.limit, 'bytes/s')} ({curve.limit_reason})"
            )
            node = curve.rank_nodes[0] if len(set(curve.rank_nodes)) == 1 else ""
            yield Wrong(level="warning", node=node, what=what, facts=("curves",))


def _least(limit: float, backends: set[str]) -> float:
    return LEAST_OF_LINK * (limit if "nccl" in backends else min(limit, GLOO_BYTES_PER_SECOND))


def measured(cluster: Cluster) -> Iterator[Said]:
    without = [node.name for node in cluster.nodes if not node.rates]
    if without:
        yield Missed(
            what=f"what shows only under load, and who is slower than others: {compressed(without)} was not measured",
            remedy="Measure with `muster probe --measure`.",
        )
