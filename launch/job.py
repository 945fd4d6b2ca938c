"""`muster train` inside a batch job of Slurm: which run is the job's own, and what becomes of the job."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.data.durable import write_atomically
from cluster.errors import EXIT_CHECKPOINTED, EXIT_INFRASTRUCTURE, InfrastructureError
from cluster.runs import RunFolder, read_json
from cluster.supervision.requeue import start_again
from cluster.supervision.slurm import Job, job_of
from launch import local

MOST_RESTARTS = 20
"""A preparation that was interrupted so often is not requeued again: nobody sees whether it gets on."""


def this_job() -> Job | None:
    """The batch job that this process is the script of. Raises PlanError for one of several tasks of a step."""
    return job_of(os.environ)


def is_own(run: RunFolder, job: Job) -> bool:
    """Has this job begun the run before it was requeued?"""
    if not (run.record.exists() and run.job.exists()):
        return False
    known = read_json(run.job)
    return job.name in (known.get("array") or known.get("job"), known.get("job"))


def note(run: RunFolder, job: Job) -> None:
    """Write down in the run's folder which job it belongs to, if `muster submit` has not."""
    if run.job.exists():
        return
    array, _, task = job.name.partition("_")
    contents = {"job": array, "array": job.name if task else "", "submitted": time.time(), "command": []}
    write_atomically(run.job, json.dumps(contents).encode() + b"\n")


@contextmanager
def requeued_if_interrupted(job: Job | None) -> Iterator[None]:
    """Around what comes before the first attempt: a preparation that a signal or the machine has ended goes on in the
    same job, started again."""
    try:
        yield
    except (local.ChildFailed, InfrastructureError) as failed:
        if job is not None and failed.exit_code in (EXIT_CHECKPOINTED, EXIT_INFRASTRUCTURE):
            too_often = f"not requeued: it has been started {job.restart} times again already"
            local.say(start_again(job, ()) if job.restart < MOST_RESTARTS else too_often)
        raise
