"""What control groups grant: real groups of version 1 where they can be made, composed ones of both versions."""

import os

import pytest

from cluster.topology import groups
from cluster.topology.fact import Unread
from tests.topology import composed_hosts as composed
from tests.topology.asked import after, asked, here, said
from tests.topology.composed_hosts import GIB, group
from tests.topology.programs import as_root, v1_tree

POD = "/sys/fs/cgroup/kubepods.slice/pod7/box"
CPU, MEMORY = "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"
MOST_PAGES = 9223372036854771712


@pytest.fixture
def made():
    """Makes groups below one of our own in a cgroup v1 tree; they are removed again."""
    folders = []

    def make(controller, path, **files):
        folder = v1_tree(controller) / f"muster-test-{os.getpid()}" / path
        for part in [*reversed(folder.parents), folder]:
            if not part.exists():
                part.mkdir()
                folders.append(part)
        for name, words in files.items():
            (folder / name.replace("__", ".")).write_text(words)
        return folder

    yield make
    for folder in reversed(folders):
        folder.rmdir()


def joins(*folders):
    """Words that start a child in some groups."""
    return after("; ".join(f"echo $$ > '{folder}/cgroup.procs'" for folder in folders))


def test_a_real_quota(made):
    outer = made("cpu", "outer", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    inner = made("cpu", "outer/inner")
    quota = said(asked(*joins(inner))).cpu.quota
    assert (quota.value, quota.unit) == (0.5, "CPUs")
    assert quota.source == f"{outer}/cpu.cfs_quota_us"  # the one that limits, above the one that it is in


def test_the_least_of_real_quotas(made):
    made("cpu", "outer", cpu__cfs_quota_us="300000")
    inner = made("cpu", "outer/inner", cpu__cfs_quota_us="150000")
    quota = said(asked(*joins(inner))).cpu.quota
    assert (quota.value, quota.source) == (1.5, f"{inner}/cpu.cfs_quota_us")


def test_a_real_limit_on_memory(made):
    outer = made("memory", "outer", memory__limit_in_bytes=str(3 * GIB))
    inner = made("memory", "outer/inner")
    memory = said(asked(*joins(inner))).memory
    assert (memory.group_limit_bytes.value, memory.group_limit_bytes.unit) == (3 * GIB, "bytes")
    assert memory.group_limit_bytes.source == f"{outer}/memory.limit_in_bytes"
    assert 2**20 < memory.group_used_bytes.value < GIB
    assert memory.group_used_bytes.source == f"{outer}/memory.usage_in_bytes"
    assert memory.total_bytes.value == here().memory.total_bytes.value


def test_a_real_cpuset(made):
    one = str(max(os.sched_getaffinity(0)))
    parent = made("cpuset", "", cpuset__cpus=one, cpuset__mems="0")
    folder = made("cpuset", "inner", cpuset__cpus=one, cpuset__mems="0")
    cpu = said(asked(*joins(folder))).cpu
    assert (cpu.cpuset.value, cpu.usable.value, cpu.usable_count.value) == (one, one, 1)
    assert parent.name in cpu.cpuset.source


def test_a_group_outside_of_the_namespace_is_not_taken_for_unlimited(made):
    folder = made("cpu", "inner", cpu__cfs_quota_us="50000")
    quota = said(asked(*joins(folder), "unshare", "--cgroup")).cpu.quota
    assert (quota.value, quota.status) == (None, "unsupported")
    assert "is not in what /sys/fs/cgroup/cpu shows" in quota.why


def test_a_real_group_in_a_namespace_and_mount_of_its_own(made):
    folder = made("cpu", "inner", cpu__cfs_quota_us="50000")
    mounted = (
        "mount -t tmpfs none /sys/fs/cgroup; mkdir /sys/fs/cgroup/cpu; mount -t cgroup -o cpu cgroup /sys/fs/cgroup/cpu"
    )
    quota = said(asked(*joins(folder), "unshare", "--cgroup", "--mount", *after(mounted))).cpu.quota
    assert (quota.value, quota.source) == (0.5, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")


def test_the_group_mounted_alone_as_in_a_container_without_a_namespace(made):
    folder = made("cpu", "inner", cpu__cfs_quota_us="50000")
    bound = (
        f"mkdir -p /tmp/only; mount -t tmpfs none /tmp/only; mkdir /tmp/only/cpu; mount --bind '{folder}' /tmp/only/cpu"
    )
    moved = f"{bound}; mount --rbind /tmp/only /sys/fs/cgroup; umount -l /tmp/only; rmdir /tmp/only"
    quota = said(asked(*joins(folder), "unshare", "--mount", *after(moved))).cpu.quota
    assert (quota.value, quota.source) == (0.5, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")


def test_hidden_groups_are_not_taken_for_unlimited():
    as_root()
    record = said(asked("unshare", "--mount", *after("mount -t tmpfs none /sys/fs/cgroup")))
    for fact in (record.cpu.quota, record.cpu.cpuset, record.memory.group_limit_bytes, record.memory.group_used_bytes):
        assert (fact.value, fact.status) == (None, "denied")
        assert "are hidden here" in fact.why


def machine(cgroup, mountinfo, *files):
    texts = {"/proc/self/cgroup": cgroup, "/proc/self/mountinfo": mountinfo}
    for told in files:
        texts |= told
    return composed.replay(texts)


def test_version_2_in_a_container_with_a_namespace():
    files = group("/sys/fs/cgroup", cpu__max="150000 100000", memory__max=str(4 * GIB), memory__high="max")
    files |= group("/sys/fs/cgroup", memory__current="1048576", cpuset__cpus__effective="0-3,8\n")
    source = machine("0::/", composed.V2, files)
    assert groups.quota_cpus(source).value == 1.5
    assert groups.quota_cpus(source).source == "/sys/fs/cgroup/cpu.max"
    assert groups.memory_bytes(source).value == 4 * GIB
    assert groups.memory_used_bytes(source).value == 1048576
    assert groups.cpuset(source).value == "0-3,8"


def test_version_2_seen_from_outside_takes_the_least_up_to_the_root():
    source = machine(
        "0::/kubepods.slice/pod7/box",
        composed.V2,
        group(POD, cpu__max="max 100000", memory__max="max", memory__high="max", memory__current="5"),
        group("/sys/fs/cgroup/kubepods.slice/pod7", cpu__max="400000 100000", memory__max=str(8 * GIB)),
        group("/sys/fs/cgroup/kubepods.slice/pod7", memory__high=str(6 * GIB), memory__current="7"),
        group("/sys/fs/cgroup/kubepods.slice", cpu__max="6400000 100000", cpuset__cpus__effective="0-63"),
        group("/sys/fs/cgroup"),
    )
    assert groups.quota_cpus(source).value == 4
    assert groups.memory_bytes(source).value == 6 * GIB  # above memory.high it is slowed down
    assert groups.memory_bytes(source).source.endswith("pod7/memory.high")
    assert groups.memory_used_bytes(source).value == 7
    assert groups.cpuset(source).value == "0-63"  # only the slice has a cpuset


def test_version_2_without_limits():
    source = machine("0::/user.slice", composed.V2, group("/sys/fs/cgroup/user.slice"), group("/sys/fs/cgroup"))
    assert groups.quota_cpus(source).value == "unlimited"
    assert groups.quota_cpus(source).source == "no cpu.max in /sys/fs/cgroup/user.slice, nor above"
    assert groups.memory_used_bytes(source).status == "unsupported"
    assert groups.cpuset(source).why == "no control group here has a cpuset"


def test_version_1_without_limits():
    source = machine(
        "5:memory:/\n4:cpu,cpuacct:/\n3:cpuset:/\n1:name=systemd:/\n0::/\n",
        composed.V1,
        group(CPU, cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000"),
        group(MEMORY, memory__limit_in_bytes=str(MOST_PAGES), memory__usage_in_bytes="123"),
        group("/sys/fs/cgroup/cpuset", cpuset__cpus="0-1"),
    )
    assert groups.quota_cpus(source).value == "unlimited"
    assert groups.memory_bytes(source).value == "unlimited"
    assert groups.memory_bytes(source).source == f"{MEMORY}/memory.limit_in_bytes and above"
    assert groups.memory_used_bytes(source).value == 123
    assert groups.cpuset(source).value == "0-1"


@pytest.mark.parametrize("pages", [MOST_PAGES, 9223372036854710272, 2**63 - 1])  # of 4 KiB, of 64 KiB, of a byte
def test_no_limit_in_pages_of_any_size(pages):
    source = machine("5:memory:/", composed.V1, group(MEMORY, memory__limit_in_bytes=str(pages)))
    assert groups.memory_bytes(source).value == "unlimited"


def test_version_1_in_a_container_that_knows_its_whole_path():
    box = "/docker/0123456789ab"
    mountinfo = composed.V1.replace("0:31 / /sys/fs/cgroup/cpu,cpuacct", f"0:31 {box} /sys/fs/cgroup/cpu,cpuacct")
    files = group(CPU, cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    assert groups.quota_cpus(machine(f"4:cpu,cpuacct:{box}", mountinfo, files)).value == 2.5


def test_hybrid_takes_each_controller_where_it_is():
    words = "4:cpu,cpuacct:/a\n0::/b\n"
    assert groups.membership(words, "cpu") == (1, "/a")
    assert groups.membership(words, "memory") == (2, "/b")


@pytest.mark.parametrize(
    "words, controller, expected",
    [
        ("0::/", "cpu", (2, "/")),
        ("0::/a:b\n", "cpu", (2, "/a:b")),  # a colon in its name
        ("3:cpuset:/c\n1:name=cpu:/d\n0::/e", "cpu", (2, "/e")),  # a name is no controller
        ("2:cpu,cpuacct:/f", "cpu", (1, "/f")),
    ],
)
def test_the_group_of_this_process(words, controller, expected):
    assert groups.membership(words, controller) == expected


def test_a_process_in_no_group_is_said():
    with pytest.raises(Unread, match="in no control group for cpu"):
        groups.membership("3:cpuset:/c\n", "cpu")


@pytest.mark.parametrize(
    "cgroup, files, why",
    [
        ("0::/gone (deleted)", group("/sys/fs/cgroup"), "No such file or directory: /sys/fs/cgroup/gone (deleted)"),
        ("0::/../beside", group("/sys/fs/cgroup"), "is not in what /sys/fs/cgroup shows"),
        ("0::/", {"/sys/fs/cgroup/other": ""}, "has no cgroup.procs"),
        ("0::/", group("/sys/fs/cgroup", cpu__max="much"), "not understood"),
        ("what", {}, "not understood"),
    ],
)
def test_what_cannot_be_told_has_a_reason(cgroup, files, why):
    quota = groups.quota_cpus(machine(cgroup, composed.V2, files))
    assert quota.value is None
    assert why in quota.why
