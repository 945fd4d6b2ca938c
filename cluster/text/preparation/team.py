"""Several tasks that prepare one data set together, on one node or on several: who makes which part, and who waits.

Each task reads the sources and makes its share of the parts, in one folder that all of them see; task 0 holds the
folder and puts the parts together. No task waits for another but task 0, which makes the parts of one that has fallen
silent itself.
"""

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.data.durable import write_atomically
from cluster.errors import InfrastructureError, PlanError

TEAM = "team"
"""The file that tells the tasks that the folder is their task 0's."""
BEGIN_SECONDS = 120.0
"""How long a task waits for its task 0 to take hold of the folder."""
SILENCE_SECONDS = 120.0
"""So long without a new part, and task 0 makes what is missing (a network file system may show files a minute late)."""
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Team:
    """This process among the tasks that prepare together; alone unless told otherwise."""

    task: int = 0
    tasks: int = 1
    tasks_of_node: int = 1
    name: str = ""
    """The same for all of them, and another for every other team."""

    def has(self, part: int) -> bool:
        """Is this task to make the part of that number?"""
        return part % self.tasks == self.task

    def cores(self) -> int:
        """Those that this task may use: all that it sees, unless the tasks of its node see the same ones."""
        seen, of_node = len(os.sched_getaffinity(0)), os.cpu_count() or 1
        return seen if seen * self.tasks_of_node <= of_node else max(of_node // self.tasks_of_node, 1)


def team_of(environment: Mapping[str, str]) -> Team:
    """The tasks that torchrun or srun started (docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables";
    slurm.schedmd.com/srun.html, "OUTPUT ENVIRONMENT VARIABLES"). A batch script itself is no task of a step.

    Raises PlanError for variables that no launcher sets so.
    """

    def number(name: str, default: str, least: int, most: int = 1 << 31) -> int:
        value = environment.get(name, default)
        if re.fullmatch(r"[0-9]{1,9}", value) and least <= int(value) <= most:
            return int(value)
        said = f"{name} = {value!r}" if name in environment else f"{name} is not set"
        raise PlanError(
            f"{said}, but it must be a whole number from {least:,}{f' to {most:,}' if most < 1 << 31 else ' on'}: srun "
            "or torchrun sets it for each task it starts. Start the tasks with one of them, or prepare with --alone."
        )

    if (tasks := number("WORLD_SIZE", "1", 1)) > 1:
        run = (environment.get(name, "") for name in ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT"))
        of_node = number("LOCAL_WORLD_SIZE", "1", 1, tasks)
        return Team(number("RANK", "", 0, tasks - 1), tasks, of_node, "torchrun " + " ".join(run))
    if (tasks := number("SLURM_STEP_NUM_TASKS", "1", 1)) > 1:
        per_node = re.match(r"[1-9][0-9]*", environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))
        step = f"srun {environment.get('SLURM_JOB_ID', '')}.{environment.get('SLURM_STEP_ID', '')}"
        return Team(number("SLURM_PROCID", "", 0, tasks - 1), tasks, int(per_node[0]) if per_node else 1, step)
    return Team()


def take_hold(work: Path, team: Team) -> None:
    """Tells the tasks that they may begin. Raises OSError."""
    write_atomically(work / TEAM, team.name.encode())


def wait_for_hold(work: Path, team: Team, is_done: Callable[[], bool]) -> bool:
    """Waits until this team has the folder; False if what it is to prepare is there already.

    Raises InfrastructureError if it does not get it in time.
    """
    deadline = time.monotonic() + BEGIN_SECONDS
    while not is_done():
        try:
            if (work / TEAM).read_text() == team.name:
                return True
        except FileNotFoundError:
            pass
        if time.monotonic() > deadline:
            raise InfrastructureError(
                f"Task {team.task} waited {BEGIN_SECONDS:.0f} s for task 0 to begin in {work}: task 0 has failed, or "
                "another process prepares the same data, or the nodes do not share the cache folder (name one that "
                "they do with MUSTER_CACHE)."
            )
        time.sleep(LOOK_SECONDS)
    return False


def silent(parts: Sequence[Path], found: Callable[[int], None]) -> bool:
    """Waits for the parts of the other tasks, telling how many are there; True if none has come for too long."""
    there, since = -1, time.monotonic()
    while True:
        now = sum(path.exists() for path in parts)
        if now != there:
            there, since = now, time.monotonic()
            found(there)
        if there == len(parts):
            return False
        if time.monotonic() - since > SILENCE_SECONDS:
            return True
        time.sleep(LOOK_SECONDS)
