"""Scores of a split: the same figures on any number of ranks.

The micro-batches depend on the data and the recipe alone; ranks share them out, and only sums (counts, one loss)
travel.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from cluster.data.order import costs, deal
from cluster.data.sequences import Sequences
from cluster.data.shards import Reader
from cluster.loader import Gather
from cluster.plan.plan import Plan
from cluster.tasks.task import Judges, Sums, Task
from cluster.training.parallel import World, autocast
from cluster.training.pulse import Pulse
from cluster.training.settling import damage_named, settle


def evaluate(
    model: nn.Module,
    task: Task,
    reader: Reader,
    world: World,
    plan: Plan,
    micro_batch_tokens: int,
    pulse: Pulse,
) -> dict[str, Any]:
    """Scores of a split. A collective: all ranks call it, with the unwrapped model, and all get the same figures."""
    return task.scores(evaluation_sums(model, task, reader, world, plan, micro_batch_tokens, pulse, keep=False))


def evaluation_sums(
    model: nn.Module,
    task: Task,
    reader: Reader,
    world: World,
    plan: Plan,
    micro_batch_tokens: int,
    pulse: Pulse,
    keep: bool,
) -> Sums:
    """What the task makes scores of and, with `keep`, what the model said of each document. A collective.

    A rank without a share takes part with zero sums. Raises DataError, on all ranks, if any read a damaged block.
    """
    gather = Gather(reader, world.device)
    padded = not reader.weighted
    micro_batches = cut(np.asarray(reader.lengths), micro_batch_tokens, padded)
    sums = task.empty_sums(reader.lengths, keep)
    own: list[int] = []
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(plan, world), damage_named(reader):
        for index in deal(costs(micro_batches, reader.lengths, padded), world.size)[world.rank]:
            own += micro_batches[index].tolist()
            batch = gather.batch(micro_batches[index], index)
            gather.hand_over([batch], gather.sent())
            task.add(sums, model(batch.tokens, batch.lengths, batch.beside), batch.labels, micro_batches[index])
            pulse.batch()
    pulse.wait()
    if isinstance(task, Judges):
        task.judge(sums, reader, own)
    model.train(was_training)
    settle(reader, world)
    # Collectives, one for each kind of sum; NCCL wants them on the device.
    summed = {name: world.sum(value.to(world.device)).cpu() for name, value in sums.items()}
    if isinstance(reader, Sequences):
        summed |= {"bytes": torch.tensor(reader.text_bytes), "tokens": torch.tensor(reader.planned_tokens)}
    return summed


def cut(lengths: np.ndarray[Any, Any], micro_batch_tokens: int, padded: bool) -> list[np.ndarray[Any, Any]]:
    """Document ids of each micro-batch: longest first under the budget if padded, in file order for bags."""
    ids = np.argsort(-lengths.astype(np.int64), kind="stable") if padded else np.arange(len(lengths))
    sizes = np.maximum(lengths[ids].astype(np.int64), 1)
    ends = np.cumsum(sizes)
    micro_batches = []
    start = 0
    while start < len(ids):
        if padded:
            count = max(1, micro_batch_tokens // int(sizes[start]))
        else:
            before = int(ends[start - 1]) if start else 0
            count = max(1, int(np.searchsorted(ends, before + micro_batch_tokens, side="right")) - start)
        micro_batches.append(ids[start : start + count])
        start += count
    return micro_batches
