"""What is mounted where, as /proc/self/mountinfo tells it (man 5 proc_pid_mountinfo)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from cluster.topology.fact import Unread


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    number: int
    parent: int
    """Number of the mount that this one lies on."""
    root: str
    """The folder of the file system that shows at `point`."""
    point: str
    file_system: str
    device: str
    options: frozenset[str]
    """Of the mount and of the file system."""


def parsed(words: str) -> list[Mount]:
    """The mounts of a mountinfo, in its order. Raises ValueError for anything else."""
    return [_mount(line) for line in words.splitlines() if line]


def holding(mounts: Sequence[Mount], path: str) -> Mount:
    """The mount that a path (absolute, no links in it) lies on. Raises Unread if none is listed.

    Goes down from mount to mount as the kernel does, so that one that a later mount covers is not taken for visible.
    """
    numbers = {mount.number for mount in mounts}
    below = [mount for mount in mounts if mount.parent not in numbers or mount.parent == mount.number]
    found: Mount | None = None
    while reached := [mount for mount in below if within(path, mount.point) is not None]:
        found = min(reached, key=lambda mount: len(mount.point))
        below = [mount for mount in mounts if mount.parent == found.number != mount.number]
    if found is None:
        raise Unread("absent", f"/proc/self/mountinfo lists no mount that holds {path}: the root here is no mount")
    return found


def within(path: str, folder: str) -> str | None:
    """What of `path` is below `folder`, empty if they are the same; None if it lies elsewhere."""
    whole, above = PurePosixPath(path), PurePosixPath(folder)
    if not whole.is_relative_to(above):
        return None
    return "/".join(whole.relative_to(above).parts)


def _mount(line: str) -> Mount:
    before, dash, after = line.partition(" - ")
    number, parent, _, root, point, options = before.split(" ")[:6]
    file_system, device, of_file_system = after.split(" ")[:3]
    if not dash:
        raise ValueError(f"no ' - ' in {line!r}")
    return Mount(
        number=int(number),
        parent=int(parent),
        root=_unescaped(root),
        point=_unescaped(point),
        file_system=file_system,
        device=_unescaped(device),
        options=frozenset(options.split(",")) | frozenset(of_file_system.split(",")),
    )


def _unescaped(words: str) -> str:
    r"""Space, tab, line end, backslash and # stand as \040 and so on, byte by byte."""
    return re.sub(r"\\([0-3][0-7]{2})", lambda found: chr(int(found[1], 8)), words)
