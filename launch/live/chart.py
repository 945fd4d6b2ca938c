"""A curve with its axes and marks, as lines of a terminal."""

from collections.abc import Sequence

from rich.text import Text

from launch.live.curve import Point, braille, cell, span
from launch.report.figures import short

MARK, MARK_STYLE = "●", "bold yellow"
AXIS_STYLE = "dim"
LABEL_COLUMNS = 7


def chart(
    line: Sequence[Point], marks: Sequence[Point], last: float, width: int, rows: int, style: str = "cyan"
) -> list[Text]:
    """`rows` lines of the curve over the steps up to `last`, and one of the axis; `marks` are single points on it."""
    columns = width - LABEL_COLUMNS - 1
    if columns < 10 or rows < 2:
        return [Text("")] * (rows + 1)
    across, along = span([0.0, last]), span(y for _, y in [*line, *marks])
    drawn = braille(line, columns, rows, across, along)
    marked = {cell(mark, columns, rows, across, along) for mark in marks}
    labels = {0: along[1], rows // 2: along[1] - (along[1] - along[0]) * (rows // 2) / (rows - 1), rows - 1: along[0]}
    lines = []
    for row, characters in enumerate(drawn):
        label = f"{labels[row]:.4g}" if row in labels else ""
        text = Text().append(f"{label:>{LABEL_COLUMNS}}" + ("┤" if label else "│"), AXIS_STYLE)
        for column, character in enumerate(characters):
            is_mark = (column, row) in marked
            text.append(MARK if is_mark else character, MARK_STYLE if is_mark else style)
        lines.append(text)
    return [*lines, _axis(across, columns)]


def _axis(across: tuple[float, float], columns: int) -> Text:
    first, last = short(across[0]), f"step {across[1]:,.0f}"
    room = columns - len(first) - len(last)
    return Text(f"{'':>{LABEL_COLUMNS}}└{first}{'─' * room if room > 0 else ' '}{last}", AXIS_STYLE)
