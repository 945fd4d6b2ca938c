"""Word vectors: each word is told from words drawn by chance by what surrounds it (arxiv.org/abs/1310.4546, formula 4).

Shapes: B sequences, K words drawn for each, D width; M blocks of L words, among S words that may surround them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cluster.models.skipgram import Neighbourhood
from cluster.tasks.task import Sums, at_least_float32, scatter


class Embed:
    """Labels are rows drawn by chance (B, K), shared by all pairs of a sequence; each pair counts them as if it had its
    own. Losses are in nats, summed over pairs, and divided by the tokens before any is left out, which shards know.
    """

    def loss_sum(self, found: Neighbourhood, drawn_BK: Tensor) -> Tensor:
        """Sum over the pairs."""
        return _losses(found, drawn_BK).sum()

    def weight(self, tokens_B: npt.NDArray[Any]) -> float:
        """`tokens_B`: tokens of each sequence, before subsampling."""
        return float(tokens_B.sum(dtype=np.int64))

    def empty_sums(self, lengths: npt.NDArray[Any], keep: bool) -> Sums:
        sums = {"loss": torch.zeros((), dtype=torch.float64), "pairs": torch.zeros((), dtype=torch.int64)}
        return sums | ({"documents": torch.zeros(len(lengths), 2, dtype=torch.float64)} if keep else {})

    def add(self, sums: Sums, found: Neighbourhood, drawn_BK: Tensor, documents: npt.NDArray[np.int64]) -> None:
        losses_B = _losses(found, drawn_BK).double()
        pairs_B = found.near_MLS.sum(dim=(1, 2)).view(found.sequences, -1).sum(1)
        # The host waits for the device here, once for each micro-batch of an evaluation.
        sums["loss"] += losses_B.sum().cpu()
        sums["pairs"] += pairs_B.sum().cpu()
        if "documents" in sums:
            scatter(sums["documents"], documents, losses_B, pairs_B)

    def scores(self, sums: Sums) -> dict[str, Any]:
        """`loss` is for each token, as in training, `pair_loss` for each pair."""
        loss, pairs, tokens = float(sums["loss"]), int(sums["pairs"]), int(sums["tokens"])
        return {
            "task": "embed",
            "loss": loss / tokens,
            "pair_loss": loss / pairs if pairs else None,
            "pairs": pairs,
            "examples": tokens,
        }

    def headline(self, scores: dict[str, Any]) -> dict[str, Any]:
        return {name: scores[name] for name in ("loss", "pair_loss")}

    def documents(self, sums: Sums) -> dict[str, npt.NDArray[Any]]:
        """One row a sequence: the loss of its pairs together, and how many they are."""
        losses_N, pairs_N = sums["documents"].numpy().T
        return {"loss": losses_N, "pairs": pairs_N.astype(np.int32)}

    def describe(self) -> dict[str, Any]:
        return {"kind": "embed"}


def _losses(found: Neighbourhood, drawn_BK: Tensor) -> Tensor:
    """Of each sequence, [B]: -log sigmoid(word . around) of its pairs, and -log sigmoid(-word . drawn) of the words
    drawn, weighted so that each pair meets `negatives` of them."""
    drawn_BKD = F.embedding(drawn_BK, found.contexts.weight, sparse=found.contexts.sparse)
    words_BTD = found.words_MLD.reshape(found.sequences, -1, found.words_MLD.shape[2])
    pairs_MLS = at_least_float32(torch.bmm(found.words_MLD, found.around_MSD.transpose(1, 2)))
    drawn_BTK = at_least_float32(torch.bmm(words_BTD, drawn_BKD.transpose(1, 2)))
    near_MLS = found.near_MLS.to(pairs_MLS.dtype)
    together_M = (F.softplus(-pairs_MLS) * near_MLS).sum(dim=(1, 2))
    apart_BT = F.softplus(drawn_BTK).sum(2) * near_MLS.sum(2).view(found.sequences, -1)
    share = found.negatives / drawn_BK.shape[1]
    return together_M.view(found.sequences, -1).sum(1) + apart_BT.sum(1) * share
