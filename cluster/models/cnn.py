"""Convolutions over the sequence of tokens (Kim, EMNLP 2014, arxiv.org/abs/1408.5882).

Shapes: B documents, T tokens, E embedding width, F filters of one width, W tokens that a filter sees, C outputs.
"""

import torch
from torch import Tensor, nn

from cluster.config.models import Cnn
from cluster.models.layers import Beside, TokenEmbedding


class CnnClassifier(nn.Module):
    """Filters of several widths slide over the document; the largest value of each is classified, or with `each_token`
    what all of them say with each token in their middle."""

    def __init__(self, config: Cnn, vocabulary_rows: int, outputs: int, beside: Beside, each_token: bool) -> None:
        super().__init__()
        self.each_token = each_token
        self.embed = TokenEmbedding(config, config.embedding, vocabulary_rows, beside, config.embedding_dropout)
        self.widths = config.widths
        self.filters = nn.ModuleList(nn.Conv1d(self.embed.width, config.filters, width) for width in config.widths)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.filters * len(config.widths), outputs)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor, beside: Tensor | None = None) -> Tensor:
        """Outputs (B, C), or (B, T, C) of each token. A filter stops at a document's last token, however far its row is
        padded; a document shorter than the filter is padded to it with zeros, and so is the room around its first and
        last tokens where each is in the middle of a filter."""
        inside_BT1 = (torch.arange(tokens_BT.shape[1], device=tokens_BT.device) < lengths_B[:, None])[..., None]
        embedded_BET = (self.embed(tokens_BT, beside) * inside_BT1).transpose(1, 2)
        if self.each_token:
            return self._each(embedded_BET)
        # Room for one window even where the longest document is shorter than the filter.
        embedded_BET = nn.functional.pad(embedded_BET, (0, max(self.widths) - 1))
        pooled = []
        for width, convolve in zip(self.widths, self.filters, strict=True):
            values_BFT = convolve(embedded_BET)
            windows_B = (lengths_B - width + 1).clamp(min=1)
            beyond_BT = torch.arange(values_BFT.shape[2], device=tokens_BT.device) >= windows_B[:, None]
            pooled.append(values_BFT.masked_fill(beyond_BT[:, None], -torch.inf).amax(dim=2))
        # ReLU after the maximum: the same as before it, on T times fewer values.
        outputs_BC: Tensor = self.output(self.dropout(torch.cat(pooled, dim=1).relu()))
        return outputs_BC

    def _each(self, embedded_BET: Tensor) -> Tensor:
        around = [
            convolve(nn.functional.pad(embedded_BET, ((width - 1) // 2, width // 2)))
            for width, convolve in zip(self.widths, self.filters, strict=True)
        ]
        outputs_BTC: Tensor = self.output(self.dropout(torch.cat(around, dim=1).relu().transpose(1, 2)))
        return outputs_BTC
