"""How long a rank may be at what it is at, judged by how long it took before. Pure."""

import bisect
import math
from collections import deque

from cluster.pulse.phase import Phase

FLOOR_SECONDS = {
    Phase.START: 600.0,  # a cluster's file system may take minutes to hand out torch and the data
    Phase.FIRST_STEP: 600.0,  # compiles
    Phase.STEP: 10.0,
    Phase.VALIDATE: 60.0,  # a batch; the first may compile
    Phase.SAVE: 300.0,
    Phase.SCORE: 60.0,  # a batch
    Phase.LEAVE: 300.0,  # rank 0 may still be writing the model
}
TIMES_P99 = 5
TIMES_FIRST_STEP = 2
WINDOW = 512


class Durations:
    """The last `WINDOW` durations, and their 99th percentile at any time, for a microsecond each."""

    def __init__(self) -> None:
        self._in_order_of_time: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        if len(self._sorted) == WINDOW:
            oldest = self._in_order_of_time.popleft()
            del self._sorted[bisect.bisect_left(self._sorted, oldest)]
        self._in_order_of_time.append(seconds)
        bisect.insort(self._sorted, seconds)

    @property
    def p99(self) -> float:
        """The smallest of them that at least 99 % do not exceed; 0 if there are none."""
        return self._sorted[math.ceil(0.99 * len(self._sorted)) - 1] if self._sorted else 0.0


class Deadline:
    """The seconds each phase may last: its floor, or five times its p99 in this attempt.

    A model that is compiled may be compiled again for a new shape at any time: then also twice what the first step
    took.
    """

    def __init__(self) -> None:
        self.compiles = False
        self._durations = {phase: Durations() for phase in Phase}

    def lasted(self, phase: Phase, seconds: float) -> None:
        self._durations[phase].add(seconds)

    def allowed_seconds(self, phase: Phase) -> float:
        allowed = max(FLOOR_SECONDS[phase], TIMES_P99 * self._durations[phase].p99)
        if self.compiles:
            allowed = max(allowed, TIMES_FIRST_STEP * self._durations[Phase.FIRST_STEP].p99)
        return allowed
