"""One picture of a cluster: each node where they are few, one of each kind where they are many."""

from collections.abc import Sequence

from cluster.topology.draw.card import PAD, Subject, card, head_height
from cluster.topology.draw.curve import chart
from cluster.topology.draw.judged import Judgements
from cluster.topology.draw.legend import legend
from cluster.topology.draw.many import letter, squares, tally, tally_row
from cluster.topology.draw.pairs import brackets, matrix
from cluster.topology.draw.scene import Block, Placed, Shape, Words, flowed, looks, stacked
from cluster.topology.draw.svg import written
from cluster.topology.draw.widths import wrapped
from cluster.topology.health.judge import Health
from cluster.topology.hosts import compressed
from cluster.topology.kinds import Kind, kinds
from cluster.topology.node import Cluster, Node

MOST_WIDTH = 1492.0  # with the margins it fits a window of 1600 pixels, and a slide
LEAST_WIDTH = 560.0  # of a card
MARGIN = 24.0
GAP = 20.0
FEW = 4  # nodes that are drawn one by one
MOST_KINDS = 6  # that are drawn; further ones are named
MOST_SAID = 8  # kinds that the sentence describes
SIZE = 12.0


def picture(cluster: Cluster, health: Health | None) -> str:
    """An SVG file in one string: the same for the same record."""
    return written(whole(cluster, health), _title(cluster))


def whole(cluster: Cluster, health: Health | None) -> Block:
    """The layout, before it is written."""
    judgements = Judgements(health)
    panels = _panels(cluster, judgements)
    parts = [_head(cluster, judgements)] if len(cluster.nodes) != 1 or cluster.missing else [_line(cluster)]
    if len(cluster.nodes) > FEW:
        parts += _grouped(cluster, judgements, panels)
    elif cluster.nodes:
        parts += [_side_by_side(cluster, judgements), *_below(panels)]
    parts.append(legend(looks(stacked(parts, GAP)), max(part.width for part in parts)))
    inner = stacked(parts, GAP)
    width = inner.width + 2 * MARGIN
    return Block(width, inner.height + 2 * MARGIN, (Placed(MARGIN, MARGIN, inner),))


def _title(cluster: Cluster) -> str:
    count = len(cluster.nodes)
    if count == 1:
        return cluster.nodes[0].name
    return f"{count:,} nodes"


def _probed(cluster: Cluster) -> str:
    probed = f"probed {cluster.probed}" if cluster.probed else ""
    by = f"by muster {cluster.muster}" if cluster.muster else ""
    return " ".join(filter(None, [probed, by])) or "muster probe"


def _line(cluster: Cluster) -> Block:
    """Of one node its card says the rest."""
    return Block(LEAST_WIDTH, 4, (Words(0, 4, _probed(cluster), SIZE, "quiet"),))


def _head(cluster: Cluster, judgements: Judgements) -> Block:
    shapes: list[Shape] = [Words(0, 20, _title(cluster), 22, bold=True)]
    said = _probed(cluster)
    y = 42.0
    if said:
        shapes.append(Words(0, y, said, SIZE, "quiet"))
        y += 10
    row = tally_row(tally(cluster, judgements))
    shapes.append(Placed(0, y, row))
    y += row.height
    for missing in cluster.missing[:FEW]:
        for line in wrapped(f"{missing.name} gave no answer: {missing.why}", SIZE, 900, 2):
            y += 17
            shapes.append(Words(0, y, line, SIZE, "bad"))
    if len(cluster.missing) > FEW:
        y += 17
        rest = compressed(one.name for one in cluster.missing[FEW:])
        shapes.append(Words(0, y, wrapped(f"no answer either: {rest}", SIZE, 900, 1)[0], SIZE, "bad"))
    for problem in cluster.problems[:FEW]:
        for line in wrapped(problem, SIZE, 900, 2):
            y += 17
            shapes.append(Words(0, y, line, SIZE, "care"))
    return Block(max(row.width, 560), y + 4, tuple(shapes))


def _side_by_side(cluster: Cluster, judgements: Judgements) -> Block:
    subjects = [Subject((node,), node.name, judgements.of(node.name)) for node in cluster.nodes]
    least = max(360.0, min(LEAST_WIDTH, MOST_WIDTH / len(subjects) - GAP))
    most = MOST_WIDTH
    widths = [card(subject, least, most).width for subject in subjects]
    highest = max(head_height(subject, width) for subject, width in zip(subjects, widths, strict=True))
    cards = [card(subject, least, most, highest) for subject in subjects]
    row = flowed(cards, GAP, MOST_WIDTH)
    if len(cards) == 1 or row.height > max(one.height for one in cards):
        return row
    middles, x = [], 0.0
    for one in cards:
        middles.append(x + one.width / 2)
        x += one.width + GAP
    names = [node.name for node in cluster.nodes]
    return stacked([brackets(names, middles, cluster.pairs, judgements, row.width), row], 0)


def _grouped(cluster: Cluster, judgements: Judgements, panels: list[Block]) -> list[Block]:
    found = kinds(cluster.nodes)
    number = {name: index for index, kind in enumerate(found) for name in kind.nodes}
    by_name = {node.name: node for node in cluster.nodes}
    cards = [
        card(_subject(kind, index, len(cluster.nodes), by_name, judgements), LEAST_WIDTH, MOST_WIDTH)
        for index, kind in enumerate(found[:MOST_KINDS])
    ]
    sentence = _sentence(found)
    drawn, beside = flowed(cards, GAP, MOST_WIDTH), stacked(panels, 2 * GAP)
    together = flowed([*cards, _indented(beside)], GAP, MOST_WIDTH)
    grid = squares(cluster, judgements, number, MOST_WIDTH)
    if panels and together.height < drawn.height + beside.height / 2:  # there is room in the last row
        return [sentence, grid, together]
    return [sentence, grid, drawn, *_below(panels)]


def _indented(block: Block) -> Block:
    return Block(block.width + GAP, block.height, (Placed(GAP, 0, block),))


def _below(panels: list[Block]) -> list[Block]:
    return [flowed(panels, 2 * GAP, MOST_WIDTH)] if panels else []


def _subject(kind: Kind, index: int, total: int, by_name: dict[str, Node], judgements: Judgements) -> Subject:
    count = len(kind.nodes)
    heading = f"{letter(index)}: {count:,} nodes like this" if count > 1 else f"{letter(index)}: {kind.nodes[0]}"
    remarks = [compressed(kind.nodes)] if count > 1 else []
    remarks += [f"differs: {'; '.join(kind.differs)}"] if kind.differs else []
    nodes = (kind.sample, *(by_name[name] for name in kind.nodes if name != kind.sample.name))
    return Subject(nodes, heading, judgements.of_all(kind.nodes), tuple(remarks), judgements.counted(kind.nodes))


def summary(found: Sequence[Kind]) -> list[str]:
    """62 nodes like this, 2 that differ; then a line for each kind that does."""
    rest = sum(len(kind.nodes) for kind in found[1:])
    first = f"{len(found[0].nodes):,} nodes like this"
    lines = [
        f"{first}, {rest:,} that differ{'s' if rest == 1 else ''}:"
        if rest
        else f"All {len(found[0].nodes):,} nodes are alike"
    ]
    for index, kind in enumerate(found[1 : 1 + MOST_SAID], 1):
        lines.append(f"{letter(index)}  {compressed(kind.nodes)}: {'; '.join(kind.differs) or 'see its drawing'}")
    if len(found) > 1 + MOST_SAID:
        more = sum(len(kind.nodes) for kind in found[1 + MOST_SAID :])
        lines.append(f"and {len(found) - 1 - MOST_SAID:,} more kinds with {more:,} nodes: see the table of kinds")
    return lines


def _sentence(found: Sequence[Kind]) -> Block:
    shapes: list[Shape] = []
    y = 0.0
    for index, line in enumerate(summary(found)):
        for row in wrapped(line, 13, MOST_WIDTH - PAD, 2):
            y += 19
            shapes.append(Words(0 if not index else PAD, y, row, 13, bold=not index, tip=line))
    return Block(MOST_WIDTH, y + 4, tuple(shapes), name="kinds")


def _panels(cluster: Cluster, judgements: Judgements) -> list[Block]:
    found = [chart(curve) for curve in cluster.curves]
    measured = {name for pair in cluster.pairs for name in (pair.a, pair.b)}
    names = [node.name for node in cluster.nodes if node.name in measured]
    if len(names) > 2:
        found.append(matrix(names, cluster.pairs, judgements))
    return found
