"""How a run gets on, read from its folder: a progress bar on a terminal, plain lines elsewhere.

The run never talks to a display; it appends to `metrics.jsonl`, and this follows the file.
"""

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TextIO

from cluster.errors import RunError
from cluster.processes import Follower, Record
from cluster.runs import RunFolder, read_json

SECONDS_BETWEEN_LINES = 5.0  # plain lines: a log is read later, and by people
SECONDS_BETWEEN_EVALUATIONS = 1.0  # a tiny data set has hundreds of epochs a second; `metrics.jsonl` holds them all


class Display(Protocol):
    """Where progress is shown."""

    def say(self, line: str) -> None: ...

    def step(self, record: Record, total: int | None) -> None: ...

    def close(self) -> None: ...


class Lines:
    """Plain lines, not more often than every few seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self._said_at = -SECONDS_BETWEEN_LINES
        self._first: tuple[float, int] | None = None

    def say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)

    def step(self, record: Record, total: int | None) -> None:
        now, step = self.clock(), int(record["step"])
        if self._first is None or step < self._first[1]:
            self._first = (now, step)
        if now - self._said_at < SECONDS_BETWEEN_LINES and step != total:
            return
        self._said_at = now
        done = f"step {step:,}" + (f"/{total:,}" if total else "")
        self.say(
            "  ".join(
                [done, f"epoch {int(record.get('epoch', 0)) + 1}", *figures(record), *self._left(now, step, total)]
            )
        )

    def _left(self, now: float, step: int, total: int | None) -> list[str]:
        began, first = self._first or (now, step)
        if not total or step <= first or step >= total:
            return []
        return [f"{_duration((now - began) / (step - first) * (total - step))} left"]

    def close(self) -> None:
        pass


class Bar:
    """A bar on the terminal, from the first step on; what is said stands above it."""

    def __init__(self) -> None:
        from rich import progress
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[figures]}"),
            progress.TimeRemainingColumn(),
            console=self.console,
        )
        self._task: progress.TaskID | None = None

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def step(self, record: Record, total: int | None) -> None:
        if self._task is None:
            self.bar.start()
            self._task = self.bar.add_task("training", figures="")
        self.bar.update(
            self._task,
            completed=int(record["step"]),
            total=total,
            description=f"epoch {int(record.get('epoch', 0)) + 1}",
            figures="  ".join(figures(record)),
        )

    def close(self) -> None:
        self.bar.stop()


class Watch:
    """Follows one attempt at a run. Call `poll` a few times a second; use as a context, so that a bar is put away."""

    def __init__(
        self,
        run: RunFolder,
        metric: str,
        display: Display | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = run
        self.clock = clock
        self.metric = metric
        self.display = display or (Bar() if is_terminal() else Lines(sys.stderr))
        self._follower = Follower(run.metrics)
        self._follower.new()  # what earlier attempts wrote has been shown
        self._total: int | None = None
        self._validation = ""
        self._evaluation_said_at = -SECONDS_BETWEEN_EVALUATIONS

    @property
    def is_live(self) -> bool:
        """Whether other processes' lines must pass through `say`, because a bar would wipe them out."""
        return isinstance(self.display, Bar)

    def say(self, line: str) -> None:
        self.display.say(line)

    def poll(self) -> None:
        """Show what is new."""
        for record in self._follower.new():
            self._show(record)

    def _show(self, record: Record) -> None:
        if not isinstance(record.get("step"), int):
            return
        if self._total is None:
            self._total = self._read_total()
        match record.get("kind"):
            case "step":
                self.display.step({**record, "validation": self._validation}, self._total)
            case "evaluation":
                if isinstance(record.get(self.metric), (int, float)):
                    self._validation = f"{self.metric} {record[self.metric]:.4f}"
                if self._is_due(record):
                    self._evaluation_said_at = self.clock()
                    self.display.say(evaluation_line(record, self.metric))
            case "note":
                self.display.say(f"muster: {record.get('message')}")
            case _:
                pass  # checkpoints are no news to a person

    def _is_due(self, record: Record) -> bool:
        return record["step"] == self._total or self.clock() - self._evaluation_said_at >= SECONDS_BETWEEN_EVALUATIONS

    def _read_total(self) -> int | None:
        try:
            total = read_json(self.run.plan).get("total_steps")
        except RunError:
            return None  # not written yet
        return total if isinstance(total, int) else None

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.display.close()


def is_terminal() -> bool:
    """Whether standard error can show a bar."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def figures(record: Record) -> list[str]:
    """What a step's record tells a person."""
    shown = []
    if isinstance(record.get("loss"), (int, float)):
        shown.append(f"loss {record['loss']:.4f}")
    if isinstance(record.get("tokens_per_second"), (int, float)):
        shown.append(f"{record['tokens_per_second']:,.0f} tokens/s")
    if record.get("validation"):
        shown.append(str(record["validation"]))
    return shown


def evaluation_line(record: Record, metric: str) -> str:
    """One evaluation in a line: the metric that decides first, then the best known others."""
    names = dict.fromkeys([metric, "bits_per_byte", "perplexity", "accuracy", "spearman", "loss"])
    shown = [f"{name} {record[name]:.4f}" for name in names if isinstance(record.get(name), (int, float))]
    best = "  (best so far)" if record.get("best") else ""
    return f"step {record['step']:,}  {record.get('split', 'validation')}: {'  '.join(shown)}{best}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
