"""What Slurm is told and asked: to queue a job, what has become of jobs, to cancel one."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.errors import InfrastructureError, MusterError, PlanError

ANSWER_SECONDS = 20
"""Slurm's own commands try for minutes to reach a controller that is gone."""
SUBMIT_SECONDS = 600  # sbatch is not given up early: the job may have been queued, and only the answer be late
AWAY = re.compile(r"unable to contact|socket timed out|connection refused|connect failure|not responding", re.I)
"""What Slurm's commands say when there is nobody to answer, in words of slurm_errno.c."""
UNKNOWN_JOB = "Invalid job id"  # slurm_errno.c
COLUMNS = "%i|%T|%r|%S|%N"  # squeue.html, "--format": id, state, reason, (expected) start, nodes
NOT_KNOWN = ("", "N/A", "Unknown", "None")


@dataclass(frozen=True, slots=True)
class Job:
    """A job that Slurm has not forgotten: one that waits, runs, or is just ending."""

    id: str
    """123; a task of an array is 120_3."""
    state: str
    """PENDING, RUNNING, COMPLETING, ..."""
    reason: str
    """Why it waits; empty if Slurm gives none."""
    start: str
    """When it began, or is expected to; empty if Slurm cannot tell."""
    nodes: str
    """As Slurm writes them: h[1-2]."""

    @property
    def waits(self) -> bool:
        return self.state == "PENDING"


@dataclass(frozen=True, slots=True)
class Queue:
    """What squeue says of the jobs it was asked for. A job that it does not list is over."""

    jobs: Mapping[str, Job] = field(default_factory=dict)
    unknown: str = ""
    """Why nothing can be said of them, if so."""


def submitted(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Queue a job with `sbatch --parsable ...`; returns its id.

    Raises PlanError if Slurm refuses it, InfrastructureError if Slurm does not answer; both with sbatch's own words.
    """
    if shutil.which(command[0]) is None:
        raise PlanError(
            f"There is no {command[0]} on this machine: submit on a login node of the cluster, or train here with "
            "`muster train`. `--dry-run` shows what would be submitted."
        )
    done = _run(command, SUBMIT_SECONDS, environment)
    said = " ".join(line.removeprefix("sbatch: error: ") for line in done.stderr.splitlines())
    if done.returncode:
        error: type[MusterError] = InfrastructureError if AWAY.search(said) else PlanError
        raise error(f"sbatch refused the job: {said or f'exit code {done.returncode}'}")
    job = done.stdout.strip().partition(";")[0]  # behind the semicolon: the name of the cluster
    if not job.isdigit():
        raise InfrastructureError(f"sbatch gave no job id but {done.stdout.strip()!r}: look with squeue --me.")
    return job


def queue(ids: Iterable[str]) -> Queue:
    """What has become of jobs, or of tasks of arrays."""
    wanted = sorted(set(ids))
    if not wanted:
        return Queue()
    if shutil.which("squeue") is None:
        return Queue(unknown="there is no squeue on this machine")
    jobs = ",".join(sorted({one.partition("_")[0] for one in wanted}))
    try:
        done = _run(["squeue", "--noheader", "--array", f"--jobs={jobs}", f"--format={COLUMNS}"])
    except InfrastructureError as error:
        return Queue(unknown=str(error))
    if done.returncode and UNKNOWN_JOB not in done.stderr:
        return Queue(unknown=" ".join(done.stderr.split()) or f"squeue ended with {done.returncode}")
    found = {job.id: job for line in done.stdout.splitlines() if (job := _job(line))}
    return Queue({one: found[one] for one in wanted if one in found})


def cancel(job: str) -> None:
    """Take a job out of the queue, or end it. It may be over already. Raises InfrastructureError."""
    if shutil.which("scancel") is None:
        raise InfrastructureError(f"There is no scancel on this machine: on a login node, `scancel {job}` does it.")
    done = _run(["scancel", job])
    if done.returncode and UNKNOWN_JOB not in done.stderr:
        raise InfrastructureError(f"scancel {job} failed: {' '.join(done.stderr.split())}")


def _job(line: str) -> Job | None:
    parts = line.strip().split("|")
    if len(parts) != 5:
        return None
    name, state, *rest = parts
    reason, start, nodes = ("" if words in NOT_KNOWN else words for words in rest)
    return Job(name, state, reason, start.replace("T", " "), nodes)


def _run(
    command: Sequence[str], seconds: float = ANSWER_SECONDS, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Raises InfrastructureError if there is no answer in so many seconds."""
    try:
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise InfrastructureError(
            f"{command[0]} gave no answer in {seconds:g} s: is Slurm's controller up (scontrol ping)?"
        ) from error
    except OSError as error:
        raise InfrastructureError(f"{command[0]} cannot be started ({error.strerror}).") from error
