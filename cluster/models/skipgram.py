"""Word vectors: two tables, one for words, one for words as surroundings of others (arxiv.org/abs/1301.3781).

Shapes: B sequences, T words, K words drawn for a sequence, D width. A sequence is cut into blocks of L words, M in all,
whose surroundings lie among S = L + 2 x window words.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluster.config.models import Skipgram

BLOCK = 32
"""Words that are multiplied at once with all words around them: more would meet more words outside of their windows,
fewer would look more words up twice."""


class Neighbourhood(NamedTuple):
    """Words, and what may stand around them; the task compares them."""

    words_MLD: Tensor
    around_MSD: Tensor
    near_MLS: Tensor
    """True where one of `around` is in the surroundings of one of `words`."""
    sequences: int
    contexts: nn.Embedding
    """The table that words drawn by chance are looked up in."""
    negatives: int
    """What the words drawn by chance weigh together, for each pair."""


class SkipgramModel(nn.Module):
    """Takes words (B, T), their number (B,), how many words before and behind each surround it (B, T, 2); gives a
    Neighbourhood.

    Begins as the authors' program does (code.google.com/archive/p/word2vec): words by chance, surroundings at zero. On
    a CPU a gradient holds only the rows that a step has looked up.
    """

    def __init__(self, config: Skipgram, vocabulary_rows: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary_rows, config.embedding, sparse=True)
        self.contexts = nn.Embedding(vocabulary_rows, config.embedding, sparse=True)
        self.window, self.negatives = config.window, config.negatives
        with torch.no_grad():
            self.words.weight.uniform_(-0.5 / config.embedding, 0.5 / config.embedding)
            self.contexts.weight.zero_()

    def forward(self, tokens: Tensor, lengths: Tensor, reach: Tensor) -> Neighbourhood:
        beyond = -tokens.shape[1] % BLOCK
        words_ML = F.pad(tokens, (0, beyond)).view(-1, BLOCK)
        reach_ML2 = F.pad(reach, (0, 0, 0, beyond)).view(-1, BLOCK, 2)
        wide = BLOCK + 2 * self.window
        padded = F.pad(tokens, (self.window, self.window + beyond))
        around_MS = padded.unfold(1, wide, BLOCK).reshape(-1, wide)
        places_L, places_S = (torch.arange(size, device=tokens.device) for size in (BLOCK, wide))
        apart_LS = places_S - self.window - places_L[:, None]
        near_MLS = (apart_LS >= -reach_ML2[..., :1]) & (apart_LS <= reach_ML2[..., 1:]) & (apart_LS != 0)
        return Neighbourhood(
            self.words(words_ML),
            self.contexts(around_MS),
            near_MLS,
            tokens.shape[0],
            self.contexts,
            self.negatives,
        )


def whole_gradients(model: nn.Module) -> None:
    """Have every table give gradients of all its rows: NCCL adds up no others."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.sparse = False
