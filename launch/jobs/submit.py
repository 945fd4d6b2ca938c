"""`muster submit`: a checked recipe becomes a Slurm job, with a run folder that is there before the job is."""

import argparse
import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cluster.data.durable import write_atomically
from cluster.errors import EXIT_DONE, InfrastructureError, RunError
from cluster.runs import RunFolder
from launch.jobs import scheduler
from launch.jobs.request import Request, job_of, request_of


def submit(options: argparse.Namespace) -> int:
    """Check, reserve the run folder, submit; or show what would be submitted."""
    request = request_of(options)
    if options.dry_run:
        _show(request, options.json)
        return EXIT_DONE
    with _reserved(request.runs.values()):
        job = scheduler.submitted(request.command, os.environ | {"MUSTER": str(request.muster)})
    ids = {run: f"{job}_{task}" if task else job for task, run in request.runs.items()}
    for run, name in ids.items():
        _write_job(run, job, name, request.command)
    if options.json:
        runs = [{"run": str(run.path), "job": name} for run, name in ids.items()]
        print(json.dumps({"job": job, "runs": runs, "command": request.command}, indent=2))
    else:
        print("\n".join([*request.lines, *_ways_on(job, ids)]))
    return EXIT_DONE


@contextlib.contextmanager
def _reserved(runs: Iterable[RunFolder]) -> Iterator[None]:
    """The folders of runs and their logs, made; unmade if the block fails. Raises RunError."""
    made: list[Path] = []
    try:
        for run in runs:
            for folder in reversed([run.logs, *run.logs.parents]):
                if not folder.exists():
                    folder.mkdir()
                    made.append(folder)
        yield
    except BaseException as error:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # somebody else has put something there
                folder.rmdir()
        if isinstance(error, OSError):
            raise RunError(
                f"The run folder {error.filename} cannot be made ({error.strerror}). Choose another with --run DIR."
            ) from error
        raise


def _write_job(run: RunFolder, job: str, name: str, command: Sequence[str]) -> None:
    """Leave word of the job in its run folder, unless it was quicker and has done so itself.

    Raises InfrastructureError.
    """
    if job_of(run) == name:
        return
    submitted = int(run.logs.stat().st_mtime)  # by the clock of the file system, as everybody else sees it
    contents = {"job": job, "array": name if name != job else "", "submitted": submitted, "command": list(command)}
    try:
        write_atomically(run.job, json.dumps(contents, indent=2).encode() + b"\n")
    except OSError as error:
        raise InfrastructureError(
            f"Job {name} is queued, but {run.job} cannot be written ({error.strerror}). `squeue --me` tells of the "
            "job, which writes the file itself when it begins."
        ) from error


def _show(request: Request, as_json: bool) -> None:
    script = request.script.read_text(encoding="utf-8")
    if as_json:
        runs = [{"run": str(run.path), "job": None} for run in request.runs.values()]
        print(json.dumps({"job": None, "runs": runs, "command": request.command, "script": script}, indent=2))
        return
    print("\n".join(request.lines))
    print(f"\n{request.script}:\n\n{script}", end="")


def _ways_on(job: str, ids: Mapping[RunFolder, str]) -> list[str]:
    """What a person needs next."""
    runs = [str(run.path) for run in ids]
    where = f"run {runs[0]}" if len(runs) == 1 else f"{len(runs)} runs, {runs[0]} to {runs[-1]}"
    return [
        f"job {job}, {where}",
        f"  muster status {runs[0]}",
        f"  muster watch {runs[0]}",
        f"  muster logs {runs[0]} -f",
        f"  muster stop {runs[0]}",
    ]
