"""Signs of life of a run: what its supervisor leaves about once a second, and how old that is.

The age is told by the clock of the file system that holds the run, so that it is right on any node, whatever its own
clock says.
"""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.errors import RunError
from cluster.runs import RunFolder, read_json

LOST_SECONDS = 15.0
"""Signs come every second. A network file system may show them seconds late, and a full node may miss a few."""
MOVES_WITHIN_SECONDS = 3.0
LOOK_SECONDS = 0.25

Signs = Mapping[str, Any]


def read_signs(run: RunFolder) -> Signs:
    """What the supervisor last said; empty if it says nothing. Raises RunError for a file that is not whole."""
    try:
        return read_json(run.alive)
    except RunError:
        if run.alive.exists():
            raise
        return {}  # there is none, or it was removed meanwhile


def age_seconds(run: RunFolder) -> float | None:
    """How old the newest sign is; None if there is none."""
    try:
        written = run.alive.stat().st_mtime
    except FileNotFoundError:
        return None
    now = _now(run.path)
    if now is None:  # not a folder that we may write to: see whether the signs move
        return 0.0 if _moves(run) else max(time.time() - written, MOVES_WITHIN_SECONDS)
    return max(0.0, now - written)


class Heart:
    """Watches the signs of one run with a clock of its own, and writes nothing after the first look."""

    def __init__(self, run: RunFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self.run, self.clock = run, clock
        self._beat: object = None
        self._since = clock()
        self._age: float | None = None

    def age_seconds(self) -> float | None:
        """How long no new sign has come; None if the run gives none."""
        beat = _beat(read_signs(self.run))
        if beat is None:
            self._beat = None
            return None
        if self._beat is None:
            self._age = age_seconds(self.run)
        if beat != self._beat:
            self._age = self._age if self._beat is None else 0.0
            self._beat, self._since = beat, self.clock()
        return None if self._age is None else self._age + self.clock() - self._since


def _now(folder: Path) -> float | None:
    """What time it is for the file system that holds a folder; None if it lets us make no file."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:  # it never has a name
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


def _moves(run: RunFolder) -> bool:
    before, end = _beat(read_signs(run)), time.monotonic() + MOVES_WITHIN_SECONDS
    while time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        if _beat(read_signs(run)) != before:
            return True
    return False


def _beat(signs: Signs) -> object:
    """What changes from one sign to the next; a supervisor that is started anew counts from the beginning."""
    return (signs.get("host"), signs.get("pid"), signs.get("beat")) if signs else None
