"""What control groups (cgroup v1, v2, or both at once) grant this process.

A limit holds for a group and all below it, so the least one from this process's group up to the root counts. Inside a
cgroup namespace the group's path is `/` and so is the root of the mount; without one, a container sees its path from
the true root, and only its own part of the tree is mounted. (docs.kernel.org/admin-guide/cgroup-v2.html, cgroup-v1.)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from cluster.topology import cpulist, mounts
from cluster.topology.fact import Fact, Unlimited, Unread, reading, unknown
from cluster.topology.source import Source

T = TypeVar("T")
Number = TypeVar("Number", int, float)
Controller = Literal["cpu", "cpuset", "memory"]

NO_LIMIT_BYTES = 2**62
"""cgroup v1 writes "no limit" as the largest whole number of pages below 2^63."""


@dataclass(frozen=True, slots=True)
class Group:
    """One folder of control files."""

    folder: str
    version: Literal[1, 2]
    files: frozenset[str]


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """What a group says."""

    value: T
    where: str
    """The very file, so that a person can find it; where nothing limits, the first that was asked."""
    group: Group
    """The group that limits; this process's own where none does."""


def quota_cpus(source: Source) -> Fact[float | Unlimited]:
    """CPUs' worth of time."""
    return _fact("cpu.max or cpu.cfs_quota_us of the control groups", lambda: _least_quota(source), "CPUs")


def memory_bytes(source: Source) -> Fact[int | Unlimited]:
    return _fact("memory.max or memory.limit_in_bytes of the control groups", lambda: _least_memory(source), "bytes")


def memory_used_bytes(source: Source) -> Fact[int]:
    """Of the group that limits memory, or this process's own."""
    return _fact("memory.current or memory.usage_in_bytes of the control group", lambda: _used(source), "bytes")


def cpuset(source: Source) -> Fact[str]:
    """CPUs of the nearest group that has a say, as in 0-3."""
    return _fact("cpuset.cpus of the control group", lambda: _cpuset(source), "")


def upwards(source: Source, controller: Controller) -> Iterator[Group]:
    """The groups of this process that a controller may limit, from its own up to the root of what is mounted.

    Raises OSError or Unread: a tree that cannot be seen is not a tree without limits.
    """
    version, path = membership(source.text("/proc/self/cgroup"), controller)
    mount, below = mounted(mounts.parsed(source.text("/proc/self/mountinfo")), version, path, controller)
    parts = below.split("/") if below else []
    for depth in range(len(parts), -1, -1):
        folder = "/".join([mount.rstrip("/"), *parts[:depth]])
        files = frozenset(source.names(folder))
        if "cgroup.procs" not in files:
            raise Unread("unsupported", f"{folder} should be a control group, but has no cgroup.procs")
        yield Group(folder, version, files)


def membership(words: str, controller: Controller) -> tuple[Literal[1, 2], str]:
    """The version that has the controller, and the path of the group, of /proc/self/cgroup. Raises Unread."""
    unified: str | None = None
    for line in words.splitlines():
        number, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return 1, path
        if number == "0" and not controllers:
            unified = path
    if unified is None:
        raise Unread("absent", f"this process is in no control group for {controller} (/proc/self/cgroup)")
    return 2, unified


def mounted(every: list[mounts.Mount], version: Literal[1, 2], path: str, controller: Controller) -> tuple[str, str]:
    """Where the tree of a controller is mounted, and this process's group below that. Raises Unread."""
    trees = [
        mount
        for mount in every
        if (mount.file_system == "cgroup2" if version == 2 else _is_v1(mount, controller))
        and mounts.holding(every, mount.point) == mount
    ]
    if not trees:
        raise Unread("denied", f"the control groups (version {version}) for {controller} are hidden here")
    for tree in trees:
        below = mounts.within(path, tree.root)
        if below is not None and ".." not in below.split("/"):
            return tree.point, below
    raise Unread(
        "unsupported", f"this process's control group {path} is not in what {trees[0].point} shows ({trees[0].root})"
    )


def _is_v1(mount: mounts.Mount, controller: Controller) -> bool:
    return mount.file_system == "cgroup" and controller in mount.options


def _fact(words: str, read: Callable[[], Told[T]], unit: str) -> Fact[T]:
    told = reading(words, read, unit)
    if told.value is None:
        return unknown(told.status, told.why, words, unit)
    return Fact(told.value.value, unit, told.value.where)


def _cpuset(source: Source) -> Told[str]:
    for group in upwards(source, "cpuset"):
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            if name in group.files:
                where = f"{group.folder}/{name}"
                return Told(cpulist.written(cpulist.parsed(source.text(where))), where, group)
    raise Unread("unsupported", "no control group here has a cpuset")


def _used(source: Source) -> Told[int]:
    group = _least_memory(source).group
    name = "memory.usage_in_bytes" if group.version == 1 else "memory.current"
    if name not in group.files:
        raise Unread("unsupported", f"{group.folder} has no {name}: the root of all groups is not counted")
    where = f"{group.folder}/{name}"
    return Told(int(source.text(where)), where, group)


def _least_quota(source: Source) -> Told[float | Unlimited]:
    return _least(source, "cpu", {1: {"cpu.cfs_quota_us": _v1_quota}, 2: {"cpu.max": _v2_quota}})


def _least_memory(source: Source) -> Told[int | Unlimited]:
    """memory.high counts: above it a group is slowed down until it fits."""
    v2: dict[str, Callable[[Source, str], int | Unlimited]] = {"memory.max": _v2_bytes, "memory.high": _v2_bytes}
    return _least(source, "memory", {1: {"memory.limit_in_bytes": _v1_bytes}, 2: v2})


def _least(
    source: Source, controller: Controller, asked: dict[int, dict[str, Callable[[Source, str], Number | Unlimited]]]
) -> Told[Number | Unlimited]:
    groups = list(upwards(source, controller))
    looked: list[str] = []
    limits: list[tuple[Number, str, Group]] = []
    for group in groups:
        for name, read in asked[group.version].items():
            if name in group.files:
                looked.append(f"{group.folder}/{name}")
                value = read(source, looked[-1])
                if value != "unlimited":
                    limits.append((value, looked[-1], group))
    if limits:
        return Told(*min(limits, key=lambda limit: limit[0]))
    names = " or ".join(asked[groups[0].version])
    where = f"{looked[0]} and above" if looked else f"no {names} in {groups[0].folder}, nor above"
    return Told("unlimited", where, groups[0])


def _v1_quota(source: Source, file: str) -> float | Unlimited:
    quota = int(source.text(file))
    if quota < 0:
        return "unlimited"
    return quota / int(source.text(file.replace("cfs_quota", "cfs_period")))


def _v2_quota(source: Source, file: str) -> float | Unlimited:
    quota, period = source.text(file).split()
    return "unlimited" if quota == "max" else int(quota) / int(period)


def _v1_bytes(source: Source, file: str) -> int | Unlimited:
    limit = int(source.text(file))
    return "unlimited" if limit >= NO_LIMIT_BYTES else limit


def _v2_bytes(source: Source, file: str) -> int | Unlimited:
    limit = source.text(file)
    return "unlimited" if limit == "max" else int(limit)
