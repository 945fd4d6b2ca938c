"""The text itself: cross-entropy of the tokens that are asked for (`cluster/data/questions.py`).

Shapes: B sequences of a micro-batch, T tokens.
"""

from typing import Any

from torch import Tensor

from cluster import metrics
from cluster.models.language import Spoken
from cluster.tasks.cross_entropy import cross_entropy_sum
from cluster.tasks.task import Sums
from cluster.tasks.tokens import SaysTokens, asked


class Language(SaysTokens):
    """`whole_text`: the tokens asked for are the whole text, to the byte, so that bits per byte can be told."""

    def __init__(self, objective: str, whole_text: bool) -> None:
        self.objective = objective
        self.whole_text = whole_text

    def loss_sum(self, spoken: Spoken, labels_BT: Tensor) -> Tensor:
        """Sum over the tokens that are asked for."""
        return cross_entropy_sum(*asked(spoken, labels_BT))

    def scores(self, sums: Sums) -> dict[str, Any]:
        right, count = sums["counts"].tolist()
        text_bytes = int(sums["bytes"]) if self.whole_text and "bytes" in sums else 0
        figures = metrics.token_scores(float(sums["loss"]), right, count, text_bytes)
        return {"task": "language", "objective": self.objective} | figures

    def headline(self, scores: dict[str, Any]) -> dict[str, Any]:
        return {name: scores[name] for name in ("loss", "perplexity", "bits_per_byte", "accuracy")}

    def describe(self) -> dict[str, Any]:
        return {"kind": "language", "objective": self.objective, "whole_text": self.whole_text}
