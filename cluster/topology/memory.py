"""Memory of a node, and the limits on what this process may take of it."""

import functools
import re

from cluster.topology import groups, meminfo
from cluster.topology.fact import UNREAD, Fact, Live, Unlimited, Unread, reading, record
from cluster.topology.source import Source

HUGE = "/sys/kernel/mm/transparent_hugepage/enabled"


@record
class Memory:
    """Main memory of one node, and what limits its use."""

    total_bytes: Fact[int] = UNREAD
    available_bytes: Live[int] = UNREAD
    swap_bytes: Fact[int] = UNREAD
    group_limit_bytes: Fact[int | Unlimited] = UNREAD
    """What control groups grant, the least from this process up to the root."""
    group_used_bytes: Live[int] = UNREAD
    huge_page_bytes: Fact[int] = UNREAD
    huge_pages: Fact[int] = UNREAD
    huge_pages_free: Live[int] = UNREAD
    transparent_huge_pages: Fact[str] = UNREAD
    shm_bytes: Fact[int] = UNREAD
    """Size of /dev/shm, where NCCL and worker processes exchange data within a node."""
    shm_free_bytes: Live[int] = UNREAD
    locked_limit_bytes: Fact[int | Unlimited] = UNREAD
    """Most memory that a process may pin (RLIMIT_MEMLOCK): RDMA needs it unlimited."""
    open_files_limit: Fact[int | Unlimited] = UNREAD
    processes_limit: Fact[int | Unlimited] = UNREAD
    numa_allowed: Fact[str] = UNREAD
    """NUMA nodes that this process may take memory from (Mems_allowed_list)."""


def read_memory(source: Source) -> Memory:
    words = functools.cache(lambda: source.text("/proc/meminfo"))

    def bytes_of(name: str) -> Fact[int]:
        return reading(f"/proc/meminfo, {name}", lambda: meminfo.entry_bytes(words(), name), "bytes")

    def pages(name: str) -> Fact[int]:
        return reading(f"/proc/meminfo, {name}", lambda: meminfo.entry(words(), name), "pages")

    def limit(name: str, unit: str) -> Fact[int | Unlimited]:
        return reading(f"getrlimit({name})", lambda: source.call("limit", name), unit)

    return Memory(
        total_bytes=bytes_of("MemTotal"),
        available_bytes=bytes_of("MemAvailable"),
        swap_bytes=bytes_of("SwapTotal"),
        group_limit_bytes=groups.memory_bytes(source),
        group_used_bytes=groups.memory_used_bytes(source),
        huge_page_bytes=bytes_of("Hugepagesize"),
        huge_pages=pages("HugePages_Total"),
        huge_pages_free=pages("HugePages_Free"),
        transparent_huge_pages=reading(HUGE, lambda: _chosen(source.text(HUGE))),
        shm_bytes=reading("statvfs /dev/shm", lambda: _shm(source, "size_bytes"), "bytes"),
        shm_free_bytes=reading("statvfs /dev/shm", lambda: _shm(source, "free_bytes"), "bytes"),
        locked_limit_bytes=limit("memlock", "bytes"),
        open_files_limit=limit("nofile", "files"),
        processes_limit=limit("nproc", "processes"),
        numa_allowed=reading(
            "/proc/self/status, Mems_allowed_list", lambda: _allowed(source.text("/proc/self/status"))
        ),
    )


def _chosen(words: str) -> str:
    """The word in brackets: always [madvise] never."""
    return words.partition("[")[2].partition("]")[0] or words


def _shm(source: Source, name: str) -> int:
    room = source.call("room", "/dev/shm")
    if not room["size_bytes"]:
        raise Unread("unsupported", "/dev/shm was mounted without a limit: all memory, and no count of what is free")
    return int(room[name])


def _allowed(words: str) -> str:
    found = re.search(r"^Mems_allowed_list:\s*(\S+)", words, re.MULTILINE)
    if not found:
        raise Unread("unsupported", "this kernel was built without NUMA or cpusets")
    return found[1]
