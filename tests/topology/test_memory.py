"""Memory: beside free, df, ulimit and psutil on this machine; under limits; and on machines that are not here."""

import psutil
import pytest

from cluster.topology import meminfo
from cluster.topology.fact import Unread
from cluster.topology.memory import read_memory
from tests.topology import composed_hosts as composed
from tests.topology.asked import NOBODY, after, asked, here, said
from tests.topology.programs import as_root, printed

MIB = 2**20


@pytest.fixture(scope="module")
def memory():
    return said(here()).memory


def test_as_free_and_psutil_say(memory):
    rows = {line.split()[0]: line.split()[1:] for line in printed("free", "-b").splitlines()[1:]}
    assert memory.total_bytes.value == int(rows["Mem:"][0]) == psutil.virtual_memory().total
    assert memory.swap_bytes.value == int(rows["Swap:"][0])
    assert memory.available_bytes.value == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_shared_memory_as_df_says(memory):
    size = printed("df", "--block-size=1", "--output=size", "/dev/shm").split()[-1]
    assert (memory.shm_bytes.value, memory.shm_bytes.unit) == (int(size), "bytes")
    assert 0 <= memory.shm_free_bytes.value <= int(size)


def test_limits_as_the_shell_says():
    limits = said(asked(*after("ulimit -S -n 321; ulimit -S -l 48; ulimit -S -u 4321"))).memory
    assert (limits.open_files_limit.value, limits.open_files_limit.unit) == (321, "files")
    assert (limits.locked_limit_bytes.value, limits.locked_limit_bytes.unit) == (48 * 1024, "bytes")
    assert (limits.processes_limit.value, limits.processes_limit.unit) == (4321, "processes")


def test_limits_as_they_are(memory):
    for flag, fact, unit in (("-n", memory.open_files_limit, 1), ("-l", memory.locked_limit_bytes, 1024)):
        told = printed("bash", "-c", f"ulimit {flag}").strip()
        assert fact.value == ("unlimited" if told == "unlimited" else int(told) * unit)


def test_numa_nodes_that_may_be_used(memory):
    told = next(line for line in open_lines("/proc/self/status") if line.startswith("Mems_allowed_list"))
    assert memory.numa_allowed.value == told.split()[1]


def test_little_shared_memory_as_in_a_container():
    as_root()
    boxed = asked("unshare", "--mount", *after("mount -t tmpfs -o size=64m shm /dev/shm"))
    assert said(boxed).memory.shm_bytes.value == 64 * MIB


def test_shared_memory_without_a_limit_has_no_size():
    as_root()
    shm = asked("unshare", "--mount", *after("mount -t tmpfs -o size=0 shm /dev/shm")).memory.shm_bytes
    assert (shm.value, shm.status) == (None, "unsupported")
    assert "without a limit" in shm.why


def test_no_shared_memory_at_all():
    as_root()
    memory = said(asked("unshare", "--mount", *after("mount -t tmpfs none /dev"))).memory
    assert (memory.shm_bytes.status, memory.shm_free_bytes.status) == ("absent", "absent")


def test_without_proc_every_fact_says_why():
    as_root()
    memory = said(asked("unshare", "--mount", *after("mount -t tmpfs none /proc"))).memory
    assert (memory.total_bytes.value, memory.total_bytes.status) == (None, "denied")
    assert memory.group_limit_bytes.status == "denied"  # not "unlimited": nobody looked
    assert memory.open_files_limit.known


def test_the_same_for_a_user_without_rights(memory):
    as_root()
    theirs = said(asked(user=NOBODY)).memory
    for name in ("total_bytes", "swap_bytes", "group_limit_bytes", "shm_bytes", "locked_limit_bytes", "huge_pages"):
        assert getattr(theirs, name) == getattr(memory, name)


def test_a_machine_with_huge_pages():
    words = (
        "MemTotal:       1056419840 kB\nMemFree:  1 kB\nMemAvailable:   1000000000 kB\nSwapTotal: 0 kB\n"
        "HugePages_Total:    1024\nHugePages_Free:     1000\nHugepagesize:       2048 kB\n"
    )
    texts = {"/proc/meminfo": words, "/sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}
    room = {"size_bytes": 64 * MIB, "free_bytes": 60 * MIB, "inodes": 1, "inodes_free": 1}
    calls = {("room", "/dev/shm"): room, ("limit", "memlock"): "unlimited", ("limit", "nofile"): 1024}
    memory = read_memory(composed.replay(texts, calls))
    assert (memory.total_bytes.value, memory.total_bytes.unit) == (1056419840 * 1024, "bytes")
    assert (memory.huge_pages.value, memory.huge_pages_free.value, memory.huge_page_bytes.value) == (
        1024,
        1000,
        2 * MIB,
    )
    assert memory.transparent_huge_pages.value == "always"
    assert (memory.shm_bytes.value, memory.shm_free_bytes.value) == (64 * MIB, 60 * MIB)
    assert (memory.locked_limit_bytes.value, memory.open_files_limit.value) == ("unlimited", 1024)
    assert memory.processes_limit.status == "unsupported"


def test_lines_that_a_kernel_does_not_have():
    words = "MemTotal:  100 kB\nMemTotalOther: 3 kB\n"
    assert meminfo.entry_bytes(words, "MemTotal") == 102400
    with pytest.raises(Unread, match="no MemAvailable"):
        meminfo.entry_bytes(words, "MemAvailable")


def open_lines(path):
    with open(path) as lines:
        return lines.readlines()
