"""Memory of a node, and the limits on what this process may take of it."""

from cluster.topology.fact import UNREAD, Fact, Live, Unlimited, record
from cluster.topology.source import Source


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
    return Memory()
