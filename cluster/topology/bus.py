"""Places on the PCI bus: how they are written, which NVIDIA GPUs are there, what the port above one can do."""

import re

from cluster.topology.fact import Unread
from cluster.topology.source import Source

DEVICES = "/sys/bus/pci/devices"
NVIDIA = "0x10de"
GPU_CLASSES = ("0x0300", "0x0302")
"""VGA and 3D controllers (pci.ids); a GPU's sound device and an NVSwitch are of other classes."""
GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}
"""Of PCIe, by GT/s."""


def bus_id(words: str) -> str:
    """As /sys writes it, of what NVML writes: 0000:3b:00.0 of 00000000:3B:00.0. Raises ValueError."""
    found = re.fullmatch(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", words.strip().lower())
    if found is None:
        raise ValueError(f"no PCI bus id: {words!r}")
    domain, bus, device, function = found.groups()
    return f"{int(domain, 16):04x}:{bus}:{device}.{function}"


def gpus_on_bus(source: Source) -> tuple[str, ...]:
    """All NVIDIA GPUs there, whether the driver knows them or not."""
    return tuple(
        place
        for place in source.names(DEVICES)
        if source.text(f"{DEVICES}/{place}/vendor") == NVIDIA
        and source.text(f"{DEVICES}/{place}/class").startswith(GPU_CLASSES)
    )


def numa_node(source: Source, place: str) -> int:
    """Raises Unread where the kernel does not know."""
    node = int(source.text(f"{DEVICES}/{place}/numa_node"))
    if node < 0:
        raise Unread("unsupported", "the firmware does not tell the kernel which NUMA node it is on (-1)")
    return node


def slot_generation(source: Source, place: str) -> int:
    """The newest PCIe generation of the port above it."""
    words = source.text(f"{_above(source, place)}/max_link_speed")
    speed = words.split(" ")[0]
    if speed not in GENERATIONS:
        raise Unread("unsupported", f"the port above it does not tell its speed ({words})")
    return GENERATIONS[speed]


def slot_width(source: Source, place: str) -> int:
    """The most lanes of the port above it."""
    width = int(source.text(f"{_above(source, place)}/max_link_width"))
    if width in (0, 255):
        raise Unread("unsupported", f"the port above it does not tell its width ({width})")
    return width


def _above(source: Source, place: str) -> str:
    folder = source.real(f"{DEVICES}/{place}").rpartition("/")[0]
    if folder.rpartition("/")[2].startswith("pci"):
        raise Unread("unsupported", "no port shows above it on the PCI bus, as in a virtual machine")
    return folder
