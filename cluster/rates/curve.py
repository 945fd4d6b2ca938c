"""The all-reduce over all ranks, from messages that cost a latency to messages that fill the wire."""

import statistics
import time
from collections.abc import Iterator, Sequence

import psutil
import torch
from torch import Tensor

from cluster.rates.wire import Wire
from cluster.topology.rate import Size

KIBIBYTE, MEBIBYTE, GIBIBYTE = 1 << 10, 1 << 20, 1 << 30
SIZES = [
    *(KIBIBYTE, 4 * KIBIBYTE, 16 * KIBIBYTE, 64 * KIBIBYTE, 256 * KIBIBYTE),
    *(MEBIBYTE, 4 * MEBIBYTE, 16 * MEBIBYTE, 64 * MEBIBYTE, 256 * MEBIBYTE, GIBIBYTE),
]
# NCCL goes from its low-latency protocols to the simple one, and from trees to rings, somewhere in here (its source,
# src/graph/tuning.cc): the steps of the curve show only where sizes are close.
BETWEEN = [512 * KIBIBYTE, 2 * MEBIBYTE, 8 * MEBIBYTE, 32 * MEBIBYTE]
FEWEST_SIZES = 7
WARM_UPS = 2
FEWEST_TRIALS, MOST_TRIALS = 3, 20
TRIAL_SECONDS = 0.005  # shorter messages are sent several times in one trial: the clock and the meeting cost some
MOST_REPEATS = 50
SHARES = 15  # a size takes so large a part of the time, more only for its fewest trials
SHARE_OF_MEMORY = 8  # a message is no larger than an eighth of what is free


def bus_share(ranks: int) -> float:
    """What a link carries of each byte that is reduced (github.com/NVIDIA/nccl-tests, doc/PERFORMANCE.md)."""
    return 2 * (ranks - 1) / ranks


def fits(size: int, last: Size, seconds: float) -> bool:
    """Whether a size can be measured in a time, after another whose messages were not more expensive by the byte."""
    return (WARM_UPS + FEWEST_TRIALS) * last.median_seconds * size / last.message_bytes <= seconds


def sizes(wire: Wire, seconds: float) -> Iterator[Size]:
    """Each size as it is done: seven at least, larger ones as the time allows, and at last those between.

    Collectives: all ranks call this alike, and decide alike, because they decide by what they gathered.
    """
    began = time.monotonic()
    room = -int(wire.most(-_free_bytes(wire) / SHARE_OF_MEMORY))
    done: list[Size] = []
    for size in SIZES:
        left = seconds - wire.most(time.monotonic() - began)
        if len(done) >= FEWEST_SIZES and (size > room or not fits(size, done[-1], left)):
            break
        done.append(_measured(wire, size, seconds / SHARES))
        yield done[-1]
    for size in BETWEEN:
        smaller = [each for each in done if each.message_bytes < size]
        left = seconds - wire.most(time.monotonic() - began)
        if len(smaller) < len(done) and fits(size, smaller[-1], left):
            yield _measured(wire, size, seconds / SHARES)


def _free_bytes(wire: Wire) -> int:
    if wire.device.type == "cuda":
        return torch.cuda.mem_get_info(wire.device)[0]
    return psutil.virtual_memory().available // wire.nodes.count(wire.nodes[wire.rank])


def _measured(wire: Wire, size: int, seconds: float) -> Size:
    """Collectives."""
    tensor = torch.zeros(size // 4, device=wire.device)  # float32; zeros stay what they are, however often added up
    for _ in range(WARM_UPS):
        once = _trial(wire, tensor, 1)
    once = max(wire.most(once), 1e-7)
    repeats = min(MOST_REPEATS, max(1, round(TRIAL_SECONDS / once)))
    trials = min(MOST_TRIALS, max(FEWEST_TRIALS, int(seconds / (once * repeats)) - WARM_UPS))
    return size_of(size, wire.gathered([_trial(wire, tensor, repeats) for _ in range(trials)]))


def _trial(wire: Wire, tensor: Tensor, repeats: int) -> float:
    """Seconds of one message on this rank, from when all were ready. Collectives."""
    wire.meet()
    began = time.perf_counter()
    for _ in range(repeats):
        wire.all_reduce(tensor)
    wire.finish()
    return (time.perf_counter() - began) / repeats


def size_of(message_bytes: int, seconds: Sequence[Sequence[float]]) -> Size:
    """What the times of each rank's trials say: a trial lasts as long as its slowest rank."""
    trials = [max(times) for times in zip(*seconds, strict=True)]
    median, fastest = statistics.median(trials), min(trials)
    on_bus = message_bytes * bus_share(len(seconds))
    return Size(
        message_bytes=message_bytes,
        trials=len(trials),
        min_seconds=fastest,
        median_seconds=median,
        rank_seconds=tuple(statistics.median(times) for times in seconds),
        bus_bytes_per_second=on_bus / median,
        best_bus_bytes_per_second=on_bus / fastest,
    )
