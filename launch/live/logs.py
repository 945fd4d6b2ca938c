"""`muster logs`: what the ranks of a run wrote, and with -f what they write, over all attempts until the run ends."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cluster.errors import EXIT_DONE, PlanError, RunError
from cluster.runs import RunFolder
from launch import local
from launch.live.signs import LOST_SECONDS
from launch.live.state import Condition, Observer
from launch.live.status import folder

SECONDS_BETWEEN_LOOKS = 0.25
FIRST_LINES = 10
"""Of each log, where somebody follows it from here on."""
LOST_FOR_GOOD_SECONDS = 4 * LOST_SECONDS
CHUNK_BYTES = 1 << 16


class Log:
    """One growing file; `name` stands before each of its lines."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._offset = 0

    def skip_to_end(self, lines: int) -> None:
        """Leave out all but the last lines."""
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - CHUNK_BYTES))
                kept = file.read().splitlines(keepends=True)[-lines:]
        except FileNotFoundError:
            return
        self._offset = size - sum(map(len, kept))

    def show(self, rest: bool = False) -> None:
        """Print what is new in whole lines, and with `rest` also what has no end of line."""
        while contents := self._read():
            length = contents.rfind(b"\n") + 1
            if length == 0 and (rest or len(contents) == CHUNK_BYTES):
                length = len(contents)
            if length == 0:
                return
            for line in contents[:length].removesuffix(b"\n").split(b"\n"):
                print(f"{self.name}{line.decode('utf-8', 'replace')}")
            self._offset += length

    def _read(self) -> bytes:
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0  # somebody has cut it off
                file.seek(self._offset)
                return file.read(CHUNK_BYTES)
        except FileNotFoundError:
            return b""


def logs(options: argparse.Namespace) -> int:
    """Print them. Raises RunError for a rank or an attempt that is not there, PlanError for options at odds."""
    run = folder(Path(options.run))
    observer = Observer(run)
    if options.follow and options.attempt is not None:
        raise PlanError(
            "--attempt shows one attempt, -f follows the run over all that are to come: leave one of them out."
        )
    if options.follow:
        return _follow(run, observer, options.rank)
    attempt = _attempt(run, options.attempt)
    if attempt is None:
        _nothing_yet(run, observer.look())
        return EXIT_DONE
    for log in _of_ranks(run, attempt, options.rank):
        log.show(rest=True)
    return EXIT_DONE


def _attempt(run: RunFolder, asked: int | None) -> int | None:
    """Which attempt to show; None if there is none yet. Raises RunError."""
    there = [number for number in range(run.attempts()) if run.attempt_logs(number).is_dir()]
    if asked is None:
        return there[-1] if there else None
    if asked not in there:
        known = f"its attempts are {', '.join(map(str, there))}" if there else "it has none yet"
        raise RunError(f"{run.path} has no attempt {asked}: {known}.")
    return asked


def _of_ranks(run: RunFolder, attempt: int, rank: int | None) -> list[Log]:
    """The logs of an attempt. Raises RunError for a rank that has none."""
    ranks = ranks_of(run, attempt)
    if rank is None:
        width = len(str(max(ranks, default=0)))
        return [Log(run.rank_log(attempt, one), f"[rank {one:>{width}}] ") for one in ranks]
    if rank not in ranks:
        known = f"its ranks are {ranks[0]} to {ranks[-1]}" if ranks else "no rank has written anything"
        raise RunError(f"Attempt {attempt} of {run.path} has no log of rank {rank}: {known}.")
    return [Log(run.rank_log(attempt, rank), "")]


def ranks_of(run: RunFolder, attempt: int) -> list[int]:
    """The ranks that have a log."""
    names = [
        path.name.removeprefix("rank-").removesuffix(".log") for path in run.attempt_logs(attempt).glob("rank-*.log")
    ]
    return sorted(int(name) for name in names if name.isdecimal())


def _nothing_yet(run: RunFolder, found: Condition) -> None:
    """Before the first attempt: what the batch job said, and how the run is."""
    for log in _of_jobs(run):
        log.show(rest=True)
    local.say(f"{run.path} is {found.state}{f': {found.detail}' if found.detail else ''}")


def _of_jobs(run: RunFolder) -> list[Log]:
    return [Log(path, "[job] ") for path in sorted(run.logs.glob("job-*.log"))]


class Following:
    """All logs of a run that grow, over its attempts. `rank`: this one alone."""

    def __init__(self, run: RunFolder, rank: int | None) -> None:
        self.run, self.rank = run, rank
        self._logs: dict[Path, Log] = {}
        self._attempt: int | None = None
        self._first = True

    def show(self, rest: bool = False) -> None:
        """Print what is new in any of them; what came before the first call, but for its last lines, is left out."""
        self._look_for_more()
        for log in self._logs.values():
            log.show(rest)
        sys.stdout.flush()
        self._first = False

    def _look_for_more(self) -> None:
        attempt = _attempt(self.run, None)
        if attempt != self._attempt and attempt is not None:
            for path, log in list(self._logs.items()):
                if path.parent != self.run.logs:  # of the attempt before
                    log.show(rest=True)
                    del self._logs[path]
            if not self._first:
                local.say(f"attempt {attempt} begins")
            self._attempt = attempt
        for log in self._there():
            if log.path not in self._logs:
                if self._first:
                    log.skip_to_end(FIRST_LINES)
                self._logs[log.path] = log

    def _there(self) -> Sequence[Log]:
        if self._attempt is None:
            return _of_jobs(self.run)
        ranks = ranks_of(self.run, self._attempt)
        if self.rank is not None:
            return _of_ranks(self.run, self._attempt, self.rank) if self.rank in ranks else []
        return [*_of_jobs(self.run), *_of_ranks(self.run, self._attempt, None)]


def _follow(run: RunFolder, observer: Observer, rank: int | None) -> int:
    """Until the run has ended, or nobody has looked after it for a minute. Ctrl-C leaves the run alone."""
    following, told = Following(run, rank), ("", "")
    try:
        while True:
            found = observer.look()  # before the logs: what was written until the end is shown
            over = not found.is_going or _is_lost_for_good(found)
            following.show(rest=over)
            told = _tell(found, told)
            if over:
                return EXIT_DONE
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        local.say(f"no longer following; {run.path} goes on")
        return EXIT_DONE


def _is_lost_for_good(found: Condition) -> bool:
    age = found.seen.age_seconds
    return found.state == "lost" and age is not None and age > LOST_FOR_GOOD_SECONDS


def _tell(found: Condition, told: tuple[str, str]) -> tuple[str, str]:
    """Say how the run is where that is news; that it runs is none."""
    queued = found.seen.queued
    news = (found.state, queued.reason if queued and queued.waits else "")
    if news != told and found.state not in ("running", "starting"):
        local.say(f"{found.run.path} is {found.state}{f': {found.detail}' if found.detail else ''}")
        if not found.is_going and found.words:
            local.say(found.words)
    return news
