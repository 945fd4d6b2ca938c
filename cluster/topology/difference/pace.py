"""What is slower or faster in the second of two records."""

from collections.abc import Iterator
from functools import partial

from cluster.topology.difference.change import Pace
from cluster.topology.node import Cluster, Node
from cluster.topology.parts import Part
from cluster.topology.rate import Curve, Pair, Rate, Size
from cluster.topology.words import KNOWN_RATES, duration, rate, size

TOLERANCE = 0.10
LATENCY_TOLERANCE = 0.50
"""Small messages vary more from one minute to the next."""


def of_rates(a: Node, b: Node, name: str, same: bool) -> Iterator[Pace]:
    """Figures that both records have."""
    ours, theirs = _rates(a, same), _rates(b, same)
    for key, before in ours.items():
        after = theirs.get(key)
        if after is None or not _apart(before, after):
            continue
        where = before.where if same else key[1]
        words = f"{KNOWN_RATES.get(before.what, before.what.replace('_', ' '))} ({before.how})"
        yield Pace((name,), _part(a, where), words, before.value, after.value, partial(rate, unit=before.unit))


def _rates(node: Node, same: bool) -> dict[tuple[str, str, str], Rate]:
    """Of two machines, GPUs go by their numbers."""
    numbers = {} if same else {gpu.uuid.value: f"GPU {gpu.index}" for gpu in node.gpus.devices if gpu.uuid.known}
    return {
        (one.what, " -> ".join(numbers.get(part, part) for part in one.where.split(" -> ")), one.how): one
        for one in node.rates
    }


def _apart(a: Rate, b: Rate) -> bool:
    spread = max(a.high - a.low, b.high - b.low)
    return abs(a.value - b.value) > max(TOLERANCE * max(a.value, b.value), spread)


def _part(node: Node, where: str) -> Part:
    numbers = {gpu.uuid.value: str(gpu.index) for gpu in node.gpus.devices if gpu.uuid.known}
    places = [numbers.get(part, part.removeprefix("GPU ")) for part in where.split(" -> ")]
    if where.startswith("GPU"):
        return Part("GPU", places[0], node) if len(places) == 1 else Part("way between GPUs", "-".join(places), node)
    kind, _, number = where.partition(" ")
    return (
        Part("NUMA node", number, node)
        if kind == "numa"
        else Part("CPU" if kind == "cpu" else "folder", "" if kind == "cpu" else where, node)
    )


def of_pairs(a: Cluster, b: Cluster) -> Iterator[Pace]:
    ours, theirs = _pairs(a), _pairs(b)
    for names, before in ours.items():
        after = theirs.get(names)
        if after is None:
            continue
        if _far(before.bytes_per_second, after.bytes_per_second, TOLERANCE):
            speeds = (before.bytes_per_second, after.bytes_per_second)
            yield Pace(names, None, "the way between two nodes", *speeds, partial(rate, unit="bytes/s"))
        if _far(before.latency_seconds, after.latency_seconds, LATENCY_TOLERANCE):
            seconds = (before.latency_seconds, after.latency_seconds)
            yield Pace(names, None, "latency between two nodes", *seconds, duration, low_is_better=True)


def _pairs(cluster: Cluster) -> dict[tuple[str, ...], Pair]:
    return {tuple(sorted((pair.a, pair.b))): pair for pair in cluster.pairs}


def of_curves(a: Cluster, b: Cluster) -> Iterator[Pace]:
    """For each collective, at the size where it differs most."""
    ours, theirs = _curves(a), _curves(b)
    for key, before in ours.items():
        after = theirs.get(key)
        sizes = _both(before, after) if after else []
        if not sizes:
            continue
        worst = max(sizes, key=lambda both: (_ratio(*both), both[0].message_bytes))
        if not _sizes_apart(*worst):
            continue
        also = sum(_sizes_apart(*both) for both in sizes) - 1
        words = f"{before.collective} over {before.ranks} ranks ({before.backend}) at {size(worst[0].message_bytes)}"
        words += f" and {also} other sizes" if also else ""
        speeds = (worst[0].bus_bytes_per_second, worst[1].bus_bytes_per_second)
        yield Pace((), None, words, *speeds, partial(rate, unit="bytes/s"))


def _curves(cluster: Cluster) -> dict[tuple[str, str, int, int], Curve]:
    return {(one.collective, one.backend, one.ranks, one.nodes): one for one in cluster.curves}


def _both(a: Curve, b: Curve) -> list[tuple[Size, Size]]:
    others = {one.message_bytes: one for one in b.sizes}
    return [(one, others[one.message_bytes]) for one in a.sizes if one.message_bytes in others]


def _ratio(a: Size, b: Size) -> float:
    speeds = sorted((a.bus_bytes_per_second, b.bus_bytes_per_second))
    return speeds[1] / max(speeds[0], 1.0)


def _sizes_apart(a: Size, b: Size) -> bool:
    spread = max(one.best_bus_bytes_per_second - one.bus_bytes_per_second for one in (a, b))
    x, y = a.bus_bytes_per_second, b.bus_bytes_per_second
    return abs(x - y) > max(TOLERANCE * max(x, y), spread)


def _far(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) > tolerance * max(a, b)
