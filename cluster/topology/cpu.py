"""Processors: what they are, how they are laid out, and how much of them this process may use."""

from dataclasses import dataclass

from cluster.topology.fact import UNREAD, Fact, Live, Unlimited, record
from cluster.topology.source import Source


@dataclass(frozen=True, slots=True)
class Cache:
    """All caches of one kind."""

    level: int
    kind: str
    """Data, Instruction or Unified."""
    size_bytes: int
    """Of one of them."""
    cpus: int
    """CPUs that share one."""
    count: int


@record
class Cpu:
    """The processors of one node."""

    model: Fact[str] = UNREAD
    architecture: Fact[str] = UNREAD
    sockets: Fact[int] = UNREAD
    cores: Fact[int] = UNREAD
    """Physical cores of CPUs that are online."""
    threads: Fact[int] = UNREAD
    """Hardware threads (what the kernel calls CPUs) that are online."""
    online: Fact[str] = UNREAD
    """Numbers of the CPUs that are online, as in 0-3,8."""
    siblings: Fact[tuple[str, ...]] = UNREAD
    """The CPUs of each core, as in 0,64."""
    extensions: Fact[tuple[str, ...]] = UNREAD
    """Instruction sets that matter to matrix products: avx2, avx512f, avx512_bf16, amx_bf16, sve, bf16, ..."""
    caches: Fact[tuple[Cache, ...]] = UNREAD
    clock_mhz: Live[float] = UNREAD
    clock_max_mhz: Fact[float] = UNREAD
    governor: Fact[str] = UNREAD
    usable: Fact[str] = UNREAD
    """CPUs that this process may run on (affinity, which holds cpusets too), as in 0-3."""
    usable_count: Fact[int] = UNREAD
    quota: Fact[float | Unlimited] = UNREAD
    """CPUs' worth of time that control groups grant, the least from this process up to the root."""
    cpuset: Fact[str] = UNREAD
    """What the control group's cpuset says."""
    pressure_percent: Live[float] = UNREAD
    """Share of the last minute in which something waited for a CPU (/proc/pressure/cpu, some avg60)."""
    load: Live[float] = UNREAD
    """Processes that ran or wanted to, average of the last minute."""


@record
class NumaNode:
    """CPUs and the memory near them."""

    number: int
    cpus: Fact[str] = UNREAD
    memory_bytes: Fact[int] = UNREAD
    free_bytes: Live[int] = UNREAD
    distances: Fact[tuple[int, ...]] = UNREAD
    """To each NUMA node in order of numbers; 10 is itself (ACPI SLIT)."""


def read_cpu(source: Source) -> Cpu:
    return Cpu()


def read_numa(source: Source) -> tuple[NumaNode, ...]:
    """One for each NUMA node, in order of numbers; none where the kernel does not show them."""
    return ()
