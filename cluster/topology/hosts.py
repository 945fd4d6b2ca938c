"""Names of nodes: in the order that a person expects, and written short for Slurm's `--exclude`."""

import re
from collections.abc import Iterable

LAST_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$")


def by_number(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key to sort by: n2 comes before n10."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name


def compressed(names: Iterable[str]) -> str:
    """The shortest way to write some names, as Slurm expands it: n3,n[7-9],gpu-[001-004]."""
    groups: dict[tuple[str, str, int], list[str]] = {}
    for name in sorted(set(names), key=by_number):
        found = LAST_NUMBER.match(name)
        if found is None:
            groups[name, "", -1] = [name]
            continue
        before, number, after = found.groups()
        # Leading zeros are kept in a range, so that those of one width belong together.
        padded = number.startswith("0") and len(number) > 1
        width = len(number) if padded or (before, after, len(number)) in groups else 0
        groups.setdefault((before, after, width), []).append(number)
    return ",".join(
        before if width < 0 else _written(before, numbers, after) for (before, after, width), numbers in groups.items()
    )


def _written(before: str, numbers: list[str], after: str) -> str:
    runs: list[tuple[str, str]] = []
    for number in numbers:
        if runs and int(number) == int(runs[-1][1]) + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    pieces = [first if first == last else f"{first}-{last}" for first, last in runs]
    brackets = len(pieces) > 1 or "-" in pieces[0]
    return f"{before}[{','.join(pieces)}]{after}" if brackets else f"{before}{pieces[0]}{after}"
