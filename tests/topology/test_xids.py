import errno

import pytest

from cluster.topology import xids
from cluster.topology.calls import call
from cluster.topology.fact import Unread
from cluster.topology.gpus import read_gpus
from cluster.topology.network import Network
from tests.topology.machines import machine


def test_xids_of_a_gpu_that_nvml_does_not_list():
    made = machine("h100x8", ["unlisted:3"])
    line = "NVRM: Xid (PCI:0000:61:00): 79, GPU has fallen off the bus."
    made.answer({"since_seconds": 0.0, "lines": [[7.0, line]]}, "kernel_log", "NVRM: Xid")
    told = read_gpus(made, Network())
    assert [(xid.code, xid.bus_id) for xid in told.other_xids.value] == [(79, "0000:61:00.0")]


@pytest.mark.parametrize(
    "line, expected",
    [
        (
            "NVRM: Xid (PCI:0000:3b:00): 79, pid=1122, name=python, GPU has fallen off the bus.",
            (79, "0000:3b:00.0", "pid=1122, name=python, GPU has fallen off the bus."),
        ),
        ("NVRM: Xid (PCI:0000:0F:00): 119, Timeout after 6s", (119, "0000:0f:00.0", "Timeout after 6s")),
        ("NVRM: Xid (0000:01:00): 13", (13, "0000:01:00.0", "")),  # older drivers
        ("NVRM: Xid (PCI:0000:61:00.0): 94, Contained", (94, "0000:61:00.0", "Contained")),
    ],
)
def test_lines_of_the_kernel(line, expected):
    (xid,) = xids.parsed([(12.5, line)])
    assert (xid.code, xid.bus_id, xid.words) == expected and xid.seconds_since_boot == 12.5


def test_other_lines_are_no_xids():
    assert list(xids.parsed([(1.0, "NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x22:0xffff:631)")])) == []


@pytest.mark.parametrize(
    "answer, status",
    [
        (PermissionError(errno.EPERM, "Operation not permitted"), "denied"),
        (PermissionError(errno.EACCES, "Permission denied"), "denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "unsupported"),  # a container
        (Unread("unsupported", "the kernel's log is empty here"), "unsupported"),
    ],
)
def test_a_log_that_cannot_be_read_is_not_a_log_without_errors(answer, status):
    made = machine("h100x8")
    made.answer(answer, "kernel_log", "NVRM: Xid")
    told = read_gpus(made, Network())
    for fact in (told.devices[0].xids, told.other_xids):
        assert (fact.value, fact.status) == (None, status)


def test_the_log_says_how_far_back_it_goes():
    made = machine("h100x8")
    made.answer({"since_seconds": 70_000.4, "lines": []}, "kernel_log", "NVRM: Xid")
    assert "second 70000 of this boot" in read_gpus(made, Network()).devices[0].xids.source


def test_the_kernel_s_log_of_this_machine():
    """Whatever it holds: it is read to its end, or there is a reason."""
    try:
        log = call("kernel_log", "a word that no kernel ever wrote")
    except (OSError, Unread):
        pytest.skip("the kernel's log is closed to this user, or empty here")
    assert log["lines"] == [] and log["since_seconds"] >= 0
