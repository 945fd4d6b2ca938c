"""How far a check of files has got: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from launch.watch import is_terminal

SECONDS_BETWEEN_LINES = 15.0


class Checking:
    """Use as a context, so that a bar is put away; `add` the bytes of each file that was checked."""

    def __init__(self, total_bytes: int) -> None:
        self._shown = _Bar(total_bytes) if is_terminal() else Lines(total_bytes, sys.stderr)

    def add(self, count: int) -> None:
        self._shown.add(count)

    def __enter__(self) -> "Checking":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._shown.close()


class Lines:
    """A line every few seconds; none if all is done before that."""

    def __init__(self, total_bytes: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._stream, self._clock = total_bytes, stream, clock
        self._read, self._said_at = 0, clock()

    def add(self, count: int) -> None:
        self._read += count
        if self._clock() - self._said_at >= SECONDS_BETWEEN_LINES:
            self._said_at = self._clock()
            print(f"checked {self._read:,} of {self._total:,} bytes", file=self._stream, flush=True)

    def close(self) -> None:
        pass


class _Bar:
    def __init__(self, total_bytes: int) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("checking"),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True, highlight=False),
        )
        self._task = self._bar.add_task("checking", total=total_bytes)
        self._bar.start()

    def add(self, count: int) -> None:
        self._bar.update(self._task, advance=count)

    def close(self) -> None:
        self._bar.stop()
