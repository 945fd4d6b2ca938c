"""Boxes of NUMA nodes: every core a square, memory a bar."""

from collections.abc import Iterable

from cluster.topology import words
from cluster.topology.cpu import Cpu, NumaNode
from cluster.topology.cpulist import parsed, written
from cluster.topology.draw.scene import Area, Block, Placed, Shape, Way, Words
from cluster.topology.draw.widths import fitted, width_of, wrapped
from cluster.topology.fact import Fact
from cluster.topology.node import Node

PAD = 9.0
CORE = 9.0  # from one core to the next
SQUARE = 7.0
LARGE_CORE, LARGE_SQUARE = 19.0, 16.0  # where there are few
FEW = 16
SMALL = 10.5


def cores_of(cpu: Cpu, cpus: Iterable[int]) -> list[tuple[int, ...]]:
    """The CPUs of each core that has any of `cpus`; a core for each CPU where the kernel does not tell."""
    wanted = set(cpus)
    told = [tuple(_numbers(core)) for core in cpu.siblings.or_else(())]
    cores = [core for core in told if wanted & set(core)]
    rest = wanted - {number for core in cores for number in core}
    return sorted([*cores, *((number,) for number in rest)])


def numa_box(node: Node, numa: NumaNode | None, width: float) -> Block:
    """`numa` None: the processors of a node that tells of no NUMA nodes."""
    listed = node.cpu.online if numa is None else numa.cpus
    cpus = _numbers(listed.or_else(""))
    cores = cores_of(node.cpu, cpus)
    title = "Processors (NUMA nodes not told)" if numa is None else f"NUMA {numa.number}"
    shapes: list[Shape] = [Words(PAD, 18, fitted(title, 11.5, width - 2 * PAD, True), 11.5, bold=True)]
    y = 18 + 15.0
    about = _count(len(cores), "core") + (f", {len(cpus)} CPUs" if len(cpus) != len(cores) else "")
    said = about if cpus else f"CPUs not told: {listed.why}"
    shapes.append(Words(PAD, y, fitted(said, SMALL, width - 2 * PAD), SMALL, "quiet"))
    y += 9
    squares = _squares(node.cpu, cores, width - 2 * PAD, _tip(node.cpu, cpus))
    shapes.append(Placed(PAD, y, squares))
    y += squares.height + (6 if cores else 0)
    total = node.memory.total_bytes if numa is None else numa.memory_bytes
    free = node.memory.available_bytes if numa is None else numa.free_bytes
    memory, y = _memory(total, free, width, y)
    shapes += memory
    copied = _copied(node, numa)
    if copied:
        shapes.append(Words(PAD, y + 12, fitted(copied, SMALL, width - 2 * PAD), SMALL, "quiet"))
        y += 15
    tip = "" if numa is None else f"NUMA {numa.number}\n{words.all_of(numa)}"
    name = "processors" if numa is None else f"NUMA {numa.number}"
    return Block(width, y + 8, (Area(0, 0, width, y + 8, "numa", 4.0, tip), *shapes), name=name)


def untold_box(width: float) -> Block:
    """For what is on no NUMA node that is known."""
    lines = wrapped("NUMA node not told", SMALL, width - 2 * PAD, 3)
    shapes = [Words(PAD, 18 + 13.0 * n, line, SMALL, "quiet") for n, line in enumerate(lines)]
    height = 18 + 13.0 * len(lines)
    return Block(width, height, (Area(0, 0, width, height, "untold", 4.0), *shapes), name="not told")


def _memory(total: Fact[int], free: Fact[int], width: float, y: float) -> tuple[list[Shape], float]:
    room = width - 2 * PAD
    if not total.known:
        said = fitted(f"memory not told: {total.why}", SMALL, room)
        return [Words(PAD, y + 11, said, SMALL, "quiet")], y + 14
    all_bytes, free_bytes = total.or_else(0), free.value
    said = f"memory {words.size(all_bytes)}" + (f", {words.size(free_bytes)} free" if free_bytes is not None else "")
    if width_of(said, SMALL) > room:
        said = said.removeprefix("memory ")
    shapes: list[Shape] = [Words(PAD, y + 11, fitted(said, SMALL, room), SMALL, "quiet")]
    if free_bytes is None or not all_bytes:
        return shapes, y + 14
    used = room * min(1.0, max(0.0, 1 - free_bytes / all_bytes))
    shapes += [Area(PAD, y + 17, room, 6, "bar", 2.0), Area(PAD, y + 17, used, 6, "used", 2.0)]
    return shapes, y + 26


def _copied(node: Node, numa: NumaNode | None) -> str:
    """The fastest copy that was measured in its memory."""
    where = "cpu" if numa is None else f"numa {numa.number}"
    found = [rate for rate in node.rates if rate.what == "memory_copy" and rate.where == where]
    best = max(found, key=lambda rate: rate.value, default=None)
    if best is None:
        return ""
    share = f", {words.percent(best.share)} of its limit" if best.share else ""
    return f"copies {words.rate(best.value, best.unit)} with {best.how.partition(',')[0]}{share}"


def _squares(cpu: Cpu, cores: list[tuple[int, ...]], room: float, tip: str) -> Block:
    """A path for each look, of all its squares."""
    pitch, side = (LARGE_CORE, LARGE_SQUARE) if len(cores) <= FEW else (CORE, SQUARE)
    across = max(1, int((room + pitch - side) // pitch))
    usable = set(_numbers(cpu.usable.value)) if cpu.usable.value else None
    paths: dict[str, list[str]] = {}
    for index, core in enumerate(cores):
        x, y = index % across * pitch, index // across * pitch
        part = 1.0 if usable is None else len(usable & set(core)) / len(core)
        look = "core" if part == 1 else "part" if part else "off"
        paths.setdefault(look, []).append(f"M{x:g} {y:g}h{side:g}v{side:g}h-{side:g}z")
    rows = -(-len(cores) // across)
    return Block(room, rows * pitch, tuple(Way("".join(found), look) for look, found in sorted(paths.items())), tip)


def _tip(cpu: Cpu, cpus: list[int]) -> str:
    usable = words.told("usable", cpu.usable)
    quota = words.told("quota", cpu.quota)
    return f"CPUs here: {written(cpus)}\nof the node usable by this process: {usable}\nquota: {quota}"


def _numbers(listed: str) -> list[int]:
    """Of a list that may be damaged: a picture is drawn all the same."""
    try:
        return parsed(listed)
    except ValueError:
        return []


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
