"""Rules over what a process may take of one node: memory, CPUs, files; and over what others take already."""

from collections.abc import Iterator

from cluster.topology.health.finding import Peers, Said, Wrong, unread
from cluster.topology.node import Node
from cluster.topology.words import digits, percent, size

MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30
SMALL_SHM_BYTES = GIBIBYTE
DOCKER_SHM_BYTES = 64 * MEBIBYTE  # what a container gets that nobody gave more
SMALL_LOCKED_BYTES = 64 * MEBIBYTE  # RDMA pins its buffers: NCCL's alone are larger
OPEN_FILES = 65536
NEARLY_USED = 0.90
LEAST_AVAILABLE = 0.05
BUSY = 0.5  # of all CPUs: then half of them are somebody's already


def shared_memory(node: Node, peers: Peers) -> Iterator[Said]:
    memory = node.memory
    several = len(node.gpus.devices) > 1
    whole, free = memory.shm_bytes.value, memory.shm_free_bytes.value
    if whole is not None and whole < SMALL_SHM_BYTES:
        docker = whole <= DOCKER_SHM_BYTES
        yield Wrong(
            level="fail" if docker and several else "warning",
            what=f"/dev/shm has {size(whole)}" + (", what Docker gives unasked" if whole == DOCKER_SHM_BYTES else ""),
            facts=("memory.shm_bytes",),
        )
    elif free is not None and free < SMALL_SHM_BYTES:
        yield Wrong(
            level="fail" if free <= DOCKER_SHM_BYTES and several else "warning",
            what=f"/dev/shm is nearly full: {size(free)} are free",
            facts=("memory.shm_free_bytes",),
            remedy="Remove what ended programs left in /dev/shm (`ls -la /dev/shm`); a reboot clears it too.",
        )
    yield from unread(memory.shm_bytes, "size of /dev/shm")


def locked_memory(node: Node, peers: Peers) -> Iterator[Said]:
    if not node.network.rdma:
        return
    limit = node.memory.locked_limit_bytes.value
    if isinstance(limit, int):
        yield Wrong(
            level="fail" if limit <= SMALL_LOCKED_BYTES else "warning",
            what=f"a process may pin {size(limit)} of memory, RDMA needs it unlimited",
            facts=("memory.locked_limit_bytes", "network.rdma"),
        )
    yield from unread(node.memory.locked_limit_bytes, "limit of pinned memory")


def open_files(node: Node, peers: Peers) -> Iterator[Said]:
    limit = node.memory.open_files_limit.value
    if isinstance(limit, int) and limit < OPEN_FILES:
        what = f"a process may open {limit:,} files, {OPEN_FILES:,} are better"
        yield Wrong(level="warning", what=what, facts=("memory.open_files_limit",))
    yield from unread(node.memory.open_files_limit, "limit of open files")


def group_memory(node: Node, peers: Peers) -> Iterator[Said]:
    limit, used = node.memory.group_limit_bytes.value, node.memory.group_used_bytes.value
    if isinstance(limit, int) and used is not None and used > NEARLY_USED * limit:
        what = f"{size(used)} of the {size(limit)} that the control group grants are used ({percent(used / limit)})"
        yield Wrong(level="warning", what=what, facts=("memory.group_used_bytes", "memory.group_limit_bytes"))
    yield from unread(node.memory.group_limit_bytes, "the control group's limit of memory")


def available_memory(node: Node, peers: Peers) -> Iterator[Said]:
    total, available = node.memory.total_bytes.value, node.memory.available_bytes.value
    if total and available is not None and available < LEAST_AVAILABLE * total:
        what = f"{size(available)} of {size(total)} of memory are available ({percent(available / total)})"
        yield Wrong(level="warning", what=what, facts=("memory.available_bytes", "memory.total_bytes"))
    yield from unread(node.memory.available_bytes, "available memory")


def cpu_quota(node: Node, peers: Peers) -> Iterator[Said]:
    quota, usable = node.cpu.quota.value, node.cpu.usable_count.value
    if isinstance(quota, int | float) and usable is not None and quota < usable:
        what = f"the control group grants the time of {digits(quota)} CPUs, the process sees {usable}"
        yield Wrong(level="warning", what=what, facts=("cpu.quota", "cpu.usable_count"))
    yield from unread(node.cpu.quota, "the control group's quota of CPU time")


def busy(node: Node, peers: Peers) -> Iterator[Said]:
    load, threads = node.cpu.load.value, node.cpu.threads.value
    if load is not None and threads is not None and load > max(1.0, BUSY * threads):
        what = f"{digits(load)} processes ran or wanted to in the last minute, on {threads} CPUs"
        yield Wrong(level="warning", what=what, facts=("cpu.load", "cpu.threads"))
    yield from unread(node.cpu.load, "load of the CPUs")
