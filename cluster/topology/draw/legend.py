"""What the marks and lines of a picture mean: those that are in it."""

from collections.abc import Collection

from cluster.topology.draw.links import STEPS, THIN, WIDEST
from cluster.topology.draw.marks import MISSING, mark, said
from cluster.topology.draw.scene import Block, Placed, Shape, Way, Words, flowed
from cluster.topology.draw.widths import width_of

SIZE = 10.5
HEIGHT = 14.0
GAP = 18.0
MARKS = {"pass": "pass", "warning": "warning", "fail": "fail", "unknown": "unknown", "gone": MISSING, "unjudged": ""}
SQUARES = (
    ("odd", "node that differs from most"),
    ("core", "core, usable"),
    ("part", "core, usable in part"),
    ("off", "core, not usable"),
)
LIMITS = [least / 1e9 for least, _ in STEPS]
RATES = (
    f"below {LIMITS[0]:g} GB/s",
    *(f"{low:g} to {high:g} GB/s" for low, high in zip(LIMITS, LIMITS[1:], strict=False)),
    f"{LIMITS[-1]:g} GB/s and more",
)
LINES = (
    *((f"r{n}", width, RATES[n - 1]) for n, width in enumerate([*(width for _, width in STEPS), WIDEST], 1)),
    ("wire", THIN, "not measured"),
    ("low", 2.8, "below what it should be"),
    ("untold", 1.2, "not told, or no answer"),
)


def legend(used: Collection[str], width: float) -> Block:
    """In rows of at most `width` pixels. `used`: what the picture is painted with."""
    entries = [_entry(mark(verdict, 0, 0, 13), 13, said(verdict)) for look, verdict in MARKS.items() if look in used]
    for look, name in SQUARES:
        if look in used:
            entries.append(_entry([Way("M0 2h9v9h-9z", look)], 9, name))
    for look, pen, name in LINES:
        if look in used or look.replace("r", "f") in used:
            entries.append(_entry([Way("M0 7h28", look, pen)], 28, name))
    rows = flowed(entries, GAP, width)
    rule = Way(f"M0 0H{width:g}", "grid", 1.0)
    return Block(width, rows.height + 16, (rule, Placed(0, 14, rows)), name="legend")


def _entry(drawn: list[Shape], width: float, name: str) -> Block:
    """The mark, and what it means."""
    words = Words(width + 7, 11, name, SIZE, "quiet")
    return Block(width + 7 + width_of(name, SIZE), HEIGHT, (*drawn, words))
