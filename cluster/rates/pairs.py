"""Each node with each other, alone on its ways in and out: a slow cable shows in its node's pairs and in no other."""

import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from cluster.rates.tournament import rounds
from cluster.rates.wire import Wire

PINGS = 20
WARM_UPS = 1
TRIALS = 3
LEAST_BYTES = 64 << 10
MOST_BYTES = 64 << 20
MESSAGES = 2 * (WARM_UPS + TRIALS)  # in one round, both ways


class Met(NamedTuple):
    """What two nodes measured."""

    a: str
    b: str
    bytes_per_second: float
    latency_seconds: float


def message_bytes(bytes_per_second: float, seconds: float) -> int:
    """As large as a round's messages fit into its time; the same for all pairs."""
    fitting = int(bytes_per_second * seconds / MESSAGES) // 4 * 4
    return max(LEAST_BYTES, min(MOST_BYTES, fitting))


def met(wire: Wire, bytes_per_second: float, seconds: float) -> Iterator[list[Met] | str]:
    """Round by round; words instead of the rest where the time is up. Collectives: all ranks call this alike, those
    that are not the first of their node only meet the others after each round.

    `bytes_per_second`: about what a pair does.
    """
    names = list(dict.fromkeys(wire.nodes))
    leaders = [wire.nodes.index(name) for name in names]
    own = leaders.index(wire.rank) if wire.rank in leaders else None
    planned = rounds(len(leaders))
    size = message_bytes(bytes_per_second, seconds / max(1, len(planned)))
    end = time.monotonic() + seconds
    for index, pairs in enumerate(planned):
        one_way, latency = 0.0, 0.0
        mine = next((pair for pair in pairs if own in pair), None)
        if mine is not None:
            one_way, latency = _with(wire, leaders[mine[0]], leaders[mine[1]], size)
        late = float(time.monotonic() > end)
        told = wire.gathered([one_way, latency, late])
        yield [
            Met(names[a], names[b], min(told[leaders[a]][0], told[leaders[b]][0]), told[leaders[a]][1])
            for a, b in pairs
        ]
        if told[0][2] and index + 1 < len(planned):
            yield f"{index + 1} of {len(planned)} rounds of pairs fit into the time: measure longer for all of them"
            return


def _with(wire: Wire, a: int, b: int, size: int) -> tuple[float, float]:
    """Bytes a second that this rank sends to its peer, and half a round trip; `a` speaks first."""
    peer = b if wire.rank == a else a
    small = torch.zeros(2, device=wire.device)
    large = torch.zeros(size // 4, device=wire.device)
    wire.bounded(lambda: _answered(wire, small, small, a, peer))  # the first one builds the connection
    half = statistics.median(_answered(wire, small, small, a, peer) for _ in range(PINGS)) / 2
    taken = {}
    for sender in (a, b):
        for _ in range(WARM_UPS):
            _answered(wire, large, small, sender, peer)
        taken[sender] = statistics.median(_answered(wire, large, small, sender, peer) for _ in range(TRIALS))
    return size / max(taken[wire.rank] - half, 1e-9), half


def _answered(wire: Wire, message: Tensor, answer: Tensor, sender: int, peer: int) -> float:
    """Seconds from a message to its answer."""
    began = time.perf_counter()
    if wire.rank == sender:
        wire.send(message, peer)
        wire.receive(answer, peer)
    else:
        wire.receive(message, peer)
        wire.send(answer, peer)
    return time.perf_counter() - began
