"""What is asked of the operating system other than by files of /proc and /sys: each call by its name, answered in JSON.

Through names and JSON, so that `source.py` can record and replay them.
"""

import importlib.metadata
import os
import platform
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psutil

from cluster.topology.fact import Unread
from cluster.topology.patience import in_time

ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "GLOO_SOCKET_IFNAME", "NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "NCCL_IB_HCA", "NCCL_IB_DISABLE", "NCCL_IB_GID_INDEX",
    "NCCL_NET", "NCCL_NET_GDR_LEVEL", "NCCL_P2P_DISABLE", "NCCL_P2P_LEVEL", "NCCL_SHM_DISABLE", "NCCL_ALGO",
    "NCCL_PROTO", "NCCL_TOPO_FILE", "NCCL_NVLS_ENABLE", "NCCL_MIN_NCHANNELS", "NCCL_MAX_NCHANNELS",
    "NCCL_CROSS_NIC", "MUSTER_CACHE", "MUSTER_OFFLINE", "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_JOB_PARTITION",
    "SLURM_NODEID", "SLURM_NNODES", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_GPUS_ON_NODE",
    "SLURM_RESTART_COUNT", "TORCHELASTIC_RUN_ID", "APPTAINER_NAME", "SINGULARITY_NAME", "container",
)  # fmt: skip
"""The only variables that are ever looked at: none of them holds a secret."""
PROGRAM_SECONDS = 2.0
MESSAGE_BYTES = 8192  # the longest record of /dev/kmsg (linux/printk.h, PRINTK_MESSAGE_MAX, with its prefix)
FOLDER_SECONDS = 1.0
LIMITS = {"memlock": "RLIMIT_MEMLOCK", "nofile": "RLIMIT_NOFILE", "nproc": "RLIMIT_NPROC"}


def call(name: str, *arguments: str | int) -> Any:
    """Raises OSError or Unread."""
    if name.startswith("nvml"):
        from cluster.topology.nvml import ask

        return ask(name, *arguments)
    return CALLS[name](*arguments)


def _affinity() -> list[int]:
    if not hasattr(os, "sched_getaffinity"):
        raise Unread("unsupported", f"{platform.system()} has no CPU affinity")
    return sorted(os.sched_getaffinity(0))


def _limit(name: str) -> int | str:
    """The soft limit."""
    soft, _ = resource.getrlimit(getattr(resource, LIMITS[name]))
    return "unlimited" if soft == resource.RLIM_INFINITY else int(soft)


def _nearest(path: str) -> str:
    """The path itself or the nearest folder above it that exists, links followed."""
    return in_time(path, lambda: _existing(os.path.abspath(path)), FOLDER_SECONDS)


def _existing(path: str) -> str:
    while True:
        try:
            return os.path.realpath(path, strict=True)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.dirname(path) == path:
                raise
            path = os.path.dirname(path)


def _room(path: str) -> dict[str, int]:
    """Of the file system that holds a folder: bytes and inodes, free for this user."""
    found = in_time(path, lambda: os.statvfs(path), FOLDER_SECONDS)
    return {
        "size_bytes": found.f_frsize * found.f_blocks,
        "free_bytes": found.f_frsize * found.f_bavail,
        "inodes": found.f_files,
        "inodes_free": found.f_favail,
    }


def _writable(path: str) -> bool:
    return in_time(path, lambda: os.access(path, os.W_OK | os.X_OK), FOLDER_SECONDS)


def _addresses() -> dict[str, list[list[str]]]:
    """Interface to its addresses and netmasks, IPv4 and IPv6."""
    families = {socket.AF_INET, socket.AF_INET6}
    return {
        name: [[entry.address.partition("%")[0], entry.netmask or ""] for entry in entries if entry.family in families]
        for name, entries in psutil.net_if_addrs().items()
    }


def _interfaces() -> dict[str, str]:
    """Name to hardware address, of all in this process's network namespace."""
    return {
        name: next((entry.address for entry in entries if entry.family == psutil.AF_LINK), "")
        for name, entries in psutil.net_if_addrs().items()
    }


def _version(package: str) -> str:
    """Of an installed Python package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise Unread("absent", f"the package {package} is not installed") from None


def _place(package: str) -> str:
    """The folder that holds an installed Python package, which is not imported."""
    import importlib.util

    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise Unread("absent", f"the package {package} is not installed")
    return os.path.dirname(found.origin)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def _program(*words: str | int) -> str:
    """What a program prints; those asked are the scheduler's own."""
    if shutil.which(str(words[0])) is None:
        raise Unread("absent", f"there is no program {words[0]} here")
    try:
        done = subprocess.run(
            list(map(str, words)), capture_output=True, text=True, timeout=PROGRAM_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise Unread("error", f"{words[0]} gave no answer in {PROGRAM_SECONDS:g} s") from None
    if done.returncode:
        raise Unread("error", f"{words[0]} failed: {done.stderr.strip().rpartition(chr(10))[2][-200:]}")
    return done.stdout.strip()


def _kernel_log(word: str) -> dict[str, Any]:
    """Messages of the kernel that hold a word, each with its second of this boot; and back to which second they go."""
    lines: list[tuple[float, str]] = []
    since: float | None = None
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                message = os.read(log, MESSAGE_BYTES)
            except BlockingIOError:
                break  # that was the last
            except BrokenPipeError:
                continue  # this one was overwritten meanwhile
            head, _, words = message.decode("utf-8", "replace").partition(";")
            if not words:
                break
            seconds = int(head.split(",")[2]) / 1e6
            since = seconds if since is None else since
            if word in words:
                lines.append((seconds, words.partition("\n")[0]))
    finally:
        os.close(log)
    if since is None:
        raise Unread("unsupported", "the kernel's log is empty here, as in a container: nothing follows from that")
    return {"since_seconds": since, "lines": lines}


def _parents(pid: str | int) -> list[int]:
    try:
        return [parent.pid for parent in psutil.Process(int(pid)).parents()]
    except psutil.NoSuchProcess:
        raise Unread("absent", f"no process {pid} here (in a container, GPUs name processes of the host)") from None
    except psutil.AccessDenied:
        raise Unread("denied", f"process {pid} is not shown to this user") from None


CALLS: dict[str, Callable[..., Any]] = {
    "affinity": _affinity,
    "limit": _limit,
    "nearest": _nearest,
    "room": _room,
    "writable": _writable,
    "addresses": _addresses,
    "interfaces": _interfaces,
    "version": _version,
    "place": _place,
    "environment": _environment,
    "program": _program,
    "link": os.readlink,
    "hostname": socket.gethostname,
    "architecture": platform.machine,
    "python": platform.python_version,
    "time": time.time,
    "user": os.geteuid,
    "process": os.getpid,
    "parents": _parents,
    "kernel_log": _kernel_log,
}
