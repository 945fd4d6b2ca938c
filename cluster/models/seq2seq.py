"""Transformer that reads one text and writes another (Vaswani et al., arxiv.org/abs/1706.03762), normalised before each
sub-layer (arxiv.org/abs/2002.04745). Both texts and the output share one embedding (section 3.4 there).

Shapes: B texts, S tokens of what is read, T of what is written, W ways of going on, D width, H heads, K width of one
head.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, scaled_dot_product_attention

from cluster.config.models import Seq2Seq
from cluster.models.language import Spoken
from cluster.models.layers import inside
from cluster.models.transformer import positions
from cluster.models.writing import rows_of


@dataclass
class KeptKeys:
    """Keys and values of what was read, (B, H, S, K), and of what was written, (B, W, H, T, K), for each layer."""

    read: list[tuple[Tensor, Tensor]]
    seen_B11S: Tensor
    written: list[tuple[Tensor, Tensor]]
    length: int = 0

    def follow(self, parents_BW: Tensor) -> None:
        self.written = [(rows_of(keys, parents_BW), rows_of(values, parents_BW)) for keys, values in self.written]

    def only(self, texts_B: Tensor) -> Self:
        def some(pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
            return [(keys[texts_B], values[texts_B]) for keys, values in pairs]

        return type(self)(some(self.read), self.seen_B11S[texts_B], some(self.written), self.length)


class TransformerWriter(nn.Module):
    """An encoder whose states a decoder attends to while it says one token after the other."""

    def __init__(self, config: Seq2Seq, vocabulary_rows: int) -> None:
        super().__init__()
        self.width = config.embedding
        self.words = nn.Embedding(vocabulary_rows, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = nn.ModuleList(ReadingBlock(config) for _ in range(config.encoder_layers))
        self.norm_read = nn.LayerNorm(config.embedding)
        self.decoder = nn.ModuleList(WritingBlock(config) for _ in range(config.decoder_layers))
        self.norm_written = nn.LayerNorm(config.embedding)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.words.weight, std=config.embedding**-0.5)

    def forward(self, tokens_BS: Tensor, lengths_B: Tensor, before_BT: Tensor) -> Spoken:
        """As `Writes` says; padding stands behind all tokens, so none of them sees it."""
        read_BSD, seen_B11S = self._read(tokens_BS, lengths_B)
        x_BTD = self._embed(before_BT, 0)
        for block in self.decoder:
            x_BTD = block(x_BTD, read_BSD, seen_B11S)
        return Spoken(self.norm_written(x_BTD), self.words.weight, None)

    def read(self, tokens_BS: Tensor, lengths_B: Tensor) -> KeptKeys:
        read_BSD, seen_B11S = self._read(tokens_BS, lengths_B)
        keys_values = [block.read(read_BSD) for block in self._blocks()]
        nothing = [(keys[:, None, :, :0], values[:, None, :, :0]) for keys, values in keys_values]
        return KeptKeys(keys_values, seen_B11S, nothing)

    def write_on(self, tokens_BW: Tensor, kept: KeptKeys) -> Spoken:
        x_BWD = self._embed(tokens_BW[..., None], kept.length)[:, :, 0]
        kept.length += 1
        for number, block in enumerate(self._blocks()):
            x_BWD, kept.written[number] = block.write_on(x_BWD, kept.read[number], kept.seen_B11S, kept.written[number])
        return Spoken(self.norm_written(x_BWD), self.words.weight, None)

    def _blocks(self) -> list["WritingBlock"]:
        return [block for block in self.decoder if isinstance(block, WritingBlock)]

    def _embed(self, tokens: Tensor, first: int) -> Tensor:
        """Tokens (..., T), of which the first stands at place `first`."""
        x = self.words(tokens) * math.sqrt(self.width)
        embedded: Tensor = self.dropout(x + positions(first + tokens.shape[-1], self.width, x)[first:])
        return embedded

    def _read(self, tokens_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """States, and where there are such."""
        seen_B11S = inside(lengths_B, tokens_BS.shape[1])[:, None, None]
        x_BSD = self._embed(tokens_BS, 0)
        for block in self.encoder:
            x_BSD = block(x_BSD, seen_B11S)
        return self.norm_read(x_BSD), seen_B11S


class _Block(nn.Module):
    """What both kinds of layers have: attention to their own text, and a hidden layer."""

    def __init__(self, config: Seq2Seq) -> None:
        super().__init__()
        width, self.heads = config.embedding, config.heads
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.wide = nn.Linear(width, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, width)
        self.drop = nn.Dropout(config.dropout)

    def _split(self, x: Tensor, parts: int) -> list[Tensor]:
        """(B, H, T, K) for each of so many parts of (B, T, parts x D)."""
        return [part.view(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in x.chunk(parts, -1)]

    def _own(self, x_BTD: Tensor) -> list[Tensor]:
        return self._split(self.queries_keys_values(self.norm_attention(x_BTD)), 3)

    def _hidden(self, x_BTD: Tensor) -> Tensor:
        hidden = self.drop(relu(self.wide(self.norm_feed_forward(x_BTD))))
        added_BTD: Tensor = x_BTD + self.drop(self.narrow(hidden))
        return added_BTD


class ReadingBlock(_Block):
    """Attention to the whole text, then a hidden layer; each adds to what it read."""

    def forward(self, x_BSD: Tensor, seen_B11S: Tensor) -> Tensor:
        q_BHSK, k_BHSK, v_BHSK = self._own(x_BSD)
        y_BHSK = scaled_dot_product_attention(q_BHSK, k_BHSK, v_BHSK, attn_mask=seen_B11S)
        return self._hidden(x_BSD + self.drop(self.attended(y_BHSK.transpose(1, 2).flatten(2))))


class WritingBlock(_Block):
    """Attention to what was written, to what was read, then a hidden layer; each adds to what it read."""

    def __init__(self, config: Seq2Seq) -> None:
        super().__init__(config)
        width = config.embedding
        self.norm_reading = nn.LayerNorm(width)
        self.queries = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.attended_reading = nn.Linear(width, width)

    def read(self, read_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of what was read."""
        keys, values = self._split(self.keys_values(read_BSD), 2)
        return keys, values

    def forward(self, x_BTD: Tensor, read_BSD: Tensor, seen_B11S: Tensor) -> Tensor:
        q_BHTK, k_BHTK, v_BHTK = self._own(x_BTD)
        y_BHTK = scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)
        x_BTD = x_BTD + self.drop(self.attended(y_BHTK.transpose(1, 2).flatten(2)))
        return self._hidden(self._look_back(x_BTD, self.read(read_BSD), seen_B11S))

    def write_on(
        self, x_BWD: Tensor, read: tuple[Tensor, Tensor], seen_B11S: Tensor, written: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One token more of each way; and the keys and values of all that is written then."""
        new = [part.transpose(1, 2)[:, :, :, None] for part in self._own(x_BWD)]  # (B, W, H, 1, K)
        keys, values = (torch.cat([before, more], 3) for before, more in zip(written, new[1:], strict=True))
        queries, flat_keys, flat_values = (part.flatten(0, 1) for part in (new[0], keys, values))
        y_BWD = scaled_dot_product_attention(queries, flat_keys, flat_values).reshape(x_BWD.shape)
        x_BWD = x_BWD + self.drop(self.attended(y_BWD))
        # The ways of one text look at what was read together, as the places of a text do.
        return self._hidden(self._look_back(x_BWD, read, seen_B11S)), (keys, values)

    def _look_back(self, x_BTD: Tensor, read: tuple[Tensor, Tensor], seen_B11S: Tensor) -> Tensor:
        (queries_BHTK,) = self._split(self.queries(self.norm_reading(x_BTD)), 1)
        y_BHTK = scaled_dot_product_attention(queries_BHTK, read[0], read[1], attn_mask=seen_B11S)
        added_BTD: Tensor = x_BTD + self.drop(self.attended_reading(y_BHTK.transpose(1, 2).flatten(2)))
        return added_BTD
