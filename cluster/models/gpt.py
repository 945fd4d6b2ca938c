"""Causal language model: a decoder as in Llama (arxiv.org/abs/2302.13971).

RMSNorm before each sub-layer (arxiv.org/abs/1910.07467), rotary positions on pairs (i, i + half) of a head's values
(arxiv.org/abs/2104.09864), gated hidden layers (arxiv.org/abs/2002.05202), grouped keys (arxiv.org/abs/2305.13245), no
biases; the output is the embedding.

Shapes: B sequences, T tokens, S tokens that may be looked at, D width, H heads, G heads of keys, K width of one head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention, silu

from cluster.config.models import Gpt
from cluster.models.language import Spoken, causal, initialise, same_document

NORM_EPSILON = 1e-5
ROTARY_BASE = 10_000.0


@dataclass
class Kept:
    """Keys and values (B, G, context, K) of the tokens read so far, for each layer."""

    keys: list[Tensor]
    values: list[Tensor]
    length: int = 0


class Decoder(nn.Module):
    """Blocks over token embeddings; what is said of a token depends on it and those before it in its document."""

    def __init__(self, config: Gpt, vocabulary_rows: int) -> None:
        super().__init__()
        self.context, self.width = config.context, config.embedding // config.heads
        self.key_heads = config.heads if config.key_heads == "heads" else config.key_heads
        self.words = nn.Embedding(vocabulary_rows, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.embedding, eps=NORM_EPSILON)
        initialise(self, ("attended.weight", "narrow.weight"), config.layers)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor, documents_BT: Tensor | None = None) -> Spoken:
        """`documents_BT`: the number of each token's document, None if each sequence is of one. Padding stands behind
        all tokens, so none of them sees it."""
        seen_B1TT = None
        if documents_BT is not None:
            seen_B1TT = same_document(documents_BT) & causal(tokens_BT.shape[1], tokens_BT.device)
        rotation_2TK = self._rotation(0, tokens_BT.shape[1])
        x_BTD = self.dropout(self.words(tokens_BT))
        for block in self.blocks:
            x_BTD = block(x_BTD, rotation_2TK, seen_B1TT)
        return Spoken(self.norm(x_BTD), self.words.weight, None)

    def keep(self, sequences: int) -> Kept:
        """Room for what `read_on` has read, on the model's device."""
        shape = (sequences, self.key_heads, self.context, self.width)
        keys, values = ([self.words.weight.new_empty(shape) for _ in self.blocks] for _ in range(2))
        return Kept(keys, values)

    def read_on(self, tokens_BT: Tensor, kept: Kept) -> Spoken:
        """As `forward`, of tokens that follow those kept, which are not read again; these are kept then, too. No more
        than `context` have room."""
        first, last = kept.length, kept.length + tokens_BT.shape[1]
        seen_TS = causal(last, tokens_BT.device)[first:]
        rotation_2TK = self._rotation(first, last)
        x_BTD = self.words(tokens_BT)
        for number, block in enumerate(self.blocks):
            room = (kept.keys[number], kept.values[number], first)
            x_BTD = block(x_BTD, rotation_2TK, seen_TS, room)
        kept.length = last
        return Spoken(self.norm(x_BTD), self.words.weight, None)

    def _rotation(self, first: int, last: int) -> Tensor:
        """Cosines and sines (2, T, K/2) of the places from `first` up to `last`; the angles are made in double
        precision, so that those of late places are as exact."""
        weight = self.words.weight
        rates = ROTARY_BASE ** (-torch.arange(0, self.width, 2, device=weight.device, dtype=torch.float64) / self.width)
        angles = torch.arange(first, last, device=weight.device)[:, None] * rates
        return torch.stack([angles.cos(), angles.sin()]).to(weight.dtype)


class Block(nn.Module):
    """Attention to what came before, then a gated hidden layer; each adds to what it read."""

    def __init__(self, config: Gpt) -> None:
        super().__init__()
        width, self.heads = config.embedding, config.heads
        self.key_heads = config.heads if config.key_heads == "heads" else config.key_heads
        self.width = width // config.heads
        self.gate = silu if config.activation == "swiglu" else gelu
        self.norm_attention = nn.RMSNorm(width, eps=NORM_EPSILON)
        self.norm_feed_forward = nn.RMSNorm(width, eps=NORM_EPSILON)
        all_heads = self.heads + 2 * self.key_heads
        self.queries_keys_values = nn.Linear(width, all_heads * self.width, bias=False)
        self.attended = nn.Linear(width, width, bias=False)
        self.gate_and_wide = nn.Linear(width, 2 * config.feed_forward, bias=False)
        self.narrow = nn.Linear(config.feed_forward, width, bias=False)
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self,
        x_BTD: Tensor,
        rotation_2TK: Tensor,
        seen: Tensor | None,
        room: tuple[Tensor, Tensor, int] | None = None,
    ) -> Tensor:
        """`seen` is True where a place may look, None: at itself and all before. `room`: where keys and values are
        kept, and how many are there."""
        x_BTD = x_BTD + self.drop(self.attended(self._attend(self.norm_attention(x_BTD), rotation_2TK, seen, room)))
        gate_BTF, wide_BTF = self.gate_and_wide(self.norm_feed_forward(x_BTD)).chunk(2, dim=-1)
        added_BTD: Tensor = x_BTD + self.drop(self.narrow(self.gate(gate_BTF) * wide_BTF))
        return added_BTD

    def _attend(
        self, x_BTD: Tensor, rotation_2TK: Tensor, seen: Tensor | None, room: tuple[Tensor, Tensor, int] | None
    ) -> Tensor:
        all_BHTK = self.queries_keys_values(x_BTD).unflatten(-1, (-1, self.width)).transpose(1, 2)
        with_places = self.heads + self.key_heads
        turned_BHTK = turned(all_BHTK[:, :with_places], rotation_2TK.to(all_BHTK.dtype))
        q_BHTK, k_BGSK, v_BGSK = turned_BHTK[:, : self.heads], turned_BHTK[:, self.heads :], all_BHTK[:, with_places:]
        if room is not None:
            keys, values, first = room
            last = first + x_BTD.shape[1]
            keys[:, :, first:last], values[:, :, first:last] = k_BGSK, v_BGSK
            k_BGSK, v_BGSK = keys[:, :, :last], values[:, :, :last]
        y_BHTK = scaled_dot_product_attention(
            q_BHTK, k_BGSK, v_BGSK, attn_mask=seen, is_causal=seen is None, enable_gqa=self.key_heads != self.heads
        )
        return y_BHTK.transpose(1, 2).flatten(2)


def turned(x_BHTK: Tensor, rotation_2TK: Tensor) -> Tensor:
    """Each pair (i, i + K/2) of a head's values turned by the angle of its place."""
    cos_TK, sin_TK = rotation_2TK
    low, high = x_BHTK.chunk(2, dim=-1)
    return torch.cat([low * cos_TK - high * sin_TK, high * cos_TK + low * sin_TK], dim=-1)
