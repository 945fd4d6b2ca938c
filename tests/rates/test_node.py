"""The rates of one node, measured for real in a second or two. Speeds are compared loosely: others may use the
machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
import torch

from cluster.rates import compute, disk, memory, usable
from cluster.rates.load import summary
from cluster.rates.measure import measure_node
from cluster.topology.cpu import Cache, Cpu, NumaNode
from cluster.topology.fact import Fact
from cluster.topology.gpu import Gpu, Gpus
from cluster.topology.memory import Memory
from cluster.topology.node import Node, node_from_json, to_json

ROOT = Path(__file__).parents[2]
LOOSELY = 20  # times: not a figure of the machine, but a unit or a count that is wrong
linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
MEBIBYTE = 1 << 20


@pytest.fixture
def one_cpu():
    """This process on one CPU, as by taskset."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def copied_bytes_per_second():
    """By numpy alone, best of five."""
    a, b = numpy.ones(8 << 20), numpy.ones(8 << 20)
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        numpy.copyto(a, b)
        taken.append(time.perf_counter() - began)
    return 2 * a.nbytes / min(taken)


def test_memory_is_measured_by_one_thread_and_by_all():
    cpus = usable.cpus()
    rates = list(memory.bandwidth(Node(name="n"), cpus, "numa 0", 1.0))
    assert {rate.where for rate in rates} == {"numa 0"}
    assert {rate.what for rate in rates} == {"memory_copy", "memory_triad"}
    assert {int(rate.how.split()[0]) for rate in rates} == {1, len(cpus)}
    assert all(0 < rate.low <= rate.value <= rate.high and rate.trials >= 1 for rate in rates)
    assert all("2 arrays counted" in rate.how for rate in rates if rate.what == "memory_copy")
    assert all(rate.limit is None and "firmware" in rate.limit_reason for rate in rates)
    assert 1 / LOOSELY < rates[0].value / copied_bytes_per_second() < LOOSELY


@linux
def test_what_was_set_for_the_measurement_is_set_back():
    allowed, threads = os.sched_getaffinity(0), torch.get_num_threads()
    list(memory.bandwidth(Node(name="n"), usable.cpus(), "cpu", 0.3))
    list(compute.of_cpu(Node(name="n"), 0.3))
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == (allowed, threads)


@linux
def test_on_one_cpu_all_threads_are_one(one_cpu):
    rates = list(memory.bandwidth(Node(name="n"), usable.cpus(), "cpu", 0.3))
    assert {rate.how.split(",")[0] for rate in rates} == {"1 thread"}
    assert [rate.how for rate in compute.of_cpu(Node(name="n"), 0.3)] == ["float32, 1 thread", "bfloat16, 1 thread"]


@pytest.mark.parametrize(
    "quota, cpus, expected",
    [
        (Fact("unlimited"), 8, 8),
        (Fact(None, status="absent"), 8, 8),
        (Fact(4.0), 8, 4),
        (Fact(2.9), 8, 2),  # the third thread would wait most of the time
        (Fact(0.5), 8, 1),
        (Fact(64.0), 8, 8),
    ],
)
def test_threads_stay_within_the_quota(quota, cpus, expected):
    assert usable.threads(list(range(cpus)), Cpu(quota=quota)) == expected


@pytest.mark.parametrize(
    "free, limit, used, expected",
    [
        (10, "unlimited", 3, 10),
        (10, 8, 3, 5),
        (4, 8, 3, 4),
        (10, 8, 9, 0),
    ],
)
def test_memory_stays_within_what_is_granted(free, limit, used, expected):
    facts = Memory(available_bytes=Fact(free), group_limit_bytes=Fact(limit), group_used_bytes=Fact(used))
    assert usable.memory_bytes(facts) == expected


@linux
def test_cpus_of_a_numa_node_are_those_that_we_may_use(one_cpu):
    own = min(usable.cpus())
    assert usable.near(NumaNode(number=0, cpus=Fact("0-1023"))) == [own]
    assert usable.near(NumaNode(number=1, cpus=Fact("1024-2047"))) == []
    assert usable.near(NumaNode(number=2)) == []


def cached(mebibytes, cpus, free_mebibytes):
    caches = (Cache(2, "Unified", MEBIBYTE, 1, cpus), Cache(3, "Unified", mebibytes * MEBIBYTE, cpus, 1))
    return Node(
        name="n",
        cpu=Cpu(caches=Fact(caches)),
        memory=Memory(available_bytes=Fact(free_mebibytes * MEBIBYTE), group_limit_bytes=Fact("unlimited")),
    )


@pytest.mark.parametrize(
    "node, seconds, wanted, size",
    [
        (cached(32, 8, 64_000), 10, 128, 128),
        (cached(1, 8, 64_000), 10, 32, 32),
        (cached(480, 8, 64_000), 10, 1920, 1024),  # a virtual machine with its host's cache
        (cached(480, 8, 6_000), 10, 1920, 500),  # three arrays in a fourth of what is free
        (cached(480, 8, 64_000), 0.5, 1920, 105),  # pages take their time to come
        (cached(16, 4, 64_000), 10, 128, 128),  # two such caches under eight CPUs
        (Node(name="n", memory=Memory(available_bytes=Fact(64_000 * MEBIBYTE))), 10, 256, 256),
    ],
)
def test_arrays_are_large_but_bounded(node, seconds, wanted, size):
    found = memory.array_bytes(node, list(range(8)), seconds)
    assert [bytes_ // MEBIBYTE for bytes_ in found] == [wanted, size]


def test_arrays_that_are_too_small_say_so():
    rates = list(memory.bandwidth(cached(480, 2, 600), usable.cpus(), "cpu", 0.3))
    assert "instead of 4 x the last cache (1920 MiB)" in rates[0].limit_reason


def test_products_on_the_cpu():
    rates = list(compute.of_cpu(Node(name="n"), 1.0))
    assert [rate.how.split(",")[0] for rate in rates] == ["float32", "bfloat16"]
    assert all(0 < rate.low <= rate.value <= rate.high for rate in rates)
    a = numpy.ones((512, 512), dtype=numpy.float32)
    a @ a
    began = time.perf_counter()
    a @ a
    by_numpy = 2 * 512**3 / (time.perf_counter() - began)
    assert 1 / LOOSELY < rates[0].value / by_numpy < LOOSELY


def test_a_disk_is_measured_and_left_as_it_was(tmp_path):
    (tmp_path / "mine").write_text("stays")
    rates = {rate.what: rate for rate in disk.speed(Node(name="n"), tmp_path, 1.0)}
    assert list(rates) == ["disk_write", "disk_read", "small_files"]
    assert all(rate.where == str(tmp_path) and 0 < rate.low <= rate.value <= rate.high for rate in rates.values())
    assert rates["small_files"].unit == "files/s"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    block, by_hand = os.urandom(4 * MEBIBYTE), 0.0
    for _ in range(5):  # others may use the disk: the best time is its own
        began = time.perf_counter()
        with open(tmp_path / "other", "wb") as file:
            for _ in range(8):
                file.write(block)
            os.fsync(file.fileno())
        by_hand = max(by_hand, 8 * len(block) / (time.perf_counter() - began))
    assert 1 / LOOSELY < rates["disk_write"].value / by_hand < LOOSELY


def test_a_file_system_in_memory_says_that_its_cache_stays():
    shm = Path("/dev/shm")
    if not (shm.is_dir() and os.access(shm, os.W_OK)):
        pytest.skip("/dev/shm is not there, or may not be written")
    before = set(shm.iterdir())
    rates = {rate.what: rate for rate in disk.speed(Node(name="n"), shm, 0.5)}
    assert "from the page cache, which keeps it" in rates["disk_read"].how
    assert set(shm.iterdir()) - before == set()


def test_whether_a_file_is_in_the_page_cache(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * MEBIBYTE)
    descriptor = os.open(path, os.O_RDWR)
    try:
        assert disk.cached_share(descriptor, MEBIBYTE) == 1.0
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    "speed, most, seconds, expected",
    [
        (2e9, 512, 10, 512),  # no more than the budget of bytes
        (100e6, 512, 10, 156),
        (1e6, 512, 10, 16),  # a slow disk: as little as makes a figure
        (2e9, 42, 10, 40),  # no more than a part of what is free, in whole blocks
    ],
)
def test_size_of_the_large_file(speed, most, seconds, expected):
    assert disk.file_bytes(speed, most * MEBIBYTE, seconds) // MEBIBYTE == expected


def test_a_disk_that_is_nearly_full_is_not_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100 * MEBIBYTE}))
    measured = measure_node(Node(name="n"), 0.5, {"runs": str(tmp_path)}, lambda _: None)
    (problem,) = measured.problems
    assert str(tmp_path) in problem and "1/20 of what is free" in problem
    assert not list(tmp_path.iterdir())


def test_one_folder_for_each_file_system(tmp_path):
    there, missing = tmp_path / "data", tmp_path / "not" / "yet"
    there.mkdir()
    assert disk.systems({"data": str(there), "runs": str(missing)}) == [there]
    assert disk.systems({"runs": str(missing)}) == [tmp_path]


def measured_process(folder, seconds):
    program = (
        "import sys; from cluster.rates.measure import measure_node; from cluster.topology.node import Node\n"
        "measure_node(Node(name='n'), float(sys.argv[2]), {'runs': sys.argv[1]}, lambda _: None)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(seconds)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    end = time.monotonic() + 60
    while not list(folder.iterdir()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL], ids=lambda signal_: signal_.name)
def test_nothing_large_stays_whatever_ends_it(tmp_path, signal_):
    process = measured_process(tmp_path, 6)
    time.sleep(0.2)
    process.send_signal(signal_)
    assert process.wait(timeout=30) != 0
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in left) < 9 * MEBIBYTE  # of a kill: small files at most
    if signal_ == signal.SIGINT:
        assert not list(tmp_path.iterdir())


def test_a_node_with_its_rates(tmp_path):
    said = []
    node = Node(name="n", numa=(NumaNode(number=0, cpus=Fact("0-1023")),))
    measured = measure_node(node, 2.0, {"data": str(tmp_path), "runs": str(tmp_path)}, said.append)
    assert measured.problems == ()
    found = {(rate.what, rate.where) for rate in measured.rates}
    on_disk = {(what, str(tmp_path)) for what in ("disk_write", "disk_read", "small_files")}
    in_memory = {(what, "numa 0") for what in ("memory_copy", "memory_triad")}
    assert found >= on_disk | in_memory | {("matrix_product", "cpu")}
    assert len(said) == 3 or torch.cuda.is_available()
    again = node_from_json(json.loads(json.dumps(to_json(measured))), "a test")
    assert again.rates == measured.rates


def test_a_part_that_fails_is_one_line_and_the_others_stay(tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("no product today\nand a stack")
        yield

    monkeypatch.setattr(compute, "of_cpu", fails)
    measured = measure_node(Node(name="n"), 0.5, {"runs": str(tmp_path)}, lambda _: None)
    assert measured.problems == ("matrix products of the CPU: RuntimeError: no product today",)
    assert {rate.what for rate in measured.rates} >= {"memory_copy", "disk_write"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")
def test_gpus_that_torch_does_not_see_are_told():
    node = Node(name="n", gpus=Gpus(devices=(Gpu(index=0),)))
    assert "torch sees none of them" in measure_node(node, 0.3, {}, lambda _: None).problems[0]


def test_what_a_gpu_says_under_load():
    idle = Gpu(index=0, pcie_generation=Fact(1), pcie_width=Fact(16), clock_mhz=Fact(210), throttle=Fact(("idle",)))
    busy = Gpu(
        index=0, pcie_generation=Fact(4), pcie_width=Fact(16), clock_mhz=Fact(1410), throttle=Fact(("power_cap",))
    )
    assert summary([idle, busy, busy]) == {
        "pcie_generation": 4,
        "pcie_width": 16,
        "clock_mhz": 1410,
        "throttle": "power_cap",
    }
    assert summary([Gpu(index=0)]) == {}
