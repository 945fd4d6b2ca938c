"""The most that the static facts allow, for each measured rate: arithmetic over a record, no table of products.

What a fact does not tell gives no limit, and the reason why; a limit that nobody could reach would only look like a
fault of the machine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.topology.cpu import Cpu
from cluster.topology.cpulist import parsed
from cluster.topology.fact import Fact
from cluster.topology.gpu import Gpu, Gpus
from cluster.topology.network import Network, RdmaPort
from cluster.topology.node import Node
from cluster.topology.pci import ENCODING, SPEEDS


@dataclass(frozen=True, slots=True)
class Limit:
    """Bytes or floating-point operations a second, or None; and how it comes about, or why there is none."""

    value: float | None
    reason: str


# NVML's number of a version of NVLink (nvml.h, nvmlNvlinkVersion_t) to what one link carries each way: 20 GB/s in 1.0,
# 25 in 2.0 to 4.0, 50 in 5.0 (nvidia.com/en-us/data-center/nvlink, bandwidth of a GPU by its number of links).
NVLINK = {1: 20e9, 2: 25e9, 3: 25e9, 4: 25e9, 5: 25e9, 6: 25e9, 7: 50e9}
# Multiply-adds of 32 bits that one multiprocessor ends in one cycle, by compute capability: CUDA C++ programming guide,
# "Arithmetic instructions", table of the throughput of native arithmetic instructions.
FUSED_PER_CYCLE = {
    "6.0": 64, "6.1": 128, "7.0": 64, "7.2": 64, "7.5": 64, "8.0": 64, "8.6": 128, "8.7": 128, "8.9": 128, "9.0": 128,
    "10.0": 128, "12.0": 128,
}  # fmt: skip
# The same of its tensor cores, dense, with sums in 32 bits; they are not in that table but in the papers of the
# architectures: 8 of 64 (Tesla V100), 4 of 256 (A100), 4 of 512 (H100); TF32 has half of it.
TENSOR_PER_CYCLE = {"7.0": 512, "8.0": 1024, "9.0": 2048}
# Cards named GeForce do half of what others of the same architecture do with sums in 32 bits (papers of the
# architectures Turing, GA102 and Ada, tables of specifications), so that these do not fix it.
TENSOR_BY_CARD = {"7.5", "8.6", "8.9"}
# No x86 core has more than two units for multiply-adds of its full width (Intel's optimization reference manual; AMD's
# software optimization guides, families 17h to 1Ah).
FUSED_UNITS = 2
# Intel's optimization reference manual, "Intel AMX": 16 x 16 sums of 32 products each in 16 cycles.
AMX_FUSED_PER_CYCLE = 512

MEMORY = Limit(None, "the clock and the number of its memory modules are known to the firmware alone")
DISK = Limit(None, "drives and file servers do not tell how fast they are")


def pcie(generation: Fact[int], width: Fact[int]) -> Limit:
    """Bytes a second each way."""
    if generation.value is None:
        return _unknown("the generation of its PCIe link", generation)
    if width.value is None:
        return _unknown("the width of its PCIe link", width)
    if generation.value not in SPEEDS:
        return Limit(None, f"the encoding of PCIe generation {generation.value} is not known here")
    speed = SPEEDS[generation.value]
    return Limit(speed * 1e9 * ENCODING[speed] * width.value / 8, f"PCIe {generation.value}.0 x{width.value}")


def host_link(gpu: Gpu) -> Limit:
    """Between a GPU and main memory, each way: NVLink where its links end at the CPU, else PCIe of card and slot."""
    if _links(gpu, ("cpu",)):
        return _nvlink(gpu, ("cpu",))
    return pcie(gpu.pcie_generation_max, gpu.pcie_width_max)


def device_memory(gpu: Gpu) -> Limit:
    if gpu.mig.value:
        return Limit(None, "a MIG slice has a part of the GPU's memory")
    if gpu.memory_clock_max_mhz.value is None:
        return _unknown("the clock of its memory", gpu.memory_clock_max_mhz)
    if gpu.memory_bus_bits.value is None:
        return _unknown("the width of its memory bus", gpu.memory_bus_bits)
    clock, bits = gpu.memory_clock_max_mhz.value, gpu.memory_bus_bits.value
    return Limit(2 * clock * 1e6 * bits / 8, f"2 x {clock} MHz x {bits} bits")


def gpu_product(gpu: Gpu, kind: str) -> Limit:
    """Matrix product in float32, tf32, bfloat16 or float16 at the highest clock; heat and power may not allow it."""
    if gpu.mig.value:
        return Limit(None, "a MIG slice has a part of the GPU's multiprocessors")
    for what, fact in (
        ("its compute capability", gpu.compute_capability),
        ("the number of its multiprocessors", gpu.multiprocessors),
        ("its highest clock", gpu.clock_max_mhz),
    ):
        if fact.value is None:
            return _unknown(what, fact)
    each = _fused_per_cycle(gpu.compute_capability.value or "", kind)
    if isinstance(each, str):
        return Limit(None, each)
    count, clock = gpu.multiprocessors.value or 0, gpu.clock_max_mhz.value or 0
    return Limit(2.0 * each * count * clock * 1e6, f"{count} multiprocessors x {2 * each} flop x {clock} MHz")


def _fused_per_cycle(capability: str, kind: str) -> int | str:
    """Multiply-adds of one multiprocessor in one cycle, or why that is not known."""
    if kind == "float32":
        return FUSED_PER_CYCLE.get(capability, f"the arithmetic of compute capability {capability} is not known here")
    if capability in TENSOR_BY_CARD:
        return f"GeForce cards of compute capability {capability} do half of what others do: it does not fix the limit"
    if kind != "float16" and _version(capability) < (8, 0):
        return f"compute capability {capability} has no {kind}"
    if capability not in TENSOR_PER_CYCLE:
        return f"what the tensor cores of compute capability {capability} do in a cycle is not known here"
    return TENSOR_PER_CYCLE[capability] // (2 if kind == "tf32" else 1)


def between_gpus(gpus: Gpus, a: Gpu, b: Gpu) -> Limit:
    """One way: NVLink to each other or to a switch, else the slower of their PCIe links."""
    direct = [_nvlink_between(gpus, a, b), _nvlink_between(gpus, b, a)]
    if all(link is not None for link in direct):
        return least(link for link in direct if link is not None)
    return least([pcie(gpu.pcie_generation_max, gpu.pcie_width_max) for gpu in (a, b)])


def _nvlink_between(gpus: Gpus, a: Gpu, b: Gpu) -> Limit | None:
    """Of the links of `a` that lead to `b`; None where none does."""
    bus_id = b.bus_id.or_else("").lower()
    here = [link for link in _links(a, ("gpu",)) if link.peer_bus_id and link.peer_bus_id.lower() == bus_id]
    if here:
        return _of_links(here)
    return _nvlink(a, ("switch", "unknown")) if _links(a, ("switch", "unknown")) else None


def _links(gpu: Gpu, peers: tuple[str, ...]) -> list[Any]:
    return [link for link in gpu.nvlinks.or_else(()) if link.active and link.peer in peers]


def _nvlink(gpu: Gpu, peers: tuple[str, ...]) -> Limit:
    """All active links of a GPU to such peers together."""
    return _of_links(_links(gpu, peers))


def _of_links(links: Sequence[Any]) -> Limit:
    strange = sorted({link.version for link in links} - NVLINK.keys())
    if 0 in strange:
        return Limit(None, "the version of its NVLinks is not told")
    if strange:
        return Limit(None, f"what a link of NVLink version {strange[0]} (NVML's number) carries is not known here")
    return Limit(
        sum(NVLINK[link.version] for link in links),
        f"{len(links)} NVLinks x {NVLINK[links[0].version] / 1e9:g} GB/s",
    )


def cpu_product(cpu: Cpu, kind: str, threads: int) -> Limit:
    """Matrix product in float32 or bfloat16 on so many hardware threads, at the highest clock."""
    if cpu.architecture.value not in ("x86_64", "AMD64"):
        kind_of_cpu = cpu.architecture.or_else("unknown")
        return Limit(None, f"how many multiply-adds a core of architecture {kind_of_cpu} does is not shown")
    if cpu.extensions.value is None:
        return _unknown("its instruction sets", cpu.extensions)
    if cpu.clock_max_mhz.value is None:
        return _unknown("its highest clock", cpu.clock_max_mhz)
    each, by = _x86_fused_per_cycle(frozenset(cpu.extensions.value), kind)
    if not each:
        return Limit(None, "it has no multiply-add instructions (fma)")
    cores, clock = min(threads, _cores(cpu, threads)), cpu.clock_max_mhz.value
    return Limit(2.0 * each * cores * clock * 1e6, f"{cores} cores x {2 * each} flop ({by}) x {clock:.0f} MHz")


def _x86_fused_per_cycle(extensions: frozenset[str], kind: str) -> tuple[int, str]:
    """Multiply-adds of one core in one cycle at most, and the instructions that do them."""
    if kind == "bfloat16":
        if "amx_bf16" in extensions:
            return AMX_FUSED_PER_CYCLE, "amx_bf16"
        if "avx512_bf16" in extensions:
            return FUSED_UNITS * 32, "avx512_bf16"
    if "avx512f" in extensions:
        return FUSED_UNITS * 16, "avx512f"
    if "avx2" in extensions and "fma" in extensions:
        return FUSED_UNITS * 8, "avx2"
    return 0, ""


def _cores(cpu: Cpu, threads: int) -> int:
    """Cores with a CPU that this process may use; as many as threads where the kernel does not show cores."""
    usable = set(parsed(cpu.usable.or_else("")))
    groups = [set(parsed(group)) for group in cpu.siblings.or_else(())]
    cores = sum(1 for group in groups if not usable or group & usable)
    return cores or threads


def interface(network: Network, name: str) -> Limit:
    """What a network interface carries each way: its line, or its PCIe link where that is slower."""
    port = next((port for port in network.ports if port.name == name), None)
    if port is None:
        return Limit(None, f"nothing is known of the interface {name or '(none)'}")
    if port.kind.value == "loopback":
        return Limit(None, "the loopback interface is as fast as memory")
    if port.speed_bits_per_second.value is None:
        return _unknown(f"the speed of {name}", port.speed_bits_per_second)
    line = Limit(port.speed_bits_per_second.value / 8, f"{name}: {port.speed_bits_per_second.value / 1e9:g} Gb/s")
    return least([line, *_pcie_of_port(port.pcie_bits_per_second, name)])


def _pcie_of_port(bits: Fact[int], name: str) -> list[Limit]:
    return [] if bits.value is None else [Limit(bits.value / 8, f"PCIe link of {name}: {bits.value / 1e9:.0f} Gb/s")]


def rdma(network: Network) -> Limit:
    """What all active RDMA ports of a node carry together each way."""
    active = [port for port in network.rdma if port.state.value == "ACTIVE"]
    if not active:
        return Limit(None, "no RDMA port is active")
    each = [_rdma_port(network, port) for port in active]
    unknown = next((limit for limit in each if limit.value is None), None)
    if unknown is not None:
        return unknown
    words = each[0].reason if len(each) == 1 else f"{len(each)} RDMA ports: {', '.join(limit.reason for limit in each)}"
    return Limit(sum(limit.value or 0.0 for limit in each), words)


def _rdma_port(network: Network, port: RdmaPort) -> Limit:
    if port.rate_bits_per_second.value is None:
        return _unknown(f"the rate of {port.device}", port.rate_bits_per_second)
    words = port.rate.or_else("").replace("(", " ").replace(")", " ").split()
    # Up to QDR the rate counts the bits on the line, of which 8b/10b leaves 8 in 10 (InfiniBand specification, vol. 2).
    data = 0.8 if {"SDR", "DDR", "QDR"} & set(words) else 1.0
    rate = port.rate_bits_per_second.value
    line = Limit(rate * data / 8, f"{port.device}: {rate / 1e9:g} Gb/s" + (", 8 in 10 bits" if data < 1 else ""))
    same = [other for other in network.ports if other.bus_id.known and other.bus_id.value == port.bus_id.value]
    return least([line, *(limit for other in same for limit in _pcie_of_port(other.pcie_bits_per_second, port.device))])


def way_out(node: Node, backend: str, interface_name: str) -> Limit:
    """Of one node to the others: NCCL takes all RDMA ports where there are any, gloo one interface."""
    if backend == "nccl" and any(port.state.value == "ACTIVE" for port in node.network.rdma):
        return rdma(node.network)
    return interface(node.network, interface_name)


def pair(a: Node, b: Node, backend: str, interfaces: Mapping[str, str]) -> Limit:
    """From one node to another: the slower of their ways out. `interfaces`: by name of the node."""
    ways = [_named(node, way_out(node, backend, interfaces.get(node.name, ""))) for node in (a, b)]
    return next((way for way in ways if way.value is None), least(ways))


def reduction(nodes: Sequence[Node], backend: str, ranks: int, interfaces: Mapping[str, str]) -> Limit:
    """Bus bandwidth of an all-reduce over all GPUs or processes of some nodes: the slowest way on it.

    In a ring every link carries the bus bandwidth, whatever the number of ranks (github.com/NVIDIA/nccl-tests,
    doc/PERFORMANCE.md).
    """
    inside = [_named(node, _inside(node, ranks)) for node in nodes] if backend == "nccl" else []
    if len(nodes) == 1:
        return inside[0] if inside else Limit(None, "within one node gloo goes through main memory")
    outside = [_named(node, way_out(node, backend, interfaces.get(node.name, ""))) for node in nodes]
    unknown = next((way for way in outside if way.value is None), None)
    return unknown or least([*outside, *(way for way in inside if way.value is not None)])


def _inside(node: Node, ranks: int) -> Limit:
    """Among the GPUs of one node. A switch that adds up itself (NVLink SHARP, from Hopper on) has each GPU send and
    receive the message and an n-th of it, instead of 2 (n - 1) n-ths: less for more than two."""
    devices = node.gpus.devices
    if len(devices) < 2:
        return Limit(None, "one GPU has no way to another")
    pairs = [between_gpus(node.gpus, a, b) for a in devices for b in devices if a is not b]
    unknown = next((limit for limit in pairs if limit.value is None), None)
    slowest = unknown or least(pairs)
    sharp = all(
        _links(gpu, ("switch", "unknown")) and _version(gpu.compute_capability.or_else("0.0")) >= (9, 0)
        for gpu in devices
    )
    if slowest.value is None or not sharp or ranks != len(devices):
        return slowest
    gain = max(1.0, 2 * (ranks - 1) / (ranks + 1))
    return Limit(slowest.value * gain, f"{slowest.reason} x {gain:.2f}, added up in the switch")


def least(limits: Iterable[Limit]) -> Limit:
    """The lowest of several that must all be known."""
    ordered = sorted(limits, key=lambda limit: -1.0 if limit.value is None else limit.value)
    return ordered[0]


def _named(node: Node, limit: Limit) -> Limit:
    return Limit(limit.value, f"{node.name}: {limit.reason}")


def _version(words: str) -> tuple[int, ...]:
    """Raises ValueError if these are no numbers between dots."""
    return tuple(int(part) for part in words.split("."))


def _unknown(what: str, fact: Fact[Any]) -> Limit:
    return Limit(None, f"{what} is not known: {fact.why or fact.status}")
