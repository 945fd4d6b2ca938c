"""Processors: what they are, how they are laid out, and how much of them this process may use."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.topology import cpuinfo, cpulist, groups, layout, meminfo
from cluster.topology.fact import UNREAD, Fact, Live, Unlimited, Unread, first_known, reading, record, value_of
from cluster.topology.layout import CPUS
from cluster.topology.source import Source

POLICIES = f"{CPUS}/cpufreq"
NODES = "/sys/devices/system/node"


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
    told = functools.cache(lambda: cpuinfo.processors(source.text("/proc/cpuinfo")))
    online = first_known(
        reading(f"{CPUS}/online", lambda: _cpus(source, f"{CPUS}/online")),
        lambda: reading("/proc/cpuinfo", lambda: cpulist.written(int(one["processor"]) for one in told())),
    )
    siblings = first_known(
        reading(f"{CPUS}/cpu*/topology/thread_siblings_list", lambda: layout.siblings(source, _numbers(online))),
        lambda: reading("/proc/cpuinfo, core id", lambda: layout.told_siblings(told())),
    )
    return Cpu(
        model=reading("/proc/cpuinfo", lambda: cpuinfo.model(told())),
        architecture=reading("uname", lambda: str(source.call("architecture"))),
        sockets=first_known(
            reading(f"{CPUS}/cpu*/topology/physical_package_id", lambda: layout.sockets(source, _numbers(online))),
            lambda: reading("/proc/cpuinfo, physical id", lambda: layout.told_sockets(told())),
        ),
        cores=reading(siblings.source, lambda: len(value_of(siblings)), "cores"),
        threads=reading(online.source, lambda: len(_numbers(online)), "CPUs"),
        online=online,
        siblings=siblings,
        extensions=reading("/proc/cpuinfo, flags or Features", lambda: cpuinfo.extensions(told())),
        caches=reading(f"{CPUS}/cpu*/cache", lambda: _caches(source, _numbers(online))),
        clock_mhz=first_known(
            reading("/proc/cpuinfo, cpu MHz, mean", lambda: cpuinfo.clock_mhz(told()), "MHz"),
            lambda: reading(
                f"{POLICIES}/*/scaling_cur_freq, mean", lambda: _mean(_clocks_mhz(source, "scaling_cur_freq")), "MHz"
            ),
        ),
        clock_max_mhz=reading(
            f"{POLICIES}/*/cpuinfo_max_freq", lambda: max(_clocks_mhz(source, "cpuinfo_max_freq")), "MHz"
        ),
        governor=reading(
            f"{POLICIES}/*/scaling_governor", lambda: ", ".join(sorted(set(_policies(source, "scaling_governor"))))
        ),
        usable=reading("sched_getaffinity", lambda: cpulist.written(source.call("affinity"))),
        usable_count=reading("sched_getaffinity", lambda: len(source.call("affinity")), "CPUs"),
        quota=groups.quota_cpus(source),
        cpuset=groups.cpuset(source),
        pressure_percent=reading(
            "/proc/pressure/cpu, some avg60", lambda: _pressure(source.text("/proc/pressure/cpu")), "%"
        ),
        load=reading("/proc/loadavg", lambda: float(source.text("/proc/loadavg").split()[0]), "processes"),
    )


def read_numa(source: Source) -> tuple[NumaNode, ...]:
    """One for each NUMA node, in order of numbers; none where the kernel does not show them."""
    try:
        names = source.names(NODES)
    except (OSError, Unread):
        return ()
    return tuple(_numa_node(source, number) for number in _numbered("node", names))


def _numa_node(source: Source, number: int) -> NumaNode:
    folder = f"{NODES}/node{number}"

    def bytes_of(name: str) -> int:
        return meminfo.entry_bytes(source.text(f"{folder}/meminfo"), f"Node {number} {name}")

    return NumaNode(
        number=number,
        cpus=reading(f"{folder}/cpulist", lambda: _cpus(source, f"{folder}/cpulist")),
        memory_bytes=reading(f"{folder}/meminfo, MemTotal", lambda: bytes_of("MemTotal"), "bytes"),
        free_bytes=reading(f"{folder}/meminfo, MemFree", lambda: bytes_of("MemFree"), "bytes"),
        distances=reading(f"{folder}/distance", lambda: tuple(map(int, source.text(f"{folder}/distance").split()))),
    )


def _caches(source: Source, online: Sequence[int]) -> tuple[Cache, ...]:
    """A cache is looked at once, by the first CPU that has it."""
    found: Counter[tuple[int, str, int, int]] = Counter()
    covered: set[tuple[int, int]] = set()
    for cpu in online:
        for index in _numbered("index", source.names(f"{CPUS}/cpu{cpu}/cache")):
            if (index, cpu) in covered:
                continue
            folder = f"{CPUS}/cpu{cpu}/cache/index{index}"
            sharing = cpulist.parsed(source.text(f"{folder}/shared_cpu_list"))
            covered.update((index, other) for other in sharing)
            level, kind, size = (source.text(f"{folder}/{name}") for name in ("level", "type", "size"))
            found[int(level), kind, layout.size_bytes(size), len(sharing)] += 1
    if not found:
        raise Unread("unsupported", "the kernel lists no caches of these CPUs")
    return tuple(Cache(*kind, count) for kind, count in sorted(found.items()))


def _policies(source: Source, name: str) -> list[str]:
    """What each group of CPUs with one clock says. Raises OSError or Unread."""
    policies = _numbered("policy", source.names(POLICIES))
    if not policies:
        raise Unread("unsupported", "this kernel sets no clocks (no cpufreq policy), as in most virtual machines")
    return [source.text(f"{POLICIES}/policy{number}/{name}") for number in policies]


def _clocks_mhz(source: Source, name: str) -> list[float]:
    return [int(khz) / 1000 for khz in _policies(source, name)]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _pressure(words: str) -> float:
    """Raises Unread."""
    found = re.search(r"^some .*\bavg60=([\d.]+)", words, re.MULTILINE)
    if not found:
        raise Unread("error", f"no 'some ... avg60=' in {words!r}")
    return float(found[1])


def _cpus(source: Source, path: str) -> str:
    return cpulist.written(cpulist.parsed(source.text(path)))


def _numbers(online: Fact[str]) -> list[int]:
    """Raises Unread."""
    return cpulist.parsed(value_of(online))


def _numbered(word: str, names: Iterable[str]) -> list[int]:
    """The numbers of those names that are the word and a number, in order."""
    return sorted(int(found[1]) for name in names if (found := re.fullmatch(rf"{word}(\d+)", name)))
