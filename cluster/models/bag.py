"""Linear model and multi-layer perceptron over a weighted bag of words.

Shapes: B documents, N distinct tokens of all of them together, H hidden width, C outputs.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from cluster.config.models import Mlp


class BagLayer(nn.Module):
    """x W + b for bags x: a weighted sum of embedding rows, so the bag never becomes a (B, vocabulary) matrix."""

    def __init__(self, vocabulary_rows: int, width: int) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(vocabulary_rows, width, mode="sum", include_last_offset=True)
        nn.init.xavier_uniform_(self.words.weight)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, tokens_N: Tensor, lengths_B: Tensor, weights_N: Tensor) -> Tensor:
        """(B, H). A document without a known word is the bias alone."""
        return weighted_sum(self.words, tokens_N, lengths_B, weights_N) + self.bias


def weighted_sum(words: nn.EmbeddingBag, tokens_N: Tensor, lengths_B: Tensor, weights_N: Tensor) -> Tensor:
    """(B, H): the rows of each document's words, each times its weight."""
    offsets = nn.functional.pad(lengths_B.cumsum(0), (1, 0))
    sums_BH: Tensor = words(tokens_N, offsets, per_sample_weights=weights_N.to(words.weight.dtype))
    return sums_BH


class BagLinear(nn.Module):
    """Logistic or linear regression."""

    def __init__(self, vocabulary_rows: int, outputs: int) -> None:
        super().__init__()
        self.output = BagLayer(vocabulary_rows, outputs)
        nn.init.zeros_(self.output.words.weight)  # convex: nothing to break the symmetry of

    def forward(self, tokens_N: Tensor, lengths_B: Tensor, weights_N: Tensor) -> Tensor:
        """Outputs (B, C)."""
        outputs_BC: Tensor = self.output(tokens_N, lengths_B, weights_N)
        return outputs_BC


class BagMlp(nn.Module):
    """Hidden layers over the bag itself."""

    def __init__(self, config: Mlp, vocabulary_rows: int, outputs: int) -> None:
        super().__init__()
        self.first = BagLayer(vocabulary_rows, config.hidden[0])
        self.hidden = _hidden(config)
        self.output = nn.Linear(config.hidden[-1], outputs)

    def forward(self, tokens_N: Tensor, lengths_B: Tensor, weights_N: Tensor) -> Tensor:
        """Outputs (B, C). A document without a known word is the zero vector."""
        outputs_BC: Tensor = self.output(self.hidden(self.first(tokens_N, lengths_B, weights_N)))
        return outputs_BC


class EmbeddingMlp(nn.Module):
    """Hidden layers over the weighted mean of word embeddings (deep averaging network, aclanthology.org/P15-1162)."""

    def __init__(self, config: Mlp, embedding: int, vocabulary_rows: int, outputs: int) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(vocabulary_rows, embedding, mode="sum", include_last_offset=True)
        self.first = nn.Linear(embedding, config.hidden[0])
        self.hidden = _hidden(config)
        self.output = nn.Linear(config.hidden[-1], outputs)

    def forward(self, tokens_N: Tensor, lengths_B: Tensor, weights_N: Tensor) -> Tensor:
        """Outputs (B, C). The mean over no known word is the zero vector."""
        sums_BH = weighted_sum(self.words, tokens_N, lengths_B, weights_N)
        documents_N = torch.repeat_interleave(lengths_B, output_size=tokens_N.shape[0])
        totals_B = sums_BH.new_zeros(lengths_B.shape[0]).index_add_(0, documents_N, weights_N.to(sums_BH.dtype))
        mean_BH = sums_BH / torch.where(totals_B > 0, totals_B, 1.0)[:, None]
        outputs_BC: Tensor = self.output(self.hidden(self.first(mean_BH)))
        return outputs_BC


def _hidden(config: Mlp) -> nn.Sequential:
    """What stands between the first layer and the last."""
    layers: list[nn.Module] = [nn.ReLU(), nn.Dropout(config.dropout)]
    for width, following in pairwise(config.hidden):
        layers += [nn.Linear(width, following), nn.ReLU(), nn.Dropout(config.dropout)]
    return nn.Sequential(*layers)
