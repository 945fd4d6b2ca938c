"""The files of a split's shards in memory: mapped when they are asked for, and read as if they were one.

B rows of a batch, T tokens of its longest.
"""

import ctypes
import mmap
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.data.manifest import FileEntry, ShardEntry, checked_file

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
# Python's mmap keeps a descriptor open for each mapping; a common limit is 1,024 for the whole process.
MOST_MAPPED = 256


class MappedShards:
    """The columns of shards, the `MOST_MAPPED` used last kept. Several threads may use one."""

    def __init__(self, folder: Path, shards: Sequence[ShardEntry]) -> None:
        self._folder, self._shards = folder, shards
        self._maps: OrderedDict[str, Array] = OrderedDict()
        self._lock = threading.Lock()

    def array(self, shard: int, column: str) -> Array:
        """A column of a shard: its tokens, what stands beside them, their labels. Raises DataError."""
        entry = self._shards[shard]
        file = {"tokens": entry.tokens, "beside": entry.beside, "targets": entry.targets}[column]
        assert file is not None
        with self._lock:
            if file.name in self._maps:
                self._maps.move_to_end(file.name)
                return self._maps[file.name]
            array = self._maps[file.name] = mapped_file(self._folder, file)
            if len(self._maps) > MOST_MAPPED:
                self._maps.popitem(last=False)  # unmapped when the last gather that uses it is done
            return array


class Joined:
    """A column of several shards as one array, though each is mapped somewhere else.

    It is the memory from the first mapping to the end of the last, of which only the mappings are there. So numpy
    gathers from all of them at once, wherever a place is inside one of the `arrays`, by shard, of which one at least
    holds something; any other place ends the process.
    """

    def __init__(self, arrays: Mapping[int, Array]) -> None:
        self._arrays = [array for array in arrays.values() if array.size]  # mapped as long as this object is there
        starts = {shard: _address(array) for shard, array in arrays.items() if array.size}
        first, item = min(starts.values()), self._arrays[0].itemsize
        end = max(_address(array) + array.nbytes for array in self._arrays)
        self._items = (end - first) // item
        self._memory = memoryview((ctypes.c_char * (end - first)).from_address(first)).cast("B")
        self._dtype = self._arrays[0].dtype
        self._starts = np.zeros(max(arrays) + 1, dtype=np.int64)
        for shard, start in starts.items():
            self._starts[shard] = (start - first) // item  # mappings begin at pages

    def places(self, shards: Ids, local: Ids) -> Ids:
        """Where items of shards stand in the whole; of a shard that is not in it, nothing of use."""
        places: Ids = self._starts.take(shards, mode="clip") + local
        return places

    def windows(self, places: Ids, width: int) -> Array:
        """[B, T] items from each of `places` [B] on, `width` of them: a copy."""
        shape, strides = (self._items - width + 1, width), (self._dtype.itemsize, self._dtype.itemsize)
        return np.ndarray(shape, self._dtype, buffer=self._memory, strides=strides)[places]


def mapped_file(folder: Path, entry: FileEntry) -> Array:
    """A read-only array over the file; a plain ndarray, which slices faster than np.memmap. Raises DataError."""
    if entry.count == 0:
        return np.empty(0, dtype=entry.dtype)
    with open(checked_file(folder, entry), "rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), entry.bytes, access=mmap.ACCESS_READ), dtype=entry.dtype)


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
