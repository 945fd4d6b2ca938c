"""The same work again and again within a time, and what its times say."""

import statistics
import time
from collections.abc import Callable, Sequence

from cluster.topology.limits import Limit
from cluster.topology.rate import Rate

Work = Callable[[], object]
MOST_TRIALS = 50


def timed(work: Work, seconds: float, most: int = MOST_TRIALS) -> list[float]:
    """Seconds of each trial: one to warm up, which is not counted, then as many as the time allows, at least one."""
    return repeated(lambda: lasted(work), seconds, most)


def repeated(trial: Callable[[], float], seconds: float, most: int = MOST_TRIALS) -> list[float]:
    """The same for a trial that takes its own time."""
    end = time.perf_counter() + seconds
    trial()
    taken = [trial()]
    while len(taken) < most and time.perf_counter() + taken[-1] < end:
        taken.append(trial())
    return taken


def lasted(work: Work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rate(
    what: str,
    where: str,
    how: str,
    *,
    amount: float,
    unit: str,
    seconds: Sequence[float],
    limit: Limit,
    under_load: dict[str, str | int | float] | None = None,
) -> Rate:
    """A figure of the record: `amount` was done in each trial."""
    return Rate(
        what=what,
        where=where,
        how=how,
        value=amount / statistics.median(seconds),
        unit=unit,
        low=amount / max(seconds),
        high=amount / min(seconds),
        trials=len(seconds),
        limit=limit.value,
        limit_reason=limit.reason,
        under_load=under_load,
    )
