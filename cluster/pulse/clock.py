"""The two clocks of a node's ranks, looked at by its agent, which needs nothing of the ranks but their pages and /proc.

A rank is *frozen* if it has not beaten for five seconds, *late* if it has been longer at one thing than its page
allows.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cluster.pulse.page import Page, Pages, Snapshot
from cluster.pulse.phase import Phase
from cluster.pulse.process import Process, look_at

FROZEN_SECONDS = 5.0
UNSETTLED_SECONDS = 60.0
"""Frozen, but not stopped, where libraries are loaded and devices set up or left: all that may hold the interpreter."""
UNSETTLED = (Phase.START, Phase.FIRST_STEP, Phase.LEAVE)
PERIOD_SECONDS = 0.5
LATE_WATCHER_SECONDS = 2.0
MOST_PAUSES = 64

NOT_BEGUN = "has not begun"


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """A rank that does not go on. `dataclasses.asdict` makes it ready for JSON."""

    rank: int
    pid: int
    kind: Literal["frozen", "late"]
    phase: str
    step: int
    seconds: float
    """Frozen: since its last beat. Late: since this step, batch or phase began."""
    allowed_seconds: float
    state: str
    """What the kernel says of it, in words."""


class Clock:
    """Looks at the pages of a node, about every `period_seconds`."""

    def __init__(self, pages: Pages, period_seconds: float = PERIOD_SECONDS) -> None:
        self._pages: Mapping[int, Page] = pages.pages
        self._period_seconds = period_seconds
        self._looked = time.monotonic()
        self._forgiving_until = 0.0
        self._pauses: deque[tuple[float, float]] = deque(maxlen=MOST_PAUSES)

    def look(self, now: float | None = None) -> list[Stuck]:
        """The ranks that are frozen or late, lowest first. A rank that has ended is neither.

        If nobody looked for two seconds more than the period, the whole node was held up (a laptop that slept, a
        machine whose host paused it, a job that was suspended): nobody is then blamed for that time, nor frozen for one
        period after it.
        """
        now = time.monotonic() if now is None else now
        gap = now - self._looked
        if gap > self._period_seconds + LATE_WATCHER_SECONDS:
            self._pauses.append((now, gap))
            self._forgiving_until = now + FROZEN_SECONDS
        self._looked = now
        found = (self._judge(page.read(), now) for _, page in sorted(self._pages.items()))
        return [stuck for stuck in found if stuck is not None]

    def snapshot(self, now: float | None = None) -> list[dict[str, Any]]:
        """What `alive.json` shows of each rank."""
        now = time.monotonic() if now is None else now
        pages = (page.read() for _, page in sorted(self._pages.items()))
        return [
            {
                "rank": one.rank,
                "pid": one.pid,
                "step": one.step,
                "phase": one.phase.word,
                "phase_seconds": round(max(0.0, now - one.since), 3),
                "silent_seconds": round(max(0.0, now - one.beat), 3) if one.beat else 0.0,
            }
            for one in pages
        ]

    def _judge(self, page: Snapshot, now: float) -> Stuck | None:
        process = process_of(page)
        if page.pid and process is None:
            return None  # its end is told by its exit code
        silent = now - page.beat if page.beat else 0.0
        if process is not None and silent > _frozen_after(page.phase, process) and now > self._forgiving_until:
            return _stuck(page, "frozen", silent, in_words(process, silent))
        lasted = now - page.since - sum(gap for at, gap in self._pauses if at > page.since)
        if lasted > page.allowed_seconds:
            return _stuck(page, "late", lasted, in_words(process, silent) if process else NOT_BEGUN)
        return None


def process_of(page: Snapshot) -> Process | None:
    """The rank's own process: not another one that got its number after its end."""
    process = look_at(page.pid) if page.pid else None
    return process if process is not None and process.started_ticks == page.started_ticks else None


def _frozen_after(phase: Phase, process: Process) -> float:
    return UNSETTLED_SECONDS if phase in UNSETTLED and process.state not in "Tt" else FROZEN_SECONDS


def in_words(process: Process, silent_seconds: float) -> str:
    """Behind "the process ..."."""
    match process.state:
        case "T":
            return "is stopped (SIGSTOP)"
        case "t":
            return "is stopped by a debugger"
        case "D":
            return "is in uninterruptible sleep" + (f" ({process.waits_in})" if process.waits_in else "")
        case _ if silent_seconds > FROZEN_SECONDS:
            return "runs, but its interpreter does not answer (the GIL is held)"
        case _:
            return "runs"


def _stuck(page: Snapshot, kind: Literal["frozen", "late"], seconds: float, state: str) -> Stuck:
    return Stuck(
        rank=page.rank,
        pid=page.pid,
        kind=kind,
        phase=page.phase.word,
        step=page.step,
        seconds=round(seconds, 3),
        allowed_seconds=page.allowed_seconds,
        state=state,
    )
