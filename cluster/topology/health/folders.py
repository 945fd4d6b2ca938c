"""Rules over the folders of a run."""

from collections.abc import Iterator

from cluster.topology.health.finding import Peers, Said, Wrong, unread
from cluster.topology.node import Node
from cluster.topology.storage import Storage
from cluster.topology.words import size

GIBIBYTE = 1 << 30
NO_ROOM_BYTES = 100 << 20  # less than one checkpoint of a small model with its optimizer
LITTLE_ROOM_BYTES = 10 * GIBIBYTE
NO_INODES = 1_000
FEW_INODES = 10_000  # prepared data and checkpoints are hundreds of files, logs and caches of others thousands
WRITTEN = ("runs",)
"""Where a run that finds no room is lost; elsewhere it is only in trouble."""
EVERYWHERE = ("data", "runs")
"""What every node must see."""


def _named(folder: Storage) -> str:
    return f"{folder.role} folder {folder.path}"


def _place(number: int, *names: str) -> tuple[str, ...]:
    return tuple(f"storage[{number}].{name}" for name in names)


def room(node: Node, peers: Peers) -> Iterator[Said]:
    for number, folder in enumerate(node.storage):
        free, whole = folder.free_bytes.value, folder.size_bytes.value
        if free is not None and free < LITTLE_ROOM_BYTES:
            of = f" of {size(whole)}" if whole else ""
            yield Wrong(
                level="fail" if free < NO_ROOM_BYTES and folder.role in WRITTEN else "warning",
                what=f"{_named(folder)} has {size(free)}{of} left ({folder.mount.or_else('mount point not known')})",
                facts=_place(number, "free_bytes", "size_bytes"),
            )
        yield from unread(folder.free_bytes, f"free space of the {_named(folder)}")


def inodes(node: Node, peers: Peers) -> Iterator[Said]:
    for number, folder in enumerate(node.storage):
        free = folder.inodes_free.value
        if free is not None and free < FEW_INODES and folder.inodes.value != 0:  # some file systems count none
            yield Wrong(
                level="fail" if free < NO_INODES and folder.role in WRITTEN else "warning",
                what=f"{_named(folder)} has room for {free:,} more files (inodes)",
                facts=_place(number, "inodes_free", "inodes"),
            )


def read_only(node: Node, peers: Peers) -> Iterator[Said]:
    for number, folder in enumerate(node.storage):
        if folder.writable.value is False:
            yield Wrong(
                level="fail" if folder.role in WRITTEN else "warning",
                what=f"{_named(folder)} cannot be written to by this user",
                facts=_place(number, "writable"),
            )
        yield from unread(folder.writable, f"whether the {_named(folder)} can be written to")


def shared(node: Node, peers: Peers) -> Iterator[Said]:
    for number, folder in enumerate(node.storage):
        if folder.role in EVERYWHERE and folder.shared.value is False:
            yield Wrong(
                level="fail",
                what=f"{_named(folder)} is not the one that the merging node sees "
                f"(here it is on {folder.file_system.or_else('a file system that is not known')})",
                facts=_place(number, "shared"),
            )
        elif folder.role in EVERYWHERE and peers.nodes > 1:
            yield from unread(folder.shared, f"whether the {_named(folder)} is the same on every node")
