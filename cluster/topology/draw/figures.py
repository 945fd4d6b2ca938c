"""Measured figures in words: with their limits, those of a kind together, and which are lower than they should be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.topology import words
from cluster.topology.health.load import LEAST_SHARES
from cluster.topology.node import Node
from cluster.topology.rate import Rate

SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Figure:
    """One figure, wherever on the node it was measured."""

    name: str
    rates: tuple[Rate, ...]


def figures_of(nodes: Sequence[Node]) -> list[Figure]:
    """All rates of some nodes, those of a kind together, in the order in which they were measured."""
    found: dict[tuple[str, str, str], list[Rate]] = {}
    for node in nodes:
        for rate in node.rates:
            found.setdefault((rate.what, rate.how, rate.unit), []).append(rate)
    return [Figure(named(rates[0]), tuple(rates)) for rates in found.values()]


def is_low(rate: Rate) -> bool:
    """Whether it is less than it should be, as health has it; of arithmetic and of pageable memory nobody can say."""
    least = LEAST_SHARES.get((rate.what, rate.how), LEAST_SHARES.get((rate.what, "")))
    return least is not None and rate.share is not None and rate.share < least


def line(rate: Rate) -> str:
    """A measured figure in one line, with its limit."""
    said = f"{named(rate)}: {words.rate(rate.value, rate.unit)}"
    if rate.limit and rate.share is not None:
        limit = words.rate(rate.limit, rate.unit)
        said += f", {words.percent(rate.share)} of {limit} ({rate.limit_reason})"
    return said


def named(rate: Rate) -> str:
    """What a rate is of, in words."""
    what = words.KNOWN_RATES.get(rate.what, rate.what.replace("_", " "))
    how = rate.how.partition(",")[0]  # behind it stands how it was counted
    how = SHORT.get(how, how)
    return f"{what}, {how}" if how else what


def span(values: Iterable[float], unit: str) -> str:
    """49.8 to 52.1 GB/s; one figure where they are as good as equal."""
    found = sorted(values)
    low, high = words.rate(found[0], unit), words.rate(found[-1], unit)
    if low == high:
        return high
    same = low.partition(" ")[2] == high.partition(" ")[2]
    return f"{low.partition(' ')[0] if same else low}–{high}"
