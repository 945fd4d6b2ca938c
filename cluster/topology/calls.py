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


def _room(path: str) -> dict[str, int]:
    """Of the file system that holds a folder: bytes and inodes, free for this user."""
    found = os.statvfs(path)
    return {
        "size_bytes": found.f_frsize * found.f_blocks,
        "free_bytes": found.f_frsize * found.f_bavail,
        "inodes": found.f_files,
        "inodes_free": found.f_favail,
    }


def _writable(path: str) -> bool:
    return os.access(path, os.W_OK | os.X_OK)


def _addresses() -> dict[str, list[list[str]]]:
    """Interface to its addresses and netmasks, IPv4 and IPv6."""
    families = {socket.AF_INET, socket.AF_INET6}
    return {
        name: [[entry.address.partition("%")[0], entry.netmask or ""] for entry in entries if entry.family in families]
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
        raise Unread("error", f"{words[0]} failed: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()


CALLS: dict[str, Callable[..., Any]] = {
    "affinity": _affinity,
    "limit": _limit,
    "room": _room,
    "writable": _writable,
    "addresses": _addresses,
    "version": _version,
    "place": _place,
    "environment": _environment,
    "program": _program,
    "hostname": socket.gethostname,
    "architecture": platform.machine,
    "python": platform.python_version,
    "time": time.time,
    "user": os.geteuid,
    "process": os.getpid,
    "parents": lambda pid: [parent.pid for parent in psutil.Process(int(pid)).parents()],
}
