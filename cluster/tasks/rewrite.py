"""Another text from each text: cross-entropy of its tokens, given those before (`cluster/data/pairs.py`).

What the model writes by itself is scored apart, and once (`cluster/training/writing.py`): it takes many times as long.

Shapes: B pairs of a micro-batch, T tokens of the longest text to be written.
"""

from dataclasses import asdict
from typing import Any

from torch import Tensor

from cluster import metrics
from cluster.decoding import Search
from cluster.models.language import Spoken
from cluster.overlap import Overlap
from cluster.tasks.cross_entropy import cross_entropy_sum
from cluster.tasks.task import Sums
from cluster.tasks.tokens import SaysTokens, asked


class Rewrite(SaysTokens):
    """`search` and `overlap`: how texts are written, and scored, after training. Evaluations do not smooth."""

    def __init__(self, search: Search, overlap: Overlap, label_smoothing: float = 0.0) -> None:
        self.search, self.overlap, self.label_smoothing = search, overlap, label_smoothing

    def loss_sum(self, spoken: Spoken, labels_BT: Tensor) -> Tensor:
        """Sum over the tokens to be written, ends among them."""
        return cross_entropy_sum(*asked(spoken, labels_BT), self.label_smoothing)

    def scores(self, sums: Sums) -> dict[str, Any]:
        right, count = sums["counts"].tolist()
        figures = metrics.token_scores(float(sums["loss"]), right, count, 0)
        del figures["bits_per_byte"], figures["bytes"]
        return {"task": "rewrite"} | figures

    def headline(self, scores: dict[str, Any]) -> dict[str, Any]:
        return {name: scores[name] for name in ("loss", "perplexity", "accuracy")}

    def describe(self) -> dict[str, Any]:
        return {"kind": "rewrite", "search": asdict(self.search), "overlap": asdict(self.overlap)}
