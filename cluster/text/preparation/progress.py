"""How far preparation is: a live line on a terminal, plain lines now and then elsewhere, always on standard error."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

PLAIN_LINE_SECONDS = 15.0


class RowsRead:
    """Counts rows. Their total is known only once all files were read: so there is no bar, but a count and a speed."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._rows = say, 0
        self._live: Any = None
        self._task: Any = None

    def __enter__(self) -> "RowsRead":
        self._began = self._told = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("tokenizing  {task.fields[told]}"), TimeElapsedColumn())
            self._live = Progress(*columns, console=Console(stderr=True), transient=True)
            self._live.start()
            self._task = self._live.add_task("", total=None, told="")
        return self

    def add(self, rows: int) -> None:
        self._rows += rows
        now = time.monotonic()
        told = f"{self._rows:,} rows, {self._rows / max(now - self._began, 1e-3):,.0f} a second"
        if self._live is not None:
            self._live.update(self._task, told=told)
        elif now - self._told > PLAIN_LINE_SECONDS:
            self._told = now
            self._say(f"tokenized {told}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
