"""Composed NVIDIA GPUs: what NVML, /sys and the kernel's log say of them, after NVIDIA's documentation.

Figures of cards are those of their data sheets; shapes of answers are those of `cluster.topology.nvml.ask`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.topology.composed import Composed

NVIDIA, SWITCH, GPU = "0x10de", "0x068000", "0x030200"
SPEEDS = {1: "2.5 GT/s PCIe", 2: "5.0 GT/s PCIe", 3: "8.0 GT/s PCIe", 4: "16.0 GT/s PCIe", 5: "32.0 GT/s PCIe"}
LINK_COUNT, LINK_STATE = 91, 165
"""NVML_FI_DEV_NVLINK_LINK_COUNT, NVML_FI_DEV_NVLINK_GET_STATE."""
HIDDEN = "FFFFFFFF:FFFF:FF"
TYPE_GPU, TYPE_SWITCH = 0, 2
"""NVML_NVLINK_DEVICE_TYPE_..."""


@dataclass(frozen=True)
class Card:
    name: str
    capability: tuple[int, int]
    cores: int
    memory_bytes: int
    bus_bits: int
    clock_mhz: int
    memory_clock_mhz: int
    watts: int
    pcie_generation: int
    application_mhz: int | None = None
    """Its default application clock; None where it has none."""
    refuses: tuple[str, ...] = ()
    """Functions that it answers with NotSupported."""


NO_LINKS = ("nvmlDeviceGetNvLinkState", "nvmlDeviceGetFieldValues", "nvmlDeviceGetGpuFabricInfoV")
ECC = ("nvmlDeviceGetEccMode", "nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetRemappedRows")
MIG = ("nvmlDeviceGetMigMode", "nvmlDeviceGetMaxMigDeviceCount")
PAGES, C2C = "nvmlDeviceGetRetiredPagesPendingStatus", "nvmlDeviceGetC2cModeInfoV"
MIB = 1 << 20
H100 = Card("NVIDIA H100 80GB HBM3", (9, 0), 16896, 81559 * MIB, 5120, 1980, 2619, 700, 5, 1980, (PAGES, C2C))
A100 = Card("NVIDIA A100-SXM4-40GB", (8, 0), 6912, 40960 * MIB, 5120, 1410, 1215, 400, 4, 1095, (PAGES, C2C))
A100_PCIE = Card("NVIDIA A100 80GB PCIe", (8, 0), 6912, 81920 * MIB, 5120, 1410, 1512, 300, 4, 1065, (PAGES, C2C))
GH200 = Card("NVIDIA GH200 480GB", (9, 0), 16896, 97871 * MIB, 6144, 1980, 2619, 900, 5, 1980, (PAGES,))
GEFORCE = Card(
    "NVIDIA GeForce RTX 4070", (8, 9), 5888, 12282 * MIB, 192, 3105, 10501, 200, 4, None,
    (*NO_LINKS, *ECC, *MIG, PAGES, C2C, "nvmlDeviceGetSerial"),
)  # fmt: skip


@dataclass(frozen=True)
class Link:
    peer_bus_id: str
    """Empty where a virtual machine hides the peer."""
    peer_type: int | None
    """NVML_NVLINK_DEVICE_TYPE_...; None where the driver does not tell."""


@dataclass(frozen=True)
class Slot:
    """A card in its place."""

    card: Card
    path: str
    """The device's folder in /sys."""
    numa_node: int
    cpus: str
    affinity: tuple[int, ...]
    """Masks of 64 CPUs each."""
    links: tuple[Link, ...] = ()
    c2c: bool = False
    fabric: bool = False
    slices: tuple[str, ...] = field(default=())
    """Names of its MIG slices."""

    @property
    def bus_id(self) -> str:
        return self.path.rsplit("/", 1)[1]


def uuid(node: int, index: int, kind: str = "GPU") -> str:
    return f"{kind}-{node:08x}-0000-4000-8000-{index:012x}"


def add_device(made: Composed, path: str, vendor: str, kind: str, numa_node: int, cpus: str, generation: int) -> None:
    """A PCI device with the bridges above it; x16 and of one generation as far as the root."""
    parts = path.split("/")
    for depth in range(4, len(parts) + 1):  # /sys/devices/pci0000:00/...
        folder, last = "/".join(parts[:depth]), depth == len(parts)
        bus_id = parts[depth - 1]
        made.link(f"/sys/bus/pci/devices/{bus_id}", folder)
        if not last and f"{folder}/class" in made.files:
            continue
        made.file(f"{folder}/class", kind if last else "0x060400")
        made.file(f"{folder}/vendor", vendor if last else "0x1000")
        made.file(f"{folder}/numa_node", numa_node)
        made.file(f"{folder}/local_cpulist", cpus)
        for which in ("current", "max"):
            made.file(f"{folder}/{which}_link_speed", SPEEDS[generation])
            made.file(f"{folder}/{which}_link_width", 16)


def add_gpu(made: Composed, slot: Slot, index: int, node: int) -> None:
    """What NVML says of one GPU."""
    card, bus_id = slot.card, slot.bus_id
    generation, link = card.pcie_generation, slot.links
    answers: dict[str, object] = {
        "HandleByIndex": None,
        "PciInfo": pci_info(bus_id),
        "UUID": uuid(node, index),
        "Name": card.name,
        "Serial": f"165{node:06}{index:04}",
        "VbiosVersion": "96.00.74.00.01",
        "CudaComputeCapability": list(card.capability),
        "NumGpuCores": card.cores,
        "MemoryInfo": {"total": card.memory_bytes, "free": card.memory_bytes - 500 * MIB, "used": 500 * MIB},
        "MemoryBusWidth": card.bus_bits,
        "ClockInfo 1": 345,
        "ClockInfo 2": card.memory_clock_mhz,
        "MaxClockInfo 1": card.clock_mhz,
        "MaxClockInfo 2": card.memory_clock_mhz,
        "PowerUsage": 72_510,
        "EnforcedPowerLimit": card.watts * 1000,
        "PowerManagementDefaultLimit": card.watts * 1000,
        "Temperature 0": 31,
        "TemperatureThreshold 1": 89,
        "CurrentClocksEventReasons": 0x1,
        "UtilizationRates": {"gpu": 0, "memory": 0},
        "EccMode": [1, 1],
        "RemappedRows": [0, 0, 0, 0],
        "RetiredPagesPendingStatus": 0,
        "MigMode": [int(bool(slot.slices))] * 2,
        "MaxMigDeviceCount": 7,
        "PersistenceMode": 1,
        "ComputeMode": 0,
        "CurrPcieLinkGeneration": generation,
        "MaxPcieLinkGeneration": generation,
        "GpuMaxPcieLinkGeneration": generation,
        "CurrPcieLinkWidth": 16,
        "MaxPcieLinkWidth": 16,
        "PcieReplayCounter": 0,
        f"CpuAffinity {len(slot.affinity)}": list(slot.affinity),
        "ComputeRunningProcesses": [],
        "C2cModeInfoV": {"isC2cEnabled": int(slot.c2c)},
        "GpuFabricInfoV": fabric(3 if slot.fabric else 0),
        f"FieldValues {LINK_COUNT} 0": len(link),
    }
    if card.application_mhz:
        answers |= {f"{which}ApplicationsClock 1": card.application_mhz for which in ("", "Default")}
    for errors in (0, 1):
        answers |= {f"TotalEccErrors {errors} {counter}": 0 for counter in (0, 1)}
    for question, answer in answers.items():
        name, *rest = question.split()
        made.answer(answer, f"nvmlDeviceGet{name}", index, *rest)
    for number, one in enumerate(link):
        add_link(made, index, number, one, card.capability)
    add_slices(made, slot, index, node)
    if not link:
        made.refuse("NotSupported", "nvmlDeviceGetNvLinkState", index, 0)
    for name in card.refuses:
        made.refuse_all("NotSupported", f"{name} {index}")
    if not card.application_mhz:
        made.refuse("NotSupported", "nvmlDeviceGetApplicationsClock", index, 1)


def add_link(made: Composed, index: int, number: int, link: Link, capability: tuple[int, int]) -> None:
    if capability >= (9, 0):
        made.answer(1, "nvmlDeviceGetFieldValues", index, LINK_STATE, number)
    else:
        made.refuse("NotSupported", "nvmlDeviceGetFieldValues", index, LINK_STATE, number)
    made.answer(1, "nvmlDeviceGetNvLinkState", index, number)
    made.answer(6 if capability >= (9, 0) else 4, "nvmlDeviceGetNvLinkVersion", index, number)
    made.answer(pci_info(link.peer_bus_id), "nvmlDeviceGetNvLinkRemotePciInfo", index, number)
    if link.peer_type is None:
        made.refuse("NotSupported", "nvmlDeviceGetNvLinkRemoteDeviceType", index, number)
    else:
        made.answer(link.peer_type, "nvmlDeviceGetNvLinkRemoteDeviceType", index, number)


def add_slices(made: Composed, slot: Slot, index: int, node: int) -> None:
    """MIG: each slice has a name and memory; the GPU that is cut no longer tells its use."""
    for number in range(7):
        if number >= len(slot.slices):
            made.refuse("NotFound", "nvmlDeviceGetUUID", f"{index}.mig{number}")
            continue
        made.answer(uuid(node, 16 * index + number, "MIG"), "nvmlDeviceGetUUID", f"{index}.mig{number}")
        made.answer(f"{slot.card.name} MIG {slot.slices[number]}", "nvmlDeviceGetName", f"{index}.mig{number}")
        memory = {"total": 4864 * MIB, "free": 4851 * MIB, "used": 13 * MIB}
        made.answer(memory, "nvmlDeviceGetMemoryInfo", f"{index}.mig{number}")
    if slot.slices:
        made.refuse("NotSupported", "nvmlDeviceGetUtilizationRates", index)


def add_pairs(made: Composed, levels: Sequence[Sequence[int]], peers: Sequence[Sequence[int]]) -> None:
    """By nvmlGpuTopologyLevel_t and nvmlGpuP2PStatus_t."""
    for a, b in pairs(len(levels)):
        made.answer(levels[a][b], "nvmlDeviceGetTopologyCommonAncestor", a, b)
        made.answer(peers[a][b], "nvmlDeviceGetP2PStatus", a, b, 0)


def pairs(count: int) -> Iterable[tuple[int, int]]:
    return ((a, b) for a in range(count) for b in range(count) if a != b)


def pci_info(bus_id: str) -> dict[str, object]:
    """As NVML writes it: eight digits of domain, capital letters."""
    written = f"0000{bus_id}".upper() if bus_id else HIDDEN
    return {"busIdLegacy": bus_id.upper(), "busId": written, "pciDeviceId": 0x233010DE}


def fabric(state: int) -> dict[str, object]:
    return {"version": 0x02000024, "clusterUuid": [0] * 16, "status": 0, "cliqueId": 0, "state": state, "healthMask": 0}
