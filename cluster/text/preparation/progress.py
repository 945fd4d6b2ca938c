"""How far preparation is: a live line on a terminal, plain lines now and then elsewhere, always on standard error."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import psutil

PLAIN_LINE_SECONDS = 15.0
Item = TypeVar("Item")


class Progress:
    """Says how far one stage after another is, how fast it goes and how long it will take."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._live: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        self._told = time.monotonic()
        self.stage("reading")
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Live

            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
            self._live = Live(*columns, console=Console(stderr=True), transient=True)
            self._live.start()
            self._task = self._live.add_task(self._name, total=1.0)
        return self

    def stage(self, name: str) -> None:
        """What is done from now on."""
        self._name, self._rows = name, 0
        self._began: float | None = None

    def rows(self, rows: int, share: float) -> None:
        """So many more rows are done, and in all so large a share of the stage."""
        now = time.monotonic()
        if self._began is None:  # what was there before, and what it takes to begin, says nothing of the speed
            self._began, self._share_began, self._rows_began = now, share, rows
        self._rows += rows
        told = f"{self._name}: {self._rows:,} rows" if rows else self._name
        if now > self._began:
            if rows:
                told += f", {(self._rows - self._rows_began) / (now - self._began):,.0f} a second"
            if share > self._share_began:
                left = (now - self._began) * (1 - share) / (share - self._share_began)
                told += f", {share:.0%}, {duration(left)} left"
        if self._live is not None:
            self._live.update(self._task, description=told, completed=share)
        elif now - self._told > PLAIN_LINE_SECONDS:
            self._told = now
            self._say(told)

    def through(self, name: str, items: Sequence[Item]) -> "Through[Item]":
        """The items; going through them is a stage."""
        return Through(self, name, items)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


class Through(Generic[Item]):
    """Items that can be gone through any number of times, each time a stage."""

    def __init__(self, progress: Progress, name: str, items: Sequence[Item]) -> None:
        self._progress, self._name, self._items = progress, name, items

    def __iter__(self) -> Iterator[Item]:
        self._progress.stage(self._name)
        for done, item in enumerate(self._items):
            self._progress.rows(0, done / len(self._items))
            yield item


def position_in(path: Path) -> int:
    """How many bytes of a file this process has read, if it has it open and reads it from beginning to end; else 0."""
    target = str(path.resolve())
    return max((getattr(one, "position", 0) for one in psutil.Process().open_files() if one.path == target), default=0)


def duration(seconds: float) -> str:
    """In words that are right to about a tenth."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
