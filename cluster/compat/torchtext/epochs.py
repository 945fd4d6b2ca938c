"""Which example stands in which batch of which rank, epoch by epoch: numbers in, numbers out.

An epoch is a list of steps; a step holds one batch, a list of numbers of examples, for each rank. So all ranks get the
same number of batches. Each rank computes the whole plan and takes its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cluster.data.permutation import permutation
from cluster.errors import InputError

Step = list[list[int]]
Grows = Callable[[int, int, Any], Any]
"""An example, how many a batch holds with it, the batch's size before; gives the size with it."""

POOL = 100
"""Batches' worth of examples that are sorted together."""
# What the chance of a permutation is used for: no two uses share it.
EPOCH, STEPS = 1, 2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the plan of an epoch depends on, besides the examples."""

    batch_size: int
    """Of each rank."""
    seed: int
    ranks: int = 1
    train: bool = True
    """May examples sit out an epoch, so that all ranks have as many in every batch?"""
    shuffle: bool = False
    sort: bool = False
    pooled: bool = False
    """Are examples of about one length put together?"""


def sitting_out(examples: int, settings: Settings) -> int:
    """How many examples of an epoch no rank gets."""
    return examples % settings.ranks if settings.train else 0


def steps_of_epoch(
    examples: int, settings: Settings, epoch: int, keys: Sequence[Any] = (), grows: Grows | None = None
) -> list[Step]:
    """The batches of every rank, step by step. `keys` sort the examples; `grows` measures batches if they are not
    counted in examples.

    To train, all ranks' batches of a step hold equally many examples (with `grows`: about as much), and fewer examples
    than there are ranks sit the epoch out. Else every example is read once, and the batches of the last steps may
    differ by one example. Raises InputError where there are too few examples for that.
    """
    order = list(range(examples))
    if settings.shuffle:
        order = permutation(np.arange(examples), examples, settings.seed, EPOCH, epoch).tolist()
    # Before anything is sorted: what sits out is then of any length.
    order = order[: examples - sitting_out(examples, settings)]
    if len(order) < settings.ranks:
        raise _too_few(examples, settings)
    chunks = [order]
    if settings.sort:
        chunks = [sorted(order, key=keys.__getitem__)]
    elif settings.pooled:
        pools = cut(order, POOL * settings.batch_size * settings.ranks, grows)
        chunks = [sorted(pool, key=keys.__getitem__) for pool in pools]
    if grows is None:
        steps = _dealt([index for chunk in chunks for index in chunk], settings)
    else:
        steps = _grouped([batch for chunk in chunks for batch in cut(chunk, settings.batch_size, grows)], settings)
    if settings.shuffle and settings.pooled and not settings.sort:
        places = permutation(np.arange(len(steps)), len(steps), settings.seed, STEPS, epoch)
        steps = [steps[place] for place in places.tolist()]
    return steps


def cut(order: Sequence[int], limit: int, grows: Grows | None) -> list[list[int]]:
    """Runs of a size of at most `limit`; one that alone is larger stands alone."""
    if grows is None:
        return [list(order[first : first + limit]) for first in range(0, len(order), limit)]
    runs: list[list[int]] = []
    run: list[int] = []
    size: Any = 0
    for index in order:
        size = grows(index, len(run) + 1, size)
        if size > limit and run:
            runs.append(run)
            run, size = [], grows(index, 1, 0)
        run.append(index)
        if size >= limit:
            runs.append(run)
            run, size = [], 0
    return [*runs, run] if run else runs


def _dealt(order: list[int], settings: Settings) -> list[Step]:
    """Steps of `batch_size` examples for each rank, the last one shorter. Neighbours go to different ranks, so that
    none has longer examples than the others."""
    ranks, step = settings.ranks, settings.batch_size * settings.ranks
    bounds = [*range(0, len(order), step), len(order)]
    if 0 < len(order) % step < ranks:  # the step before lends to the last one, in which a rank would have nothing
        if settings.batch_size == 1:
            raise _too_few(len(order), settings)
        bounds[-2] = len(order) - ranks
    return [[order[first:last][rank::ranks] for rank in range(ranks)] for first, last in pairwise(bounds)]


def _grouped(batches: list[list[int]], settings: Settings) -> list[Step]:
    """Neighbouring batches, one for each rank; the largest are halved until there are enough."""
    ranks = settings.ranks
    examples = sum(map(len, batches))
    if examples < -(-len(batches) // ranks) * ranks:
        raise _too_few(examples, settings)
    while len(batches) % ranks:
        place = max(range(len(batches)), key=lambda place: len(batches[place]))
        batch = batches[place]
        batches[place : place + 1] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    return [batches[first : first + ranks] for first in range(0, len(batches), ranks)]


def _too_few(examples: int, settings: Settings) -> InputError:
    return InputError(
        f"{examples} examples in batches of {settings.batch_size} cannot be shared by {settings.ranks} ranks so that "
        "each gets as many batches and every example is read once. Use a larger batch_size, fewer ranks, or more data."
    )
