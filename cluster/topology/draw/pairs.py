"""Between nodes: a bracket from node to node where they stand in one row, a matrix where they are many."""

from collections.abc import Mapping, Sequence
from statistics import median

from cluster.topology import words
from cluster.topology.draw.judged import Judgements
from cluster.topology.draw.links import step, stroke
from cluster.topology.draw.scene import Area, Block, Shape, Way, Words
from cluster.topology.draw.widths import fitted, width_of
from cluster.topology.rate import Pair

LEVEL = 26.0
LEG = 16.0  # from one leg to the next on a node
SIZE = 10.5
MATRIX = 288.0
LARGEST_CELL, NAMED_CELL, LISTED = 30.0, 13.0, 3
MOST_CELLS = 72  # along an edge: more nodes share cells


def said(pair: Pair) -> str:
    return f"{words.rate(pair.bytes_per_second, 'bytes/s')}, {words.duration(pair.latency_seconds)}"


def tip(pair: Pair) -> str:
    limit = f"\nlimit {words.rate(pair.limit, 'bytes/s')}: {pair.limit_reason}" if pair.limit else ""
    return f"{pair.a} – {pair.b}: {said(pair)} one way{limit}"


def brackets(
    names: Sequence[str], middles: Sequence[float], pairs: Sequence[Pair], judgements: Judgements, width: float
) -> Block:
    """Above nodes whose middles are given: for each pair a bracket with what was measured."""
    places = {name: index for index, name in enumerate(names)}
    found = sorted(
        ((min(a, b), max(a, b), pair) for pair in pairs if _inside(pair, places) for a, b in [_ends(pair, places)]),
        key=lambda one: (one[1] - one[0], one[0]),
    )
    if not found:
        return _unmeasured(middles, width)
    legs = _legs(len(names), middles)
    levels: list[list[tuple[float, float]]] = []
    shapes: list[Shape] = []
    taken = []
    for a, b, pair in found:
        left, right = legs[a, b], legs[b, a]
        level = next((n for n, row in enumerate(levels) if all(right < x or left > y for x, y in row)), len(levels))
        if level == len(levels):
            levels.append([])
        levels[level].append((left, right))
        taken.append((left, right, level, pair))
    height = len(levels) * LEVEL + 8
    for left, right, level, pair in taken:
        look, pen = stroke(pair.bytes_per_second)
        y = height - 8 - level * LEVEL
        look = "low" if judgements.is_low(pair) else look
        shapes.append(Way(f"M{left:.1f} {height:.1f}V{y:.1f}H{right:.1f}V{height:.1f}", look, pen, tip(pair)))
        words_look = "bad" if judgements.is_low(pair) else "quiet"
        text = fitted(said(pair), SIZE, right - left - 8)
        shapes.append(Words((left + right) / 2, y - 6, text, SIZE, words_look, "middle", tip=tip(pair)))
    return Block(width, height, tuple(shapes), name="between nodes")


def _inside(pair: Pair, places: Mapping[str, int]) -> bool:
    return pair.a in places and pair.b in places and pair.a != pair.b


def _ends(pair: Pair, places: Mapping[str, int]) -> tuple[int, int]:
    return places[pair.a], places[pair.b]


def _unmeasured(middles: Sequence[float], width: float) -> Block:
    legs = "".join(f"M{x:.1f} 22v12" for x in middles)
    line = Way(f"M{middles[0]:.1f} 22H{middles[-1]:.1f}{legs}", "wire", 1.0)
    text = Words((middles[0] + middles[-1]) / 2, 16, "network between nodes: not measured", SIZE, "quiet", "middle")
    return Block(width, 34, (line, text), name="between nodes")


def _legs(count: int, middles: Sequence[float]) -> dict[tuple[int, int], float]:
    """Where each node's leg to each other stands: to the nearer the farther out, so that brackets nest."""
    found = {}
    for node in range(count):
        left = sorted((other for other in range(count) if other < node), key=lambda other: node - other)
        right = sorted((other for other in range(count) if other > node), key=lambda other: other - node, reverse=True)
        order = [*left, *right]
        for index, other in enumerate(order):
            found[node, other] = middles[node] + (index - (len(order) - 1) / 2) * LEG
    return found


def matrix(names: Sequence[str], pairs: Sequence[Pair], judgements: Judgements) -> Block:
    """Nodes by nodes; of many, several share a cell, which shows the slowest pair in it."""
    together = -(-len(names) // MOST_CELLS)
    cells = -(-len(names) // together)
    side = min(LARGEST_CELL, MATRIX / cells)
    places = {name: index // together for index, name in enumerate(names)}
    slowest: dict[tuple[int, int], Pair] = {}
    for pair in pairs:
        if pair.a in places and pair.b in places:
            key = places[pair.a], places[pair.b]
            for cell in (key, key[::-1]):
                if cell not in slowest or pair.bytes_per_second < slowest[cell].bytes_per_second:
                    slowest[cell] = pair
    shown = side >= NAMED_CELL
    left = min(90.0, max(width_of(name, SIZE) for name in names) + 8) if shown else 0.0
    top = 46.0
    shapes: list[Shape] = [Words(0, 14, "Between nodes, pair by pair", 13, bold=True)]
    middle = median([pair.bytes_per_second for pair in pairs])
    each = f", {together} nodes a cell" if together > 1 else ""
    about = f"median {words.rate(middle, 'bytes/s')} one way, {len(pairs):,} pairs{each}"
    shapes.append(Words(0, 32, about, SIZE, "quiet"))
    shapes.append(Area(left, top, cells * side, cells * side, "bar"))
    shapes += _cells(slowest, judgements, left, top, side, shown)
    if shown:
        shapes += [
            Words(left - 8, top + (n + 0.5) * side + 4, fitted(name, SIZE, left - 8), SIZE, "quiet", "end")
            for n, name in enumerate(names)
        ]
    y = top + cells * side + 16
    for pair in sorted(pairs, key=lambda pair: pair.bytes_per_second)[:LISTED]:
        look = "bad" if judgements.is_low(pair) else "quiet"
        room = max(300.0, left + cells * side)
        shapes.append(Words(0, y, fitted(f"{pair.a} – {pair.b}: {said(pair)}", SIZE, room), SIZE, look, tip=tip(pair)))
        y += 15
    return Block(max(300.0, left + cells * side), y, tuple(shapes), name="pairs")


def _cells(
    slowest: Mapping[tuple[int, int], Pair], judgements: Judgements, left: float, top: float, side: float, told: bool
) -> list[Shape]:
    """One by one with their figures where there is room to point at them; otherwise a path for each colour."""
    gap = 1.0 if side > 5 else 0.3
    edge = side - gap
    paths: dict[str, list[str]] = {}
    shapes: list[Shape] = []
    for (row, column), pair in sorted(slowest.items()):
        x, y = left + column * side, top + row * side
        look = "flow" if judgements.is_low(pair) else f"f{step(pair.bytes_per_second)}"
        if told:
            shapes.append(Area(x, y, edge, edge, look, tip=tip(pair)))
        else:
            paths.setdefault(look, []).append(f"M{x:.1f} {y:.1f}h{edge:.1f}v{edge:.1f}h{-edge:.1f}z")
        if judgements.is_low(pair) and side > 9:
            cross = f"M{x:.1f} {y:.1f}l{edge:.1f} {edge:.1f}m0 {-edge:.1f}l{-edge:.1f} {edge:.1f}"
            paths.setdefault("sign", []).append(cross)
    order = sorted(paths, key=lambda look: look == "sign")
    return [*shapes, *(Way("".join(paths[look]), look, 1.2 if look == "sign" else None) for look in order)]
