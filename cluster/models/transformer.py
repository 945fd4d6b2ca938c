"""Transformer encoder (Vaswani et al., arxiv.org/abs/1706.03762), normalised before each sub-layer
(arxiv.org/abs/2002.04745).

Shapes: B documents, T tokens, D width, H heads, K width of one head, C outputs.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from cluster.config.models import Transformer
from cluster.models.layers import EMBEDDING_DEVIATION, Beside, Pool, TokenEmbedding, inside


class TransformerClassifier(nn.Module):
    """Encoder blocks over tokens and positions; the pooled states are classified, or with `each_token` each of them."""

    def __init__(
        self, config: Transformer, vocabulary_rows: int, outputs: int, beside: Beside, each_token: bool
    ) -> None:
        super().__init__()
        width = config.embedding
        self.embed = TokenEmbedding(config, width, vocabulary_rows, beside, 0.0)
        self.join = nn.Linear(self.embed.width, width) if any(beside) else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.pool = None if each_token else Pool(config.pooling, width)
        self.output = nn.Linear(width, outputs)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor, beside: Tensor | None = None) -> Tensor:
        """Outputs (B, C), or (B, T, C) of each token."""
        x_BTD = self.join(self.embed(tokens_BT, beside))
        # Positions begin with the weight of the words: sines have a deviation of 1 / sqrt(2).
        places_TD = positions(tokens_BT.shape[1], x_BTD.shape[2], x_BTD) * (EMBEDDING_DEVIATION * math.sqrt(2))
        x_BTD = self.dropout(x_BTD + places_TD)
        seen_B11T = inside(lengths_B, tokens_BT.shape[1])[:, None, None]
        for block in self.blocks:
            x_BTD = block(x_BTD, seen_B11T)
        states_BTD = self.norm(x_BTD)
        read = states_BTD if self.pool is None else self.pool(states_BTD, lengths_B)
        outputs: Tensor = self.output(self.dropout(read))
        return outputs


class Block(nn.Module):
    """Self-attention, then a feed-forward network with GELU; each adds to what it read."""

    def __init__(self, config: Transformer) -> None:
        super().__init__()
        width = config.embedding
        self.heads, self.dropout = config.heads, config.dropout
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.feed_forward),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.feed_forward, width),
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, seen_B11T: Tensor) -> Tensor:
        """`seen_B11T` is True where a key may be attended to."""
        projected = self.queries_keys_values(self.norm_attention(x_BTD))
        q_BHTK, k_BHTK, v_BHTK = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projected.chunk(3, -1)
        )
        dropout = self.dropout if self.training else 0.0
        y_BHTK = scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, attn_mask=seen_B11T, dropout_p=dropout)
        x_BTD = x_BTD + self.drop(self.attended(y_BHTK.transpose(1, 2).flatten(2)))
        added_BTD: Tensor = x_BTD + self.drop(self.feed_forward(self.norm_feed_forward(x_BTD)))
        return added_BTD


def positions(tokens: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines (T, D) of geometrically falling frequencies ("Attention Is All You Need", section 3.5); no
    document is too long for them."""
    rates = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(10_000.0) / width))
    angles = torch.arange(tokens, device=like.device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width].to(like.dtype)
