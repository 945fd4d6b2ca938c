"""Multi-layer perceptron over a weighted bag of words.

Shapes: B documents, N distinct tokens of all of them together, H hidden width, C classes.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from cluster.config.schema import Mlp


class BagMlp(nn.Module):
    """x W of the first layer is a weighted sum of embedding rows, so the bag never becomes a (B, vocabulary) matrix."""

    def __init__(self, config: Mlp, vocabulary_rows: int, classes: int) -> None:
        super().__init__()
        first = config.hidden[0]
        self.words = nn.EmbeddingBag(vocabulary_rows, first, mode="sum", include_last_offset=True)
        nn.init.xavier_uniform_(self.words.weight)
        self.bias = nn.Parameter(torch.zeros(first))
        layers: list[nn.Module] = []
        for width, following in pairwise((*config.hidden, classes)):
            layers += [nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(width, following)]
        self.layers = nn.Sequential(*layers)

    def forward(self, tokens_N: Tensor, lengths_B: Tensor, weights_N: Tensor) -> Tensor:
        """Logits (B, C). A document without a known word is the zero vector."""
        offsets = nn.functional.pad(lengths_B.cumsum(0), (1, 0))
        hidden_BH = self.words(tokens_N, offsets, per_sample_weights=weights_N.to(self.words.weight.dtype))
        logits_BC: Tensor = self.layers(hidden_BH + self.bias)
        return logits_BC
