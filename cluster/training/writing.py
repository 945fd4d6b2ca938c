"""The texts that a model writes of a split's pairs: the same on any number of ranks.

The batches depend on the data alone; ranks share them out, and what each wrote is added up in one array.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cluster.data.order import deal
from cluster.data.pairs import Pairs
from cluster.data.references import read_references
from cluster.decoding import MOST_BEYOND, Search, written
from cluster.models.writing import Writes
from cluster.plan.plan import Plan
from cluster.pulse.phase import Phase
from cluster.tasks.rewrite import Rewrite
from cluster.text.tokens.pipeline import Encoder
from cluster.text.tokens.spelling import text_of
from cluster.training.parallel import World, autocast
from cluster.training.pulse import Pulse
from cluster.training.settling import damage_named, settle

TOKENS_AT_ONCE = 4096
"""Of the texts that are read together, padding counted, times the ways that are kept of each."""


@dataclass(frozen=True)
class Written:
    """What came of a split."""

    texts: list[str]
    figures: dict[str, Any]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The texts for `predictions.npz`: their UTF-8, and where each ends."""
        encoded = [text.encode() for text in self.texts]
        return {
            "written": np.frombuffer(b"".join(encoded), dtype=np.uint8),
            "written_ends": np.cumsum([len(one) for one in encoded], dtype=np.int64),
        }


def write_split(
    model: nn.Module, task: Rewrite, reader: Pairs, split: str, world: World, plan: Plan, pulse: Pulse
) -> Written:
    """The text of each pair, and how like they are to those asked for. A collective: all ranks get the same.

    Raises DataError, on all ranks, if any read a damaged block or the texts asked for are not there.
    """
    rows = write_rows(model, task.search, reader, world, plan, pulse)
    encoder = Encoder.load(Path(reader.manifest.folder))
    texts = [text_of(encoder, one) for one in rows]
    with pulse.phase(Phase.SAVE):  # longer than a batch: a hundred thousand texts are compared in a minute or two
        return Written(texts, task.overlap.of(texts, read_references(reader.manifest, split)))


def write_rows(
    model: nn.Module, search: Search, reader: Pairs, world: World, plan: Plan, pulse: Pulse
) -> list[list[int]]:
    """The rows of the vocabulary that are written of each pair. A collective."""
    room = reader.sources.astype(np.int64) + MOST_BEYOND
    ends = np.cumsum(room)
    found = torch.zeros(int(ends[-1]) if ends.size else 0, dtype=torch.int32)
    batches = batches_of(reader.sources, search.beam)
    costs = [int(room[batch].max()) * len(batch) for batch in batches]
    was_training = model.training
    model.eval()
    with damage_named(reader), autocast(plan, world):
        for index in deal(costs, world.size)[world.rank]:
            ids = batches[index]
            (arrays,) = reader.asked(ids, [len(ids)], 0)
            tokens, lengths = (
                torch.from_numpy(arrays[name].astype(np.int64)).to(world.device) for name in ("tokens", "lengths")
            )
            for document, rows in zip(
                ids.tolist(), written(cast(Writes, model), tokens, lengths, search, pulse.batch), strict=True
            ):
                first = int(ends[document] - room[document])
                found[first : first + len(rows)] = torch.tensor(rows, dtype=torch.int32)
    pulse.wait()
    model.train(was_training)
    settle(reader, world)
    summed = world.sum(found.to(world.device)).cpu().numpy()
    return [_without_zeros(summed[end - size : end]) for end, size in zip(ends.tolist(), room.tolist(), strict=True)]


def _without_zeros(rows: npt.NDArray[Any]) -> list[int]:
    """No text holds row 0, padding: behind the first one is nothing."""
    said: list[int] = rows[rows != 0].tolist()
    return said


def batches_of(lengths: npt.NDArray[Any], ways: int) -> list[npt.NDArray[np.int64]]:
    """Which texts are read together: of about one length, the longest first."""
    order: Sequence[int] = np.argsort(-lengths.astype(np.int64), kind="stable").tolist()
    batches, first = [], 0
    while first < len(order):
        count = max(1, TOKENS_AT_ONCE // (ways * int(lengths[order[first]])))
        batches.append(np.array(order[first : first + count], dtype=np.int64))
        first += count
    return batches
