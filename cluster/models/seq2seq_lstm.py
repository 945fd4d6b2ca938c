"""LSTM that reads a text in both directions, and one that writes another, attending to what was read at each token
(Luong et al., EMNLP 2015, arxiv.org/abs/1508.04025: global attention, the "general" score, without input feeding, so
that a whole text is trained at once).

Shapes: B texts, S tokens of what is read, T of what is written, W ways of going on, E embedding width, H hidden width.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from cluster.config.models import Seq2SeqLstm
from cluster.models.language import Spoken
from cluster.models.layers import backwards, inside, last
from cluster.models.writing import rows_of


@dataclass
class KeptStates:
    """States of what was read, and for each layer the writer's two, (B, W, H)."""

    read_BSH: Tensor
    keys_BSH: Tensor
    seen_BS: Tensor
    written: list[tuple[Tensor, Tensor]]

    def follow(self, parents_BW: Tensor) -> None:
        self.written = [(rows_of(hidden, parents_BW), rows_of(cell, parents_BW)) for hidden, cell in self.written]

    def only(self, texts_B: Tensor) -> Self:
        read = (self.read_BSH[texts_B], self.keys_BSH[texts_B], self.seen_BS[texts_B])
        return type(self)(*read, [(hidden[texts_B], cell[texts_B]) for hidden, cell in self.written])


class LstmWriter(nn.Module):
    """One layer reads forward only, so it knows nothing of the padding behind a text; another reads it backwards."""

    def __init__(self, config: Seq2SeqLstm, vocabulary_rows: int) -> None:
        super().__init__()
        width, half = config.hidden, config.hidden // 2
        self.scale = math.sqrt(config.embedding)
        self.words = nn.Embedding(vocabulary_rows, config.embedding)
        nn.init.normal_(self.words.weight, std=config.embedding**-0.5)
        inputs = [config.embedding, *[width] * (config.layers - 1)]
        self.forward_layers = nn.ModuleList(nn.LSTM(size, half, batch_first=True) for size in inputs)
        self.backward_layers = nn.ModuleList(nn.LSTM(size, half, batch_first=True) for size in inputs)
        self.begin = nn.Linear(width, 2 * config.layers * width)
        self.writing_layers = nn.ModuleList(nn.LSTM(size, width, batch_first=True) for size in inputs)
        self.keys = nn.Linear(width, width, bias=False)
        self.join = nn.Linear(2 * width, config.embedding)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens_BS: Tensor, lengths_B: Tensor, before_BT: Tensor) -> Spoken:
        """As `Writes` says; padding stands behind all tokens, so none of them sees it."""
        kept = self.read(tokens_BS, lengths_B)
        x_BTE = self._embed(before_BT)
        for number, layer in enumerate(self.writing_layers):
            states = tuple(one.transpose(0, 1).contiguous() for one in kept.written[number])
            x_BTE = layer(self.dropout(x_BTE) if number else x_BTE, states)[0]
        return self._said(x_BTE, kept)

    def read(self, tokens_BS: Tensor, lengths_B: Tensor) -> KeptStates:
        x_BSH = self._embed(tokens_BS)
        for number, (on, back) in enumerate(zip(self.forward_layers, self.backward_layers, strict=True)):
            below = self.dropout(x_BSH) if number else x_BSH
            x_BSH = torch.cat([on(below)[0], backwards(back(backwards(below, lengths_B))[0], lengths_B)], dim=-1)
        half = x_BSH.shape[2] // 2
        whole_BH = torch.cat([last(x_BSH[..., :half], lengths_B), x_BSH[:, 0, half:]], dim=-1)
        first = torch.tanh(self.begin(whole_BH))[:, None].chunk(2 * len(self.writing_layers), dim=-1)
        written = list(zip(first[::2], first[1::2], strict=True))
        return KeptStates(x_BSH, self.keys(x_BSH), inside(lengths_B, tokens_BS.shape[1]), written)

    def write_on(self, tokens_BW: Tensor, kept: KeptStates) -> Spoken:
        x_BWE = self._embed(tokens_BW)
        for number, layer in enumerate(self.writing_layers):
            below = self.dropout(x_BWE) if number else x_BWE
            states = tuple(one.flatten(0, 1)[None].contiguous() for one in kept.written[number])
            above, (hidden, cell) = layer(below.flatten(0, 1)[:, None], states)
            x_BWE = above[:, 0].unflatten(0, tokens_BW.shape)
            kept.written[number] = hidden[0].view_as(x_BWE), cell[0].view_as(x_BWE)
        return self._said(x_BWE, kept)

    def _embed(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(self.words(tokens) * self.scale)
        return embedded

    def _said(self, states_BTH: Tensor, kept: KeptStates) -> Spoken:
        scores_BTS = states_BTH @ kept.keys_BSH.transpose(1, 2)
        shares_BTS = scores_BTS.masked_fill(~kept.seen_BS[:, None], -torch.inf).softmax(-1)
        joined_BTE = torch.tanh(self.join(torch.cat([shares_BTS @ kept.read_BSH, states_BTH], dim=-1)))
        return Spoken(self.dropout(joined_BTE) * self.scale, self.words.weight, None)
