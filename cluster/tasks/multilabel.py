"""Any number of labels for each document: binary cross-entropy, and counts for each label.

Shapes: B documents of a micro-batch, C labels.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from cluster import metrics
from cluster.tasks.task import Sums, at_least_float32, scatter


class Multilabel:
    """Labels are rows of zeros and ones (B, C). A label is given from the probability `threshold` on."""

    def __init__(self, labels: list[str], threshold: float) -> None:
        self.labels = labels
        self.threshold = threshold

    def loss_sum(self, outputs_BC: Tensor, labels_BC: Tensor) -> Tensor:
        """Sum over documents and labels."""
        outputs_BC = at_least_float32(outputs_BC)
        return F.binary_cross_entropy_with_logits(outputs_BC, labels_BC.to(outputs_BC.dtype), reduction="sum")

    def weight(self, labels_BC: npt.NDArray[Any]) -> float:
        return float(labels_BC.size)

    def empty_sums(self, lengths: npt.NDArray[Any], keep: bool) -> Sums:
        classes = len(self.labels)
        sums = {
            "counts": torch.zeros(3, classes, dtype=torch.int64),
            "exact": torch.zeros(2, dtype=torch.int64),
            "loss": torch.zeros((), dtype=torch.float64),
        }
        return sums | ({"documents": torch.zeros(len(lengths), 1 + classes, dtype=torch.float64)} if keep else {})

    def add(self, sums: Sums, outputs_BC: Tensor, labels_BC: Tensor, documents: npt.NDArray[np.int64]) -> None:
        outputs_BC = at_least_float32(outputs_BC)
        probabilities_BC = outputs_BC.sigmoid()
        true_BC, given_BC = labels_BC.bool(), probabilities_BC >= self.threshold
        counts = torch.stack([(true_BC & given_BC).sum(0), given_BC.sum(0), true_BC.sum(0)])
        exact = torch.stack([(true_BC == given_BC).all(1).sum(), torch.tensor(len(true_BC), device=true_BC.device)])
        losses_BC = F.binary_cross_entropy_with_logits(outputs_BC, labels_BC.to(outputs_BC.dtype), reduction="none")
        # The host waits for the device here, once for each micro-batch of an evaluation.
        sums["counts"] += counts.cpu()
        sums["exact"] += exact.cpu()
        sums["loss"] += losses_BC.sum().double().cpu()
        if "documents" in sums:
            scatter(sums["documents"], documents, losses_BC.mean(dim=1), probabilities_BC)

    def scores(self, sums: Sums) -> dict[str, Any]:
        hits, given, support = sums["counts"].numpy()
        exact, examples = sums["exact"].tolist()
        loss = float(sums["loss"])
        return {"task": "multilabel"} | metrics.label_scores(hits, given, support, exact, examples, loss, self.labels)

    def headline(self, scores: dict[str, Any]) -> dict[str, Any]:
        return metrics.headline(scores)

    def documents(self, sums: Sums) -> dict[str, npt.NDArray[Any]]:
        rows = sums["documents"].numpy()
        return {"loss": rows[:, 0], "probabilities": rows[:, 1:]}

    def answers(self, outputs_BC: Tensor) -> npt.NDArray[np.float64]:
        probabilities_BC: npt.NDArray[np.float64] = torch.sigmoid(outputs_BC.double()).cpu().numpy()
        return probabilities_BC

    def describe(self) -> dict[str, Any]:
        return {"kind": "multilabel", "threshold": self.threshold}
