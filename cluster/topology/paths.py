"""The ways between GPUs, and from GPUs to network ports, in the words of `nvidia-smi topo`.

X itself · NV# so many NVLinks · PIX at most one PCIe bridge · PXB several bridges · PHB the host bridge of a CPU ·
NODE between host bridges of one NUMA node · SYS between NUMA nodes · ? not told.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from cluster.topology.bus import DEVICES
from cluster.topology.fact import Fact, Unread, reading, unknown
from cluster.topology.gpu import Gpu, NvLink
from cluster.topology.source import Source

SELF, NOT_TOLD = "X", "?"
LEVELS = {0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
"""nvmlGpuTopologyLevel_t; 0 is two GPUs on one board, behind the bridge on it."""
P2P = {0: "OK", 1: "CNS", 2: "GNS", 3: "TNS", 4: "DR", 5: "NS", 6: "U"}
"""nvmlGpuP2PStatus_t: chipset, GPU or topology not supported, disabled by the registry, not supported, unknown."""
READ = 0
"""NVML_P2P_CAPS_INDEX_READ (in pynvml, by mistake, a tuple)."""
SWITCHED = {"switch", "unknown"}
"""Peers of links that lead to every GPU: virtual machines hide NVSwitches."""
HOST_BRIDGE = re.compile("pci[0-9a-f]{4,}:[0-9a-f]{2}")
Matrix = tuple[tuple[str, ...], ...]


def read_paths(source: Source, devices: Sequence[Gpu]) -> Fact[Matrix]:
    """GPU by GPU: NVLink where there is one, else the way over PCIe."""
    places = Places(source)

    def path(a: Gpu, b: Gpu) -> str:
        links = joined(a, b)
        if links:
            return f"NV{links}"
        try:
            return LEVELS[source.call("nvmlDeviceGetTopologyCommonAncestor", a.index, b.index)]
        except Unread:
            found = places.path(a.bus_id.or_else(""), b.bus_id.or_else(""))
            if found == NOT_TOLD:
                raise
            return found

    return _matrix("NVLinks, nvmlDeviceGetTopologyCommonAncestor", devices, path)


def read_peers(source: Source, devices: Sequence[Gpu]) -> Fact[Matrix]:
    """GPU by GPU: may one read the other's memory."""
    return _matrix(
        "nvmlDeviceGetP2PStatus, read",
        devices,
        lambda a, b: P2P[source.call("nvmlDeviceGetP2PStatus", a.index, b.index, READ)],
    )


def read_port_paths(source: Source, devices: Sequence[Gpu], ports: Mapping[str, str]) -> Fact[Matrix]:
    """GPU by port; `ports`: name to PCI bus id."""
    places = Places(source)
    rows = tuple(tuple(places.path(device.bus_id.or_else(""), place) for place in ports.values()) for device in devices)
    return Fact(rows, source="common bridges in /sys/devices")


def _matrix(where: str, devices: Sequence[Gpu], tell: Callable[[Gpu, Gpu], str]) -> Fact[Matrix]:
    """Cells that cannot be told are `?`; where none can, the reason of the first."""

    def cell(a: Gpu, b: Gpu) -> Fact[str]:
        return reading(where, lambda: tell(a, b))

    cells = [[cell(a, b) for b in devices if b is not a] for a in devices]
    flat = [cell for row in cells for cell in row]
    if flat and not any(cell.known for cell in flat):
        return unknown(flat[0].status, flat[0].why, where)
    words = [[cell.or_else(NOT_TOLD) for cell in row] for row in cells]
    return Fact(tuple((*row[:place], SELF, *row[place:]) for place, row in enumerate(words)), source=where)


def joined(a: Gpu, b: Gpu) -> int:
    """NVLinks that carry between two GPUs: those from one to the other, else the fewer of both to the switches."""
    direct = sum(link.peer_bus_id == b.bus_id.value for link in _active(a) if link.peer == "gpu")
    return direct or min(sum(link.peer in SWITCHED for link in _active(one)) for one in (a, b))


def _active(gpu: Gpu) -> list[NvLink]:
    return [link for link in gpu.nvlinks.or_else(()) if link.active]


class Places:
    """Where devices are in /sys, each looked up once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: dict[str, tuple[str, int | None]] = {}
        nodes = reading("", lambda: [name for name in source.names("/sys/devices/system/node") if name[4:].isdigit()])
        self._one_node = len(nodes.or_else([])) == 1

    def path(self, a: str, b: str) -> str:
        """Between two PCI bus ids, either of which may be empty: not known."""
        (first, node), (second, other) = self._where(a), self._where(b)
        known = node is not None and other is not None
        return path_class(first, second, True if self._one_node else node == other if known else None)

    def _where(self, place: str) -> tuple[str, int | None]:
        if place not in self._found:
            folder = f"{DEVICES}/{place}"
            path = reading("", lambda: self._source.real(folder)).or_else("") if place else ""
            node = reading("", lambda: int(self._source.text(f"{folder}/numa_node"))).or_else(-1) if place else -1
            self._found[place] = path, None if node < 0 else node
        return self._found[place]


def path_class(a: str, b: str, same_node: bool | None) -> str:
    """Between two devices by their folders in /sys/devices: how many bridges they share, how many not.

    `same_node`: both on one NUMA node; None if that is not known.
    """
    if not a or not b:
        return NOT_TOLD
    first, second = _from_host_bridge(a), _from_host_bridge(b)
    shared = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        shared += 1
    if shared == 0:
        return NOT_TOLD if same_node is None else "NODE" if same_node else "SYS"
    if shared == 1:
        return "PHB"
    below = max(len(first), len(second)) - shared - 1
    return "PIX" if below <= 1 else "PXB"


def _from_host_bridge(path: str) -> list[str]:
    parts = path.split("/")
    return parts[next((place for place, part in enumerate(parts) if HOST_BRIDGE.fullmatch(part)), len(parts)) :]
