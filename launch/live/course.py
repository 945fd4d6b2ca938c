"""The course of a run as `muster watch` shows it: what it logged, followed as it grows and where it is cut back."""

import dataclasses
from collections import deque

from cluster.processes import Follower
from cluster.runs import RunFolder
from launch.live.curve import Point
from launch.live.progress import RECENT, Progress, Record, metric_of, progress, tail, total_steps
from launch.report.figures import is_number

HISTORY_BYTES = 1 << 16


class Course:
    """Of one run. Call `look` a few times a second."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.losses: list[Point] = []
        """(step, loss) of the logged steps."""
        self.evaluations: list[Record] = []
        """On the validation split."""
        self.attempts: list[Record] = []
        """How the attempts ended, the newest last."""
        self._metric = "loss"
        self._recent: deque[Record] = deque(maxlen=RECENT)
        self._latest: dict[str, int] = {}
        self._follower = Follower(run.metrics)
        self._total: int | None = None

    def look(self) -> None:
        """Read what is new."""
        for record in self._follower.new():
            step = record.get("step")
            if isinstance(step, int):
                kind = str(record.get("kind"))
                self._cut_back(kind, step)
                self._add(kind, step, record)
        self.attempts = tail(self.run.history, HISTORY_BYTES)
        if self._total is None and (total := total_steps(self.run)) is not None:
            self._total, self._metric = total, metric_of(self.run)

    def progress(self, signs: Record, verdict: Record) -> Progress:
        """How far it has got."""
        found = progress(list(self._recent), self._total, signs, verdict)
        evaluation = self.evaluations[-1] if self.evaluations else {}
        return dataclasses.replace(found, evaluation=evaluation, metric=self._metric)

    def _add(self, kind: str, step: int, record: Record) -> None:
        self._latest[kind] = step
        self._recent.append(record)
        if kind == "step" and is_number(record.get("loss")):
            self.losses.append((float(step), float(record["loss"])))
        if kind == "evaluation" and record.get("split", "validation") == "validation":
            self.evaluations.append(record)

    def _cut_back(self, kind: str, step: int) -> None:
        """A resumed run does the steps after its checkpoint again: what was lost is not shown."""
        if step > self._latest.get(kind, -1):
            return
        self._latest = {each: min(last, step - 1) for each, last in self._latest.items()}
        kept = [one for one in self._recent if one["step"] < step]
        self._recent = deque(kept, RECENT)
        while self.losses and self.losses[-1][0] >= step:
            self.losses.pop()
        while self.evaluations and self.evaluations[-1]["step"] >= step:
            self.evaluations.pop()
