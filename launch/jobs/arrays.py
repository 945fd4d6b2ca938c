"""Job arrays: the numbers of their tasks, and `{task}` in what the user writes."""

import re

from cluster.errors import PlanError

PLACE = "{task}"
MOST_TASKS = 10_000
"""Each task has a run folder; Slurm's own bound (MaxArraySize) is 1,001 unless a site has raised it."""
RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?")


def tasks_of(words: str) -> list[int]:
    """The tasks of sbatch's `--array` (sbatch.html): 0-7, 1,3,5, 0-15:4, 1-100%8. Raises PlanError."""
    listed, limit, most = words.partition("%")
    if limit and not (most.isascii() and most.isdigit() and int(most) > 0):
        raise _wrong(words)
    found: set[int] = set()
    for part in listed.split(","):
        match = RANGE.fullmatch(part)
        if match is None:
            raise _wrong(words)
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step < 1:
            raise _wrong(words)
        if (last - first) // step >= MOST_TASKS:
            raise PlanError(f"--array {words}: at most {MOST_TASKS:,} tasks, each has a run folder of its own.")
        found.update(range(first, last + 1, step))
    if len(found) > MOST_TASKS:
        raise PlanError(f"--array {words}: at most {MOST_TASKS:,} tasks, each has a run folder of its own.")
    return sorted(found)


def _wrong(words: str) -> PlanError:
    return PlanError(f"--array is written as sbatch takes it, such as 0-7, 1,3,5, 0-15:4 or 1-100%8, not {words!r}.")
