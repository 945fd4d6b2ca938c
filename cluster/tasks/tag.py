"""A label for each word: cross-entropy over words, counts of what was taken for what, and of spans.

Shapes: B documents of a micro-batch, T tokens, C labels, N tokens of a whole split, W words of a micro-batch.

Labels are codes, as shards hold them (`data/manifest.py`): 0 no label (padding, a later piece of a word), 1 a label
that training never saw, c + 2 label c.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from cluster import metrics
from cluster.data.manifest import FIRST_TARGET, NO_TARGET
from cluster.spans import SpanRules
from cluster.tasks.task import Sums, at_least_float32, scatter

IGNORED = -100


class Tag:
    """With `spans`, the labels spell spans, which are scored too. Raises DataError if they do not."""

    def __init__(self, labels: list[str], spans: bool = False) -> None:
        self.labels = labels
        self.spans = SpanRules(labels) if spans else None
        self._starts: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        """Where the documents of the split begin whose predictions are kept."""

    def loss_sum(self, outputs_BTC: Tensor, codes_BT: Tensor) -> Tensor:
        """Sum over the words with a known label."""
        outputs_BTC = at_least_float32(outputs_BTC)
        return F.cross_entropy(
            outputs_BTC.flatten(0, 1), _wanted(codes_BT).flatten(), ignore_index=IGNORED, reduction="sum"
        )

    def weight(self, words_B: npt.NDArray[Any]) -> float:
        """The words of the step: of each document shards hold how many have a label."""
        return float(words_B.sum(dtype=np.int64))

    def empty_sums(self, lengths: npt.NDArray[Any], keep: bool) -> Sums:
        classes = len(self.labels)
        sums = {
            "confusion": torch.zeros(classes + 1, classes, dtype=torch.int64),
            "loss": torch.zeros((), dtype=torch.float64),
            "documents_scored": torch.zeros((), dtype=torch.int64),
        }
        if self.spans is not None:
            sums["spans"] = torch.zeros(3, len(self.spans.types) + 1, dtype=torch.int64)
        if keep:
            ends = np.cumsum(lengths, dtype=np.int64)
            sums["documents"] = torch.zeros(len(lengths), 3, dtype=torch.float64)
            sums["predicted"] = torch.zeros(int(ends[-1]) if ends.size else 0, dtype=torch.int32)
            self._starts = ends - lengths
        return sums

    def add(self, sums: Sums, outputs_BTC: Tensor, codes_BT: Tensor, documents: npt.NDArray[np.int64]) -> None:
        outputs_BTC = at_least_float32(outputs_BTC)
        classes = len(self.labels)
        predicted_BT = outputs_BTC.argmax(dim=2)
        wanted_BT = _wanted(codes_BT)
        real_BT = codes_BT != NO_TARGET
        cells_W = (torch.where(wanted_BT < 0, classes, wanted_BT) * classes + predicted_BT)[real_BT]
        counts = torch.bincount(cells_W, minlength=(classes + 1) * classes)
        losses_BT = F.cross_entropy(
            outputs_BTC.flatten(0, 1), wanted_BT.flatten(), ignore_index=IGNORED, reduction="none"
        ).view_as(wanted_BT)
        # The host waits for the device here, once for each micro-batch of an evaluation.
        sums["confusion"] += counts.reshape(classes + 1, classes).cpu()
        sums["loss"] += losses_BT.double().sum().cpu()
        sums["documents_scored"] += len(documents)
        codes, said = codes_BT.cpu(), torch.where(real_BT, predicted_BT + FIRST_TARGET, NO_TARGET).cpu()
        if self.spans is not None:
            sums["spans"] += torch.from_numpy(self.spans.count(codes.numpy(), said.numpy()))
        if "documents" in sums:
            words_B, wrong_B = real_BT.sum(1), (real_BT & (predicted_BT != wanted_BT)).sum(1)
            scatter(sums["documents"], documents, losses_BT.sum(1) / words_B.clamp(min=1), wrong_B, words_B)
            self._keep_said(sums["predicted"], said, documents)

    def _keep_said(self, predicted_N: Tensor, said_BT: Tensor, documents: npt.NDArray[np.int64]) -> None:
        starts_B1 = torch.from_numpy(self._starts[documents])[:, None]
        places_BT = starts_B1 + torch.arange(said_BT.shape[1])
        real_BT = said_BT != NO_TARGET
        predicted_N[places_BT[real_BT]] = said_BT[real_BT].int()

    def scores(self, sums: Sums) -> dict[str, Any]:
        """`examples` are words."""
        found = metrics.scores(sums["confusion"].numpy(), float(sums["loss"]), self.labels)
        spans = {} if self.spans is None else self.spans.scores(sums["spans"].numpy())
        return {"task": "tag", "documents": int(sums["documents_scored"])} | spans | found

    def headline(self, scores: dict[str, Any]) -> dict[str, Any]:
        spans = {name: scores[name] for name in ("span_f1", "span_precision", "span_recall") if name in scores}
        return spans | metrics.headline(scores)

    def documents(self, sums: Sums) -> dict[str, npt.NDArray[Any]]:
        """`predicted` has a code for each token of the split, one document after the other."""
        losses_B, wrong_B, words_B = sums["documents"].numpy().T
        counts = {"wrong": wrong_B.astype(np.int32), "words": words_B.astype(np.int32)}
        return {"loss": losses_B, **counts, "predicted": sums["predicted"].numpy()}

    def answers(self, outputs_BTC: Tensor) -> npt.NDArray[np.float64]:
        """Probabilities (B, T, C)."""
        probabilities_BTC: npt.NDArray[np.float64] = torch.softmax(outputs_BTC.double(), dim=-1).cpu().numpy()
        return probabilities_BTC

    def describe(self) -> dict[str, Any]:
        return {"kind": "tag", "spans": self.spans is not None}


def _wanted(codes_BT: Tensor) -> Tensor:
    """The class of each token; `IGNORED` where it has none, or one that training never saw."""
    return torch.where(codes_BT >= FIRST_TARGET, codes_BT - FIRST_TARGET, IGNORED)
