"""The files of a split in memory: mapped when they are asked for, and those of its shards read as if they were one.

B rows of a batch, T tokens of its longest.
"""

import ctypes
import mmap
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.data.manifest import FileEntry, ShardEntry, checked_file
from cluster.errors import DataError

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_FAILED = ctypes.c_void_p(-1).value


class MappedShards:
    """The columns of shards. What was mapped stays so as long as this object is there: it takes addresses, and memory
    that the kernel takes back when it needs it. Several threads may use one."""

    def __init__(self, folder: Path, shards: Sequence[ShardEntry]) -> None:
        self._folder, self._shards = folder, shards
        self._arrays: dict[tuple[int, str], Array] = {}
        self._joined: dict[str, Joined] = {}

    def array(self, shard: int, column: str) -> Array:
        """A column of a shard: its tokens, what stands beside them, their labels. Raises DataError."""
        found = self._arrays.get((shard, column))
        if found is None:
            entry = self._shards[shard]
            file = {"tokens": entry.tokens, "beside": entry.beside, "targets": entry.targets}[column]
            assert file is not None
            found = self._arrays.setdefault((shard, column), mapped_file(self._folder, file))
        return found

    def joined(self, column: str, shards: Ids) -> "Joined":
        """The column of these shards, which all hold something, and of others. Raises DataError."""
        joined = self._joined.get(column)
        if joined is None or not joined.holds(shards):
            wanted = {*shards.tolist(), *(joined.shards if joined else ())}
            joined = Joined({shard: self.array(shard, column) for shard in sorted(wanted)}, len(self._shards))
            self._joined[column] = joined
        return joined


class Joined:
    """A column of some of so many shards as one array, though each is mapped somewhere else.

    It is the memory from the first mapping to the end of the last, of which only the mappings are there. So numpy
    gathers from all of them at once. Any place in it that is not inside one of them ends the process.
    """

    def __init__(self, arrays: Mapping[int, Array], shards: int) -> None:
        self.shards = list(arrays)
        self._arrays = list(arrays.values())  # mapped as long as this object is there
        starts = [_address(array) for array in self._arrays]
        first, item = min(starts), self._arrays[0].itemsize
        size = max(start + array.nbytes for start, array in zip(starts, self._arrays, strict=True)) - first
        self._items, self._dtype = size // item, self._arrays[0].dtype
        self._memory = memoryview((ctypes.c_char * size).from_address(first)).cast("B")
        self._held, self._starts = np.zeros(shards + 1, dtype=np.bool_), np.zeros(shards + 1, dtype=np.int64)
        self._held[self.shards] = True
        self._starts[self.shards] = (np.array(starts) - first) // item  # mappings begin at pages

    def holds(self, shards: Ids) -> bool:
        """Are all these shards among those of this object?"""
        return bool(self._held[shards].all())

    def places(self, shards: Ids, local: Ids) -> Ids:
        """Where items of shards stand in the whole; of a shard that is not in it, nothing of use."""
        places: Ids = self._starts[shards] + local
        return places

    def windows(self, places: Ids, width: int) -> Array:
        """[B, T] items from each of `places` [B] on, `width` of them: a copy."""
        shape, strides = (self._items - width + 1, width), (self._dtype.itemsize, self._dtype.itemsize)
        return np.ndarray(shape, self._dtype, buffer=self._memory, strides=strides)[places]


def mapped_file(folder: Path, entry: FileEntry) -> Array:
    """A read-only array over the file. Raises DataError."""
    if entry.count == 0:
        return np.empty(0, dtype=entry.dtype)
    return np.asarray(_Mapping(checked_file(folder, entry), entry))


class _Mapping:
    """A file in memory, for numpy, without a descriptor: Python's mmap keeps one open for each file, of which a process
    may often have 1,024."""

    def __init__(self, path: Path, entry: FileEntry) -> None:
        with open(path, "rb") as file:
            address = _LIBC.mmap(None, entry.bytes, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
        if address == _FAILED:
            raise DataError(f"{path} cannot be mapped into memory ({os.strerror(ctypes.get_errno())}).")
        shape, kind = (entry.count,), np.dtype(entry.dtype).str
        self.__array_interface__ = {"version": 3, "data": (address, True), "shape": shape, "typestr": kind}
        # At the end of the process threads may still be reading, and the kernel unmaps all.
        weakref.finalize(self, _LIBC.munmap, address, entry.bytes).atexit = False


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
