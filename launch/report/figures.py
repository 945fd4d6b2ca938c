"""Numbers as people read them, and the ticks of an axis: pure arithmetic."""

import math
from collections.abc import Sequence
from typing import TypeGuard

MISSING = "–"
SPACE = "\u00a0"  # a number does not part from its unit
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def share(value: object) -> str:
    """A fraction or another score, with four decimals."""
    return f"{value:.4f}" if is_number(value) else MISSING


def percent(value: float) -> str:
    """0.1234 as 12.3 %; what is not nothing never reads as 0.0 %."""
    if 0 < value < 0.0005:
        return f"<{SPACE}0.1{SPACE}%"
    return f"{value:.1%}".replace("%", f"{SPACE}%")


def count(value: object) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,.0f}" if is_number(value) else MISSING


def short(value: float) -> str:
    """At most three digits and a unit: 250k."""
    for size, unit in UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def signed(value: float) -> str:
    """A difference, with its sign."""
    return f"{value:+.4f}".replace("-", "−")


def seconds(value: object) -> str:
    """A duration: 0.42 s, 12.3 s, 4 min 05 s, 2 h 03 min."""
    if not is_number(value):
        return MISSING
    if value < 1:
        return f"{value:.2f}{SPACE}s"
    if value < 60:
        return f"{value:.1f}{SPACE}s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}{SPACE}h{SPACE}{minutes:02d}{SPACE}min" if hours else f"{minutes}{SPACE}min{SPACE}{rest:02d}{SPACE}s"
    )


def size(value: object) -> str:
    """Bytes in decimal units."""
    if not is_number(value):
        return MISSING
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.3g}{SPACE}{name}"
    return f"{value:.0f} bytes"


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value read from JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that span a range: the first is at most `low`, the last at
    least `high`, and there are no more than `most` + 2."""
    if not high > low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most `most` points, in order: each the mean of a run of neighbours."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    runs = [points[first : first + size] for first in range(0, len(points), size)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def half_width(rate: float, examples: int) -> float:
    """Half of the 95 % interval (Wilson's) of a share that was measured on so many examples."""
    z = 1.96
    spread = math.sqrt(rate * (1 - rate) / examples + z * z / (4 * examples * examples))
    return z * spread / (1 + z * z / examples)
