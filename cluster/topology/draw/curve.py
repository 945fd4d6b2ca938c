"""The curve of a collective: bus bandwidth by message size, both in powers; median, best trial, spread, limit."""

import math
from collections.abc import Sequence

from cluster.topology import words
from cluster.topology.draw.scene import Area, Block, Shape, Way, Words
from cluster.topology.draw.widths import fitted, width_of
from cluster.topology.rate import Curve, Size

WIDTH, HEIGHT = 470.0, 290.0
LEFT, TOP, RIGHT, BOTTOM = 74.0, 62.0, 16.0, 46.0  # around the plot
SIZE = 10.5
COLLECTIVES = {"all_reduce": "All-reduce", "all_gather": "All-gather", "reduce_scatter": "Reduce-scatter"}


class Axis:
    """A range of positive numbers, in powers, over some pixels."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self.low, self.high = math.log(low), math.log(max(high, low * 1.0001))
        self.first, self.last = first, last

    def at(self, value: float) -> float:
        return self.first + (math.log(value) - self.low) / (self.high - self.low) * (self.last - self.first)


def chart(curve: Curve, width: float = WIDTH) -> Block:
    sizes = [size for size in curve.sizes if size.bus_bytes_per_second > 0 and size.message_bytes > 0]
    title = f"{COLLECTIVES.get(curve.collective, curve.collective)}, {curve.ranks} ranks on {curve.nodes} nodes"
    title = title.removesuffix("s") if curve.nodes == 1 else title
    through = f" over {curve.interface}" if curve.interface else ""
    about = f"{curve.backend}{through} · latency {words.duration(curve.latency_seconds)} · bus bandwidth by message"
    shapes: list[Shape] = [
        Words(0, 14, fitted(title, 13, width, True), 13, bold=True),
        Words(0, 32, fitted(about, SIZE, width), SIZE, "quiet"),
    ]
    if sizes:
        shapes += _plot(curve, sizes, width)
        shapes += _legend(curve, width)
    return Block(width, HEIGHT, tuple(shapes), name="curve")


def _plot(curve: Curve, sizes: Sequence[Size], width: float) -> list[Shape]:
    bands = [_band(size) for size in sizes]
    values = [value for band in bands for value in band] + [size.best_bus_bytes_per_second for size in sizes]
    values += [curve.limit] if curve.limit else []
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values) * 1.05))
    across = Axis(sizes[0].message_bytes, sizes[-1].message_bytes, LEFT, width - RIGHT)
    upward = Axis(low, high, HEIGHT - BOTTOM, TOP)
    shapes: list[Shape] = []
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        y = upward.at(10.0**power)
        shapes.append(Way(f"M{LEFT:g} {y:.1f}H{width - RIGHT:g}", "grid", 1.0))
        shapes.append(Words(LEFT - 8, y + 4, words.rate(10.0**power, "bytes/s"), SIZE, "quiet", "end"))
    shapes.append(Way(f"M{LEFT:g} {HEIGHT - BOTTOM:g}H{width - RIGHT:g}", "axis", 1.0))
    shapes += _below(sizes, across)
    edge = [(across.at(size.message_bytes), band) for size, band in zip(sizes, bands, strict=True)]
    upper = [f"{x:.1f} {upward.at(band[1]):.1f}" for x, band in edge]
    lower = [f"{x:.1f} {upward.at(band[0]):.1f}" for x, band in reversed(edge)]
    shapes.append(Way(f"M{'L'.join(upper)}L{'L'.join(lower)}z", "spread"))
    if curve.limit:
        y = upward.at(curve.limit)
        shapes.append(Way(f"M{LEFT:g} {y:.1f}H{width - RIGHT:g}", "limit", tip=curve.limit_reason))
    for look, name in (("best", "best_bus_bytes_per_second"), ("curve", "bus_bytes_per_second")):
        points = [f"{across.at(size.message_bytes):.1f} {upward.at(getattr(size, name)):.1f}" for size in sizes]
        shapes.append(Way(f"M{'L'.join(points)}", look))
    for size in sizes:
        x, y = across.at(size.message_bytes), upward.at(size.bus_bytes_per_second)
        shapes.append(Area(x - 3, y - 3, 6, 6, "dot", 3.0, _tip(curve, size)))
    return shapes


def _band(size: Size) -> tuple[float, float]:
    """Bus bandwidth as the slowest and the fastest rank saw it."""
    volume = size.bus_bytes_per_second * size.median_seconds
    seconds = [value for value in size.rank_seconds if value > 0] or [size.median_seconds]
    return volume / max(seconds), volume / min(seconds)


def _below(sizes: Sequence[Size], across: Axis) -> list[Shape]:
    """Sizes under the axis: as many as do not touch."""
    shapes: list[Shape] = []
    free = math.inf
    y = HEIGHT - BOTTOM
    for size in reversed(sizes):
        said, x = words.size(size.message_bytes), across.at(size.message_bytes)
        half = width_of(said, SIZE) / 2
        shapes.append(Way(f"M{x:.1f} {y:g}v4", "axis", 1.0))
        x = min(x, across.last + RIGHT - half)
        if x + half < free:
            shapes.append(Words(x, y + 16, said, SIZE, "quiet", "middle"))
            free = x - half - 8
    return shapes


def _legend(curve: Curve, width: float) -> list[Shape]:
    y = HEIGHT - 8
    shapes: list[Shape] = []
    x = LEFT
    entries = [("curve", "median"), ("best", "best trial"), ("spread", "slowest to fastest rank")]
    for look, said in entries:
        shapes.append(Area(x, y - 8, 16, 8, look, 1.0) if look == "spread" else Way(f"M{x:g} {y - 4:g}h16", look))
        shapes.append(Words(x + 21, y, said, SIZE, "quiet"))
        x += 21 + width_of(said, SIZE) + 14
    if curve.limit:
        said = f"limit {words.rate(curve.limit, 'bytes/s')}" + (f": {curve.limit_reason}" if curve.limit_reason else "")
        shapes.append(Way(f"M{LEFT:g} 46H{LEFT + 16:g}", "limit"))
        shapes.append(Words(LEFT + 21, 50, fitted(said, SIZE, width - LEFT - 21), SIZE, "care", tip=said))
    return shapes


def _tip(curve: Curve, size: Size) -> str:
    slowest = max(range(len(size.rank_seconds)), key=lambda rank: size.rank_seconds[rank], default=None)
    lines = [
        f"{words.size(size.message_bytes)}: {words.rate(size.bus_bytes_per_second, 'bytes/s')} bus bandwidth",
        f"median {words.duration(size.median_seconds)}, best {words.duration(size.min_seconds)}, {size.trials} trials",
    ]
    if slowest is not None and slowest < len(curve.rank_nodes):
        late = words.duration(size.rank_seconds[slowest])
        lines.append(f"slowest rank: {slowest} on {curve.rank_nodes[slowest]}, {late}")
    return "\n".join(lines)
