"""Writing that survives a crash: a file or a folder is there whole, or not at all.

The rule everywhere in muster: write beside, fsync, rename, fsync the folder that holds the name.
"""

import contextlib
import io
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def fsync_file(path: Path) -> None:
    """Brings the bytes of a file that was already written to the disk. Raises OSError."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(path: Path) -> None:
    """Brings a folder's entries (names made, renamed or removed in it) to the disk. Raises OSError."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces or creates the file `path`: a reader, or a crash, finds the old bytes or the new ones, never a mixture.

    The folder must exist. Raises OSError (full disk, no rights); the old file is then untouched.
    """
    # A name of its own, so that two writers cannot share a half-written file; in the same folder, so that the rename
    # stays on one file system. The leading dot keeps it out of globs such as "*.json".
    beside = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    fsync_folder(path.parent)


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Arrays of numbers as one `.npz` file, atomically. Raises OSError."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    write_atomically(path, file.getvalue())


def rename_folder(source: Path, target: Path) -> None:
    """Gives a finished folder its final name, durably: everything in it is fsynced, then it is renamed.

    `target` must not exist, unless as an empty folder. Links in the folder are left alone. Raises OSError; then
    nothing was renamed.
    """
    for folder, _, files in os.walk(source, topdown=False, onerror=_stop):
        for name in files:
            entry = Path(folder, name)
            if stat.S_ISREG(entry.lstat().st_mode):
                fsync_file(entry)
        fsync_folder(Path(folder))
    os.rename(source, target)
    fsync_folder(target.parent)
    if source.parent != target.parent:
        fsync_folder(source.parent)


def _stop(error: OSError) -> None:
    raise error


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
