"""The folders that a run uses: what they lie on, how much room is there, and whether every node sees the same."""

from cluster.topology.fact import UNREAD, Fact, Live, record
from cluster.topology.source import Source


@record
class Storage:
    """One folder, by the part it plays: data, runs, temporary, or one that was named."""

    role: str
    path: str
    file_system: Fact[str] = UNREAD
    """ext4, xfs, nfs4, lustre, tmpfs, overlay, ..."""
    device: Fact[str] = UNREAD
    mount: Fact[str] = UNREAD
    over_network: Fact[bool] = UNREAD
    writable: Fact[bool] = UNREAD
    size_bytes: Fact[int] = UNREAD
    free_bytes: Live[int] = UNREAD
    inodes: Fact[int] = UNREAD
    inodes_free: Live[int] = UNREAD
    shared: Fact[bool] = UNREAD
    """This node sees the file that the merging node wrote there; absent on a node alone."""


def read_storage(source: Source, role: str, path: str) -> Storage:
    """Of the file system that holds `path`, or the nearest folder above it that exists."""
    return Storage(role=role, path=path)
