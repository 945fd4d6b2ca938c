"""Metrics as sums that add over ranks: counts are whole numbers, so any number of ranks gives the same figures.

A confusion matrix has one row for each true class, a last row for labels the model was never taught, and one column for
each predicted class.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
LARGEST_EXPONENT = 700.0
"""e to more is no double."""
LOWER_IS_BETTER = frozenset({"loss", "mse", "mae", "perplexity", "pair_loss"})


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


def label_scores(
    hits: Counts, given: Counts, support: Counts, exact: int, examples: int, loss_sum: float, labels: list[str]
) -> dict[str, Any]:
    """Figures of sets of labels from counts (C,) over all examples: `hits` where a label was rightly given, `given`,
    and `support`, where it should be. `exact` examples had all labels right and no other; that share is `accuracy`.

    The loss is the mean over examples and labels. A ratio without an example in its denominator is 0.
    """
    sums = hits.sum(keepdims=True), given.sum(keepdims=True), support.sum(keepdims=True)
    shares = _ratio(support.astype(np.float64), np.full(len(support), support.sum(), dtype=np.float64))

    def averages(per_label: NDArray[np.float64], over_all: NDArray[np.float64]) -> dict[str, Any]:
        return {
            "macro": float(per_label.mean()),
            "micro": float(over_all[0]),
            "weighted": float((per_label * shares).sum()),
            "per_class": dict(zip(labels, per_label.tolist(), strict=True)),
        }

    def both(part: tuple[Counts, Counts], whole: tuple[Counts, Counts]) -> dict[str, Any]:
        one, all_ = (_ratio(p.astype(np.float64), w.astype(np.float64)) for p, w in zip(part, whole, strict=True))
        return averages(one, all_)

    return {
        "accuracy": exact / examples if examples else 0.0,
        "precision": both((hits, sums[0]), (given, sums[1])),
        "recall": both((hits, sums[0]), (support, sums[2])),
        "f1": both((2 * hits, 2 * sums[0]), (given + support, sums[1] + sums[2])),
        "loss": loss_sum / (examples * len(labels)) if examples else None,
        "examples": examples,
        "labels": labels,
        "support": dict(zip(labels, support.tolist(), strict=True)),
    }


def number_scores(
    targets: NDArray[np.float64], predicted: NDArray[np.float64], deviation: float = 1.0
) -> dict[str, Any]:
    """Mean squared and absolute error, R2 and Spearman's rank correlation of numbers (N,).

    `loss` is the mean squared error in units of `deviation`. R2 (the share of the variance that is explained) and the
    correlation are 0 where they are not defined: fewer than two examples, or no variance.
    """
    examples = len(targets)
    if not examples:
        return {"mse": None, "mae": None, "r2": 0.0, "spearman": 0.0, "loss": None, "examples": 0, "mean_target": None}
    errors = predicted - targets
    mse = float(np.mean(errors**2))
    return {
        "mse": mse,
        "mae": float(np.mean(np.abs(errors))),
        "r2": 1.0 - mse / float(np.var(targets)) if np.ptp(targets) > 0 else 0.0,
        "spearman": spearman(targets, predicted),
        "loss": mse / deviation**2,
        "examples": examples,
        "mean_target": float(np.mean(targets)),
    }


def token_scores(loss_sum: float, right: int, asked: int, text_bytes: int) -> dict[str, Any]:
    """Figures of a language model from sums over all tokens asked for: the mean loss in nats, perplexity (e to that),
    the share where the most probable token is right.

    Bits per byte are the losses of all tokens, in bits, over the bytes of the original text, so that models with
    other tokens can be compared; None for `text_bytes` 0, where the tokens are not the whole text.
    """
    loss = loss_sum / asked if asked else None
    return {
        "loss": loss,
        "perplexity": None if loss is None else math.exp(min(loss, LARGEST_EXPONENT)),
        "bits_per_byte": loss_sum / math.log(2) / text_bytes if text_bytes else None,
        "accuracy": right / asked if asked else 0.0,
        "examples": asked,
        "bytes": text_bytes or None,
    }


def spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's rank correlation; 0 where it is not defined."""
    return _correlation(_ranks(one), _ranks(other))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0; equal values share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: NDArray[np.float64] = (ends - (counts + 1) / 2)[which]
    return shared


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's, of ranks: Spearman's."""
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / scale if scale > 0 else 0.0
