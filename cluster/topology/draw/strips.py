"""What was measured on a node, as shares of what the facts allow: a strip from 0 to 100 % for each figure."""

from collections.abc import Iterable, Sequence

from cluster.topology import words
from cluster.topology.draw.figures import Figure, figures_of, is_low, line, span
from cluster.topology.draw.scene import Area, Block, Shape, Way, Words
from cluster.topology.draw.widths import fitted, width_of
from cluster.topology.node import Node

ROW = 17.0
SIZE = 10.5
STRIP = 8.0
NARROW, WIDE = 56.0, 150.0  # of a strip
MOST_TIPS = 16  # figures that a tip lists one by one


def strips(nodes: Sequence[Node], width: float) -> Block | None:
    """In one column or in two."""
    figures = figures_of(nodes)
    if not figures:
        return None
    columns = 2 if width >= 680 and len(figures) > 3 else 1
    gap = 24.0
    wide = (width - gap * (columns - 1)) / columns
    each = -(-len(figures) // columns)
    head = Words(0, 12, "Measured, with the share of what the facts allow", 11, bold=True)
    shapes: list[Shape] = [head]
    for index, figure in enumerate(figures):
        x, y = index // each * (wide + gap), 20 + index % each * ROW
        shapes += _row(figure, x, y, wide)
    return Block(width, 20 + each * ROW, tuple(shapes), name="measured")


def _row(figure: Figure, x: float, y: float, width: float) -> list[Shape]:
    rates = figure.rates
    said = span([rate.value for rate in rates], rates[0].unit)
    strip = max(NARROW, min(WIDE, width - 310))
    room = width - strip - 46
    value_width = width_of(said, SIZE)
    name = fitted(figure.name, SIZE, room - value_width - 10)
    low = any(map(is_low, rates))
    tip = "\n".join([*(f"{rate.where}, {line(rate)}" for rate in rates[:MOST_TIPS]), *_rest(len(rates))])
    look = "bad" if low else "ink"
    shapes: list[Shape] = [
        Words(x, y + 12, name, SIZE, "quiet", tip=tip),
        Words(x + room, y + 12, said, SIZE, look, "end", tip=tip),
    ]
    shares = sorted(rate.share for rate in rates if rate.share is not None)
    left = x + width - strip - 36
    if not shares:
        return [*shapes, Words(left, y + 12, "no limit known", SIZE, "quiet", tip=rates[0].limit_reason)]
    shapes.append(Area(left, y + 4, strip, STRIP, "bar", 2.0, tip))
    if len(shares) == 1:
        shapes.append(Area(left, y + 4, strip * min(1, shares[0]), STRIP, "flow" if low else "level", 2.0, tip))
    else:
        shapes.append(Way(_needles(shares, left, y + 2, strip), "low solid" if low else "needle", 1.6, tip))
    middle = shares[len(shares) // 2] if not low else shares[0]
    shapes.append(Words(x + width, y + 12, words.percent(middle), SIZE, look, "end"))
    return shapes


def _needles(shares: Iterable[float], left: float, y: float, strip: float) -> str:
    """One for each share; those in the same half pixel are one."""
    places = sorted({round(left + strip * min(1.0, share), 0) for share in shares})
    return "".join(f"M{place:g} {y:g}v{STRIP + 4:g}" for place in places)


def _rest(count: int) -> list[str]:
    return [f"and {count - MOST_TIPS} more"] if count > MOST_TIPS else []
