"""GPUs: what they are and how they fare, by UUID and PCI bus id."""

from dataclasses import dataclass

from cluster.topology.fact import UNREAD, Fact, Live, record


@dataclass(frozen=True, slots=True)
class MigDevice:
    """One slice of a GPU."""

    uuid: str
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class RemappedRows:
    """Rows of memory that were replaced, by the kind of error; pending: at the next reset; failed: no spare is left."""

    correctable: int
    uncorrectable: int
    pending: bool
    failed: bool


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that has a context on a GPU."""

    pid: int
    name: str
    """Empty where it cannot be told, as from inside a container."""
    memory_bytes: int | None
    ours: bool
    """This process or one that it started."""


@dataclass(frozen=True, slots=True)
class NvLink:
    """One NVLink port of a GPU."""

    link: int
    active: bool
    version: int
    """NVML's number for it (nvmlNvlinkVersion_t): 6 is NVLink 4.0; 0 where it is not told."""
    peer: str
    """What is at its other end: `gpu`, `switch`, `cpu`, or `unknown` (an invisible peer in a virtual machine)."""
    peer_bus_id: str
    """Empty where the peer does not show."""


@dataclass(frozen=True, slots=True)
class Xid:
    """An error that the driver wrote into the kernel's log (docs.nvidia.com/deploy/xid-errors)."""

    code: int
    bus_id: str
    seconds_since_boot: float
    words: str


@record
class Gpu:
    """One GPU. PCIe links and clocks go down when idle: the rates under load tell more."""

    index: int
    """NVML's number: the order of PCI bus ids."""
    uuid: Fact[str] = UNREAD
    bus_id: Fact[str] = UNREAD
    """As /sys/bus/pci/devices has it: 0000:3b:00.0."""
    cuda_index: Fact[int] = UNREAD
    """The number by which CUDA in this process knows it; absent where CUDA_VISIBLE_DEVICES hides it."""
    name: Fact[str] = UNREAD
    serial: Fact[str] = UNREAD
    vbios: Fact[str] = UNREAD
    compute_capability: Fact[str] = UNREAD
    multiprocessors: Fact[int] = UNREAD
    memory_bytes: Fact[int] = UNREAD
    memory_used_bytes: Live[int] = UNREAD
    memory_bus_bits: Fact[int] = UNREAD
    clock_mhz: Live[int] = UNREAD
    clock_max_mhz: Fact[int] = UNREAD
    clock_set_mhz: Fact[int] = UNREAD
    """The application clock, where somebody has set one below the maximum."""
    memory_clock_mhz: Live[int] = UNREAD
    memory_clock_max_mhz: Fact[int] = UNREAD
    power_watts: Live[float] = UNREAD
    power_limit_watts: Fact[float] = UNREAD
    power_limit_default_watts: Fact[float] = UNREAD
    temperature_celsius: Live[int] = UNREAD
    slowdown_celsius: Fact[int] = UNREAD
    throttle: Live[tuple[str, ...]] = UNREAD
    """Why its clocks are down now: idle, power_cap, hw_slowdown, sw_thermal, hw_thermal, power_brake, ..."""
    utilisation_percent: Live[int] = UNREAD
    ecc: Fact[bool] = UNREAD
    ecc_pending: Fact[bool] = UNREAD
    """What it will be after the next reboot."""
    ecc_corrected: Live[int] = UNREAD
    """Since the driver was loaded."""
    ecc_uncorrected: Live[int] = UNREAD
    ecc_uncorrected_lifetime: Fact[int] = UNREAD
    remapped_rows: Fact[RemappedRows] = UNREAD
    retired_pages_pending: Fact[bool] = UNREAD
    """Before Ampere: pages that the next reboot retires."""
    mig: Fact[bool] = UNREAD
    mig_devices: Fact[tuple[MigDevice, ...]] = UNREAD
    persistence: Fact[bool] = UNREAD
    compute_mode: Fact[str] = UNREAD
    pcie_generation: Live[int] = UNREAD
    pcie_generation_max: Fact[int] = UNREAD
    """The lower of card and slot."""
    pcie_generation_card: Fact[int] = UNREAD
    pcie_generation_slot: Fact[int] = UNREAD
    """What the port above it can do."""
    pcie_width: Live[int] = UNREAD
    pcie_width_max: Fact[int] = UNREAD
    pcie_width_slot: Fact[int] = UNREAD
    pcie_replays: Live[int] = UNREAD
    numa_node: Fact[int] = UNREAD
    cpus: Fact[str] = UNREAD
    """The CPUs near it, as in 0-31."""
    processes: Live[tuple[GpuProcess, ...]] = UNREAD
    nvlinks: Fact[tuple[NvLink, ...]] = UNREAD
    c2c: Fact[bool] = UNREAD
    """Joined to its CPU chip to chip, as in Grace Hopper."""
    fabric: Fact[str] = UNREAD
    """State of its registration with the NVSwitch fabric, with cluster UUID and clique."""
    xids: Live[tuple[Xid, ...]] = UNREAD


@record
class Gpus:
    """All GPUs of one node and the ways between them."""

    nvml: Fact[str] = UNREAD
    """Version of NVML; where it does not start, why."""
    driver_cuda: Fact[str] = UNREAD
    """Newest CUDA that the driver can run."""
    on_bus: Fact[tuple[str, ...]] = UNREAD
    """PCI bus ids of all NVIDIA GPUs, whether NVML knows them or not."""
    devices: tuple[Gpu, ...] = ()
    visible: Fact[tuple[str, ...]] = UNREAD
    """UUIDs in the order in which CUDA numbers them in this process."""
    paths: Fact[tuple[tuple[str, ...], ...]] = UNREAD
    """GPU by GPU in order of index, as `nvidia-smi topo -m` names them: X, NV18, PIX, PXB, PHB, NODE, SYS; ? where it
    is not told."""
    peers: Fact[tuple[tuple[str, ...], ...]] = UNREAD
    """GPU by GPU: may one read the other's memory, as `nvidia-smi topo -p2p r` names it: X, OK, CNS (chipset not
    supported), GNS (GPU not), TNS (topology not), DR (disabled), NS (not supported), U or ? (not told)."""
    port_paths: Fact[tuple[tuple[str, ...], ...]] = UNREAD
    """GPU by port, the ports in the order of `port_names`: PIX, PXB, PHB, NODE, SYS, ?."""
    port_names: tuple[str, ...] = ()
    """Ethernet interfaces and RDMA devices that are on the PCI bus."""
    other_xids: Live[tuple[Xid, ...]] = UNREAD
    """Of GPUs that NVML does not list, or whose place is not known."""
