"""One label for each document: cross-entropy, and counts of who was taken for whom."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cluster import metrics


class Classify:
    """Labels are indices into `labels`; -1 is a label that the training set did not hold."""

    def __init__(self, labels: list[str]) -> None:
        self.labels = labels

    def loss_sum(self, outputs_BC: Tensor, labels_B: Tensor) -> Tensor:
        outputs_BC = outputs_BC if outputs_BC.dtype == torch.float64 else outputs_BC.float()
        return F.cross_entropy(outputs_BC, labels_B, ignore_index=-1, reduction="sum")

    def empty_sums(self) -> dict[str, Tensor]:
        classes = len(self.labels)
        return {
            "confusion": torch.zeros(classes + 1, classes, dtype=torch.int64),
            "loss": torch.zeros((), dtype=torch.float64),
        }

    def add(self, sums: dict[str, Tensor], outputs_BC: Tensor, labels_B: Tensor) -> None:
        classes = len(self.labels)
        rows_B = torch.where(labels_B < 0, classes, labels_B)
        cells_B = rows_B * classes + outputs_BC.argmax(dim=1)
        counts = torch.bincount(cells_B, minlength=(classes + 1) * classes)
        # The host waits for the device here, once for each micro-batch of an evaluation.
        sums["confusion"] += counts.reshape(classes + 1, classes).cpu()
        sums["loss"] += self.loss_sum(outputs_BC, labels_B).double().cpu()

    def scores(self, sums: dict[str, Tensor]) -> dict[str, Any]:
        return metrics.scores(sums["confusion"].numpy(), float(sums["loss"]), self.labels)
