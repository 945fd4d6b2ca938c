"""Where a device sits on the PCI bus, and what its link carries, by the links and files of /sys."""

import re

from cluster.topology.fact import Fact, Unread, reading, unknown
from cluster.topology.source import Source

DEVICES = "/sys/bus/pci/devices"
BUS_ID = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
ENCODING = {2.5: 8 / 10, 5.0: 8 / 10, 8.0: 128 / 130, 16.0: 128 / 130, 32.0: 128 / 130, 64.0: 236 / 256}
"""GT/s of a lane, generations 1 to 6, to the share of its bits that is data: 8b/10b, 128b/130b, and 236 of a flit's 256
bytes (PCI Express Base Specification 6.0, 4.2). Headers of packets come off in all of them: 5 % and more."""
SPEEDS = dict(enumerate(ENCODING, 1))
"""GT/s of a lane by generation; PAM4's two bits in one symbol are in generation 6's."""


def read_bus_id(device: Fact[str]) -> Fact[str]:
    """Of a device by its path in /sys/devices, or of the PCI device that it is part of (virtio)."""
    if device.value is None:
        return device
    path = device.value
    return reading(device.source, lambda: _bus_id(path))


def read_numa_node(source: Source, device: Fact[str], bus_id: Fact[str]) -> Fact[int]:
    if device.value is None:
        return unknown(device.status, device.why, device.source)
    path = f"{DEVICES}/{bus_id.value}/numa_node" if bus_id.value else f"{device.value}/numa_node"
    return reading(path, lambda: _numa_node(source.text(path)))


def read_link_rate(source: Source, bus_id: Fact[str]) -> Fact[int]:
    """What the PCIe link carries now each way, its line code taken off."""
    if bus_id.value is None:
        return unknown(bus_id.status, bus_id.why, bus_id.source)
    path = f"{DEVICES}/{bus_id.value}"
    return reading(f"{path}/current_link_speed, current_link_width", lambda: _link_rate(source, path), "bits/s")


def _link_rate(source: Source, path: str) -> int:
    try:
        return link_rate(source.text(f"{path}/current_link_speed"), source.text(f"{path}/current_link_width"))
    except FileNotFoundError:
        source.text(f"{path}/vendor")  # where /sys is hidden, that is the reason
        raise Unread("absent", "it is on the PCI bus, but not by a PCIe link of its own") from None


def link_rate(speed: str, width: str) -> int:
    """Bits a second of `16.0 GT/s PCIe` and `16`. Raises Unread if there is no such link."""
    if speed.lower().startswith("unknown") or int(width) in (0, 255):
        raise Unread("unsupported", f"it has no PCIe link that is up: speed {speed!r}, width {width!r}")
    transfers = float(speed.split()[0])
    if transfers not in ENCODING:
        raise Unread("unsupported", f"the encoding of {speed!r} is not known here")
    return round(transfers * 1e9 * ENCODING[transfers] * int(width))


def _bus_id(path: str) -> str:
    found = [part for part in path.split("/") if BUS_ID.fullmatch(part)]
    if not found:
        raise Unread("absent", f"it is not on the PCI bus: {path}")
    return found[-1]


def _numa_node(words: str) -> int:
    if int(words) < 0:
        raise Unread("unsupported", f"the firmware does not tell (it says {words})")
    return int(words)
