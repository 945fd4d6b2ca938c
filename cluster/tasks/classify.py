"""One label for each document: cross-entropy, and counts of who was taken for whom.

Shapes: B documents of a micro-batch, C classes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from cluster import metrics
from cluster.tasks.task import Sums, at_least_float32, scatter


class Classify:
    """Labels are indices into `labels`; -1 is a label that the training set did not hold.

    `class_weights` (C,) say how much an example of each class counts in training; the mean is over these weights, as in
    torch's CrossEntropyLoss. Evaluations count every example once, without smoothing.
    """

    def __init__(
        self, labels: list[str], class_weights: npt.NDArray[np.float64] | None = None, label_smoothing: float = 0.0
    ) -> None:
        self.labels = labels
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self._weights: Tensor | None = None  # on the device of the outputs, once they are seen

    def loss_sum(self, outputs_BC: Tensor, labels_B: Tensor) -> Tensor:
        """Sum over the documents with a known label."""
        outputs_BC = at_least_float32(outputs_BC)
        if self.class_weights is not None and self._weights is None:
            self._weights = torch.from_numpy(self.class_weights).to(outputs_BC)
        return F.cross_entropy(
            outputs_BC,
            labels_B,
            weight=self._weights,
            ignore_index=-1,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )

    def weight(self, labels_B: npt.NDArray[Any]) -> float:
        return float(len(labels_B)) if self.class_weights is None else float(self.class_weights[labels_B].sum())

    def empty_sums(self, lengths: npt.NDArray[Any], keep: bool) -> Sums:
        classes = len(self.labels)
        sums = {
            "confusion": torch.zeros(classes + 1, classes, dtype=torch.int64),
            "loss": torch.zeros((), dtype=torch.float64),
        }
        return sums | ({"documents": torch.zeros(len(lengths), 3, dtype=torch.float64)} if keep else {})

    def add(self, sums: Sums, outputs_BC: Tensor, labels_B: Tensor, documents: npt.NDArray[np.int64]) -> None:
        outputs_BC = at_least_float32(outputs_BC)
        classes = len(self.labels)
        predicted_B = outputs_BC.argmax(dim=1)
        cells_B = torch.where(labels_B < 0, classes, labels_B) * classes + predicted_B
        counts = torch.bincount(cells_B, minlength=(classes + 1) * classes)
        losses_B = F.cross_entropy(outputs_BC, labels_B, ignore_index=-1, reduction="none")
        # The host waits for the device here, once for each micro-batch of an evaluation.
        sums["confusion"] += counts.reshape(classes + 1, classes).cpu()
        sums["loss"] += losses_B.sum().double().cpu()
        if "documents" in sums:
            scatter(sums["documents"], documents, losses_B, predicted_B, outputs_BC.softmax(dim=1).amax(dim=1))

    def scores(self, sums: Sums) -> dict[str, Any]:
        return {"task": "classify"} | metrics.scores(sums["confusion"].numpy(), float(sums["loss"]), self.labels)

    def headline(self, scores: dict[str, Any]) -> dict[str, Any]:
        return metrics.headline(scores)

    def documents(self, sums: Sums) -> dict[str, npt.NDArray[Any]]:
        losses_N, predicted_N, probabilities_N = sums["documents"].numpy().T
        return {"loss": losses_N, "predicted": predicted_N.astype(np.int32), "probability": probabilities_N}

    def answers(self, outputs_BC: Tensor) -> npt.NDArray[np.float64]:
        probabilities_BC: npt.NDArray[np.float64] = torch.softmax(outputs_BC.double(), dim=-1).cpu().numpy()
        return probabilities_BC

    def describe(self) -> dict[str, Any]:
        return {"kind": "classify"}
