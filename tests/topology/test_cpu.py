"""Processors: beside lscpu, lstopo and psutil on this machine; under limits; and on machines that are not here."""

import json
import os
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.topology import cpuinfo, cpulist, layout
from cluster.topology.cpu import Cache, read_cpu, read_numa
from cluster.topology.fact import Unread
from tests.topology import composed_hosts as composed
from tests.topology.asked import NOBODY, after, asked, here, said
from tests.topology.programs import as_root, printed, sees_all_cpus

GRACE_WORDS = {"asimd", "asimdhp", "asimddp", "fphp", "sve", "sve2", "svebf16", "svei8mm", "bf16", "i8mm"}


@pytest.fixture(scope="module")
def live():
    return said(here())


def test_as_lscpu_says(live):
    told = {item["field"].rstrip(":"): item["data"] for item in json.loads(printed("lscpu", "-J"))["lscpu"]}
    assert live.cpu.model.value == told["Model name"]
    assert live.cpu.architecture.value == told["Architecture"]
    assert live.cpu.online.value == cpulist.written(cpulist.parsed(told["On-line CPU(s) list"]))
    assert set(live.cpu.extensions.value) == set(cpuinfo.EXTENSIONS) & set(told["Flags"].split())
    assert len(live.numa) == int(told.get("NUMA node(s)", 0))


def test_cores_and_sockets_as_lscpu_says(live):
    rows = [line.split(",") for line in printed("lscpu", "-p=CPU,CORE,SOCKET").splitlines() if line[0] != "#"]
    assert live.cpu.threads.value == len(rows)
    assert live.cpu.cores.value == len({core for _, core, _ in rows})
    assert live.cpu.sockets.value == len({socket for _, _, socket in rows})
    by_core = {core: [int(cpu) for cpu, other, _ in rows if other == core] for _, core, _ in rows}
    assert set(live.cpu.siblings.value) == {cpulist.written(cpus) for cpus in by_core.values()}


def test_caches_as_lscpu_says(live):
    rows = json.loads(printed("lscpu", "-C", "-B", "-J"))["caches"]
    told = {(int(row["level"]), row["type"], int(row["one-size"]), int(row["all-size"])) for row in rows}
    found = [(one.level, one.kind, one.size_bytes, one.size_bytes * one.count) for one in live.cpu.caches.value]
    assert set(found) == told


def test_as_lstopo_says(live):
    sees_all_cpus()
    machine = ElementTree.fromstring(printed("lstopo-no-graphics", "--of", "xml"))
    objects = list(machine.iter("object"))

    def count(kind):
        return sum(one.get("type") == kind for one in objects)

    cpu = live.cpu
    assert (cpu.threads.value, cpu.cores.value, cpu.sockets.value) == (count("PU"), count("Core"), count("Package"))
    told = sorted(int(one.get("cache_size")) for one in objects if one.get("cache_size"))
    assert told == sorted(one.size_bytes for one in cpu.caches.value for _ in range(one.count))
    nodes = {int(one.get("os_index")): one for one in objects if one.get("type") == "NUMANode"}
    assert [node.number for node in live.numa] == sorted(nodes)
    for node in live.numa:
        assert node.memory_bytes.value == int(nodes[node.number].get("local_memory"))


def test_as_psutil_and_the_c_library_say(live):
    assert live.cpu.threads.value == psutil.cpu_count() == int(printed("getconf", "_NPROCESSORS_ONLN"))
    assert live.cpu.cores.value == psutil.cpu_count(logical=False)
    assert live.cpu.usable_count.value == len(os.sched_getaffinity(0)) == int(printed("nproc"))
    assert live.cpu.load.value == pytest.approx(os.getloadavg()[0], abs=2)
    assert live.cpu.clock_mhz.unit == "MHz"


def test_fewer_cpus_under_taskset():
    if shutil.which("taskset") is None:
        pytest.skip("there is no taskset here")
    one = max(os.sched_getaffinity(0))
    cpu = said(asked("taskset", "-c", str(one))).cpu
    assert (cpu.usable.value, cpu.usable_count.value) == (str(one), 1)
    assert cpu.threads.value == psutil.cpu_count()  # the machine is what it was


def test_counted_from_cpuinfo_where_sys_is_hidden():
    as_root()
    if "core id" not in cpuinfo.processors(Path("/proc/cpuinfo").read_text())[0]:
        pytest.skip("/proc/cpuinfo tells no cores on this processor")
    open_cpu = said(here()).cpu
    hidden = said(asked("unshare", "--mount", *after("mount -t tmpfs none /sys")))
    for name in ("sockets", "cores", "threads", "online", "siblings", "model", "extensions", "usable"):
        assert getattr(hidden.cpu, name).value == getattr(open_cpu, name).value, name
        assert getattr(hidden.cpu, name).source.startswith(("/proc/cpuinfo", "sched_getaffinity")), name
    assert (hidden.cpu.caches.status, hidden.cpu.caches.why) == ("denied", "/sys is hidden here")  # not: there is none
    assert hidden.numa == ()


def test_the_same_for_a_user_without_rights():
    as_root()
    mine, theirs = here().cpu, said(asked(user=NOBODY)).cpu
    for name in ("model", "sockets", "cores", "threads", "siblings", "caches", "usable", "cpuset"):
        assert getattr(theirs, name) == getattr(mine, name)
    assert theirs.quota.value == mine.quota.value


@pytest.mark.parametrize("nodes", [2, 4, 8])
@pytest.mark.parametrize("smt", [1, 2])
def test_a_server_of_two_sockets(nodes, smt):
    machine = composed.replay(composed.server(sockets=2, nodes=nodes, cores=64 // nodes, smt=smt))
    cpu, numa = read_cpu(machine), read_numa(machine)
    assert (cpu.sockets.value, cpu.cores.value, cpu.threads.value) == (2, 64, 64 * smt)
    assert cpu.siblings.value[1] == ("1,65" if smt == 2 else "1")
    assert cpu.model.value == "Intel(R) Xeon(R) Platinum 8480+"
    assert cpu.caches.value == (
        Cache(1, "Data", 48 * 1024, smt, 64),
        Cache(1, "Instruction", 32 * 1024, smt, 64),
        Cache(2, "Unified", 2048 * 1024, smt, 64),
        Cache(3, "Unified", 107520 * 1024, 64 * smt // nodes, nodes),
    )
    assert {"avx2", "avx512_bf16", "amx_bf16"} <= set(cpu.extensions.value)
    assert cpu.clock_max_mhz.value == 3800
    assert cpu.governor.value == "performance, powersave"  # one of them was forgotten
    assert [node.number for node in numa] == list(range(nodes))
    assert sum(len(cpulist.parsed(node.cpus.value)) for node in numa) == 64 * smt
    assert numa[1].distances.value == (21, 10, *[21] * (nodes - 2))
    assert numa[0].memory_bytes.value == 256 * 2**30


def test_cpus_that_are_offline_are_not_counted():
    machine = composed.replay(composed.server(sockets=2, nodes=2, cores=4, smt=2, offline=(3, 8, 9, 11)))
    cpu = read_cpu(machine)
    assert cpu.online.value == "0-2,4-7,10,12-15"
    assert (cpu.sockets.value, cpu.cores.value, cpu.threads.value) == (2, 7, 12)
    assert cpu.siblings.value[:3] == ("0", "1", "2,10")


def test_a_server_whose_sys_is_hidden_is_counted_from_cpuinfo():
    whole = composed.server(sockets=2, nodes=4, cores=8, smt=2, offline=(5,))
    part = {path: words for path, words in whole.items() if not path.startswith("/sys")}
    seen, told = read_cpu(composed.replay(whole)), read_cpu(composed.replay(part))
    for name in ("sockets", "cores", "threads", "online", "siblings"):
        assert getattr(told, name).value == getattr(seen, name).value, name


def test_an_arm_server_with_memory_of_a_gpu():
    machine = composed.replay(composed.grace(), {("architecture",): "aarch64", ("affinity",): list(range(72))})
    cpu, numa = read_cpu(machine), read_numa(machine)
    assert (cpu.model.value, cpu.architecture.value) == ("Neoverse-V2", "aarch64")
    assert set(cpu.extensions.value) == GRACE_WORDS
    assert (cpu.sockets.value, cpu.cores.value, cpu.usable.value) == (1, 72, "0-71")
    assert (cpu.clock_mhz.value, cpu.clock_max_mhz.value) == (3375, 3375)
    assert [(node.cpus.value, node.memory_bytes.value // 2**30) for node in numa] == [("0-71", 480), ("", 96)]
    assert numa[1].distances.value == (80, 10)


def test_sockets_that_the_firmware_does_not_tell():
    texts = composed.grace() | {f"{composed.CPUS}/cpu3/topology/physical_package_id": "-1"}
    sockets = read_cpu(composed.replay(texts)).sockets
    assert (sockets.value, sockets.status) == (None, "unsupported")
    assert "-1" in sockets.why


def test_a_cache_whose_size_is_not_told_is_not_zero():
    texts = composed.grace()
    del texts[f"{composed.CPUS}/cpu0/cache/index3/size"]
    caches = read_cpu(composed.replay(texts)).caches
    assert (caches.value, caches.status) == (None, "absent")
    assert "index3/size" in caches.why


def test_pressure_is_the_share_of_the_last_minute():
    words = "some avg10=1.00 avg60=12.50 avg300=3.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0"
    cpu = read_cpu(composed.replay({"/proc/pressure/cpu": words, "/proc/loadavg": "3.25 1.00 0.50 2/345 678"}))
    assert (cpu.pressure_percent.value, cpu.pressure_percent.unit) == (12.5, "%")
    assert cpu.load.value == 3.25


@pytest.mark.parametrize(
    "block, model",
    [
        ("processor : 0\nmodel name : AMD EPYC 9654 96-Core Processor", "AMD EPYC 9654 96-Core Processor"),
        ("processor : 0\ncpu : POWER9, altivec supported", "POWER9, altivec supported"),
        ("processor : 0\nCPU implementer : 0x41\nCPU part : 0xd40", "Neoverse-V1"),
        ("processor : 0\nCPU implementer : 0xc0\nCPU part : 0xac3", "Arm implementer 0xc0 part 0xac3"),
        ("processor : 0\nhart : 1\nuarch : sifive,u74-mc", "sifive,u74-mc"),
    ],
)
def test_models_of_several_makers(block, model):
    assert cpuinfo.model(cpuinfo.processors(block)) == model


def test_only_what_all_kinds_of_cores_have_counts():
    two = cpuinfo.processors("processor : 0\nFeatures : asimd sve bf16\n\nprocessor : 1\nFeatures : asimd")
    assert cpuinfo.extensions(two) == ("asimd",)


@pytest.mark.parametrize("words", ["", "vendor_id : IBM/S390\n# processors : 4\n", "Hardware : BCM2835"])
def test_cpuinfo_without_processors_is_said(words):
    with pytest.raises(Unread, match="no processors"):
        cpuinfo.processors(words)


def test_processors_without_flags_are_said():
    cpu = read_cpu(composed.replay({"/proc/cpuinfo": "processor : 0\ncpu : POWER9, altivec supported"}))
    assert (cpu.extensions.status, cpu.clock_mhz.status) == ("unsupported", "unsupported")


@pytest.mark.parametrize("words, size", [("32768K", 2**25), ("48K", 49152), ("512", 512), ("1M", 2**20), ("0K", 0)])
def test_sizes(words, size):
    assert layout.size_bytes(words) == size


@given(st.text(max_size=8))
def test_other_sizes_are_refused(words):
    if re.fullmatch(r"\d+[KMG]?", words):
        assert layout.size_bytes(words) >= 0
    else:
        with pytest.raises(ValueError):
            layout.size_bytes(words)
