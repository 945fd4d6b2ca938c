"""Curves of points for a terminal: pure arithmetic from numbers to characters of braille, of 2 x 4 dots each."""

import math
from collections.abc import Iterable, Sequence

BLANK = "\u2800"
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot, by row and column (unicode.org/charts/PDF/U2800.pdf)."""

Point = tuple[float, float]
Span = tuple[float, float]


def span(values: Iterable[float]) -> Span:
    """The range of some numbers, made wider where it would be empty. Numbers that are not finite do not count."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if high > low:
        return low, high
    pad = abs(low) * 0.1 or 1.0
    return low - pad, high + pad


def braille(points: Sequence[Point], columns: int, rows: int, across: Span, along: Span) -> list[str]:
    """The line through points, whose x never falls, as `rows` lines of `columns` characters, the highest first.

    Points in one column of dots are shown by their mean; what lies outside of the ranges (`across` for x, `along` for
    y) is drawn at the edge.
    """
    heights = _heights(points, 2 * columns, across)
    dots = [[0] * columns for _ in range(rows)]
    before: int | None = None
    for column, height in enumerate(heights):
        if height is None:
            continue
        row = _index(along[1] - height, along[1] - along[0], 4 * rows)
        # A steep line has no holes: it fills what lies between this column and the one before.
        first, last = (row, row) if before is None else sorted((row, before + (row > before) - (row < before)))
        for each in range(first, last + 1):
            dots[each // 4][column // 2] |= DOTS[each % 4][column % 2]
        before = row
    return ["".join(chr(ord(BLANK) + bits) for bits in line) for line in dots]


def cell(point: Point, columns: int, rows: int, across: Span, along: Span) -> tuple[int, int]:
    """The character (column, row from the top) that a point is in."""
    x, y = point
    column = _index(x - across[0], across[1] - across[0], columns)
    return column, _index(along[1] - y, along[1] - along[0], rows)


def _heights(points: Sequence[Point], columns: int, across: Span) -> list[float | None]:
    """y for each column of dots, from the first point to the last: means, and straight lines between them."""
    sums: dict[int, tuple[float, int]] = {}
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            column = _index(x - across[0], across[1] - across[0], columns)
            total, count = sums.get(column, (0.0, 0))
            sums[column] = (total + y, count + 1)
    known = sorted((column, total / count) for column, (total, count) in sums.items())
    heights: list[float | None] = [None] * columns
    for (left, low), (right, high) in zip(known, known[1:], strict=False):
        for column in range(left, right):
            heights[column] = low + (high - low) * (column - left) / (right - left)
    if known:
        heights[known[-1][0]] = known[-1][1]
    return heights


def _index(distance: float, whole: float, count: int) -> int:
    """Which of `count` equal parts of the whole a distance ends in."""
    return min(count - 1, max(0, int(distance / whole * count))) if whole > 0 else 0
