"""Columns that grow on the disk, and are then mapped: the pages of a file are memory that can be taken back."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt


class GrowingColumns:
    """One file for each column in `folder`. Use as a context manager; `mapped` once all is appended."""

    def __init__(self, folder: Path, types: Mapping[str, npt.DTypeLike]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._types = types
        self._files = {name: open(folder / name, "w+b") for name in types}  # noqa: SIM115 - closed on leaving

    def __enter__(self) -> "GrowingColumns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def append(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Some more items of some columns."""
        for name, array in columns.items():
            self._files[name].write(np.ascontiguousarray(array, dtype=self._types[name]).data)

    def mapped(self) -> dict[str, npt.NDArray[Any]]:
        """All columns, read-only."""
        found: dict[str, npt.NDArray[Any]] = {}
        for name, file in self._files.items():
            file.flush()
            empty = file.tell() == 0  # nothing can be mapped of it
            dtype = self._types[name]
            found[name] = np.empty(0, dtype) if empty else np.memmap(file, dtype=dtype, mode="r")
        return found
