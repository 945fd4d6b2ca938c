"""What tasks share whose models say tokens: sums over the tokens that are asked for, whichever they are.

Shapes: B sequences of a micro-batch, T tokens, N places where a token is asked for.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cluster.data.questions import NOTHING
from cluster.models.language import Spoken
from cluster.tasks.cross_entropy import losses
from cluster.tasks.task import Sums, scatter


class SaysTokens:
    """Labels are tokens (B, T), NOTHING where none is asked for. Losses are in nats."""

    def weight(self, asked_B: npt.NDArray[Any]) -> float:
        """`asked_B`: how many tokens each sequence is asked for."""
        return float(asked_B.sum(dtype=np.int64))

    def empty_sums(self, lengths: npt.NDArray[Any], keep: bool) -> Sums:
        sums = {"loss": torch.zeros((), dtype=torch.float64), "counts": torch.zeros(2, dtype=torch.int64)}
        return sums | ({"documents": torch.zeros(len(lengths), 2, dtype=torch.float64)} if keep else {})

    def add(self, sums: Sums, spoken: Spoken, labels_BT: Tensor, documents: npt.NDArray[np.int64]) -> None:
        states_ND, words_VD, bias_V, targets_N = asked(spoken, labels_BT)
        losses_N, best_N = losses(states_ND, words_VD, bias_V, targets_N)
        losses_N = losses_N.double()
        # The host waits for the device here, once for each micro-batch of an evaluation.
        sums["counts"] += torch.stack([(best_N == targets_N).sum(), torch.tensor(len(targets_N)).to(best_N)]).cpu()
        sums["loss"] += losses_N.sum().cpu()
        if "documents" in sums:
            asked_BT = labels_BT != NOTHING
            rows_N = asked_BT.nonzero()[:, 0]
            totals_B = losses_N.new_zeros(len(labels_BT)).index_add_(0, rows_N, losses_N)
            counts_B = asked_BT.sum(1)
            scatter(sums["documents"], documents, totals_B / counts_B, counts_B)

    def documents(self, sums: Sums) -> dict[str, npt.NDArray[Any]]:
        """One row a sequence: the mean loss of its tokens, and how many were asked for."""
        losses_N, asked_N = sums["documents"].numpy().T
        return {"loss": losses_N, "asked": asked_N.astype(np.int32)}


def asked(spoken: Spoken, labels_BT: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """States and targets of the places where a token is asked for."""
    asked_BT = labels_BT != NOTHING
    return spoken.states_BTD[asked_BT], spoken.words_VD, spoken.bias_V, labels_BT[asked_BT]
