"""The arithmetic of a survey: numbers in, numbers out.

W words of the training set, the most frequent first; N documents; C labels.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

QUANTILES = {"min": 0.0, "5%": 0.05, "25%": 0.25, "median": 0.5, "75%": 0.75, "95%": 0.95, "99%": 0.99, "max": 1.0}
BARS = 12
SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
"""Sizes of vocabulary whose coverage is told."""

Array = npt.NDArray[Any]


def described(values_N: Array) -> dict[str, float]:
    """Mean, standard deviation and quantiles (each a value that occurs); all 0 without values."""
    if not values_N.size:
        return {"mean": 0.0, "std": 0.0, **dict.fromkeys(QUANTILES, 0.0)}
    found = np.quantile(values_N, list(QUANTILES.values()), method="inverted_cdf").tolist()
    return {
        "mean": float(values_N.mean(dtype=np.float64)),
        "std": float(values_N.std(dtype=np.float64)),
        **dict(zip(QUANTILES, found, strict=True)),
    }


def length_histogram(lengths_N: Array) -> list[dict[str, Any]]:
    """Documents by length, in ranges of whole tokens, both ends included; the last, open (`to` is None) if a few
    documents are far longer than the rest."""
    if not lengths_N.size:
        return []
    most = int(lengths_N.max())
    usual = int(np.quantile(lengths_N, 0.99, method="inverted_cdf"))
    width = _round_up(max(1, usual) / BARS)
    starts = np.arange(0 if lengths_N.min() == 0 else 1, usual + 1, width)
    counts = np.bincount(np.searchsorted(starts, lengths_N, side="right") - 1, minlength=starts.size)
    rows = []
    for number, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
        is_last = number == starts.size - 1
        end = start + width - 1
        rows.append({"from": start, "to": None if is_last and most > end else end, "documents": count})
    return rows


def number_histogram(values_N: Array) -> list[dict[str, Any]]:
    """Documents by the number to predict, in ranges of equal width; a range holds its start, the last its end too."""
    if not values_N.size:
        return []
    least, most = float(values_N.min()), float(values_N.max())
    # A range must be wider than what two neighbouring numbers are apart.
    is_wide = (most - least) / BARS > np.spacing(max(abs(least), abs(most)))
    counts, edges = np.histogram(values_N, bins=BARS if is_wide else 1)
    ranges = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    return [{"from": start, "to": end, "documents": count} for start, end, count in ranges]


def kept_words(counts_W: Array, size: int, min_count: int) -> int:
    """How many words a vocabulary of these settings keeps, given how often each stands in the training set."""
    return min(size, int(np.count_nonzero(counts_W >= min_count)))


def coverage(counts_W: Array, unseen: int, words: int) -> float:
    """Share of a split's tokens that a vocabulary of the first `words` knows; `unseen` tokens are of no word at all."""
    total = int(counts_W.sum()) + unseen
    return float(counts_W[:words].sum()) / total if total else 1.0


def growth(counts: dict[str, Array], unseen: dict[str, int], kept: int, distinct: int) -> list[dict[str, Any]]:
    """Coverage of each split by vocabularies of growing size: those of `SIZES` that are not larger than the training
    set's words, all its words, and what the settings keep."""
    sizes = sorted({*(size for size in SIZES if size < distinct), kept, distinct})
    return [
        {
            "words": size,
            "kept": size == kept,
            **{split: coverage(counts[split], unseen[split], size) for split in counts},
        }
        for size in sizes
    ]


def labels_per_document(labels_NC: Array) -> dict[str, int]:
    """How many documents have no label, one, two, ..."""
    counts = np.bincount(labels_NC.sum(axis=1, dtype=np.int64))
    return {str(labels): count for labels, count in enumerate(counts.tolist()) if count}


def spread(count: int, wanted: int) -> list[int]:
    """Positions of some of `count` things, evenly from the first to the last."""
    return sorted(set(np.linspace(0, count - 1, min(wanted, count)).astype(np.int64).tolist())) if count else []


def _round_up(width: float) -> int:
    """The next of 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, ..."""
    power = 10 ** math.floor(math.log10(max(width, 1)))
    steps = (1, 2, 3, 4, 5, 6, 8, 10)
    return next(int(step * power) for step in steps if step * power >= width)
