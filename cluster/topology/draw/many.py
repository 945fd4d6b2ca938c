"""Many nodes: a small square for each, with the mark of its verdict and the letter of its kind."""

from collections.abc import Mapping, Sequence

from cluster.topology.draw.judged import Judgements
from cluster.topology.draw.marks import MISSING, mark, said
from cluster.topology.draw.scene import Area, Block, Placed, Shape, Words
from cluster.topology.draw.widths import fitted, width_of
from cluster.topology.health.judge import ORDER
from cluster.topology.node import Cluster

SIZES = ((80, 92.0, 30.0), (400, 30.0, 30.0), (1 << 30, 20.0, 20.0))
"""Up to so many nodes: width and height of a square. The first have room for names."""
NAMED = 60.0
GAP = 3.0
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letter(index: int) -> str:
    """Of a kind: the commonest is A; from the 26th on they share one."""
    return LETTERS[min(index, len(LETTERS) - 1)]


def squares(cluster: Cluster, judgements: Judgements, kinds: Mapping[str, int], width: float) -> Block:
    """`kinds`: of each node, its kind's number. Squares of other kinds than the commonest stand out, and show
    their letter where there is room."""
    names = [node.name for node in cluster.nodes] + [missing.name for missing in cluster.missing]
    why = {missing.name: missing.why for missing in cluster.missing}
    _, wide, high = next(row for row in SIZES if len(names) <= row[0])
    across = max(1, int((width + GAP) // (wide + GAP)))
    shapes: list[Shape] = []
    for index, name in enumerate(names):
        x, y = index % across * (wide + GAP), index // across * (high + GAP)
        judgement = judgements.of(name)
        verdict = MISSING if name in why else judgement.verdict
        lines = [f"{name}: {said(verdict)}", why.get(name, "")]
        lines += [remark.what for remark in judgement.remarks]
        told = "\n".join(filter(None, [*lines, f"kind {letter(kinds[name])}" if name in kinds else ""]))
        shapes.append(Placed(x, y, _square(name, verdict, kinds.get(name, 0), wide, high, told)))
    rows = -(-len(names) // across)
    return Block(width, rows * (high + GAP) - GAP, tuple(shapes), name="nodes")


def _square(name: str, verdict: str, kind: int, wide: float, high: float, tip: str) -> Block:
    plain = verdict in ("pass", "") and kind == 0
    shapes: list[Shape] = [Area(0, 0, wide, high, "odd" if kind else "card" if plain else "numa", 3.0)]
    side = min(14.0, high - 8)
    if wide < NAMED:
        shapes += mark(verdict, (wide - side) / 2, (high - side) / 2, side)
        return Block(wide, high, tuple(shapes), tip)
    room = wide - side - 14 - (12 if kind else 0)
    shapes += mark(verdict, 5, (high - side) / 2, side)
    shapes.append(Words(side + 10, high / 2 + 4, fitted(name, 10.5, room), 10.5, "quiet"))
    if kind:
        shapes.append(Words(wide - 4, high / 2 + 4, letter(kind), 10.5, "ink", "end", True))
    return Block(wide, high, tuple(shapes), tip)


def tally(cluster: Cluster, judgements: Judgements) -> list[tuple[str, int]]:
    """How many nodes have each verdict, the worst first."""
    counts: dict[str, int] = {MISSING: len(cluster.missing)}
    for node in cluster.nodes:
        verdict = judgements.of(node.name).verdict
        counts[verdict] = counts.get(verdict, 0) + 1
    order = (MISSING, *ORDER, "")
    return [(verdict, counts[verdict]) for verdict in order if counts.get(verdict)]


def tally_row(counts: Sequence[tuple[str, int]]) -> Block:
    x, shapes = 0.0, list[Shape]()
    for verdict, count in counts:
        words = f"{count:,} {said(verdict)}"
        shapes += mark(verdict, x, 1, 14)
        shapes.append(Words(x + 20, 13, words, 12))
        x += 20 + width_of(words, 12) + 18
    return Block(x, 18, tuple(shapes))
