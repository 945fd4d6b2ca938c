"""Programs of the system that tests compare with, and what must hold for some tests."""

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest


def printed(*words):
    """What a program prints, in plain English; the test is skipped where there is no such program."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"there is no program {words[0]} here")
    kept = {name: words for name, words in os.environ.items() if not name.startswith("OMP_")}  # nproc believes them
    return subprocess.run(words, capture_output=True, text=True, check=True, env=kept | {"LC_ALL": "C"}).stdout


def as_root():
    """Skips where namespaces and control groups cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no namespaces can be made here: {done.stderr.strip()}")


def sees_all_cpus():
    if len(os.sched_getaffinity(0)) != psutil.cpu_count():
        pytest.skip("lstopo shows only the CPUs that it may use, and these are not all")


def v1_tree(controller):
    """The folder of a cgroup v1 controller in which groups can be made; skips where there is none."""
    as_root()
    folder = Path("/sys/fs/cgroup") / controller
    if not (folder / "cgroup.procs").exists() or (folder / "cgroup.controllers").exists():
        pytest.skip(f"there is no cgroup v1 tree for {controller} here")
    if not os.access(folder, os.W_OK):
        pytest.skip(f"{folder} cannot be written")
    return folder
