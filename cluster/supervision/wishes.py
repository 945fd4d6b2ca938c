"""Who wants a run to stop: a signal, `muster stop`, or the end of the job's time."""

import signal
import time
from collections.abc import Callable
from types import FrameType

from cluster.processes import STOP_SIGNALS, Follower
from cluster.runs import RunFolder
from cluster.supervision.slurm import Job, Unsaid, ask

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_QUESTIONS = 60.0
"""To Slurm: a job's time can be changed."""
SPARE_SECONDS = 10.0


class Wishes:
    """`stop` says why to save a checkpoint and end; `is_urgent`, to end at once."""

    def __init__(self, run: RunFolder, job: Job | None, now: Callable[[], float] = time.time) -> None:
        self._run, self._job, self._now = run, job, now
        self.stop = ""
        self.is_signal = self.is_urgent = False
        self.was_asked_by_person = False
        """By `muster stop`, or on the terminal: the job must not go on by itself."""
        self._looked = self._asked = -SECONDS_BETWEEN_QUESTIONS
        self._ends_at: float | None = None
        self._metrics = Follower(run.metrics)
        self._step_seconds = self._save_seconds = 0.0
        self._last_step = 0

    def listen(self) -> None:
        """To signals, from now on; they set a flag and nothing else."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._hear)

    def look(self) -> None:
        """At the stop request and the clock, when it is time to."""
        if time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = time.monotonic()
        self._look_at_request()
        if self._job is not None and not self.stop:
            self._look_at_clock(self._job)

    def obeyed(self) -> None:
        """The run has stopped: the request is answered."""
        self._run.stop_request.unlink(missing_ok=True)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if not self.stop:
            self.stop, self.is_signal = signal.Signals(number).name, True
        self.was_asked_by_person |= number == signal.SIGINT

    def _look_at_request(self) -> None:
        try:
            words = self._run.stop_request.read_text(encoding="utf-8").strip()
        except OSError:
            return
        self.stop = self.stop or "muster stop"
        self.was_asked_by_person = True
        self.is_urgent |= words == "now"

    def _look_at_clock(self, job: Job) -> None:
        if time.monotonic() - self._asked > SECONDS_BETWEEN_QUESTIONS:
            self._asked = time.monotonic()
            try:
                self._ends_at = ask(job).ends_at
            except Unsaid:
                return  # the controller may be down for a while: what it said last still holds
        self._time_steps()
        if self._ends_at is not None and self._now() > self._ends_at - self.needed_seconds():
            self.stop = "the job's time is nearly over"

    def needed_seconds(self) -> float:
        """To end in good order: two steps, two checkpoints, and something to spare."""
        return SPARE_SECONDS + 2 * (self._step_seconds + self._save_seconds)

    def _time_steps(self) -> None:
        for record in self._metrics.new():
            match record:
                case {"kind": "checkpoint", "seconds": float() as seconds}:
                    self._save_seconds = max(self._save_seconds, seconds)
                case {"kind": "step", "step": int() as step, "seconds": dict() as seconds}:
                    self._step_seconds = sum(seconds.values()) / max(1, step - self._last_step)
                    self._last_step = step
