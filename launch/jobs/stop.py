"""`muster stop`: a request in the run folder that whoever looks after the run obeys, wherever that is."""

import argparse
import contextlib
import json
import time
from pathlib import Path

from cluster.data.durable import write_atomically
from cluster.errors import EXIT_DONE, InfrastructureError, RunError
from cluster.runs import RunFolder, is_reserved
from launch import local
from launch.jobs import scheduler
from launch.live.state import Condition, Observer, conditions
from launch.live.status import folder

SECONDS_BETWEEN_LOOKS = 0.25
OVER_SECONDS = 120.0
"""How long a cancelled job may take to leave Slurm's queue: KillWait (30 s by default) and an epilog."""


def stop(options: argparse.Namespace) -> int:
    """Ask the run to end; wait for its verdict. Raises RunError if there is nothing to stop."""
    run = folder(Path(options.run))
    (found,) = conditions([run])
    if not found.is_going:
        raise RunError(f"{run.path} is not running, it is {found.state}{_because(found)}: there is nothing to stop.")
    if found.state == "lost":
        raise InfrastructureError(f"{run.path} is lost: {found.detail}. Nobody is there to obey; {found.next}")
    if found.seen.is_alive:
        return _request(run, options)
    if found.seen.queued:
        return _cancel(run, found.seen.job, options)
    raise RunError(
        f"{run.path} was started by another launcher, which looks for no requests: end it there (Ctrl-C, or `kill "
        "-TERM` for torchrun); it saves a checkpoint."
    )


def _request(run: RunFolder, options: argparse.Namespace) -> int:
    observer, how = Observer(run), "now" if options.now else "checkpoint"
    try:
        write_atomically(run.stop_request, how.encode())
        _say(f"asked {run.path} to {'end now' if options.now else 'save a checkpoint and end'}")
        if not options.wait:
            return _told(run, observer.look(), options)
        found = _ended(observer)
    except OSError as error:
        raise RunError(f"The request cannot be left in {run.path} ({error.strerror}).") from error
    except KeyboardInterrupt:
        if run.stop_request.exists():
            _say(f"not waiting any longer; the request stands (`muster status {run.path}`)")
        raise
    with contextlib.suppress(FileNotFoundError):  # it ended by itself in that moment: nobody is to obey this later
        run.stop_request.unlink()
    return _told(run, found, options)


def _cancel(run: RunFolder, job: str, options: argparse.Namespace) -> int:
    """The job waits, or has not begun to train: nothing is lost, and nobody is there to be asked."""
    scheduler.cancel(job)
    if options.wait:
        end = time.monotonic() + OVER_SECONDS
        while job in scheduler.queue([job]).jobs and time.monotonic() < end:
            time.sleep(SECONDS_BETWEEN_LOOKS)
    (found,) = conditions([run])
    over = found.seen.queued is None and not found.seen.unknown
    if not (over and is_reserved(run) and not any(run.logs.iterdir())):
        _say(f"cancelled job {job}")
        return _told(run, found, options)
    run.job.unlink()
    run.logs.rmdir()
    run.path.rmdir()
    words = f"job {job} is cancelled; {run.path} held nothing yet and is gone"
    print(json.dumps({"run": str(run.path), "state": "cancelled", "verdict": None}) if options.json else words)
    return EXIT_DONE


def _ended(observer: Observer) -> Condition:
    """How it is once it has ended. Raises InfrastructureError if it gives no sign of life any more."""
    while True:
        found = observer.look()
        if not found.is_going or found.state == "queued":
            return found
        if found.state == "lost":
            raise InfrastructureError(
                f"{found.run.path} has not obeyed: {found.detail}. The request stands. "
                f"{found.next[:1].upper()}{found.next[1:]}"
            )
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _told(run: RunFolder, found: Condition, options: argparse.Namespace) -> int:
    verdict = found.seen.verdict if not found.is_going else {}
    if options.json:
        print(json.dumps({"run": str(run.path), "state": found.state, "verdict": verdict or None}, indent=2))
    elif not found.is_going:
        print(f"{run.path} is {found.state}{_because(found)}")
    else:
        print(f"{run.path} is {found.state}: {found.detail}")
    return EXIT_DONE


def _because(found: Condition) -> str:
    words = str(found.seen.verdict.get("message") or found.detail)
    return f" ({words})" if words else ""


def _say(line: str) -> None:
    local.say(line)
