"""A run's sign of life, `alive.json`: written once a second by who supervises it, so that every node that sees the
folder can tell that it runs, and how far each rank is."""

import json
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

from cluster.errors import RunError
from cluster.runs import RunFolder, read_json

State = Literal["starting", "training", "stopping", "waiting"]
SECONDS_BETWEEN_SIGNS = 1.0
WATCHED_SECONDS = 3.5
"""A sign that has not changed for so long is one of a supervisor that is gone."""
SECONDS_BETWEEN_LOOKS = 0.1


class Signs:
    """Gives a sign of life when it is time for one. `take_away` at the end."""

    def __init__(self, run: RunFolder, job: str) -> None:
        self._run, self._job = run, job
        self._beat = 0
        self._due = 0.0
        self.attempt = 0
        self.restarts = 0
        self.nodes: Sequence[str] = ()
        self.words = ""

    def give(self, state: State, ranks: Sequence[dict[str, Any]] = (), *, now: bool = False) -> None:
        if time.monotonic() < self._due and not now:
            return
        self._due = time.monotonic() + SECONDS_BETWEEN_SIGNS
        self._beat += 1
        contents = {
            "time": time.time(),
            "beat": self._beat,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": self._job,
            "attempt": self.attempt,
            "state": state,
            "nodes": list(self.nodes),
            "restarts": self.restarts,
            "words": self.words,
            "ranks": list(ranks),
        }
        beside = self._run.alive.with_suffix(".partial")
        with suppress(OSError):  # a full disk is for the checkpoint to complain of
            beside.write_text(json.dumps(contents))  # no fsync: after a crash of the machine it is not true anyway
            os.replace(beside, self._run.alive)

    def take_away(self) -> None:
        with suppress(OSError):
            self._run.alive.unlink(missing_ok=True)


def refuse_alive(run: RunFolder) -> None:
    """A lock holds on one node only where the file system is shared by some protocols: a supervisor on another node
    shows by its signs. Raises RunError if there is one."""
    first = _sign(run)
    if first is None or first.get("host") == socket.gethostname():
        return  # of this node: it would hold the lock
    end = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < end:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        later = _sign(run)
        if later is not None and later.get("beat") != first.get("beat"):
            job = f", job {later['job']}" if later.get("job") else ""
            raise RunError(
                f"{run.path} is being trained on {later.get('host')} (process {later.get('pid')}{job}): wait for it, "
                f"or stop it first, with: muster stop {run.path}"
            )


def _sign(run: RunFolder) -> dict[str, Any] | None:
    try:
        return read_json(run.alive)
    except RunError:
        return None
