"""The folders that a run uses: what they lie on, how much room is there, and whether every node sees the same."""

from cluster.topology.fact import UNREAD, Fact, Live, Unread, reading, record, unknown, value_of
from cluster.topology.mounts import holding, parsed
from cluster.topology.source import Source

MOUNTS = "/proc/self/mountinfo"
NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "beegfs_nodev", "ceph", "afs", "pvfs2", "orangefs",
    "panfs", "wekafs", "dvs", "glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs",
    "fuse.goofys", "fuse.gcsfuse", "fuse.mount-s3", "fuse.mountpoint-s3", "fuse.rclone", "fuse.juicefs", "fuse.dfuse",
    "fuse.blobfuse", "fuse.blobfuse2", "fuse.cvmfs2", "fuse.seaweedfs", "fuse.alluxio-fuse", "fuse.mfs",
}  # fmt: skip
"""Kinds of file systems whose data is on other machines; ext4 on a disk of the network does not show."""
ELSEWHERE = {"overlay", "aufs", "9p", "virtiofs", "fuse.fuse-overlayfs", "fuse.bindfs"}
LOCAL_FUSE = {"fuse.squashfuse", "fuse.squashfuse_ll", "fuse.lxcfs", "fuse.portal"}


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
    folder = reading("the nearest folder that exists", lambda: str(source.call("nearest", path)))
    room = reading("statvfs", lambda: source.call("room", value_of(folder)))  # before: it makes autofs mount
    mount = reading(MOUNTS, lambda: holding(parsed(source.text(MOUNTS)), value_of(folder)))
    kind = reading(MOUNTS, lambda: value_of(mount).file_system)
    return Storage(
        role=role,
        path=path,
        file_system=kind,
        device=reading(MOUNTS, lambda: value_of(mount).device),
        mount=reading(MOUNTS, lambda: value_of(mount).point),
        over_network=reading(f"{MOUNTS}, by the file system", lambda: over_network(value_of(kind))),
        writable=reading(
            "access", lambda: folder.status != "denied" and bool(source.call("writable", value_of(folder)))
        ),
        size_bytes=reading("statvfs", lambda: _counted(value_of(room), "size_bytes", "size_bytes"), "bytes"),
        free_bytes=reading("statvfs", lambda: _counted(value_of(room), "free_bytes", "size_bytes"), "bytes"),
        inodes=reading("statvfs", lambda: _counted(value_of(room), "inodes", "inodes"), "inodes"),
        inodes_free=reading("statvfs", lambda: _counted(value_of(room), "inodes_free", "inodes"), "inodes"),
        shared=unknown("absent", "one node alone: nobody to share with", "a file that the merging node writes"),
    )


def over_network(file_system: str) -> bool:
    """Whether a kind of file system lies on other machines. Raises Unread if its kind does not tell."""
    if file_system in NETWORK:
        return True
    if file_system in ELSEWHERE:
        raise Unread(
            "unsupported", f"{file_system} shows folders of a file system below it that cannot be seen from here"
        )
    if file_system.startswith("fuse.") and file_system not in LOCAL_FUSE:
        raise Unread("unsupported", f"{file_system} is a program's own file system: its kind does not tell")
    return False


def _counted(room: dict[str, int], name: str, total: str) -> int:
    """A file system of which nothing is counted says that it has zero."""
    if not room[total]:
        raise Unread("unsupported", f"this file system does not count its {total.removeprefix('size_')}")
    return room[name]
