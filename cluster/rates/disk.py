"""How fast a file system takes a large file for good, gives it back, and takes small ones.

Nothing stays: the large file has no name (it is removed as soon as it is open), the small ones lie in a folder that is
removed on any way out but a kill, and are 4 KiB each.
"""

import ctypes
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy

from cluster.rates import usable
from cluster.rates.trials import lasted, rate, repeated
from cluster.topology.limits import DISK
from cluster.topology.node import Node
from cluster.topology.rate import Rate

MEBIBYTE = 1 << 20
BLOCK_BYTES = 4 * MEBIBYTE
FIRST_BYTES = 16 * MEBIBYTE  # what the first estimate writes
MOST_BYTES = 512 * MEBIBYTE  # of one file
SHARE_OF_FREE = 20  # a file takes no more than a twentieth of what is free, on disk and in memory (it may be a tmpfs)
SMALL_BYTES = 4096
SMALL_AT_ONCE = 16
MOST_SMALL = 2000
MOST_WRITES = 5  # trials of a large file: disks wear


def systems(folders: Mapping[str, str]) -> list[Path]:
    """One folder for each file system that holds some of these, or the nearest folder above that exists."""
    found: dict[int, Path] = {}
    for path in folders.values():
        there = Path(path).expanduser().absolute()
        while not there.is_dir():
            there = there.parent
        found.setdefault(there.stat().st_dev, there)
    return list(found.values())


def speed(node: Node, folder: Path, seconds: float) -> Iterator[Rate]:
    """Raises OSError if the folder cannot be written to, or has too little room."""
    room = min(shutil.disk_usage(folder).free, usable.memory_bytes(node.memory)) // SHARE_OF_FREE
    if room < FIRST_BYTES:
        raise OSError(f"a file of {FIRST_BYTES // MEBIBYTE} MiB would take more than 1/{SHARE_OF_FREE} of what is free")
    with tempfile.TemporaryDirectory(prefix=".muster-measure-", dir=folder) as place:
        yield from _large(Path(place), str(folder), min(room, MOST_BYTES), seconds * 2 / 3)
        yield _small(Path(place), str(folder), seconds / 3)


def _large(place: Path, where: str, most: int, seconds: float) -> Iterator[Rate]:
    block = memoryview(os.urandom(BLOCK_BYTES))  # random: some file systems compress
    descriptor = _nameless(place / "large")
    try:
        once = lasted(lambda: _write(descriptor, block, FIRST_BYTES))
        size = file_bytes(FIRST_BYTES / once, most, seconds)
        taken = repeated(lambda: lasted(lambda: _write(descriptor, block, size)), seconds / 2, MOST_WRITES)
        yield rate("disk_write", where, "sequential, fsync", amount=size, unit="bytes/s", seconds=taken, limit=DISK)
        caches: list[str] = []
        buffer = bytearray(BLOCK_BYTES)
        taken = repeated(lambda: _read_anew(descriptor, buffer, size, caches), seconds / 3, MOST_WRITES)
        how = "sequential" + next(iter(caches), "")
        yield rate("disk_read", where, how, amount=size, unit="bytes/s", seconds=taken, limit=DISK)
    finally:
        os.close(descriptor)


def _nameless(path: Path) -> int:
    """A new file that goes with its last descriptor, whatever ends this process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    path.unlink()
    return descriptor


def file_bytes(bytes_per_second: float, most: int, seconds: float) -> int:
    """As large as writing it takes a sixth of the time, in whole blocks."""
    fitting = int(bytes_per_second * seconds / 6) // BLOCK_BYTES * BLOCK_BYTES
    return max(FIRST_BYTES, min(fitting, most // BLOCK_BYTES * BLOCK_BYTES))


def _write(descriptor: int, block: memoryview, size: int) -> None:
    """From the start of the file, and down to the disk."""
    for offset in range(0, size, BLOCK_BYTES):
        written = 0
        while written < BLOCK_BYTES:
            written += os.pwrite(descriptor, block[written:], offset + written)
    os.fsync(descriptor)


def _read_anew(descriptor: int, buffer: bytearray, size: int, caches: list[str]) -> float:
    """Seconds of reading it after the page cache has let go of it; what is known of that goes to `caches`."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    share = cached_share(descriptor, size)
    if share is None:
        caches.append(", whether from the page cache is not known")
    elif share > 0.05:
        caches.append(", from the page cache, which keeps it")
    began = time.perf_counter()
    for offset in range(0, size, BLOCK_BYTES):
        if os.preadv(descriptor, [buffer], offset) != BLOCK_BYTES:
            raise OSError("the file was shorter when read than when written")
    return time.perf_counter() - began


def cached_share(descriptor: int, size: int) -> float | None:
    """How much of a file lies in memory (mincore(2)); None where the kernel does not tell."""
    pages = -(-size // mmap.PAGESIZE)
    flags = numpy.zeros(pages, dtype=numpy.uint8)
    try:
        mapped = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
        view = numpy.frombuffer(mapped, dtype=numpy.uint8)
        library = ctypes.CDLL(None, use_errno=True)
        failed = library.mincore(
            ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(size), ctypes.c_void_p(flags.ctypes.data)
        )
        del view
        mapped.close()
    except (OSError, ValueError, AttributeError):
        return None
    return None if failed else float((flags & 1).mean())


def _small(place: Path, where: str, seconds: float) -> Rate:
    """Files of 4 KiB that are each created, written, made durable and renamed into place."""
    contents = os.urandom(SMALL_BYTES)
    names = iter(range(MOST_SMALL))

    def some() -> float:
        began = time.perf_counter()
        for _, name in zip(range(SMALL_AT_ONCE), names, strict=False):
            path = place / f"{name}.new"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, contents)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            path.rename(place / str(name))
        return time.perf_counter() - began

    taken = repeated(some, seconds, MOST_SMALL // SMALL_AT_ONCE - 2)
    how = "4 KiB, created, fsync, renamed"
    return rate("small_files", where, how, amount=SMALL_AT_ONCE, unit="files/s", seconds=taken, limit=DISK)
