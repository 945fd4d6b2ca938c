"""Ways out of a node: Ethernet interfaces, InfiniBand and RoCE ports."""

import contextlib

from cluster.topology import interfaces as of_interface
from cluster.topology.fact import UNREAD, Fact, Live, Unread, reading, record, unknown
from cluster.topology.interfaces import NET, Addresses, text_if_any
from cluster.topology.pci import read_bus_id, read_link_rate, read_numa_node
from cluster.topology.source import Source

RDMA = "/sys/class/infiniband"


@record
class Port:
    """One network interface of the kernel."""

    name: str
    kind: Fact[str] = UNREAD
    """physical, virtual (of a virtual machine's hypervisor), virtual function, representor (of one), usb, wireless,
    loopback, bridge, bond, vlan, veth, tunnel, tap, macvlan, ..."""
    addresses: Fact[tuple[str, ...]] = UNREAD
    """With the length of the prefix: 10.0.0.5/24."""
    mac: Fact[str] = UNREAD
    driver: Fact[str] = UNREAD
    speed_bits_per_second: Fact[int] = UNREAD
    state: Fact[str] = UNREAD
    """up, down, unknown, ..., as the kernel says (operstate)."""
    carrier: Fact[bool] = UNREAD
    mtu_bytes: Fact[int] = UNREAD
    numa_node: Fact[int] = UNREAD
    bus_id: Fact[str] = UNREAD
    pcie_bits_per_second: Fact[int] = UNREAD
    """What its PCIe link carries now, encoding taken off."""
    errors: Live[int] = UNREAD
    """Frames received or sent wrongly since the interface came up."""


@record
class RdmaPort:
    """One port of an InfiniBand or RoCE device."""

    device: str
    """As in mlx5_0."""
    port: int
    link_layer: Fact[str] = UNREAD
    """InfiniBand or Ethernet (RoCE)."""
    state: Fact[str] = UNREAD
    """ACTIVE, INIT, ARMED, DOWN."""
    physical_state: Fact[str] = UNREAD
    rate_bits_per_second: Fact[int] = UNREAD
    rate: Fact[str] = UNREAD
    """In the kernel's words: 400 Gb/sec (4X NDR)."""
    interface: Fact[str] = UNREAD
    """The network interface of the same device."""
    firmware: Fact[str] = UNREAD
    guid: Fact[str] = UNREAD
    numa_node: Fact[int] = UNREAD
    bus_id: Fact[str] = UNREAD
    link_downed: Live[int] = UNREAD
    symbol_errors: Live[int] = UNREAD
    receive_errors: Live[int] = UNREAD


@record
class Network:
    """All ways out of one node."""

    ports: tuple[Port, ...] = ()
    rdma: tuple[RdmaPort, ...] = ()
    default_interface: Fact[str] = UNREAD
    """The one with the default route."""


def read_network(source: Source) -> Network:
    addresses = reading("getifaddrs", lambda: dict(source.call("addresses")))
    names, shown = of_interface.here(source, addresses.or_else({}))
    return Network(
        ports=tuple(_port(shown, name, addresses) for name in names),
        rdma=tuple(_rdma_port(source, device, port) for device, port in _rdma_ports(source)),
        default_interface=reading("/proc/net/route, ipv6_route", lambda: _default_interface(source)),
    )


def _default_interface(source: Source) -> str:
    """Raises Unread, OSError."""
    return of_interface.default_interface(source.text("/proc/net/route"), text_if_any(source, "/proc/net/ipv6_route"))


def _port(source: Source, name: str, addresses: Fact[Addresses]) -> Port:
    folder = f"{NET}/{name}"
    device = reading(f"{folder}/device", lambda: of_interface.device(source, name))
    bus_id = read_bus_id(device)
    return Port(
        name=name,
        kind=reading(folder, lambda: of_interface.kind(source, name)),
        addresses=_addresses(addresses, name),
        mac=reading(f"{folder}/address", lambda: _mac(source.text(f"{folder}/address"))),
        driver=_driver(source, f"{folder}/device/driver", device),
        speed_bits_per_second=reading(
            f"{folder}/speed", lambda: of_interface.speed(of_interface.while_up(source, f"{folder}/speed")), "bits/s"
        ),
        state=_line(source, f"{folder}/operstate"),
        carrier=reading(f"{folder}/carrier", lambda: bool(int(of_interface.while_up(source, f"{folder}/carrier")))),
        mtu_bytes=reading(f"{folder}/mtu", lambda: int(source.text(f"{folder}/mtu")), "bytes"),
        numa_node=read_numa_node(source, device, bus_id),
        bus_id=bus_id,
        pcie_bits_per_second=read_link_rate(source, bus_id),
        errors=reading(
            f"{folder}/statistics/rx_errors, tx_errors",
            lambda: sum(int(source.text(f"{folder}/statistics/{way}_errors")) for way in ("rx", "tx")),
            "frames",
        ),
    )


def _driver(source: Source, link: str, device: Fact[str]) -> Fact[str]:
    if device.value is None:
        return device
    return reading(link, lambda: source.real(link).rpartition("/")[2])


def _addresses(addresses: Fact[Addresses], name: str) -> Fact[tuple[str, ...]]:
    if addresses.value is None:
        return unknown(addresses.status, addresses.why, addresses.source)
    return reading(addresses.source, lambda: tuple(map(of_interface.address, (addresses.value or {}).get(name, []))))


def _mac(words: str) -> str:
    if not words:
        raise Unread("absent", "it has no hardware address")
    return words


def _rdma_ports(source: Source) -> list[tuple[str, int]]:
    """None where the kernel knows no RDMA."""
    found = []
    with contextlib.suppress(OSError, Unread):
        for device in source.names(RDMA):
            with contextlib.suppress(OSError, Unread):
                numbers = [int(port) for port in source.names(f"{RDMA}/{device}/ports") if port.isdigit()]
                found += [(device, number) for number in sorted(numbers)]
    return found


def _rdma_port(source: Source, device: str, port: int) -> RdmaPort:
    whole, folder = f"{RDMA}/{device}", f"{RDMA}/{device}/ports/{port}"
    device_path = reading(f"{whole}/device", lambda: source.real(f"{whole}/device"))
    bus_id = read_bus_id(device_path)
    rate = _line(source, f"{folder}/rate")
    return RdmaPort(
        device=device,
        port=port,
        link_layer=_line(source, f"{folder}/link_layer"),
        state=reading(f"{folder}/state", lambda: _word(source.text(f"{folder}/state"))),
        physical_state=reading(f"{folder}/phys_state", lambda: _word(source.text(f"{folder}/phys_state"))),
        rate_bits_per_second=reading(rate.source, lambda: _rate(source.text(rate.source)), "bits/s"),
        rate=rate,
        interface=reading(f"{folder}/gid_attrs/ndevs/0, {whole}/device/net", lambda: _interface(source, device, port)),
        firmware=_line(source, f"{whole}/fw_ver"),
        guid=_line(source, f"{whole}/node_guid"),
        numa_node=read_numa_node(source, device_path, bus_id),
        bus_id=bus_id,
        link_downed=_counter(source, folder, "link_downed"),
        symbol_errors=_counter(source, folder, "symbol_error"),
        receive_errors=_counter(source, folder, "port_rcv_errors"),
    )


def _line(source: Source, path: str) -> Fact[str]:
    return reading(path, lambda: source.text(path))


def _word(words: str) -> str:
    """ACTIVE of `4: ACTIVE`."""
    return words.rpartition(":")[2].strip()


def _rate(words: str) -> int:
    """Of `400 Gb/sec (4X NDR)`. Raises ValueError."""
    number, unit, *_ = words.split()
    if unit != "Gb/sec":
        raise ValueError(f"a rate in Gb/sec, not {words!r}")
    return round(float(number) * 1e9)


def _interface(source: Source, device: str, port: int) -> str:
    """What carries the port's addresses (of a bond, the bond); else of the interfaces of its device the one whose port
    has its number. Raises Unread, OSError."""
    carrier = text_if_any(source, f"{RDMA}/{device}/ports/{port}/gid_attrs/ndevs/0")
    if carrier:
        return carrier
    names = source.names(f"{RDMA}/{device}/device/net")
    own = [name for name in names if text_if_any(source, f"{NET}/{name}/dev_port") in ("", str(port - 1))]
    # IPoIB interfaces of another partition have the name of their parent and a key: ib0.8001.
    chosen = sorted(own or names, key=lambda name: ("." in name, name))
    if not chosen:
        raise Unread("absent", "its device has no network interface")
    return chosen[0]


def _counter(source: Source, folder: str, name: str) -> Fact[int]:
    """What InfiniBand counts; some drivers have it among the counters of their own."""
    fact = reading(f"{folder}/counters/{name}", lambda: int(source.text(f"{folder}/counters/{name}")))
    if fact.known:
        return fact
    own = reading(f"{folder}/hw_counters/{name}", lambda: int(source.text(f"{folder}/hw_counters/{name}")))
    return own if own.known else fact
