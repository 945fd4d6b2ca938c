"""Metrics as sums that add over ranks: counts are whole numbers, so any number of ranks gives the same figures.

A confusion matrix has one row for each true class, a last row for labels the model was never taught, and one column for
each predicted class.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def scores(confusion: Counts, loss_sum: float, labels: list[str]) -> dict[str, Any]:
    """Accuracy, precision, recall, F1 (per class, macro, micro, weighted) and loss from sums over all examples.

    `confusion` is (classes + 1, classes). An example with an unknown label counts as wrong in accuracy and in the micro
    figures; macro and weighted figures are over the known classes; the loss is the mean over examples with known
    labels.
    A ratio without a single example in its denominator is 0, as in scikit-learn's zero_division=0.
    """
    known = confusion[:-1]
    hits = np.diagonal(known).astype(np.float64)
    support = known.sum(axis=1).astype(np.float64)
    predicted = confusion.sum(axis=0).astype(np.float64)
    precision = _ratio(hits, predicted)
    recall = _ratio(hits, support)
    f1 = _ratio(2 * hits, predicted + support)
    examples = int(confusion.sum())
    accuracy = float(hits.sum()) / examples if examples else 0.0
    shares = _ratio(support, np.full_like(support, support.sum()))

    def averages(per_class: NDArray[np.float64]) -> dict[str, Any]:
        return {
            "macro": float(per_class.mean()),
            # Every example gets one prediction, so all three micro averages are the share of hits.
            "micro": accuracy,
            "weighted": float((per_class * shares).sum()),
            "per_class": dict(zip(labels, per_class.tolist(), strict=True)),
        }

    unknown = int(confusion[-1].sum())
    return {
        "accuracy": accuracy,
        "precision": averages(precision),
        "recall": averages(recall),
        "f1": averages(f1),
        "loss": loss_sum / (examples - unknown) if examples > unknown else None,
        "examples": examples,
        "labels": labels,
        "support": dict(zip(labels, known.sum(axis=1).tolist(), strict=True)),
        # Rows true, columns predicted; the row of unknown labels is there only if it has examples.
        "confusion": (confusion if unknown else known).tolist(),
        "unknown_label_examples": unknown,
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def headline(full: dict[str, Any]) -> dict[str, float]:
    """The few figures of one evaluation that go to a line of `metrics.jsonl`."""
    return {
        "loss": full["loss"],
        "accuracy": full["accuracy"],
        "f1_macro": full["f1"]["macro"],
        "f1_micro": full["f1"]["micro"],
        "f1_weighted": full["f1"]["weighted"],
    }
