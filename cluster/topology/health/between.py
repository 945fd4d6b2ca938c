"""Rules between nodes, from facts: what must be the same everywhere, and who did not answer."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from cluster.topology.fact import UNREAD, Fact
from cluster.topology.health.finding import Level, Missed, Peers, Said, Wrong
from cluster.topology.hosts import by_number, compressed
from cluster.topology.node import Cluster, Node
from cluster.topology.peers import most_common
from cluster.topology.words import duration

K = TypeVar("K")

VERSIONS: dict[str, Level] = {
    "driver": "fail",
    "nccl": "fail",
    "torch": "fail",
    "muster": "fail",
    "cuda": "warning",
    "cudnn": "warning",
    "kernel": "warning",
    "python": "warning",
}
SKEW_SECONDS: dict[Level, float] = {"fail": 10.0, "warning": 1.0}


def peers_of(cluster: Cluster) -> Peers:
    """What is usual among all GPUs of a model, and on most nodes."""
    nodes = cluster.nodes
    models: dict[str, dict[str, tuple[bool | None, int | None]]] = {}
    for node in nodes:
        for gpu in node.gpus.devices:
            links = None if gpu.nvlinks.value is None else sum(link.active for link in gpu.nvlinks.value)
            of_model = models.setdefault(gpu.name.or_else(""), {})
            of_model[f"{node.name} {gpu.index}"] = (gpu.ecc.value, links)
    ecc, active = {}, {}
    for model, gpus in models.items():
        settings = {key: ecc for key, (ecc, _) in gpus.items() if ecc is not None}
        counts = {key: links for key, (_, links) in gpus.items() if links is not None}
        usual, links = most_common(settings), most_common(counts)
        if usual is not None:
            ecc[model] = usual
        if links is not None and len(counts) > 1:
            active[model] = links
    return Peers(len(nodes), ecc, active, _rdma_rates(cluster), _on_most(cluster, _active), _on_most(cluster, _up))


def _rdma_rates(cluster: Cluster) -> dict[tuple[str, int], int]:
    rates: dict[tuple[str, int], dict[str, int]] = {}
    for node in cluster.nodes:
        for port in node.network.rdma:
            if port.state.value == "ACTIVE" and port.rate_bits_per_second.value:
                rates.setdefault((port.device, port.port), {})[node.name] = port.rate_bits_per_second.value
    usual = {key: most_common(of_nodes) for key, of_nodes in rates.items()}
    return {key: speed for key, speed in usual.items() if speed is not None}


def _active(node: Node) -> list[tuple[str, int]]:
    return [(port.device, port.port) for port in node.network.rdma if port.state.value == "ACTIVE"]


def _up(node: Node) -> list[str]:
    return [port.name for port in node.network.ports if port.state.value == "up"]


def _on_most(cluster: Cluster, has: Callable[[Node], list[K]]) -> frozenset[K]:
    counts: dict[K, int] = {}
    for node in cluster.nodes:
        for key in has(node):
            counts[key] = counts.get(key, 0) + 1
    return frozenset(key for key, count in counts.items() if 2 * count > len(cluster.nodes) > 1)


def missing(cluster: Cluster) -> Iterator[Said]:
    for node in cluster.missing:
        yield Wrong(level="fail", node=node.name, what=f"no answer: {node.why}", facts=("missing",))


def versions(cluster: Cluster) -> Iterator[Said]:
    for name, level in VERSIONS.items():
        values: dict[str, str] = {}
        for node in cluster.nodes:
            fact: Fact[str] = getattr(node.software, name)
            if fact.known:
                values[node.name] = fact.or_else("")
            elif fact.status == "absent" and fact.why != UNREAD.why:
                values[node.name] = "none"
            elif len(cluster.nodes) > 1:
                why = f"whether {name} is the same as on the others: {fact.status}: {fact.why}"
                yield Missed(node=node.name, what=why)
        yield from _odd(values, level, name, f"software.{name}")


def gpus(cluster: Cluster) -> Iterator[Said]:
    counts: dict[str, str] = {}
    models: dict[str, str] = {}
    for node in cluster.nodes:
        # A GPU that is on the bus and not in NVML's list is the rule gpu-lost's.
        count = max(len(node.gpus.devices), len(node.gpus.on_bus.or_else(())))
        counts[node.name] = f"{count or 'no'} {'GPU' if count == 1 else 'GPUs'}"
        names = sorted({gpu.name.or_else("") for gpu in node.gpus.devices} - {""})
        if names:
            models[node.name] = " and ".join(names)
    yield from _odd(counts, "fail", "", "gpus.devices")
    yield from _odd(models, "fail", "", "gpus.devices[].name")


def _odd(values: Mapping[str, str], level: Level, name: str, place: str) -> Iterator[Wrong]:
    """Nodes that have another value than most; where no value is on most nodes, all that differ, together."""
    sides: dict[str, list[str]] = {}
    for node in sorted(values, key=by_number):
        sides.setdefault(values[node], []).append(node)
    if len(sides) < 2:
        return
    usual = most_common(values)
    facts = (place,)
    if usual is not None:
        for value, nodes in sides.items():
            others = f"on {len(sides[usual])} other{'s' if len(sides[usual]) > 1 else ''} ({compressed(sides[usual])})"
            for node in nodes if value != usual else ():
                what = f"{name} {value}, {others} {usual}".strip()
                yield Wrong(level=level, node=node, what=what, facts=facts)
        return
    told = ", ".join(f"{name} {value} on {compressed(nodes)}".strip() for value, nodes in sides.items())
    ways = " or ".join(f"`--exclude={compressed(nodes)}`" for nodes in sides.values())
    yield Wrong(
        level=level,
        between=tuple(sorted(values, key=by_number)),
        what=f"{told}: which of them is right cannot be told",
        facts=facts,
        remedy=f"Make them the same, or use one side alone: {ways}.",
    )


def clocks(cluster: Cluster) -> Iterator[Said]:
    """Against the middle of all clocks: the node that merged the records may itself be wrong."""
    skews = {
        node.name: node.host.clock_skew_seconds.value
        for node in cluster.nodes
        if node.host.clock_skew_seconds.value is not None
    }
    if len(cluster.nodes) > 1:
        for node in cluster.nodes:
            if node.name not in skews:
                fact = node.host.clock_skew_seconds
                yield Missed(node=node.name, what=f"its clock against the others': {fact.status}: {fact.why}")
    if len(skews) < 2:
        return
    middle = statistics.median(skews.values())
    if len(skews) == 2:
        apart = max(skews.values()) - min(skews.values())
        level = _skewed(apart)
        if level:
            what = f"their clocks are {duration(apart)} apart: which of them is right cannot be told"
            names = tuple(sorted(skews, key=by_number))
            yield Wrong(level=level, between=names, what=what, facts=("host.clock_skew_seconds",))
        return
    for name, skew in skews.items():
        level = _skewed(abs(skew - middle))
        if level:
            ahead = "ahead of" if skew > middle else "behind"
            what = f"its clock is {duration(abs(skew - middle))} {ahead} the others'"
            yield Wrong(level=level, node=name, what=what, facts=("host.clock_skew_seconds",))


def _skewed(seconds: float) -> Level | None:
    return next((level for level, most in SKEW_SECONDS.items() if seconds > most), None)
