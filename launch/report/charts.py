"""The pictures of a report, drawn as inline SVG by hand.

Why not matplotlib: its SVG scales as one picture, so on a phone its words shrink to five pixels; its colours are fixed,
so a dark page glares; and it knows nothing of the pointer. Here an axis is laid out in pixels and the plot in per cent
of what width there is, colours are the page's own variables (`style.css`), every mark can tell its value (`data-tip`,
`data-series`, which `page.js` shows), and a curve is a few kilobytes. What has to be exact (ticks, thinning) is in
`figures.py`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.markup import Html, tag
from launch.report import figures

HEIGHT = 190  # pixels of a plot, without its axis
MOST_POINTS = 240  # of one curve: more than that cannot be told apart on a screen
MARGIN = 48  # pixels left of a plot, so that plots above one another line up
CHARACTER = 6.6  # pixels of a digit at 11 pixels
COUNTED_CELLS = 12  # a confusion matrix of so many classes has room for its counts
CELLS = ((4, 62), (12, 44), (25, 27), (60, 18))  # classes, and the pixels of a cell
SMALLEST_CELL = 10
LONGEST_LABEL = 22  # characters

Format = Callable[[float], str]


@dataclass(frozen=True)
class Curve:
    """One line of a chart: its name, its colour (a class of the style sheet), its points from left to right."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    dots: bool = False
    """Mark each point: for curves of few."""


def curves(
    title: str, drawn: Sequence[Curve], steps: tuple[float, float], *, write: Format, zero: bool = False
) -> Html:
    """Lines over the steps, from the first of `steps` to the last, so that one chart stands step by step above another.

    `write` tells a value in full; `zero` has the axis begin there.
    """
    shown = [
        Curve(curve.name, curve.colour, figures.thinned(curve.points, MOST_POINTS), curve.dots)
        for curve in drawn
        if curve.points
    ]
    values = [y for curve in shown for _, y in curve.points]
    marks = figures.ticks(0.0 if zero else min(values), max(values))
    left, right = steps
    area = _Area(left if right > left else left - 0.5, right - left or 1.0, marks[0], marks[-1] - marks[0])
    below = [mark for mark in figures.ticks(left, right, 6) if left <= mark <= right and mark == round(mark)]
    marked = [circle for curve in shown if curve.dots for circle in _dots(curve, area)]
    data = [
        {
            "name": curve.name,
            "colour": curve.colour,
            "at": [[round(area.x(x) / 100, 4), round(area.y(y), 1), f"{x:,.0f}", write(y)] for x, y in curve.points],
        }
        for curve in shown
    ]
    lines = [
        tag("polyline", class_=f"line {curve.colour}", points=_points(curve, area), vector_effect="non-scaling-stroke")
        for curve in shown
    ]
    stretched = tag("svg", *lines, width="100%", height=HEIGHT, viewBox=f"0 0 100 {HEIGHT}", preserveAspectRatio="none")
    about = "; ".join(f"{c.name}: {write(c.points[0][1])} at first, {write(c.points[-1][1])} at last" for c in shown)
    frame = _frame(
        marks, figures.short, [(area.x(step), f"{step:,.0f}") for step in below], [stretched, *marked], title, about
    )
    legend = [tag("span", tag("i", class_=f"swatch {curve.colour}"), curve.name, class_="key") for curve in shown]
    head = tag("figcaption", tag("b", title), *(legend if len(shown) > 1 else []))
    series = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return tag("figure", head, frame, class_="chart", data_series=series)


@dataclass(frozen=True)
class _Area:
    """Where a value lies: per cent from the left, pixels from the top."""

    left: float
    width: float
    low: float
    height: float

    def x(self, value: float) -> float:
        return (value - self.left) / self.width * 100

    def y(self, value: float) -> float:
        return HEIGHT - (value - self.low) / self.height * HEIGHT


def _points(curve: Curve, area: _Area) -> str:
    return " ".join(f"{area.x(x):.3f},{area.y(y):.1f}" for x, y in curve.points)


def _dots(curve: Curve, area: _Area) -> list[Html]:
    return [
        tag("circle", class_=f"dot {curve.colour}", cx=f"{area.x(x):.2f}%", cy=area.y(y), r=2.5)
        for x, y in curve.points
    ]


def _frame(
    marks: Sequence[float],
    tick: Format,
    below: Sequence[tuple[float, str]],
    inside: Sequence[Html],
    title: str,
    about: str,
) -> Html:
    """The axis at the left, in pixels; at its right the plot, as wide as there is room."""

    words = [tick(mark) for mark in marks]
    gap = HEIGHT / (len(marks) - 1)
    margin = max(MARGIN, max(map(len, words)) * CHARACTER + 10)
    axis = [
        tag("text", word, x=margin - 8, y=HEIGHT - index * gap + 4, text_anchor="end")
        for index, word in enumerate(words)
    ]
    grid = [
        tag(
            "line",
            class_="grid" if index else "base",
            x1=0,
            x2="100%",
            y1=HEIGHT - index * gap,
            y2=HEIGHT - index * gap,
        )
        for index in range(len(marks))
    ]
    named = [
        tag(
            "text",
            word,
            x=f"{at:.2f}%",
            y=HEIGHT + 17,
            text_anchor="start" if at < 8 else "end" if at > 92 else "middle",
        )
        for at, word in below
    ]
    plot = tag(
        "svg", tag("title", title), tag("desc", about), *grid, *inside, *named,
        class_="plot", role="img", width="100%", height=HEIGHT + 24,
    )  # fmt: skip
    left = tag("svg", *axis, class_="axis", aria_hidden="true", width=margin, height=HEIGHT + 24)
    return tag("div", left, tag("div", plot, class_="field"), class_="frame")


def bars(title: str, drawn: Sequence[tuple[float, str]], below: Sequence[tuple[float, str]], about: str) -> Html:
    """A histogram: the height of each bar and what it tells; `below`: words under the axis, at per cent of it."""
    marks = figures.ticks(0.0, max(1.0, *(height for height, _ in drawn)), 4)
    width = 100 / len(drawn)
    inside = [
        tag(
            "rect", class_="bar", data_tip=tip, x=f"{index * width:.3f}%", width=f"{width * 0.9:.3f}%",
            y=HEIGHT * (1 - height / marks[-1]), height=HEIGHT * height / marks[-1],
        )
        for index, (height, tip) in enumerate(drawn)
        if height
    ]  # fmt: skip
    frame = _frame(marks, figures.short, below, inside, title, about)
    return tag("figure", tag("figcaption", tag("b", title)), frame, class_="chart")


def plane(
    title: str,
    across: Sequence[float],
    upward: Sequence[float],
    counts: Sequence[Sequence[int]],
    names: tuple[str, str],
) -> Html:
    """How often two numbers come together: `counts[i][j]` is for the first between `across[i]` and `across[i + 1]` and
    the second between `upward[j]` and `upward[j + 1]`. A line marks where both are equal."""
    marks = figures.ticks(upward[0], upward[-1])
    area = _Area(across[0], (across[-1] - across[0]) or 1.0, marks[0], marks[-1] - marks[0])
    most = max(max(column) for column in counts) or 1
    cells = []
    for i, column in enumerate(counts):
        for j, found in enumerate(column):
            if found:
                top, bottom = area.y(upward[j + 1]), area.y(upward[j])
                tip = (
                    f"{names[0]} {across[i]:.4g} to {across[i + 1]:.4g}\n"
                    f"{names[1]} {upward[j]:.4g} to {upward[j + 1]:.4g}\n{found:,} documents"
                )
                cells.append(
                    tag(
                        "rect", class_="cell", data_tip=tip, x=f"{area.x(across[i]):.3f}%", y=top,
                        width=f"{area.x(across[i + 1]) - area.x(across[i]):.3f}%", height=bottom - top,
                        fill_opacity=_shade(found / most),
                    )
                )  # fmt: skip
    low, high = max(across[0], marks[0]), min(across[-1], marks[-1])
    equal = [
        tag(
            "line", class_="equal", x1=f"{area.x(low):.2f}%", y1=area.y(low), x2=f"{area.x(high):.2f}%", y2=area.y(high)
        )
    ] * (high > low)
    below = [(area.x(mark), f"{mark:.3g}") for mark in figures.ticks(across[0], across[-1]) if 0 <= area.x(mark) <= 100]
    about = f"{names[1]} over {names[0]}; the darker, the more documents; the line marks where both are equal"
    frame = _frame(marks, figures.short, below, [*cells, *equal], title, about)
    head = tag("figcaption", tag("b", title), tag("span", f"across: {names[0]}, upward: {names[1]}", class_="quiet"))
    return tag("figure", head, frame, class_="chart")


def parts(title: str, drawn: Sequence[tuple[str, float, str, str]]) -> Html:
    """One bar cut into parts: name, amount, colour and what each tells."""
    total = sum(amount for _, amount, _, _ in drawn) or 1.0
    at, inside = 0.0, []
    for _, amount, colour, tip in drawn:
        wide = amount / total * 100
        inside.append(
            tag("rect", class_=f"part {colour}", data_tip=tip, x=f"{at:.3f}%", y=0, width=f"{wide:.3f}%", height=26)
        )
        at += wide
    about = ", ".join(f"{name} {figures.percent(amount / total)}" for name, amount, _, _ in drawn)
    return tag(
        "svg", tag("title", title), tag("desc", about), *inside, class_="parts", role="img", width="100%", height=26
    )


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Html:
    """A square of true (rows) by predicted (columns) labels, each cell as strong as its share of the row.

    Strength is the square root of the share: one document in a hundred can still be seen. Cells have a size in pixels,
    so that sixty classes stay readable; what is too wide scrolls in its box, and the names of the rows stay in sight.
    """
    size = next((pixels for most, pixels in CELLS if len(labels) <= most), SMALLEST_CELL)
    shown = [_cut(label) if size > SMALLEST_CELL else "" for label in labels]
    longest = max(map(len, shown)) * CHARACTER
    margin, top, edge = longest + 30, longest * 0.8 + 30, size * len(labels)
    inside = [tag("rect", class_="ground", x=0.5, y=top, width=edge, height=edge)]
    for at in range(size, edge, size):  # from a cell to its labels the eye needs a line to follow
        inside.append(tag("line", class_="rule", x1=0, x2=edge, y1=top + at, y2=top + at))
        inside.append(tag("line", class_="rule", x1=at, x2=at, y1=top, y2=top + edge))
    rows = []
    for row, found in enumerate(counts):
        y, x = top + row * size, row * size + size / 2
        rows.append(tag("text", shown[row], x=margin - 7, y=y + size / 2 + 4, text_anchor="end"))
        inside.append(tag("text", shown[row], x=x, y=top - 8, transform=f"rotate(-52 {x:.1f} {top - 8:.1f})"))
        for column, number in enumerate(found):
            if number:
                inside += _cell(labels, row, column, number, sum(found), column * size, y, size)
    middle = top + edge / 2
    turned = f"rotate(-90 12 {middle:.1f})"
    rows.append(tag("text", "true", class_="side", x=12, y=middle, transform=turned, text_anchor="middle"))
    inside.append(tag("text", "predicted", class_="side", x=0, y=top + edge + 18))
    about = f"{len(labels)} classes; rows are true labels, columns predicted ones; a cell is as strong as its row share"
    height = top + edge + 26
    named = tag("svg", *rows, class_="rows", aria_hidden="true", width=margin, height=height)
    square = tag(
        "svg", tag("title", "Confusion matrix"), tag("desc", about), *inside,
        role="img", width=edge + top * 0.8, height=height,
    )  # fmt: skip
    return tag("div", named, square, class_="confusion")


def _cell(
    labels: Sequence[str], row: int, column: int, number: int, total: int, x: float, y: float, size: int
) -> list[Html]:
    part = number / total
    tip = (
        f"true: {labels[row]}\npredicted: {labels[column]}\n{number:,} of {total:,} documents ({figures.percent(part)})"
    )
    shade = _shade(part)
    kind = "right" if row == column else "wrong"
    cell = tag(
        "rect", class_=f"cell {kind}", data_tip=tip, fill_opacity=shade,
        x=x + 0.5, y=y + 0.5, width=size - 1, height=size - 1,
    )  # fmt: skip
    if len(labels) > COUNTED_CELLS:
        return [cell]
    ink = "ink over" if shade > 0.6 else "ink"
    return [cell, tag("text", f"{number:,}", class_=ink, x=x + size / 2, y=y + size / 2 + 4, text_anchor="middle")]


def _shade(part: float) -> float:
    return float(round(0.1 + 0.9 * part**0.5, 3))


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def scale() -> Html:
    """What the strength of a cell means."""
    said = ["share of the row, right:", *_steps("right", (0.5, 1.0)), "wrong:", *_steps("wrong", (0.01, 0.1, 0.5))]
    return tag("p", *said, class_="scale quiet")


def _steps(kind: str, shares: Sequence[float]) -> list[Html]:
    keys = []
    for part in shares:
        cell = tag("rect", class_=f"cell {kind}", width=14, height=14, fill_opacity=_shade(part))
        drawn = tag("svg", cell, width=14, height=14, aria_hidden="true")
        keys.append(tag("span", drawn, f"{part:.0%}".replace("%", f"{figures.SPACE}%"), class_="key"))
    return keys
