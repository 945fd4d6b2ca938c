"""Which mount a path lies on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.topology import mounts
from cluster.topology.fact import Unread

SERVER = mounts.parsed(
    r"""
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
23 22 0:21 / /proc rw shared:12 - proc proc rw
24 22 0:40 / /data rw,relatime shared:30 - nfs4 10.0.0.9:/export/data rw,vers=4.2,addr=10.0.0.9
25 24 0:41 /sets /data/my\040sets ro,relatime shared:31 master:2 - lustre 10.0.0.8@o2ib:/scratch rw,flock
26 22 259:2 /var/runs /runs rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
27 22 0:50 / /home rw,relatime shared:40 - autofs systemd-1 rw,fd=30,direct
28 27 0:51 / /home rw,relatime shared:41 - nfs4 files:/home rw
""".strip()
)


@pytest.mark.parametrize(
    "path, point, kind",
    [
        ("/", "/", "ext4"),
        ("/var/tmp", "/", "ext4"),
        ("/data", "/data", "nfs4"),
        ("/data/x/y", "/data", "nfs4"),
        ("/database", "/", "ext4"),  # only begins with the same letters
        ("/data/my sets/a", "/data/my sets", "lustre"),
        ("/runs/first", "/runs", "ext4"),  # a folder of the root's file system, mounted once more
        ("/home/ada", "/home", "nfs4"),  # autofs below it
    ],
)
def test_the_mount_that_holds_a_path(path, point, kind):
    found = mounts.holding(SERVER, path)
    assert (found.point, found.file_system) == (point, kind)


def test_options_of_the_mount_and_of_the_file_system_are_kept():
    found = mounts.holding(SERVER, "/data/my sets")
    assert {"ro", "rw", "flock"} <= found.options
    assert (found.device, found.root) == ("10.0.0.8@o2ib:/scratch", "/sets")


def test_what_a_later_mount_covers_is_not_seen():
    covered = mounts.parsed(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:1 / /sys rw - sysfs sysfs rw\n"
        "3 2 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        "4 2 0:3 / /sys rw - tmpfs none rw\n"
    )
    assert mounts.holding(covered, "/sys/fs/cgroup").file_system == "tmpfs"
    assert mounts.holding(covered[:3], "/sys/fs/cgroup").file_system == "cgroup2"


def test_a_root_that_is_no_mount_is_said():
    below = mounts.parsed("9 1 0:1 / /proc rw - proc proc rw\n")
    assert mounts.holding(below, "/proc/self").file_system == "proc"
    with pytest.raises(Unread, match="no mount that holds /data"):
        mounts.holding(below, "/data")


@pytest.mark.parametrize(
    "line", ["what", "1 0 8:1 / / rw - ext4", "1 0 8:1 / / rw ext4 a b", "x 0 8:1 / / rw - ext4 a b"]
)
def test_other_words_are_refused(line):
    with pytest.raises(ValueError):
        mounts.parsed(line)


names = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="/"), min_size=1, max_size=8)


@given(st.lists(names, max_size=4), names)
def test_names_with_any_letters_come_back_from_their_escapes(parts, device):
    point = "/" + "/".join(parts)
    line = f"1 0 8:1 / {_escaped(point)} rw,relatime - ext4 {_escaped(device)} rw"
    (found,) = mounts.parsed(line)
    assert (found.point, found.device) == (point, device)


def _escaped(words):
    """As the kernel writes them (fs/proc_namespace.c, mangle), and other bytes that end a line for Python."""
    return "".join(f"\\{ord(letter):03o}" if letter in " \t\n\\#\r\v\f\x1c\x1d\x1e\x85" else letter for letter in words)
