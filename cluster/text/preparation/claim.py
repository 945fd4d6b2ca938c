"""Who prepares a folder: one process at a time, whatever becomes of it."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cluster.data.manifest import MANIFEST
from cluster.errors import InfrastructureError

SECONDS_BETWEEN_LOOKS = 0.5


@contextlib.contextmanager
def claimed(work: Path, final: Path, waiting: Callable[[str], None] | None = None) -> Iterator[Path | None]:
    """The work folder, held by this process alone until it leaves, however it leaves; None if `final` is there already.

    The lock goes with the process that holds it, however that ends. It is on a file, opened for writing, because that
    is what NFS can lock. Raises InfrastructureError if another process holds it, unless it is to be waited for, which
    `waiting` then says once.
    """
    lock, has_said = work / "lock", False
    while not (final / MANIFEST).exists():
        work.mkdir(exist_ok=True)
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # another process was quicker, and is done
            continue
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is not None:
                    if not has_said:
                        waiting("another process prepares the same data: waiting for what it makes")
                    has_said = True
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                    continue
                raise InfrastructureError(
                    f"Another process prepares the same data at this moment (it holds {work}). Start this one again "
                    "once that one has finished: what it makes is used, not made again."
                ) from None
            # Before we had it the folder may have been removed by who held it, and even made again.
            if not lock.exists() or not os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                continue
            if not (final / MANIFEST).exists():
                yield work
                return
        finally:
            os.close(descriptor)
    _sweep(work)
    yield None


def _sweep(work: Path) -> None:
    """Remove what a preparation left that was killed between its last rename and its last step."""
    with contextlib.suppress(OSError):  # most often there is no such folder
        descriptor = os.open(work / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # else it is at that step now
            shutil.rmtree(work, ignore_errors=True)
        finally:
            os.close(descriptor)
