"""Where folders lie: beside df and findmnt on this machine, on real mounts of every shape, and on machines not here."""

import os
import threading

import pytest

from cluster.topology import calls
from cluster.topology.fact import Unread
from cluster.topology.storage import over_network, read_storage
from tests.topology import composed_hosts as composed
from tests.topology.asked import NOBODY, after, asked, here, said
from tests.topology.programs import as_root, printed

ROOM = {"size_bytes": 10**15, "free_bytes": 10**14, "inodes": 4 * 10**9, "inodes_free": 3 * 10**9}


def inside(mounted, folder):
    """The record of a folder in a mount namespace of its own, after some mounts."""
    as_root()
    return said(asked("unshare", "--mount", *after(mounted), folders=[folder])).storage[0]


def test_as_df_and_findmnt_say(tmp_path):
    for folder in (tmp_path, "/", "/dev/shm", "/proc"):
        found = said(here(folder)).storage[0]
        told = printed("findmnt", "--noheadings", "--raw", "--output", "FSTYPE,TARGET,SOURCE", "--target", str(folder))
        assert [found.file_system.value, found.mount.value] == told.split()[:2]
        sizes = (
            printed("df", "--block-size=1", "--output=size,avail,itotal,source", str(folder)).splitlines()[1].split()
        )
        assert found.size_bytes.or_else(0) == int(sizes[0])
        assert found.inodes.or_else(0) == (0 if sizes[2] == "-" else int(sizes[2]))
        assert found.free_bytes.or_else(0) == pytest.approx(int(sizes[1]), rel=0.05)
        if sizes[3].startswith("/dev/") and sizes[3] != "/dev/root":
            assert found.device.value == sizes[3]


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path):
    above, below = said(here(tmp_path, tmp_path / "runs" / "first")).storage
    assert below.path == str(tmp_path / "runs" / "first")
    for name in ("file_system", "device", "mount", "size_bytes", "writable"):
        assert getattr(below, name) == getattr(above, name)
    (tmp_path / "file").write_text("")
    assert said(here(tmp_path / "file" / "x")).storage[0].mount == above.mount


def test_a_link_is_followed(tmp_path):
    (tmp_path / "data").symlink_to("/dev/shm")
    assert here(tmp_path / "data" / "sets").storage[0].file_system == here("/dev/shm").storage[0].file_system


def test_a_file_system_with_a_space_in_its_name(tmp_path):
    place = tmp_path / "my sets"
    place.mkdir()
    found = inside(f"mount -t tmpfs -o size=8m,nr_inodes=500 'my disk' '{place}'", place / "new")
    assert (found.mount.value, found.device.value, found.file_system.value) == (str(place), "my disk", "tmpfs")
    assert (found.size_bytes.value, found.size_bytes.unit) == (8 * 2**20, "bytes")
    assert (found.inodes.value, found.inodes_free.value) == (500, 499)


def test_a_folder_mounted_once_more(tmp_path):
    found = inside(f"mkdir {tmp_path}/a {tmp_path}/b; mount --bind {tmp_path}/a {tmp_path}/b", tmp_path / "b")
    whole = here(tmp_path).storage[0]
    assert found.mount.value == str(tmp_path / "b")
    assert (found.file_system.value, found.device.value) == (whole.file_system.value, whole.device.value)


def test_a_mount_that_covers_another(tmp_path):
    layers = f"mkdir {tmp_path}/a; mount -t tmpfs under {tmp_path}/a; mount -t tmpfs over {tmp_path}"
    found = inside(f"{layers}; mkdir {tmp_path}/a", tmp_path / "a")
    assert (found.mount.value, found.device.value) == (str(tmp_path), "over")


def test_read_only(tmp_path):
    found = inside(f"mount -t tmpfs none {tmp_path}; mount -o remount,ro {tmp_path}", tmp_path)
    assert (found.writable.value, found.over_network.value) == (False, False)
    assert here(tmp_path).storage[0].writable.value is True


def test_an_overlay(tmp_path):
    folders = " ".join(str(tmp_path / name) for name in ("low", "work", "up", "all"))
    layers = f"lowerdir={tmp_path}/low,upperdir={tmp_path}/up,workdir={tmp_path}/work"
    space = f"mount -t tmpfs none {tmp_path}; mkdir {folders}"
    found = inside(f"{space}; mount -t overlay overlay -o {layers} {tmp_path}/all", tmp_path / "all")
    assert (found.file_system.value, found.device.value) == ("overlay", "overlay")
    assert (found.over_network.value, found.over_network.status) == (None, "unsupported")


def test_a_folder_that_a_user_may_not_see(tmp_path):
    as_root()
    (tmp_path / "closed").mkdir(mode=0o700)
    os.chmod(tmp_path, 0o755)
    hidden, open_ = said(asked(user=NOBODY, folders=[tmp_path / "closed" / "x", "/"])).storage
    assert (hidden.file_system.status, hidden.size_bytes.status) == ("denied", "denied")
    assert hidden.writable.value is False
    assert (open_.writable.value, open_.mount.value) == (False, "/")


def test_without_proc_the_mount_is_not_known_but_the_room_is(tmp_path):
    found = inside("mount -t tmpfs none /proc", tmp_path)
    assert (found.file_system.status, found.over_network.status) == ("denied", "denied")
    assert found.size_bytes.known


def test_a_file_server_that_never_answers_does_not_stop_the_probe(monkeypatch):
    gone = threading.Event()
    monkeypatch.setattr(calls, "FOLDER_SECONDS", 0.05)
    monkeypatch.setattr(calls.os, "statvfs", lambda path: gone.wait())
    with pytest.raises(Unread, match="/data gave no answer in 0.05 s: is its file server there"):
        calls.call("room", "/data")
    gone.set()


def server(mountinfo, room=ROOM, path="/data/sets", nearest=None):
    calls_ = {("nearest", path): nearest or path, ("room", nearest or path): room, ("writable", nearest or path): True}
    return read_storage(composed.replay({"/proc/self/mountinfo": mountinfo}, calls_), "data", path)


def test_data_on_a_file_server():
    line = "40 22 0:40 / /data rw,relatime shared:30 - nfs4 10.0.0.9:/export/data rw,vers=4.2,addr=10.0.0.9\n"
    found = server(composed.MOUNTS + line, nearest="/data")
    assert (found.file_system.value, found.mount.value, found.over_network.value) == ("nfs4", "/data", True)
    assert found.device.value == "10.0.0.9:/export/data"
    assert (found.size_bytes.value, found.free_bytes.value, found.inodes.value) == (10**15, 10**14, 4 * 10**9)
    assert (found.shared.status, found.shared.value) == ("absent", None)


def test_the_root_of_a_container():
    found = server("500 400 0:99 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c\n")
    assert (found.file_system.value, found.mount.value) == ("overlay", "/")
    assert found.over_network.value is None
    assert "cannot be seen" in found.over_network.why


def test_inodes_that_are_not_counted():
    line = "40 22 0:40 /sub /data rw - btrfs /dev/sdb rw,subvol=/sub\n"
    found = server(composed.MOUNTS + line, room=ROOM | {"inodes": 0, "inodes_free": 0})
    assert (found.inodes.value, found.inodes.status) == (None, "unsupported")
    assert found.size_bytes.known


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("ext4", False), ("xfs", False), ("tmpfs", False), ("zfs", False), ("fuseblk", False), ("squashfs", False),
        ("nfs", True), ("nfs4", True), ("lustre", True), ("gpfs", True), ("beegfs", True), ("ceph", True),
        ("cifs", True), ("wekafs", True), ("fuse.sshfs", True), ("fuse.gcsfuse", True), ("fuse.juicefs", True),
        ("overlay", None), ("virtiofs", None), ("9p", None), ("fuse.something", None), ("fuse.squashfuse", False),
    ],
)  # fmt: skip
def test_kinds_of_file_systems(kind, expected):
    try:
        assert over_network(kind) == expected
    except Unread:
        assert expected is None
