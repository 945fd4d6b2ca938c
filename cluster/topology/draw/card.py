"""A node as a card: its name and verdict, its facts in words, what hangs where, its folders, what was measured."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.topology import words
from cluster.topology.draw.devices import outlets
from cluster.topology.draw.groups import inside
from cluster.topology.draw.judged import Judgement, Remark
from cluster.topology.draw.marks import look, mark, said
from cluster.topology.draw.scene import Area, Block, Placed, Shape, Words
from cluster.topology.draw.strips import strips
from cluster.topology.draw.widths import fitted, width_of, wrapped
from cluster.topology.hosts import compressed
from cluster.topology.node import Node
from cluster.topology.storage import Storage

PAD = 16.0
NAME, SIZE = 16.0, 11.5
LINE = 16.0
MOST_REMARKS = 4
REMARK_LINES = 2
IDENTITIES = re.compile(r"(GPU \d+) \((?:GPU-|[0-9a-f]{4}:)[^)]*\)")
"""UUID and bus id of a GPU, which the tip tells."""


@dataclass(frozen=True)
class Subject:
    """What a card is of: one node, or several that are equal."""

    nodes: tuple[Node, ...]
    """The first is drawn."""
    heading: str
    judgement: Judgement
    remarks: tuple[str, ...] = ()
    """What else is to be said under its name."""
    verdicts: str = ""
    """In words, where the nodes have not all the same."""


def card(subject: Subject, least: float, most: float, head_height: float = 0.0) -> Block:
    """Between `least` and `most` pixels wide. `head_height`: of the highest head beside it, so that nodes line up."""
    node = subject.nodes[0]
    body = inside(node, subject.judgement, least - 2 * PAD, most - 2 * PAD)
    width = body.width + 2 * PAD
    head = _head(subject, body.width)
    y = PAD + max(head.height, head_height) + 12
    shapes: list[Shape] = [Placed(PAD, PAD, head), Placed(PAD, y, body)]
    y += body.height + 16
    for part in (_folders(node, subject.judgement, body.width), strips(subject.nodes, body.width)):
        if part:
            shapes.append(Placed(PAD, y, part))
            y += part.height + 14
    outline = Area(0, 0, width, y, "card", 8.0)
    return Block(width, y, (outline, *shapes), name=node.name)


def head_height(subject: Subject, width: float) -> float:
    """Of a card of some width."""
    return _head(subject, width - 2 * PAD).height


def _head(subject: Subject, width: float) -> Block:
    verdict = subject.judgement.verdict
    shapes: list[Shape] = [*mark(verdict, 0, 0, 17)]
    told = subject.verdicts or said(verdict)
    room = width - 26 - width_of(told, SIZE, True) - 12
    heading = fitted(subject.heading, NAME, room, True)
    shapes.append(Words(25, 14, heading, NAME, bold=True, tip=subject.heading))
    shapes.append(Words(width, 14, told, SIZE, look(verdict), "end", True))
    y = 14 + 21.0
    for line in [*subject.remarks, *facts(subject.nodes[0])]:
        for row in wrapped(line, SIZE, width, 2):
            shapes.append(Words(0, y, row, SIZE, "quiet", tip=line))
            y += LINE
    remarks = gathered(subject.judgement.remarks)
    for remark, whose in remarks[:MOST_REMARKS]:
        whole = remark.what + (f" ({whose})" if len(subject.nodes) > 1 else "")
        brief = IDENTITIES.sub(r"\1", whole)
        shapes += mark(remark.level, 0, y - 10, 12)
        for row in wrapped(brief, SIZE, width - 18, REMARK_LINES):
            shapes.append(Words(18, y, row, SIZE, look(remark.level), tip=f"{whole}\n{remark.why} {remark.remedy}"))
            y += LINE
    if len(remarks) > MOST_REMARKS:
        shapes.append(Words(18, y, f"and {len(remarks) - MOST_REMARKS} more remarks", SIZE, "quiet"))
        y += LINE
    return Block(width, y - LINE + 4, tuple(shapes))


def gathered(remarks: Iterable[Remark]) -> list[tuple[Remark, str]]:
    """Each remark once, with the nodes of which the same is said."""
    found: dict[tuple[str, str, str], list[Remark]] = {}
    for remark in remarks:
        found.setdefault((remark.level, remark.rule, remark.what), []).append(remark)
    return [(same[0], compressed(one.node for one in same)) for same in found.values()]


def listed(names: Sequence[str], most: int = 4) -> str:
    """lo, docker0, br0 and 12 more."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1:,} more"


def facts(node: Node) -> list[str]:
    """The facts that matter most, a line for each kind; what is not known is left to the tables."""
    return [line for line in (_processor(node), _memory(node), _gpus(node), _system(node), _other(node)) if line]


def _processor(node: Node) -> str:
    cpu = node.cpu
    parts = [cpu.model.or_else("processor not told")]
    for name, fact in (("socket", cpu.sockets), ("core", cpu.cores), ("CPU", cpu.threads)):
        if fact.value is not None:
            parts.append(f"{fact.value:,} {name}" + ("" if fact.value == 1 else "s"))
    return ", ".join(parts)


def _memory(node: Node) -> str:
    cpu, memory = node.cpu, node.memory
    parts = []
    if cpu.usable_count.value is not None:
        quota = cpu.quota.value
        granted = f", quota {words.digits(quota)}" if isinstance(quota, int | float) else ""
        parts.append(f"may use {cpu.usable_count.value:,} CPUs{granted}")
    if memory.total_bytes.value is not None:
        limit = memory.group_limit_bytes.value
        granted = f", limit {words.size(limit)}" if isinstance(limit, int) else ""
        parts.append(f"memory {words.size(memory.total_bytes.value)}{granted}")
    if memory.shm_bytes.value is not None:
        parts.append(f"/dev/shm {words.size(memory.shm_bytes.value)}")
    return " · ".join(parts)


def _gpus(node: Node) -> str:
    models: dict[str, int] = {}
    for gpu in node.gpus.devices:
        name = gpu.name.or_else("GPU, model not told")
        models[name] = models.get(name, 0) + 1
    parts = [f"{count} × {name}" for name, count in models.items()]
    if not parts:
        silent = len(node.gpus.on_bus.or_else(()))
        return f"{silent} GPUs on the bus, none answers" if silent else "no GPU"
    parts += [f"driver {node.software.driver.value}"] * node.software.driver.known
    parts += [f"CUDA {node.gpus.driver_cuda.value}"] * node.gpus.driver_cuda.known
    return ", ".join(parts)


def _system(node: Node) -> str:
    software, host = node.software, node.host
    named = (("", host.hypervisor), ("in ", host.container), ("Linux ", software.kernel), ("torch ", software.torch))
    parts = [f"{before}{fact.value}" for before, fact in named if fact.known and fact.value != "yes"]
    if host.hypervisor.value == "yes":
        parts.insert(0, "virtual machine")
    return " · ".join([*parts, *[str(software.scheduler.value)] * software.scheduler.known])


def _other(node: Node) -> str:
    _, soft = outlets(node.network)
    return f"other interfaces: {listed(soft, 6)}" if soft else ""


def _folders(node: Node, judgement: Judgement, width: float) -> Block | None:
    if not node.storage:
        return None
    shapes: list[Shape] = [Words(0, 12, "Folders", 11, bold=True)]
    y = 20.0
    for folder in node.storage:
        shapes += _folder(folder, judgement.on((folder.role, folder.path)), y, width)
        y += 17.0
    return Block(width, y, tuple(shapes), name="folders")


def _folder(folder: Storage, finding: Remark | None, y: float, width: float) -> list[Shape]:
    tip = f"{folder.role}: {folder.path}\n{words.all_of(folder)}"
    bar = 130.0
    free, total = folder.free_bytes.value, folder.size_bytes.value
    left = width - bar - 150
    kind = folder.file_system.or_else("file system not told")
    name = fitted(f"{folder.role}: {folder.path} ({kind})", 10.5, left - 12)
    ink = look(finding.level) if finding else "quiet"
    shapes: list[Shape] = [Words(0, y + 12, name, 10.5, ink, tip=tip)]
    if free is None or not total:
        return [*shapes, Words(left, y + 12, "free space not told", 10.5, "quiet", tip=tip)]
    used = min(1.0, max(0.0, 1 - free / total))
    shapes.append(Area(left, y + 4, bar, 8, "bar", 2.0, tip))
    shapes.append(Area(left, y + 4, bar * used, 8, "flow" if finding else "used", 2.0, tip))
    of = f"{words.size(free)} of {words.size(total)} free"
    shapes.append(Words(width, y + 12, fitted(of, 10.5, 142), 10.5, ink, "end", tip=tip))
    return shapes
