"""What models share that read one text and write another: what they keep while they write.

Shapes: B texts that are read, S tokens of the longest, W ways of going on that are kept of each (1, or the width of a
beam), D width.
"""

from typing import Protocol, Self

import torch
from torch import Tensor, nn

from cluster.models.language import Spoken


class Kept(Protocol):
    """What was read, and what was written so far, of B texts in W ways each."""

    def follow(self, parents_BW: Tensor) -> None:
        """Each way goes on from one of those before, of the same text; there may be more ways than before."""
        ...

    def only(self, texts_B: Tensor) -> Self:
        """Some of the texts alone, by their places."""
        ...


class Writes(Protocol):
    """A model that reads a text and writes another."""

    words: nn.Embedding
    """Of all rows of the vocabulary."""

    def __call__(self, tokens_BS: Tensor, lengths_B: Tensor, before_BT: Tensor) -> Spoken:
        """What is said of each place of the text to be written, given the tokens before it."""
        ...

    def read(self, tokens_BS: Tensor, lengths_B: Tensor) -> Kept:
        """Reads texts; nothing is written of them yet, in one way each."""
        ...

    def write_on(self, tokens_BW: Tensor, kept: Kept) -> Spoken:
        """What is said of the next token, states (B, W, D), after each way has gone on by one token, which is kept."""
        ...


def rows_of(values_BW: Tensor, parents_BW: Tensor) -> Tensor:
    """(B, W', ...) of (B, W, ...): for each new way what its parent had."""
    texts_B1 = torch.arange(len(parents_BW), device=parents_BW.device)[:, None]
    return values_BW[texts_B1, parents_BW]
