"""What is usual among equals, and which of them fall out of it: medians, for odd ones must not move the mark."""

import statistics
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)

ENOUGH = 4
"""With fewer values nobody can say how much they usually differ."""
DEVIATIONS = 5.0
"""Median absolute deviations: of values that differ by chance alone (a normal distribution) 1 in 2,700 lies as low."""
LEAST_SHARE = 0.10
"""Where all are nearly equal, the deviation is next to nothing: less than this below the median is never odd."""
GROSS_SHARE = 0.25
"""Among fewer than `ENOUGH`, only what lies this far below the others is."""


def deviation(values: Sequence[float]) -> float:
    """The median distance from the median (MAD)."""
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values)


def low(values: Mapping[K, float], least_share: float = LEAST_SHARE) -> dict[K, float]:
    """Those far below the others, each with what is usual: the median of all, or of the others among few."""
    if len(values) < ENOUGH:
        return _grossly_low(values, max(GROSS_SHARE, least_share))
    usual = statistics.median(values.values())
    distance = max(DEVIATIONS * deviation(list(values.values())), least_share * usual)
    return {key: usual for key, value in values.items() if usual - value > distance}


def _grossly_low(values: Mapping[K, float], share: float) -> dict[K, float]:
    found = {}
    for key, value in values.items():
        others = [other for name, other in values.items() if name != key]
        if others and value < (1 - share) * statistics.median(others):
            found[key] = statistics.median(others)
    return found


def most_common(values: Mapping[K, V]) -> V | None:
    """What more than any other have; None where two are level, or nobody has any."""
    ranked = Counter(values.values()).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]
