"""Boxes of what hangs on a NUMA node: GPUs and ports."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.topology import words
from cluster.topology.draw.judged import PCIE, Judgement, names_of
from cluster.topology.draw.links import Link, copies, link
from cluster.topology.draw.marks import look, mark
from cluster.topology.draw.scene import Area, Block, Shape, Words
from cluster.topology.draw.widths import fitted, width_of, wrapped
from cluster.topology.fact import Fact
from cluster.topology.gpu import Gpu
from cluster.topology.limits import host_link
from cluster.topology.network import Network, Port, RdmaPort
from cluster.topology.node import Node

GPU_WIDTH = 76.0
LINE = 13.0
SIZE = 10.5
HARDWARE = ("physical", "virtual")
PORT_WIDTHS = (60.0, 92.0)
PORT_SIZE = 10.0


@dataclass(frozen=True, slots=True)
class Outlet:
    """A way out of the node that is drawn as a box: an RDMA port, or an interface with hardware behind it."""

    names: tuple[str, ...]
    kind: str
    speed: str
    state: str
    """Empty where it is up."""
    numa: Fact[int]
    tip: str


def outlets(network: Network) -> tuple[list[Outlet], list[str]]:
    """The ways out, and the names of interfaces that are only software."""
    shown = [_of_rdma(port, network) for port in network.rdma]
    behind = {port.interface.or_else("") for port in network.rdma}
    default = network.default_interface.or_else("")
    soft = []
    for port in network.ports:
        if port.name in behind:
            continue
        if port.kind.or_else("") in HARDWARE or port.bus_id.known or port.name == default:
            shown.append(_of_interface(port))
        else:
            soft.append(f"{port.name} ({port.kind.value})" if port.kind.known else port.name)
    return shown, soft


def _of_rdma(port: RdmaPort, network: Network) -> Outlet:
    several = sum(other.device == port.device for other in network.rdma) > 1
    name = f"{port.device}:{port.port}" if several else port.device
    interface = port.interface.or_else("")
    under = [words.all_of(one) for one in network.ports if one.name == interface]
    kind = {"Ethernet": "RoCE"}.get(port.link_layer.or_else(""), port.link_layer.or_else("RDMA"))
    state = port.state.or_else("")
    return Outlet(
        names=(name, interface, port.device),
        kind=kind,
        speed=words.told("rate_bits_per_second", port.rate_bits_per_second, "rate not told"),
        state="" if state in ("ACTIVE", "") else state,
        numa=port.numa_node,
        tip="\n".join([name, words.all_of(port), *(f"interface {interface}:\n{facts}" for facts in under)]),
    )


def _of_interface(port: Port) -> Outlet:
    state = port.state.or_else("")
    kind = port.kind.or_else("")
    return Outlet(
        names=(port.name,),
        kind="Ethernet" if kind in ("physical", "") else kind,
        speed=words.told("speed_bits_per_second", port.speed_bits_per_second, "not told"),
        state=state if state in ("down", "lowerlayerdown", "dormant", "notpresent") else "",
        numa=port.numa_node,
        tip=f"{port.name}\n{words.all_of(port)}",
    )


def port_width(shown: Sequence[Outlet]) -> float:
    """Of every port's box of a node: as its longest name wants."""
    low, high = PORT_WIDTHS
    return min(high, max([low, *(width_of(one.names[0], PORT_SIZE, True) + 9 for one in shown)]))


def port_box(outlet: Outlet, width: float, judgement: Judgement) -> tuple[Block, Link]:
    """A port, and its link to the NUMA node."""
    finding = judgement.on(outlet.names)
    said = finding.what if finding else ""
    room = width - 7
    speed_look = look(finding.level) if finding else "quiet"
    lines = [
        Words(4, 14, fitted(outlet.names[0], PORT_SIZE, room, True), PORT_SIZE, bold=True),
        Words(4, 14 + LINE, fitted(outlet.kind, PORT_SIZE, room), PORT_SIZE, "quiet"),
        Words(4, 14 + 2 * LINE, fitted(outlet.state or outlet.speed, PORT_SIZE, room), PORT_SIZE, speed_look),
    ]
    shapes: list[Shape] = [Area(0, 0, width, 14 + 2 * LINE + 6, "port", 3.0), *lines]
    if finding:
        shapes += mark(finding.level, width - 7, -5, 11)  # on the corner: the name of what failed is whole
    tip = "\n".join(filter(None, [outlet.tip, said]))
    block = Block(width, 14 + 2 * LINE + 6, tuple(shapes), tip, outlet.names[0])
    return block, link([], f"{outlet.names[0]}: {outlet.speed}", said)


def gpu_lines(gpu: Gpu) -> tuple[str, str]:
    """Its memory, and its PCIe link as it can be at most (it goes down when idle)."""
    memory = words.told("memory_bytes", gpu.memory_bytes, "memory ?")
    width = gpu.pcie_width.value if gpu.pcie_width.known else gpu.pcie_width_max.value
    slices = gpu.mig_devices.or_else(())
    return f"{len(slices)} MIG, {memory}" if slices else memory, words.pcie(gpu.pcie_generation_max.value, width)


def gpu_link(node: Node, gpu: Gpu, judgement: Judgement) -> Link:
    """Its PCIe link to the NUMA node."""
    finding = judgement.on(names_of(gpu), PCIE)
    said = finding.what if finding else ""
    limit = host_link(gpu)
    most = f", at most {words.rate(limit.value, 'bytes/s')} ({limit.reason})" if limit.value else ""
    return link(copies(node, gpu), f"GPU {gpu.index}: {gpu_lines(gpu)[1]}{most}", said)


def gpu_box(gpu: Gpu, found: Link, judgement: Judgement) -> Block:
    finding = judgement.on(names_of(gpu))
    room = GPU_WIDTH - 10
    memory, static = gpu_lines(gpu)
    model = gpu.name.or_else("model not told").removeprefix("NVIDIA ").replace("-", " ")
    rows = [*wrapped(model, SIZE, room, 2), ""][:2]
    limit = host_link(gpu).value
    at_most = f"≤{words.rate(limit, 'bytes/s')}" if limit else ""
    rows += [memory, static, found.said or at_most]
    shapes: list[Shape] = [Area(0, 0, GPU_WIDTH, gpu_height(), "gpu", 3.0)]
    shapes.append(Words(5, 14, f"GPU {gpu.index}", SIZE, bold=True))
    for number, row in enumerate(rows, 1):
        look = "bad" if found.low and number == len(rows) else "quiet"
        if row:
            shapes.append(Words(5, 14 + number * LINE, fitted(row, SIZE, room), SIZE, look))
    if finding:
        shapes += mark(finding.level, GPU_WIDTH - 16, 4, 12)
    said = finding.what if finding else ""
    tip = "\n".join(filter(None, [f"GPU {gpu.index}", words.all_of(gpu), said]))
    return Block(GPU_WIDTH, gpu_height(), tuple(shapes), tip, f"GPU {gpu.index}")


def gpu_height() -> float:
    return 14 + 5 * LINE + 6


def silent_box(bus_id: str, why: str) -> Block:
    """A GPU that is on the bus but does not answer."""
    room = GPU_WIDTH - 10
    lines = [Words(5, 14, "GPU", SIZE, bold=True)]
    rows = [fitted(bus_id, 9.5, room), *wrapped("no answer", SIZE, room, 2)]
    lines += [Words(5, 14 + n * LINE, row, 9.5 if n == 1 else SIZE, "quiet") for n, row in enumerate(rows, 1)]
    area = Area(0, 0, GPU_WIDTH, gpu_height(), "untold", 3.0)
    return Block(GPU_WIDTH, gpu_height(), (area, *lines), f"{bus_id}\n{why}", bus_id)
