"""What a picture is made of: areas, ways and words in blocks, all in pixels. No colour and no markup in it.

A layout is a pure function that returns a block; a block is put into another at a place.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cluster.topology.draw.widths import width_of

Anchor = Literal["start", "middle", "end"]


class Box(NamedTuple):
    """Edges of what is drawn."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text; `y` is its base line."""

    x: float
    y: float
    text: str
    size: float
    look: str = "ink"
    anchor: Anchor = "start"
    bold: bool = False
    tip: str = ""

    @property
    def box(self) -> Box:
        """What it takes at most: 0.78 above the base line and 0.22 below hold the letters of common fonts."""
        width = width_of(self.text, self.size, self.bold)
        left = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return Box(left, self.y - 0.78 * self.size, left + width, self.y + 0.22 * self.size)


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    look: str
    corner: float = 0.0
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """A path, in the words of SVG: a line, an outline, or many small squares at once."""

    path: str
    look: str
    width: float | None = None
    """Of its stroke; None as its look has it."""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A block at a place of the block around it."""

    x: float
    y: float
    block: "Block"


Shape = Words | Area | Way | Placed


@dataclass(frozen=True, slots=True)
class Block:
    """Shapes, and the room that they take from (0, 0)."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
    tip: str = ""
    name: str = ""
    """What a reader of the file finds it by."""


def every_word(block: Block, x: float = 0.0, y: float = 0.0) -> Iterator[tuple[Words, Box]]:
    """All words of a picture, and where they stand in it."""
    for shape in block.shapes:
        if isinstance(shape, Placed):
            yield from every_word(shape.block, x + shape.x, y + shape.y)
        elif isinstance(shape, Words):
            box = shape.box
            yield shape, Box(box.left + x, box.top + y, box.right + x, box.bottom + y)


def looks(block: Block) -> set[str]:
    """All that is painted in a picture."""
    found: set[str] = set()
    for shape in block.shapes:
        found |= looks(shape.block) if isinstance(shape, Placed) else set(shape.look.split())
    return found


def stacked(blocks: Iterable[Block], gap: float) -> Block:
    """One below the other."""
    shapes: list[Shape] = []
    width = y = 0.0
    for block in blocks:
        y += gap if shapes else 0.0
        shapes.append(Placed(0.0, y, block))
        width, y = max(width, block.width), y + block.height
    return Block(width, y, tuple(shapes))


def flowed(blocks: Iterable[Block], gap: float, most: float) -> Block:
    """Side by side, in as many rows as `most` pixels of width demand."""
    rows: list[list[Block]] = []
    for block in blocks:
        if rows and sum(one.width + gap for one in rows[-1]) + block.width <= most:
            rows[-1].append(block)
        else:
            rows.append([block])
    return stacked((_row(row, gap) for row in rows), gap)


def _row(blocks: list[Block], gap: float) -> Block:
    shapes: list[Shape] = []
    x = 0.0
    for block in blocks:
        shapes.append(Placed(x, 0.0, block))
        x += block.width + gap
    return Block(x - gap, max(block.height for block in blocks), tuple(shapes))


def column(lines: Iterable[Words], gap: float = 4.0) -> tuple[list[Words], float]:
    """Lines set below one another from y = 0, and how high they are."""
    y, placed = 0.0, []
    for line in lines:
        placed.append(Words(line.x, y + line.size, line.text, line.size, line.look, line.anchor, line.bold, line.tip))
        y += line.size + gap
    return placed, y
