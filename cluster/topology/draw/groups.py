"""The inside of a node: its NUMA nodes side by side, ports above them, GPUs below, NVLink at the bottom."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cluster.topology.cpu import NumaNode
from cluster.topology.draw.devices import (
    GPU_WIDTH,
    Outlet,
    gpu_box,
    gpu_height,
    gpu_link,
    outlets,
    port_box,
    port_width,
    silent_box,
)
from cluster.topology.draw.judged import Judgement
from cluster.topology.draw.links import Link
from cluster.topology.draw.numa import numa_box, untold_box
from cluster.topology.draw.nvlink import Below, nvlinks, switched
from cluster.topology.draw.scene import Area, Block, Placed, Shape, Way, stacked
from cluster.topology.gpu import Gpu
from cluster.topology.node import Node

GAP = 9.0  # between boxes; a wire to a box of the second row runs in it
EDGE = 8.0
WIRE = 20.0
LEAST, LEAST_UNTOLD = 168.0, 96.0
PORT_GAP = 7.0
PORTS_IN_A_ROW, GPUS_IN_A_ROW = 4, 8


@dataclass
class Group:
    """What hangs on one NUMA node; `untold`: on none that is known."""

    numa: NumaNode | None = None
    untold: bool = False
    gpus: list[Gpu] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    ports: list[Outlet] = field(default_factory=list)
    width: float = 0.0


@dataclass(frozen=True)
class Look:
    """What all groups of a node share."""

    node: Node
    judgement: Judgement
    port_width: float
    one_row: bool
    """GPUs in one row, as links between pairs of them need."""

    def gpus_across(self, group: Group) -> int:
        count = len(group.gpus) + len(group.silent)
        return count if self.one_row else _across(count, GPUS_IN_A_ROW)

    def ports_across(self, group: Group) -> int:
        """As many as there is room for where GPUs have made it wide."""
        room = int((group.width - 2 * EDGE + PORT_GAP) // (self.port_width + PORT_GAP))
        return max(room, _across(len(group.ports), PORTS_IN_A_ROW))


def inside(node: Node, judgement: Judgement, least: float, most: float) -> Block:
    """Between `least` and `most` pixels wide; with more NUMA nodes than fit, in rows."""
    shown, _ = outlets(node.network)
    look = Look(node, judgement, port_width(shown), not switched(node))
    rows: list[list[Group]] = []
    for group in grouped(node, shown):
        group.width = _least_width(group, look)
        if rows and sum(one.width + GAP for one in rows[-1]) + group.width <= most:
            rows[-1].append(group)
        else:
            rows.append([group])
    width = max([least, *(sum(one.width + GAP for one in row) - GAP for row in rows)])
    return stacked([_row(row, look, width) for row in rows], 2 * GAP)


def grouped(node: Node, shown: Sequence[Outlet]) -> list[Group]:
    """Each device with the NUMA node that it names."""
    groups = {numa.number: Group(numa) for numa in node.numa}
    rest = Group(untold=bool(groups))
    for gpu in node.gpus.devices:
        groups.get(gpu.numa_node.or_else(-1), rest).gpus.append(gpu)
    for outlet in shown:
        groups.get(outlet.numa.or_else(-1), rest).ports.append(outlet)
    known = {gpu.bus_id.or_else("") for gpu in node.gpus.devices}
    rest.silent += [bus_id for bus_id in node.gpus.on_bus.or_else(()) if bus_id not in known]
    needed = not groups or rest.gpus or rest.ports or rest.silent
    return [*(groups[number] for number in sorted(groups)), *([rest] if needed else [])]


def _across(count: int, most: int) -> int:
    """In one row, or in two of which no column is left empty."""
    return count if count <= most else max(most, -(-count // 2))


def _span(count: int, width: float, gap: float = GAP) -> float:
    return count * width + max(0, count - 1) * gap


def _least_width(group: Group, look: Look) -> float:
    gpus = _span(look.gpus_across(group), GPU_WIDTH)
    ports = _span(_across(len(group.ports), PORTS_IN_A_ROW), look.port_width, PORT_GAP)
    return max(LEAST_UNTOLD if group.untold else LEAST, max(gpus, ports) + 2 * EDGE)


def _row(groups: list[Group], look: Look, width: float) -> Block:
    """Groups side by side: bands of ports, NUMA nodes, GPUs and NVLink, each as high as its highest."""
    spare = width - sum(group.width + GAP for group in groups) + GAP
    wide = [group for group in groups if not group.untold] or groups
    for group in wide:
        group.width += spare / len(wide)
    ports = [_ports(group, look) for group in groups]
    above = max(block.height for block in ports)
    boxes = [
        untold_box(group.width) if group.untold else numa_box(look.node, group.numa, group.width) for group in groups
    ]
    middle = max(box.height for box in boxes)
    x, shapes = 0.0, list[Shape]()
    below: list[Below] = []
    for group, port, box in zip(groups, ports, boxes, strict=True):
        shapes.append(Placed(x, above - port.height, port))
        shapes.append(Placed(x, above, Block(box.width, middle, _grown(box, middle), box.tip, box.name)))
        hung, placed = _gpus(group, look)
        shapes.append(Placed(x, above + middle, hung))
        below += [Below(one.gpu, one.x + x, one.bottom, one.upper) for one in placed]
        x += group.width + GAP
    deep = max([0.0, *(one.bottom for one in below)])
    if any(group.silent for group in groups):
        deep = max(deep, WIRE + gpu_height())
    links = nvlinks(look.node, look.judgement, below, deep, width)
    shapes.append(Placed(0, above + middle, links))
    return Block(width, above + middle + max(deep, links.height), tuple(shapes))


def _grown(box: Block, height: float) -> tuple[Shape, ...]:
    """Its outline as high as those beside it."""
    first = box.shapes[0]
    return (replace(first, height=height), *box.shapes[1:]) if isinstance(first, Area) else box.shapes


def _ports(group: Group, look: Look) -> Block:
    """Rows of ports with their wires down to the NUMA node; the first row is the nearest."""
    if not group.ports:
        return Block(group.width, 0, ())
    across, width = look.ports_across(group), look.port_width
    rows = -(-len(group.ports) // across)
    left = (group.width - _span(min(across, len(group.ports)), width, PORT_GAP)) / 2
    shapes: list[Shape] = []
    boxes = [port_box(outlet, width, look.judgement) for outlet in group.ports]
    height = boxes[0][0].height
    total = rows * (height + PORT_GAP) - PORT_GAP + WIRE
    for index, (box, wire) in enumerate(boxes):
        x = left + index % across * (width + PORT_GAP)
        y = total - WIRE - height - index // across * (height + PORT_GAP)
        path = (
            _straight(x + width / 2, y + height, total)
            if index < across
            else _around(x, y + height / 2, total, PORT_GAP)
        )
        shapes += [_wire(path, wire), Placed(x, y, box)]
    return Block(group.width, total, tuple(shapes))


def _gpus(group: Group, look: Look) -> tuple[Block, list[Below]]:
    """Rows of GPUs with their wires up to the NUMA node, and where each is."""
    count = len(group.gpus) + len(group.silent)
    if not count:
        return Block(group.width, 0, ()), []
    across, height = look.gpus_across(group), gpu_height()
    left = (group.width - _span(min(across, count), GPU_WIDTH)) / 2
    shapes: list[Shape] = []
    placed = []
    for index in range(count):
        x, y = left + index % across * (GPU_WIDTH + GAP), WIRE + index // across * (height + GAP)
        wire: Link | None = None
        if index < len(group.gpus):
            gpu = group.gpus[index]
            wire = gpu_link(look.node, gpu, look.judgement)
            box = gpu_box(gpu, wire, look.judgement)
            placed.append(Below(gpu, x + GPU_WIDTH / 2, y + height, count > across and index < across))
        else:
            box = silent_box(group.silent[index - len(group.gpus)], look.node.gpus.nvml.why)
        path = _straight(x + GPU_WIDTH / 2, 0, y) if index < across else _around(x, y + height / 2, 0)
        shapes += [_wire(path, wire or Link("untold", 1.0, "")), Placed(x, y, box)]
    rows = -(-count // across)
    return Block(group.width, WIRE + rows * (height + GAP) - GAP, tuple(shapes)), placed


def _wire(path: str, found: Link) -> Way:
    return Way(path, found.look, round(found.width, 2), found.tip)


def _straight(x: float, top: float, bottom: float) -> str:
    return f"M{x:.1f} {top:.1f}V{bottom:.1f}"


def _around(x: float, y: float, end: float, gap: float = GAP) -> str:
    """From the left side of a box through the gap beside it."""
    return f"M{x:.1f} {y:.1f}h{-gap / 3:.1f}V{end:.1f}"
