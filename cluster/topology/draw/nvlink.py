"""NVLink below the GPUs of a node: a bar for NVSwitch, arcs between pairs; and what was measured from GPU to GPU."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.topology.draw.devices import GPU_WIDTH
from cluster.topology.draw.figures import span
from cluster.topology.draw.judged import NVLINK, Judgement, names_of
from cluster.topology.draw.links import Link, between, link
from cluster.topology.draw.scene import Area, Block, Shape, Way, Words
from cluster.topology.draw.widths import fitted
from cluster.topology.gpu import Gpu
from cluster.topology.node import Node

DROP = 18.0
BAR = 22.0
SIZE = 10.5
SHALLOW, STEP, DEEPEST = 12.0, 9.0, 64.0  # of arcs, by how far apart their ends are


@dataclass(frozen=True, slots=True)
class Below:
    """The lower edge of a GPU's box."""

    gpu: Gpu
    x: float
    bottom: float
    upper: bool
    """Another row of GPUs is below it."""


def switched(node: Node) -> bool:
    """Whether its GPUs talk through NVSwitch, or have no NVLink."""
    peers = {link.peer for gpu in node.gpus.devices for link in gpu.nvlinks.or_else(()) if link.active}
    return "gpu" not in peers


def nvlinks(node: Node, judgement: Judgement, gpus: Sequence[Below], bottom: float, width: float) -> Block:
    """What is below `gpus`, whose boxes end at `bottom` at the latest."""
    linked = [one for one in gpus if any(link.active for link in one.gpu.nvlinks.or_else(()))]
    shapes: list[Shape] = []
    y = bottom
    if linked and switched(node):
        shapes += _switch(node, judgement, linked, y + DROP)
        y += DROP + BAR
    elif linked:
        arcs, depth = _arcs(node, judgement, linked, y)
        shapes += arcs
        y += depth
    said = _measured(node, gpus)
    if said:
        shapes.append(Words(width / 2, y + 15, fitted(said, SIZE, width), SIZE, "quiet", "middle"))
        y += 19
    return Block(width, y, tuple(shapes))


def _switch(node: Node, judgement: Judgement, linked: Sequence[Below], y: float) -> list[Shape]:
    shapes: list[Shape] = []
    for one in linked:
        found = _link(node, judgement, one.gpu)
        start = f"M{one.x:.1f} {one.bottom:.1f}V{y:.1f}"
        if one.upper:
            start = f"M{one.x + GPU_WIDTH / 2:.1f} {one.bottom - 12:.1f}h3V{y:.1f}"
        shapes.append(Way(start, found.look, round(found.width, 2), found.tip))
    left, right = min(one.x for one in linked) - GPU_WIDTH / 2, max(one.x for one in linked) + GPU_WIDTH / 2
    said = fitted(f"NVSwitch: {counted(node)}", SIZE, right - left - 12)
    shapes.append(Area(left, y, right - left, BAR, "switch", 3.0, said))
    shapes.append(Words((left + right) / 2, y + 15, said, SIZE, anchor="middle"))
    return shapes


def counted(node: Node) -> str:
    """How many NVLinks a GPU has: 18 NVLinks of each GPU, GPU 3 only 17."""
    active = {gpu.index: sum(link.active for link in gpu.nvlinks.or_else(())) for gpu in node.gpus.devices}
    usual = Counter(active.values()).most_common(1)[0][0]
    odd = [f"GPU {index}: {number}" for index, number in active.items() if number != usual]
    return ", ".join([f"{usual} NVLinks of each GPU", *odd])


def _link(node: Node, judgement: Judgement, gpu: Gpu, other: Gpu | None = None) -> Link:
    uuid = gpu.uuid.or_else("")
    peer = other.uuid.or_else("") if other else ""
    measured = between(node, uuid, peer)
    slowest = sorted(measured, key=lambda rate: rate.value)[:1]
    finding = judgement.on(names_of(gpu), NVLINK)
    said = finding.what if finding else ""
    active = [one for one in gpu.nvlinks.or_else(()) if one.active]
    static = f"GPU {gpu.index}: {len(active)} of {len(gpu.nvlinks.or_else(()))} NVLinks are up"
    if other:
        path = node.gpus.paths.or_else(())
        name = path[gpu.index][other.index] if len(path) > max(gpu.index, other.index) else "NVLink"
        static = f"GPU {gpu.index} to GPU {other.index}: {name}"
    return link(slowest, static, said)


def _arcs(node: Node, judgement: Judgement, linked: Sequence[Below], y: float) -> tuple[list[Shape], float]:
    shapes: list[Shape] = []
    depth = 0.0
    for index, one in enumerate(linked):
        for other in linked[index + 1 :]:
            if not joined(node, one.gpu, other.gpu):
                continue
            found = _link(node, judgement, one.gpu, other.gpu)
            away = abs(linked.index(other) - index)
            deep = min(DEEPEST, SHALLOW + STEP * away) * 4 / 3  # a curve reaches three quarters of its handles
            path = f"M{one.x:.1f} {y:.1f}C{one.x:.1f} {y + deep:.1f} {other.x:.1f} {y + deep:.1f} {other.x:.1f} {y:.1f}"
            shapes.append(Way(path, found.look, round(found.width, 2), found.tip))
            depth = max(depth, deep * 0.75 + 4)
    return shapes, depth


def joined(node: Node, a: Gpu, b: Gpu) -> bool:
    """Whether NVLinks go from one straight to the other."""
    bus_id = b.bus_id.or_else("?")
    return any(link.active and link.peer == "gpu" and link.peer_bus_id == bus_id for link in a.nvlinks.or_else(()))


def _measured(node: Node, gpus: Sequence[Below]) -> str:
    here = [one.gpu.uuid.or_else("") for one in gpus]
    found = [
        rate for rate in node.rates if rate.what == "device_to_device" and any(uuid in rate.where for uuid in here)
    ]
    if not found or not here:
        return ""
    return f"GPU to GPU: {span([rate.value for rate in found], found[0].unit)} measured"
