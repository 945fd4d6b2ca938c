"""Which token comes next: one drawn from the scores of all, as it was asked for.

Shapes: V rows of the vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a text is gone on with."""

    temperature: float = 0.8
    """Scores are divided by it; 0 takes the best token each time."""
    top_k: int = 0
    """Only so many of the best tokens are drawn from; 0: all."""
    top_p: float = 1.0
    """Only the fewest of the best tokens that have this probability together are drawn from
    (arxiv.org/abs/1904.09751)."""
    most_tokens: int = 100
    stop: tuple[str, ...] = ()
    """What ends the text where it appears; it is not shown itself."""
    seed: int = 1
    """With the text it decides what is drawn."""


def drawn(scores_V: Tensor, sampling: Sampling, chance: torch.Generator) -> int:
    """The row that comes next."""
    if sampling.temperature == 0:
        return int(scores_V.argmax())
    scores_V = scores_V.double() / sampling.temperature
    if 0 < sampling.top_k < len(scores_V):
        least = scores_V.topk(sampling.top_k).values[-1]
        scores_V = scores_V.masked_fill(scores_V < least, -torch.inf)
    shares_V = scores_V.softmax(0)
    if sampling.top_p < 1:
        sorted_V, rows_V = shares_V.sort(descending=True, stable=True)
        before_V = sorted_V.cumsum(0) - sorted_V
        shares_V = torch.zeros_like(shares_V).scatter_(0, rows_V, sorted_V.masked_fill(before_V >= sampling.top_p, 0.0))
    return int(torch.multinomial(shares_V, 1, generator=chance))


def window_start(tokens: int, context: int) -> int:
    """Where in a text of so many tokens a model of this context begins to read, so that the last one is in its sight.

    It jumps by half a context when the context is full: in between, what was read stays where it was, and its keys and
    values are still good.
    """
    jump = context - context // 2
    return max(0, -(-(tokens - context) // jump)) * jump
