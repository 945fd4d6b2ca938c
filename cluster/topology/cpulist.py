"""The kernel's way to write sets of CPUs: 0-3,8 (docs.kernel.org/core-api/printk-formats.html, "bitmap")."""

import re
from collections.abc import Iterable


def parsed(words: str) -> list[int]:
    """The numbers of `0-3,8`, in order. Raises ValueError for anything else."""
    found: set[int] = set()
    for part in words.strip().split(",") if words.strip() else []:
        run = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
        if run is None or int(run[2] or run[1]) < int(run[1]):
            raise ValueError(f"no list of CPUs: {words!r}")
        found.update(range(int(run[1]), int(run[2] or run[1]) + 1))
    return sorted(found)


def written(numbers: Iterable[int]) -> str:
    """The shortest such words for some numbers."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)
