"""How CPUs share cores and sockets: from /sys/devices/system/cpu, or from /proc/cpuinfo where that is hidden."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from cluster.topology import cpulist
from cluster.topology.cpuinfo import Processor
from cluster.topology.fact import Unread
from cluster.topology.source import Source

CPUS = "/sys/devices/system/cpu"
FACTORS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def siblings(source: Source, online: Sequence[int]) -> tuple[str, ...]:
    """The CPUs of each core, in order of the first of them. Raises OSError or Unread."""
    cores: list[str] = []
    seen: set[int] = set()
    for cpu in online:
        if cpu not in seen:
            core = cpulist.parsed(source.text(f"{CPUS}/cpu{cpu}/topology/thread_siblings_list"))
            seen.update(core)
            cores.append(cpulist.written(core))
    return tuple(cores)


def sockets(source: Source, online: Sequence[int]) -> int:
    """Raises OSError or Unread."""
    return _different(int(source.text(f"{CPUS}/cpu{cpu}/topology/physical_package_id")) for cpu in online)


def told_siblings(processors: Sequence[Processor]) -> tuple[str, ...]:
    """The same as `siblings`, as /proc/cpuinfo tells it. Raises Unread."""
    cores: dict[tuple[int, int], list[int]] = defaultdict(list)
    for one in processors:
        cores[_told(one, "physical id"), _told(one, "core id")].append(int(one["processor"]))
    return tuple(cpulist.written(core) for core in sorted(cores.values()))


def told_sockets(processors: Sequence[Processor]) -> int:
    """The same as `sockets`, as /proc/cpuinfo tells it. Raises Unread."""
    return _different(_told(one, "physical id") for one in processors)


def size_bytes(words: str) -> int:
    """Of `32768K`, as the kernel writes the sizes of caches. Raises ValueError for anything else."""
    found = re.fullmatch(r"(\d+)([KMG]?)", words)
    if not found:
        raise ValueError(f"no size: {words!r}")
    return int(found[1]) * FACTORS[found[2]]


def _different(sockets: Iterable[int]) -> int:
    different = set(sockets)
    if min(different) < 0:
        raise Unread("unsupported", "the firmware does not tell the kernel which CPUs share a socket (-1)")
    return len(different)


def _told(one: Processor, name: str) -> int:
    if name not in one:
        raise Unread("unsupported", f"/proc/cpuinfo tells no {name}")
    return int(one[name])
