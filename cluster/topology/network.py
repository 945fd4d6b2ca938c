"""Ways out of a node: Ethernet interfaces, InfiniBand and RoCE ports."""

from cluster.topology.fact import UNREAD, Fact, Live, record
from cluster.topology.source import Source


@record
class Port:
    """One network interface of the kernel."""

    name: str
    kind: Fact[str] = UNREAD
    """physical, virtual (of a virtual machine's hypervisor), loopback, bridge, bond, vlan, veth, tunnel, ..."""
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
    return Network()
