"""A number for each document: mean squared error.

The model learns the number in standard scores, (target - mean) / deviation of the training set, so that the learning
rate need not know the unit. The loss is the squared error of these scores; `mse` and `mae` are in the data's own unit.

Shapes: B documents of a micro-batch, N of the whole split.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cluster import metrics
from cluster.tasks.task import Sums, at_least_float32, scatter


class Regress:
    """`mean` and `deviation` are those of the training set's targets; a deviation of 0 counts as 1."""

    def __init__(self, mean: float, deviation: float) -> None:
        self.mean = mean
        self.deviation = deviation or 1.0

    def loss_sum(self, outputs_B1: Tensor, targets_B: Tensor) -> Tensor:
        """Sum over documents."""
        outputs_B1 = at_least_float32(outputs_B1)
        wanted_B = ((targets_B.double() - self.mean) / self.deviation).to(outputs_B1.dtype)
        return (outputs_B1[:, 0] - wanted_B).square().sum()

    def weight(self, targets_B: npt.NDArray[Any]) -> float:
        return float(len(targets_B))

    def empty_sums(self, lengths: npt.NDArray[Any], keep: bool) -> Sums:
        """Rows for all documents in any case: Spearman's correlation is of all of them together."""
        return {"documents": torch.zeros(len(lengths), 2, dtype=torch.float64)}

    def add(self, sums: Sums, outputs_B1: Tensor, targets_B: Tensor, documents: npt.NDArray[np.int64]) -> None:
        scatter(sums["documents"], documents, targets_B, self._numbers(outputs_B1))

    def scores(self, sums: Sums) -> dict[str, Any]:
        targets_N, predicted_N = sums["documents"].numpy().T
        return {"task": "regress"} | metrics.number_scores(targets_N, predicted_N, self.deviation)

    def headline(self, scores: dict[str, Any]) -> dict[str, Any]:
        return {name: scores[name] for name in ("loss", "mse", "mae", "r2", "spearman")}

    def documents(self, sums: Sums) -> dict[str, npt.NDArray[Any]]:
        targets_N, predicted_N = sums["documents"].numpy().T
        return {"loss": ((predicted_N - targets_N) / self.deviation) ** 2, "predicted": predicted_N}

    def answers(self, outputs_B1: Tensor) -> npt.NDArray[np.float64]:
        numbers_B: npt.NDArray[np.float64] = self._numbers(outputs_B1).cpu().numpy()
        return numbers_B

    def describe(self) -> dict[str, Any]:
        return {"kind": "regress", "mean": self.mean, "deviation": self.deviation}

    def _numbers(self, outputs_B1: Tensor) -> Tensor:
        return outputs_B1[:, 0].double() * self.deviation + self.mean
