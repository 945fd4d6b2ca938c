"""Composed network cards: their files in /sys/class/net and /sys/class/infiniband, their addresses, the route."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.topology.composed import Composed
from tests.topology.made_gpus import add_device

RATES = {100: "100 Gb/sec (4X EDR)", 200: "200 Gb/sec (4X HDR)", 400: "400 Gb/sec (4X NDR)"}
ETHERNET, INFINIBAND, LOOPBACK = 1, 32, 772
"""ARPHRD_... of linux/if_arp.h."""


@dataclass(frozen=True)
class Nic:
    """A card with one port."""

    name: str
    rdma: str
    """Its InfiniBand device; empty for plain Ethernet."""
    path: str
    """The PCI device's folder in /sys."""
    numa_node: int
    cpus: str
    gigabits: int
    """0 where the hypervisor does not tell."""
    driver: str = "mlx5_core"


def add_network(made: Composed, nics: Sequence[Nic], number: int) -> None:
    addresses = {"lo": [["127.0.0.1", "255.0.0.0"]]}
    _interface(made, "/sys/devices/virtual/net/lo", "lo", LOOPBACK, "00:00:00:00:00:00", 65536, "unknown")
    for place, nic in enumerate(nics):
        vendor, kind = ("0x15b3", "0x020700" if nic.rdma else "0x020000") if nic.gigabits else ("0x1af4", "0x020000")
        add_device(made, nic.path, vendor, kind, nic.numa_node, nic.cpus, 5)
        device = nic.path if nic.gigabits else f"{nic.path}/virtio0"
        made.file(f"/sys/bus/pci/drivers/{nic.driver}/uevent", "")
        made.link(f"{device}/driver", f"/sys/bus/pci/drivers/{nic.driver}")
        folder = f"{device}/net/{nic.name}"
        made.link(f"{folder}/device", device)
        mac = f"02:00:{place:02x}:00:{number >> 8:02x}:{number & 255:02x}"
        if nic.rdma:
            _interface(made, folder, nic.name, INFINIBAND, f"00:00:10:49:fe:80:{'00:' * 8}{mac}", 4092, "up")
            _rdma(made, nic, mac)
        else:
            _interface(made, folder, nic.name, ETHERNET, mac, 9000, "up")
        made.file(f"{folder}/speed", nic.gigabits * 1000 or -1)
        addresses[nic.name] = [[f"10.{place}.{number >> 8}.{(number & 255) + 1}", "255.255.0.0"]]
    made.answer(addresses, "addresses")
    route = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT"
    first = nics[0].name if nics else "lo"
    made.file("/proc/net/route", f"{route}\n{first}\t00000000\tFE00000A\t0003\t0\t0\t0\t00000000\t0\t0\t0")


def _interface(made: Composed, folder: str, name: str, kind: int, mac: str, mtu: int, state: str) -> None:
    made.link(f"/sys/class/net/{name}", folder)
    files = {
        "type": kind,
        "address": mac,
        "mtu": mtu,
        "operstate": state,
        "carrier": 1,
        "flags": "0x1003",
        "duplex": "full",
    }
    for file, text in files.items():
        made.file(f"{folder}/{file}", text)
    place = sum(path.endswith("/ifindex") for path in made.files) + 1
    made.file(f"{folder}/ifindex", place)
    made.file(f"{folder}/iflink", place)
    made.file(f"{folder}/uevent", f"INTERFACE={name}\nIFINDEX={place}")
    for count in ("rx_errors", "tx_errors", "rx_dropped", "tx_dropped", "rx_bytes", "tx_bytes", "rx_crc_errors"):
        made.file(f"{folder}/statistics/{count}", 0)


def _rdma(made: Composed, nic: Nic, mac: str) -> None:
    device = f"{nic.path}/infiniband/{nic.rdma}"
    made.link(f"/sys/class/infiniband/{nic.rdma}", device)
    made.link(f"{device}/device", nic.path)
    guid = "a088:c203:" + "".join(mac.split(":")[2:])[:8]
    for file, text in {
        "fw_ver": "28.39.1002",
        "node_guid": f"{guid[:14]}:{guid[14:]}",
        "board_id": "MT_0000000838",
    }.items():
        made.file(f"{device}/{file}", text)
    port = f"{device}/ports/1"
    for file, text in {
        "state": "4: ACTIVE",
        "phys_state": "5: LinkUp",
        "rate": RATES[nic.gigabits],
        "link_layer": "InfiniBand",
        "gid_attrs/ndevs/0": nic.name,
    }.items():
        made.file(f"{port}/{file}", text)
    for counter in ("link_downed", "symbol_error", "port_rcv_errors"):
        made.file(f"{port}/counters/{counter}", 0)
