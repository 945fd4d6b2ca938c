"""Cross-entropy over a large vocabulary, a part of the places at a time: the scores of all of them never exist at once.

Shapes: N places, D width, V rows of the vocabulary.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

SCORES_AT_ONCE = 1 << 22
"""How many scores exist at a time (16 MiB in float32): enough for large products, few enough for a cache."""


def cross_entropy_sum(
    states_ND: Tensor, words_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Sum of -log softmax(states words^T + bias)[target] over all places, in at least float32; with `smoothing` that
    share of the target is spread over all rows (arxiv.org/abs/1512.00567, section 7).

    Its gradients are made in the forward pass, from the same scores: the products are those of the plain way, and
    nothing of size (N, V) is kept for the backward pass.
    """
    total: Tensor = _CrossEntropy.apply(states_ND, words_VD, bias_V, targets_N, smoothing)  # type: ignore[no-untyped-call]
    return total


@torch.no_grad()
def losses(states_ND: Tensor, words_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each place [N], in at least float32, and the row with the highest score [N]; without gradients."""
    found, best = [], []
    for part in _parts(states_ND, words_VD):
        scores_MV = _scores(states_ND[part], words_VD, bias_V)
        right_M = scores_MV.gather(1, targets_N[part, None])[:, 0]
        found.append(scores_MV.logsumexp(1) - right_M)
        best.append(scores_MV.argmax(1))
    return torch.cat(found), torch.cat(best)


def _parts(states_ND: Tensor, words_VD: Tensor) -> Iterator[slice]:
    rows = max(1, SCORES_AT_ONCE // words_VD.shape[0])
    for first in range(0, max(1, states_ND.shape[0]), rows):
        yield slice(first, first + rows)


def _scores(states_MD: Tensor, words_VD: Tensor, bias_V: Tensor | None) -> Tensor:
    scores_MV = linear(states_MD, words_VD, bias_V)
    return scores_MV if scores_MV.itemsize >= 4 else scores_MV.float()


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states_ND: Tensor, words_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, smoothing: float
    ) -> Tensor:
        states_gradient = torch.empty_like(states_ND)
        words_gradient = torch.zeros_like(words_VD)
        bias_gradient = None if bias_V is None else torch.zeros_like(bias_V)
        total = None
        for part in _parts(states_ND, words_VD):
            scores_MV, targets_M = _scores(states_ND[part], words_VD, bias_V), targets_N[part, None]
            peak_M = scores_MV.amax(1, keepdim=True) if scores_MV.shape[0] else scores_MV[:, :1]
            right_M = scores_MV.gather(1, targets_M) - peak_M
            if smoothing:
                all_M = scores_MV.mean(1, keepdim=True) - peak_M
                right_M = (1 - smoothing) * right_M + smoothing * all_M
            shares_MV = scores_MV.sub_(peak_M).exp_()
            sums_M = shares_MV.sum(1, keepdim=True)
            loss = (sums_M.log() - right_M).sum()
            total = loss if total is None else total + loss
            shares_MV.div_(sums_M)
            if smoothing:
                shares_MV -= smoothing / shares_MV.shape[1]
            shares_MV.scatter_add_(1, targets_M, torch.full_like(right_M, smoothing - 1.0))
            states_gradient[part] = shares_MV @ words_VD
            words_gradient += shares_MV.T @ states_ND[part]
            if bias_gradient is not None:
                bias_gradient += shares_MV.sum(0)
        ctx.save_for_backward(states_gradient, words_gradient, bias_gradient)
        assert total is not None
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        states_gradient, words_gradient, bias_gradient = ctx.saved_tensors
        bias = None if bias_gradient is None else bias_gradient * scale.to(bias_gradient.dtype)
        return (
            states_gradient * scale.to(states_gradient.dtype),
            words_gradient * scale.to(words_gradient),
            bias,
            None,
            None,
        )
