"""What the training loop, the evaluation and the predictor ask of a task."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Sums = dict[str, Tensor]
"""What an evaluation adds up over micro-batches and ranks, on the CPU, by name."""


class Task(Protocol):
    def loss_sum(self, outputs: Any, labels: Tensor) -> Tensor:
        """Sum (not mean) of the training loss over a micro-batch, on the device, in at least float32. `outputs` are
        what the model gives: (B, C), or Spoken."""
        ...

    def weight(self, labels: npt.NDArray[Any]) -> float:
        """What the loss of a step with these stored labels is divided by: every rank can tell without talking."""
        ...

    def empty_sums(self, lengths: npt.NDArray[Any], keep: bool) -> Sums:
        """Zero sums for a split of documents of these lengths, to be filled by `add` and added up over ranks; with
        `keep`, also rows for the documents (what the model said of each)."""
        ...

    def add(self, sums: Sums, outputs: Any, labels: Tensor, documents: npt.NDArray[np.int64]) -> None:
        """Count one micro-batch of an evaluation; `documents` are the ids of its rows."""
        ...

    def scores(self, sums: Sums) -> dict[str, Any]:
        """The figures of an evaluation from sums over all examples."""
        ...

    def headline(self, scores: dict[str, Any]) -> dict[str, Any]:
        """The few of them that go to a line of `metrics.jsonl`, by the names of `evaluate.metric`."""
        ...

    def documents(self, sums: Sums) -> dict[str, npt.NDArray[Any]]:
        """What was kept of each document, one row each: its loss, and what the model said."""
        ...

    def describe(self) -> dict[str, Any]:
        """What `model.json` keeps of the task, for `build_for_inference`."""
        ...


@runtime_checkable
class Answering(Task, Protocol):
    """A task whose model says one thing of a whole document."""

    def answers(self, outputs: Tensor) -> npt.NDArray[np.float64]:
        """What the model says, from its outputs (B, C): probabilities (B, C), or numbers (B,); of outputs (B, T, C)
        probabilities (B, T, C)."""
        ...


@runtime_checkable
class Judges(Task, Protocol):
    """A task whose figures need the texts of the split."""

    def judge(self, sums: Sums, reader: Any, documents: Sequence[int]) -> None:
        """Add what only the texts can tell of these documents, those that `add` was called with."""
        ...


@runtime_checkable
class Calibrates(Task, Protocol):
    """A task with a setting that is chosen on the validation split, once the weights are final."""

    def calibrate(self, sums: Sums) -> str:
        """Choose it from the sums over the validation split; says what was chosen."""
        ...


def at_least_float32(outputs: Tensor) -> Tensor:
    """Losses are not computed in bfloat16."""
    return outputs if outputs.itemsize >= 4 else outputs.float()


def scatter(rows: Tensor, documents: npt.NDArray[np.int64], *columns: Tensor) -> None:
    """Put columns (B,) or (B, K) side by side into the rows of these documents. The host waits for the device."""
    wide = [column if column.ndim == 2 else column[:, None] for column in columns]
    rows[torch.from_numpy(documents)] = torch.cat([column.double() for column in wide], dim=1).cpu()
