"""How a link is drawn: wide and dark by its measured rate, red and broken where that is low, thin and grey without."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.topology import words
from cluster.topology.draw.figures import is_low, line
from cluster.topology.gpu import Gpu
from cluster.topology.node import Node
from cluster.topology.rate import Rate

STEPS = ((1e9, 1.4), (10e9, 2.0), (40e9, 2.8), (150e9, 3.8))
WIDEST = 5.0
THIN = 1.0


@dataclass(frozen=True, slots=True)
class Link:
    """One link of a picture."""

    look: str
    width: float
    tip: str
    said: str = ""
    """Its measured rate."""

    @property
    def low(self) -> bool:
        return self.look == "low"


def step(bytes_per_second: float) -> int:
    """1 to 5: how strong a rate is drawn."""
    return 1 + sum(bytes_per_second >= least for least, _ in STEPS)


def stroke(bytes_per_second: float) -> tuple[str, float]:
    number = step(bytes_per_second)
    return f"r{number}", [*(width for _, width in STEPS), WIDEST][number - 1]


def link(measured: Sequence[Rate], static: str, finding: str = "") -> Link:
    """By the slowest of what was measured on it; `static`: what the facts say of it; `finding`: what health says."""
    lines = [static, *map(line, measured), finding]
    tip = "\n".join(filter(None, lines))
    slowest = min(measured, key=lambda rate: rate.value, default=None)
    if slowest is None:
        return Link("low" if finding else "wire", 2.0 if finding else THIN, tip)
    look, width = stroke(slowest.value)
    if finding or any(map(is_low, measured)):
        look = "low"
    return Link(look, width, tip, words.rate(slowest.value, slowest.unit))


def copies(node: Node, gpu: Gpu) -> list[Rate]:
    """Between a GPU and the host, from pinned memory: what its PCIe link can do."""
    uuid = gpu.uuid.or_else("")
    found = [rate for rate in node.rates if rate.what in ("host_to_device", "device_to_host") and rate.where == uuid]
    return [rate for rate in found if rate.how.startswith("pinned")] or found


def between(node: Node, a: str, b: str = "") -> list[Rate]:
    """From GPU to GPU: between two of them, or between one and any other."""
    return [rate for rate in node.rates if rate.what == "device_to_device" and _joins(rate.where, a, b)]


def _joins(where: str, a: str, b: str) -> bool:
    ends = [end.strip() for end in where.split("->")]
    return bool(a) and a in ends and (not b or b in ends)
