"""How much of a machine this process may take for a measurement: CPUs, threads, memory."""

import math
import os

import psutil

from cluster.topology.cpu import Cpu, NumaNode
from cluster.topology.cpulist import parsed
from cluster.topology.memory import Memory


def cpus() -> list[int]:
    """The CPUs that this process may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(psutil.cpu_count() or 1))


def threads(of: list[int], cpu: Cpu) -> int:
    """As many as run at the same time on some CPUs: no more than the whole CPUs that control groups grant."""
    quota = cpu.quota.value
    granted = len(of) if quota is None or quota == "unlimited" else math.floor(quota)
    return max(1, min(len(of), granted))


def near(numa: NumaNode) -> list[int]:
    """The CPUs of a NUMA node that this process may run on."""
    return [number for number in parsed(numa.cpus.or_else("")) if number in set(cpus())]


def memory_bytes(memory: Memory) -> int:
    """What is free, on the node and of what control groups grant."""
    free = memory.available_bytes.or_else(psutil.virtual_memory().available)
    limit, used = memory.group_limit_bytes.value, memory.group_used_bytes.value
    if limit is None or limit == "unlimited" or used is None:
        return free
    return max(0, min(free, limit - used))
