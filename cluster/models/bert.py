"""Masked language model: the encoder and the head of BERT (arxiv.org/abs/1810.04805), without its segments.

Layers are normalised after each sub-layer, positions are learned and begin anew with each document, the output is the
embedding with a bias.

Shapes: B sequences, T tokens, D width, H heads, K width of one head.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from cluster.config.models import Bert
from cluster.models.language import Spoken, initialise, places, same_document
from cluster.models.layers import inside

NORM_EPSILON = 1e-12  # as in BERT


class Encoder(nn.Module):
    """Blocks over token and position embeddings; what is said of a token depends on its document on both sides."""

    def __init__(self, config: Bert, vocabulary_rows: int) -> None:
        super().__init__()
        width = config.embedding
        self.words = nn.Embedding(vocabulary_rows, width)
        self.places = nn.Embedding(config.context, width)
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.transform = nn.Linear(width, width)
        self.norm_transform = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.bias = nn.Parameter(torch.zeros(vocabulary_rows))
        initialise(self)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor, documents_BT: Tensor | None = None) -> Spoken:
        """`documents_BT`: the number of each token's document, None if each sequence is of one."""
        seen = inside(lengths_B, tokens_BT.shape[1])[:, None, None]
        if documents_BT is not None:
            seen = seen & same_document(documents_BT)
        if documents_BT is None:
            places_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        else:
            places_BT = places(documents_BT)
        x_BTD = self.words(tokens_BT) + self.places(places_BT)
        x_BTD = self.dropout(self.norm(x_BTD))
        for block in self.blocks:
            x_BTD = block(x_BTD, seen)
        return Spoken(self.norm_transform(gelu(self.transform(x_BTD))), self.words.weight, self.bias)


class Block(nn.Module):
    """Self-attention, then a hidden layer with GELU; each adds to what it read and is normalised."""

    def __init__(self, config: Bert) -> None:
        super().__init__()
        width, self.heads = config.embedding, config.heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.norm_attention = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.wide = nn.Linear(width, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, width)
        self.norm_feed_forward = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, seen: Tensor) -> Tensor:
        """`seen` is True where a token may be looked at."""
        q_BHTK, k_BHTK, v_BHTK = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.queries_keys_values(x_BTD).chunk(3, -1)
        )
        y_BHTK = scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, attn_mask=seen)
        x_BTD = self.norm_attention(x_BTD + self.drop(self.attended(y_BHTK.transpose(1, 2).flatten(2))))
        added_BTD: Tensor = self.norm_feed_forward(x_BTD + self.drop(self.narrow(gelu(self.wide(x_BTD)))))
        return added_BTD
