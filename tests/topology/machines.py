"""Whole nodes for tests, by kind, with faults: `machine("h100x8", faults=["lost:3"])`.

They are composed from documented outputs (NVIDIA's NVML reference, `nvidia-smi topo -m` of such machines, the kernel's
documentation of /sys), not recorded on real machines. Each says so in its `about`.

    node = probe(FOLDERS, machine("h100x8", number=7))              # number: serials, UUIDs, addresses of its own
    answers = recorded(machine("a100x4", faults=["ecc:2:5"]))       # as a recording has them, for Replay
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.topology.probe import probe
from cluster.topology.source import Json, Recorder
from tests.topology.composed import Composed
from tests.topology.faults import BEFORE, FAULTS
from tests.topology.made_gpus import (
    A100,
    A100_PCIE,
    GEFORCE,
    GH200,
    GPU,
    H100,
    NVIDIA,
    SWITCH,
    TYPE_GPU,
    TYPE_SWITCH,
    Link,
    Slot,
    add_device,
    add_gpu,
    add_pairs,
)
from tests.topology.made_host import Processors, add_host
from tests.topology.made_network import Nic, add_network

FOLDERS = {"data": "/data", "runs": "/runs"}
PIX, PXB, PHB, NODE, SYS = 10, 20, 30, 40, 50
"""nvmlGpuTopologyLevel_t."""
OK, CHIPSET = 0, 1
"""nvmlGpuP2PStatus_t."""
H100_BUSES = ("1b", "43", "52", "61", "9d", "c3", "d1", "df")
H100_ROOTS = ("15", "3d", "4c", "5b", "97", "bd", "cb", "d9")
SWITCHES = ("0000:05:00.0", "0000:06:00.0", "0000:07:00.0", "0000:08:00.0")
LINKS_TO_SWITCHES = (0,) * 5 + (1,) * 4 + (2,) * 4 + (3,) * 5
"""The switch of each of an H100's 18 links."""


@dataclass(frozen=True)
class Plan:
    """What a machine is made of."""

    about: str
    processors: Processors
    slots: tuple[Slot, ...] = ()
    levels: tuple[tuple[int, ...], ...] = ()
    peers: int = OK
    nics: tuple[Nic, ...] = ()
    driver: str = "570.86.15"
    """Empty without one."""


def machine(kind: str = "h100x8", faults: Sequence[str] = (), number: int = 0) -> Composed:
    """A node of one of `KINDS` with faults of `faults.py`, as in "nvlink_down:3:7"; `number` tells alike ones apart."""
    plan = KINDS[kind]()
    made = Composed(f"composed from documented outputs, not recorded: {plan.about}")
    split = [fault.split(":") for fault in faults]
    unlisted = {int(index) for name, *rest in split if name in BEFORE for index in rest}
    add_host(made, plan.processors, number, plan.driver)
    add_network(made, plan.nics, number)
    for slot in plan.slots:
        add_device(made, slot.path, NVIDIA, GPU, slot.numa_node, slot.cpus, slot.card.pcie_generation)
    if any(link.peer_bus_id in SWITCHES for slot in plan.slots for link in slot.links):
        for bus_id in SWITCHES:
            add_device(made, f"/sys/devices/pci0000:00/0000:00:0{bus_id[6]}.0/{bus_id}", NVIDIA, SWITCH, 0, "0-47", 4)
    listed = [index for index in range(len(plan.slots)) if index not in unlisted]
    if plan.driver:
        _add_nvml(made, plan, listed, number)
    else:
        made.refuse("LibraryNotFound", "nvmlInit")
    for name, *rest in split:
        if name in BEFORE:
            BEFORE[name](made, *(plan.slots[int(index)].path for index in rest))
        else:
            FAULTS[name](made, *rest)
    return made


def recorded(made: Composed) -> dict[str, dict[str, Json]]:
    """The answers that a probe of it was given."""
    recorder = Recorder(made)
    probe(FOLDERS, recorder)
    return recorder.answers


def _add_nvml(made: Composed, plan: Plan, listed: Sequence[int], number: int) -> None:
    made.answer(None, "nvmlInit")
    made.answer("12." + plan.driver, "nvmlSystemGetNVMLVersion")
    made.answer(12080, "nvmlSystemGetCudaDriverVersion")
    made.answer(len(listed), "nvmlDeviceGetCount")
    for index, place in enumerate(listed):
        add_gpu(made, plan.slots[place], index, number)
    levels = [[plan.levels[a][b] for b in listed] for a in listed]
    add_pairs(made, levels, [[plan.peers] * len(listed)] * len(listed))


def h100x8() -> Plan:
    """Two sockets, four PCIe switches each; below each a GPU and its InfiniBand port; NVSwitch between all GPUs."""
    processors = Processors("Intel(R) Xeon(R) Platinum 8468", sockets=2, cores=48, memory_gib=2016)
    links = tuple(Link(SWITCHES[switch], TYPE_SWITCH) for switch in LINKS_TO_SWITCHES)
    slots = tuple(
        Slot(H100, f"{_switch(root, '01')}/0000:{bus}:00.0", *processors.near(index // 4), links=links, fabric=True)
        for index, (root, bus) in enumerate(zip(H100_ROOTS, H100_BUSES, strict=True))
    )
    return Plan(
        "8 H100 SXM with 4 NVSwitches, 8 ConnectX-7 of 400 Gb/s, 2 sockets",
        processors,
        slots,
        _levels(8, lambda a, b: NODE if a // 4 == b // 4 else SYS),
        nics=(_ethernet(processors), *(_infiniband(processors, index, root) for index, root in enumerate(H100_ROOTS))),
    )


def h100x8_vm() -> Plan:
    """The same GPUs in a virtual machine: one flat PCI bus, no NUMA nodes told, NVLink's peers hidden."""
    processors = Processors("Intel(R) Xeon(R) Platinum 8480C", sockets=1, cores=48, memory_gib=1900, virtual=True)
    links = tuple(Link("", None) for _ in LINKS_TO_SWITCHES)
    slots = tuple(
        Slot(
            H100,
            f"/sys/devices/pci0000:00/0000:00:{5 + index:02x}.0",
            -1,
            *processors.near(0)[1:],
            links=links,
            fabric=True,
        )
        for index in range(8)
    )
    nics = tuple(
        Nic(f"ib{index}", f"mlx5_{index}", f"/sys/devices/pci0000:00/0000:00:{16 + index:02x}.0", -1, "0-95", 400)
        for index in range(8)
    )
    about = "8 H100 SXM passed through to a virtual machine with a flat PCI bus"
    ethernet = Nic("eth0", "", "/sys/devices/pci0000:00/0000:00:03.0", -1, "0-95", 0, driver="virtio_net")
    return Plan(about, processors, slots, _levels(8, lambda a, b: PHB), nics=(ethernet, *nics))


def a100x4() -> Plan:
    """Two sockets, no NVLink: GPUs 0 and 1 below one PCIe switch, 2 and 3 at one root."""
    processors = Processors("AMD EPYC 7543 32-Core Processor", sockets=2, cores=32, memory_gib=512)
    paths = (
        f"{_switch('17', '00')}/0000:1b:00.0",
        f"{_switch('17', '01')}/0000:1c:00.0",
        "/sys/devices/pci0000:80/0000:80:01.0/0000:81:00.0",
        "/sys/devices/pci0000:80/0000:80:03.0/0000:82:00.0",
    )
    slots = tuple(Slot(A100_PCIE, path, *processors.near(index // 2)) for index, path in enumerate(paths))
    levels = _levels(4, lambda a, b: SYS if a // 2 != b // 2 else PIX if a < 2 else PHB)
    return Plan(
        "4 A100 PCIe, 2 sockets, no NVLink", processors, slots, levels, peers=CHIPSET, nics=(_ethernet(processors),)
    )


def a100x2_bridge() -> Plan:
    """Two cards with an NVLink bridge: twelve links from one to the other."""
    processors = Processors("AMD EPYC 7543 32-Core Processor", sockets=1, cores=32, memory_gib=256)
    buses = ("0000:21:00.0", "0000:41:00.0")
    slots = tuple(
        Slot(
            A100_PCIE,
            f"/sys/devices/pci0000:{bus[5]}0/0000:{bus[5]}0:01.1/{bus}",
            *processors.near(0),
            links=(Link(buses[1 - index], TYPE_GPU),) * 12,
        )
        for index, bus in enumerate(buses)
    )
    levels = _levels(2, lambda a, b: NODE)
    return Plan("2 A100 PCIe with an NVLink bridge", processors, slots, levels, nics=(_ethernet(processors),))


def a100_mig() -> Plan:
    """One card cut into seven slices."""
    processors = Processors("AMD EPYC 7742 64-Core Processor", sockets=1, cores=64, memory_gib=512)
    slot = Slot(A100, "/sys/devices/pci0000:00/0000:00:01.1/0000:07:00.0", *processors.near(0), slices=("1g.5gb",) * 7)
    return Plan("A100 in MIG mode, 7 slices", processors, (slot,), ((0,),), nics=(_ethernet(processors),))


def geforce() -> Plan:
    """A workstation with a consumer card, which does not tell much."""
    processors = Processors("AMD Ryzen 9 7950X 16-Core Processor", sockets=1, cores=16, memory_gib=64)
    slot = Slot(GEFORCE, "/sys/devices/pci0000:00/0000:00:01.1/0000:01:00.0", *processors.near(0))
    return Plan("a workstation with a GeForce", processors, (slot,), ((0,),), nics=(_ethernet(processors),))


def grace_hopper() -> Plan:
    """GPU and CPU joined chip to chip, each with memory of its own."""
    processors = Processors("Neoverse-V2", sockets=1, cores=72, threads=1, memory_gib=480, architecture="aarch64")
    path = "/sys/devices/pci0009:00/0009:00:00.0/0009:01:00.0"
    slot = Slot(GH200, path, *processors.near(0), c2c=True)
    return Plan("GH200: Grace and Hopper joined by C2C", processors, (slot,), ((0,),), nics=(_ethernet(processors),))


def no_gpu() -> Plan:
    """A CPU node."""
    processors = Processors("AMD EPYC 7543 32-Core Processor", sockets=2, cores=32, memory_gib=256)
    return Plan("a CPU node without NVIDIA's driver", processors, nics=(_ethernet(processors),), driver="")


def no_driver() -> Plan:
    """GPUs on the bus, and no driver."""
    plan = a100x4()
    return Plan("4 A100 and no driver", plan.processors, plan.slots, nics=plan.nics, driver="")


KINDS = {
    "h100x8": h100x8,
    "h100x8-vm": h100x8_vm,
    "a100x4": a100x4,
    "a100x2-bridge": a100x2_bridge,
    "a100-mig": a100_mig,
    "geforce": geforce,
    "grace-hopper": grace_hopper,
    "no-gpu": no_gpu,
    "no-driver": no_driver,
}


def _switch(root: str, down: str) -> str:
    """A port of a PCIe switch: root port, the switch's way up, one of its ways down."""
    first = int(root, 16)
    port = f"/sys/devices/pci0000:{root}/0000:{root}:01.0"
    return f"{port}/0000:{first + 1:02x}:00.0/0000:{first + 2:02x}:{down}.0"


def _infiniband(processors: Processors, index: int, root: str) -> Nic:
    path = f"{_switch(root, '00')}/0000:{int(root, 16) + 3:02x}:00.0"
    numa_node, cpus, _ = processors.near(index // 4)
    return Nic(f"ib{index}", f"mlx5_{index}", path, numa_node, cpus, 400)


def _ethernet(processors: Processors) -> Nic:
    numa_node, cpus, _ = processors.near(0)
    return Nic("eth0", "", "/sys/devices/pci0000:00/0000:00:1c.0/0000:02:00.0", numa_node, cpus, 100)


def _levels(count: int, level) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(0 if a == b else level(a, b) for b in range(count)) for a in range(count))
