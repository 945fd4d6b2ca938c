"""Nodes with links of a known rate: network namespaces of this machine, each with a shaped way out. Needs root."""

import contextlib
import os
import shutil
import subprocess

import pytest

from tests.rates.jobs import job, record

WITHIN = 0.10  # of the line's rate, of which headers of TCP, IP and Ethernet take 4.4 % (1,448 of 1,514 bytes are ours)
PORT = 29500  # each namespace has its own ports
SECONDS = 8.0
CANNOT = ("not permitted", "not supported", "Unknown device type", "qdisc kind is unknown")  # as in many a container


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


@contextlib.contextmanager
def namespaces(megabits):
    """One for each rate, on one bridge: the commands that enter each, and the address of the first."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if not (shutil.which("ip") and shutil.which("tc")):
        pytest.skip("there is no ip or no tc here (Debian: iproute2)")
    mark = os.getpid() % 10_000
    subnet = f"10.{100 + mark // 100}.{mark % 100}"
    bridge, names = f"mb{mark}", [f"muster-{mark}-{index}" for index in range(len(megabits))]
    try:
        try:
            run("ip", "link", "add", bridge, "type", "bridge")
            run("ip", "link", "set", bridge, "up")
            for index, (name, rate) in enumerate(zip(names, megabits, strict=True)):
                outer = f"mv{mark}-{index}"
                run("ip", "netns", "add", name)
                run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
                run("ip", "link", "set", outer, "master", bridge, "up")
                run("ip", "-n", name, "addr", "add", f"{subnet}.{10 + index}/24", "dev", "eth0")
                run("ip", "-n", name, "link", "set", "eth0", "up")
                run("ip", "-n", name, "link", "set", "lo", "up")
                shape = ("rate", f"{rate}mbit", "burst", "64kb", "latency", "50ms")
                run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *shape)
        except OSError as error:
            if any(words in str(error) for words in CANNOT):
                pytest.skip(f"this kernel makes no shaped links for us: {error}")
            raise
        yield [("ip", "netns", "exec", name) for name in names], f"{subnet}.10"
    finally:
        for index, name in enumerate(names):
            with contextlib.suppress(OSError):
                run("ip", "link", "del", f"mv{mark}-{index}")  # a namespace goes a little later than its name
            with contextlib.suppress(OSError):
                run("ip", "netns", "del", name)
        with contextlib.suppress(OSError):
            run("ip", "link", "del", bridge)


def measured(megabits):
    """The record of rank 0, one node for each rate."""
    names = [f"node-{index}" for index in range(len(megabits))]
    with (
        namespaces(megabits) as (before, address),
        job(names, SECONDS, address=address, port=PORT, before=before) as processes,
    ):
        told = record(processes[0])
    assert told["problems"] == []
    assert told["curves"][0]["interface"] == "eth0"
    return told


def test_the_curve_ends_at_the_rate_of_the_links():
    for _ in range(3):  # whoever uses the cores, too, can only make a link seem slower
        told = measured([200, 200])
        largest = told["curves"][0]["sizes"][-1]
        if largest["bus_bytes_per_second"] >= (1 - WITHIN) * 200e6 / 8:
            break
    assert largest["message_bytes"] >= 1 << 20
    assert largest["bus_bytes_per_second"] == pytest.approx(200e6 / 8, rel=WITHIN)
    assert told["pairs"][0]["bytes_per_second"] == pytest.approx(200e6 / 8, rel=WITHIN)


def test_one_slow_link_shows_in_the_pairs_of_its_node():
    told = measured([200, 200, 50, 200])
    slow = [pair["bytes_per_second"] for pair in told["pairs"] if "node-2" in (pair["a"], pair["b"])]
    others = [pair["bytes_per_second"] for pair in told["pairs"] if "node-2" not in (pair["a"], pair["b"])]
    assert len(slow) == len(others) == 3
    assert slow == pytest.approx([50e6 / 8] * 3, rel=WITHIN)
    assert min(others) > 2 * max(slow)
    # The ring is as fast as its slowest link.
    assert told["curves"][0]["sizes"][-1]["bus_bytes_per_second"] == pytest.approx(50e6 / 8, rel=WITHIN)
