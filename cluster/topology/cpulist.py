"""The kernel's way to write sets of CPUs: 0-3,8 (docs.kernel.org/core-api/printk-formats.html, "bitmap")."""

from collections.abc import Iterable


def parsed(words: str) -> list[int]:
    """The numbers of `0-3,8`, in order. Raises ValueError for anything else."""
    found: set[int] = set()
    for part in filter(None, words.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
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
