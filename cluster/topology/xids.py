"""Xid errors: what NVIDIA's driver wrote into the kernel's log (docs.nvidia.com/deploy/xid-errors)."""

import re
from collections.abc import Iterable

from cluster.topology.bus import bus_id
from cluster.topology.fact import Fact, Unread, reading, status_of, unknown
from cluster.topology.gpu import Xid
from cluster.topology.source import Source

MARK = "NVRM: Xid"
LINE = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): ([0-9]+),?\s*(.*)")


def read_xids(source: Source) -> Fact[tuple[Xid, ...]]:
    """Of all GPUs. Where the log cannot be read they are unknown, which is not none."""
    where = "kernel log"
    try:
        log = source.call("kernel_log", MARK)
    except OSError as error:
        status = "unsupported" if status_of(error) == "absent" else status_of(error)
        return unknown(status, _words(status, error), where)
    except Unread as unread:
        return unknown(unread.status, unread.why, where)
    return reading(
        f"{where}, which goes back to second {log['since_seconds']:.0f} of this boot",
        lambda: tuple(parsed(log["lines"])),
    )


def parsed(lines: Iterable[tuple[float, str]]) -> Iterable[Xid]:
    """Of lines with the seconds of their boot; others than Xid errors are left out."""
    for seconds, line in lines:
        if found := LINE.search(line):
            place = found[1] if "." in found[1] else f"{found[1]}.0"
            yield Xid(int(found[2]), bus_id(place), float(seconds), found[3])


def _words(status: str, error: OSError) -> str:
    if status == "denied":
        return (
            "the kernel's log is closed to this user (kernel.dmesg_restrict): Xid errors are unknown, not none; "
            "as root, or after `sysctl kernel.dmesg_restrict=0`, they are read"
        )
    return (
        f"the kernel's log does not show here, as in a container ({error.strerror}): Xid errors are unknown, not none"
    )
