"""The Slurm job that a run is trained in: what it is, how long it has, whether it goes on after us.

Asked of `scontrol` (slurm.schedmd.com/scontrol.html). What it does not say is not guessed.
"""

import datetime
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.errors import PlanError
from cluster.topology.hosts import compressed
from cluster.topology.place import place_among_nodes

ANSWER_SECONDS = 10.0
TRIES = 3
EARLY_SECONDS = 5.0
"""A job that ends so long before its limit did not end because of it."""


class Unsaid(Exception):
    """Slurm did not answer, or refused; the message is its own."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of several nodes or one, as the environment of its batch script tells it."""

    name: str
    """What `scontrol` knows it by, the same after a requeue: 17, or 12_3 for a task of an array."""
    restart: int
    """How often it has been requeued."""
    nodes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class State:
    """What `scontrol show job` says."""

    state: str
    restarts: int
    is_batch: bool
    may_requeue: bool
    ends_at: float | None
    """Unix time of its limit; None without one. Of a job that is completing, the time it was ended."""
    limit_seconds: float | None
    started_at: float | None
    partition: str = ""

    def is_over_early(self) -> bool:
        """Somebody has cancelled it: it is completing, and not because its time is up, nor to be started again."""
        if self.state in ("CANCELLED", "DEADLINE"):
            return True
        if self.state != "COMPLETING" or self.ends_at is None:
            return False
        if self.limit_seconds is None or self.started_at is None:
            return True
        return self.ends_at < self.started_at + self.limit_seconds - EARLY_SECONDS

    def is_requeued(self, job: Job) -> bool:
        """Slurm starts it again by itself."""
        return self.restarts > job.restart


def job_of(environment: Mapping[str, str]) -> Job | None:
    """The job whose batch script (or `salloc` shell) this is; None outside. Raises PlanError for one of several tasks
    of a step."""
    if "SLURM_JOB_ID" not in environment:
        return None
    place = place_among_nodes(environment)
    if not place.allocation:
        if place.ranks > 1:
            raise PlanError(
                f"This is one of {place.ranks} tasks that srun has started, but muster starts what it needs on every "
                "node by itself: start it once, in the batch script (slurm/train.sbatch shows how)."
            )
        return None
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    return Job(
        # Not SLURM_JOB_ID in an array: the last task has the id of the whole, by which all would be requeued.
        name=f"{array}_{task}" if array and task else environment["SLURM_JOB_ID"],
        restart=int(environment.get("SLURM_RESTART_COUNT", "0")),
        nodes=place.allocation,
    )


def ask(job: Job) -> State:
    """Raises Unsaid."""
    words = _said("scontrol", "--oneliner", "show", "job", job.name)
    fields = dict(re.findall(r"(?:^|\s)([A-Za-z:]+)=(\S*)", words))
    started, limit = _time(fields.get("StartTime")), _limit(fields.get("TimeLimit", ""))
    return State(
        state=fields.get("JobState", ""),
        restarts=int(fields.get("Restarts", "0")),
        is_batch=fields.get("BatchFlag") == "1",
        may_requeue=fields.get("Requeue") == "1",
        ends_at=_time(fields.get("EndTime")),
        limit_seconds=limit,
        started_at=started,
        partition=fields.get("Partition", ""),
    )


def requeue(job: Job, without: Sequence[str]) -> str:
    """Have the job started again, without some nodes if the partition has enough others. Returns what was
    done, in words; Slurm then ends this job with SIGTERM. Raises Unsaid."""
    excluded = [node for node in without if node] if _can_do_without(job, without) else []
    _said("scontrol", "requeue", job.name)
    done = "requeued"
    if excluded:
        done += f" without {compressed(excluded)}"
        _said("scontrol", "update", f"JobId={job.name}", f"ExcNodeList={compressed(excluded)}")
    elif any(without):
        done += f" ({compressed(node for node in without if node)} not excluded: too few other nodes)"
    return f"{done}; Slurm holds a job back for about two minutes then"


def addresses(nodes: Sequence[str]) -> list[str]:
    """How Slurm reaches the first of these nodes: names need not resolve. Raises Unsaid."""
    match = re.search(r"\bNodeAddr=(\S+)", _said("scontrol", "show", "node", nodes[0]))
    return [match[1]] if match else []


def _can_do_without(job: Job, nodes: Sequence[str]) -> bool:
    """Are there enough other nodes that are not down? If Slurm does not say so, no."""
    try:
        partition = ask(job).partition
        words = _said("sinfo", "--noheader", "--Node", "--format=%N %T", *([f"--partition={partition}"]))
    except Unsaid:
        return False
    usable = {name for name, state in (line.split()[:2] for line in words.splitlines() if line) if _is_up(state)}
    return len(usable - set(nodes)) >= len(job.nodes)


def _is_up(state: str) -> bool:
    return state.rstrip("*~#!%$@^-+") in ("idle", "mixed", "allocated", "completing")


def _said(*words: str) -> str:
    """Raises Unsaid."""
    for _ in range(TRIES):  # a job that is requeued or cancelled gets a SIGTERM, and so does what we have just asked
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=ANSWER_SECONDS, stdin=subprocess.DEVNULL, check=False,
                env=os.environ | {"SLURM_TIME_FORMAT": "standard"},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unsaid(f"{words[0]}: {error}") from error
        if done.returncode >= 0:
            break
    if done.returncode:
        raise Unsaid(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _time(words: str | None) -> float | None:
    try:
        return datetime.datetime.fromisoformat(words or "").timestamp()
    except ValueError:
        return None  # Unknown, N/A


def _limit(words: str) -> float | None:
    """Seconds of `days-hours:minutes:seconds`; None for UNLIMITED."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", words)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
