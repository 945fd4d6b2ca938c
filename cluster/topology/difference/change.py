"""One difference between two records, and the same difference on many nodes told once."""

import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from cluster.topology.fact import record
from cluster.topology.hosts import by_number, compressed
from cluster.topology.parts import Part, together

Level = Literal["changed", "lost", "new", "slower", "faster"]


@record
class Difference:
    """What is otherwise in the second record."""

    level: Level
    nodes: tuple[str, ...] = ()
    """All that it is the same on; empty: the cluster as a whole."""
    part: str = ""
    """As in `GPUs 0-3`; empty where the fact tells."""
    fact: str
    """In words."""
    before: str = ""
    after: str = ""

    @property
    def where(self) -> str:
        """n3, or 62 nodes (n[0-61])."""
        if len(self.nodes) < 2:
            return "".join(self.nodes)
        return f"{len(self.nodes):,} nodes ({compressed(self.nodes)})"

    @property
    def what(self) -> str:
        return f"{self.part}: {self.fact}" if self.part and self.fact else self.part or self.fact

    @property
    def words(self) -> str:
        """driver 550.54 -> 570.86 on 62 nodes (n[0-61])"""
        on = f" on {self.where}" if self.nodes else ""
        match self.level:
            case "lost":
                return " ".join(filter(None, [self.what, self.before, "gone"])) + on.replace(" on ", " from ", 1)
            case "new":
                return " ".join(filter(None, [self.what, self.after, "new"])) + on
            case "slower" | "faster":
                return f"{self.what} {self.before} -> {self.after}, {self.level}{on}"
            case _:
                change = f" {self.before} -> {self.after}" if self.before or self.after else ""
                return f"{self.what}{change}{on}"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference on one node, before it is grouped."""

    level: Level
    node: str
    part: Part | None
    fact: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Pace:
    """A measured figure that is another now."""

    nodes: tuple[str, ...]
    part: Part | None
    fact: str
    before: float
    after: float
    written: Callable[[float], str]
    low_is_better: bool = False

    @property
    def level(self) -> Level:
        return "slower" if (self.after < self.before) != self.low_is_better else "faster"


def grouped(changes: Iterable[Change]) -> list[Difference]:
    """The same on several parts of a node as one, then the same on several nodes."""
    of_node: dict[Hashable, list[Change]] = {}
    for one in changes:
        kind = one.part.kind if one.part else ""
        of_node.setdefault((one.node, kind, one.fact, one.level, one.before, one.after), []).append(one)
    of_all: dict[Hashable, list[Change]] = {}
    names: dict[Hashable, str] = {}
    for some in of_node.values():
        first = some[0]
        name = together([one.part for one in some if one.part]).name if first.part else ""
        key = (name, first.fact, first.level, first.before, first.after)
        of_all.setdefault(key, []).append(first)
        names[key] = name
    return [
        Difference(
            level=some[0].level,
            nodes=tuple(sorted({one.node for one in some if one.node}, key=by_number)),
            part=names[key],
            fact=some[0].fact,
            before=some[0].before,
            after=some[0].after,
        )
        for key, some in of_all.items()
    ]


def paced(paces: Iterable[Pace]) -> list[Difference]:
    """The same figure of many parts and nodes as one, by medians; a single one as it is."""
    groups: dict[Hashable, list[Pace]] = {}
    for one in paces:
        groups.setdefault((one.part.kind if one.part else "", one.fact, one.level), []).append(one)
    return [_medians(some) for some in groups.values()]


def _medians(some: Sequence[Pace]) -> Difference:
    first = some[0]
    nodes = tuple(sorted({name for one in some for name in one.nodes}, key=by_number))
    of = f" (median of {len(some)})" if len(some) > 1 else ""
    parts = [one.part for one in some if one.part]
    name = together(parts).name if parts and len(nodes) == 1 else f"{len(parts)} {parts[0].kind}s" if parts else ""
    return Difference(
        level=first.level,
        nodes=nodes,
        part=parts[0].name if len(parts) == 1 else name,
        fact=first.fact,
        before=first.written(statistics.median(one.before for one in some)) + of,
        after=first.written(statistics.median(one.after for one in some)) + of,
    )
