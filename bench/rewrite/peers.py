"""Translation by torch's own nn.Transformer, trained by a plain loop as its tutorial has it
(pytorch.org/tutorials/beginner/translation_transformer): pairs padded to the longest of a batch, cross-entropy with
smoothed labels, one token after the other in the end. Nothing of muster's but the tokens.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

Pair = tuple[Tensor, Tensor]
"""Tokens to be read, and to be written, each with its end."""
SORTED_BATCHES = 100
MOST_BEYOND = 50
NEVER_SAID = (0, 1)
"""Rows of padding and of unknown words."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """The same for everybody."""

    rows: int
    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    feed_forward: int
    dropout: float

    @property
    def begin(self) -> int:
        return self.rows - 2

    @property
    def end(self) -> int:
        return self.rows - 1


@dataclass(frozen=True, kw_only=True)
class Schedule:
    steps: int
    batch: int
    rate: float
    warmup: int
    beta2: float
    clip: float
    smoothing: float
    seed: int


class Translator(nn.Module):
    """nn.Transformer, normalised before each sub-layer, with one embedding for both texts and the output."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.words = nn.Embedding(size.rows, size.width)
        self.transformer = nn.Transformer(
            size.width, size.heads, size.encoder_layers, size.decoder_layers, size.feed_forward, size.dropout,
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.dropout = nn.Dropout(size.dropout)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.words.weight, std=size.width**-0.5)
        angles = torch.arange(1024)[:, None] * torch.exp(
            torch.arange(0, size.width, 2) * (-math.log(10_000.0) / size.width)
        )
        self.register_buffer("places", torch.stack([angles.sin(), angles.cos()], -1).flatten(1), persistent=False)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.words(tokens) * math.sqrt(self.size.width) + self.places[: tokens.shape[1]])

    def read(self, sources: Tensor) -> Tensor:
        return self.transformer.encoder(self.embed(sources), src_key_padding_mask=sources == 0)

    def write(self, memory: Tensor, sources: Tensor, before: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(before.shape[1])
        states = self.transformer.decoder(
            self.embed(before), memory, tgt_mask=mask, memory_key_padding_mask=torch.zeros_like(
                sources, dtype=torch.float32).masked_fill(sources == 0, -torch.inf), tgt_is_causal=True,
        )  # fmt: skip
        return F.linear(states, self.words.weight)


def shuffled(pairs: Sequence[Pair], batch: int, seed: int) -> Iterator[list[Pair]]:
    """Batches of pairs as chance has them, epoch after epoch: torch's DataLoader with shuffle=True."""
    chance = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(pairs), generator=chance).tolist()
        for first in range(0, len(order) - batch + 1, batch):
            yield [pairs[place] for place in order[first : first + batch]]


def by_length(pairs: Sequence[Pair], batch: int, seed: int) -> Iterator[list[Pair]]:
    """The same, but so many batches are sorted by length together, as a careful user does."""
    chance = np.random.default_rng(seed)
    for pool in shuffled(pairs, batch * SORTED_BATCHES, seed):
        pool.sort(key=lambda pair: max(len(pair[0]), len(pair[1])))
        for place in chance.permutation(SORTED_BATCHES).tolist():
            yield pool[place * batch : (place + 1) * batch]


PEERS = {"nn.Transformer": shuffled, "nn.Transformer, by length": by_length}


def train(model: Translator, batches: Iterator[list[Pair]], how: Schedule, stepped: Callable[[int], None]) -> None:
    """Trains so many steps; `stepped` is called after each with the tokens that it took, padding not counted."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=how.rate, betas=(0.9, how.beta2), weight_decay=0.0, fused=True)
    model.train()
    for step in range(how.steps):
        rate = how.rate * (step + 1) / how.warmup
        if step >= how.warmup:
            rate = how.rate * 0.5 * (1 + math.cos(math.pi * (step - how.warmup) / (how.steps - how.warmup)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        pairs = next(batches)
        sources, targets = (pad_sequence(list(side), batch_first=True) for side in zip(*pairs, strict=True))
        before = F.pad(targets[:, :-1], (1, 0), value=model.size.begin)
        scores = model.write(model.read(sources), sources, before)
        loss = F.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=0, label_smoothing=how.smoothing)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), how.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        stepped(sum(len(source) + len(target) for source, target in pairs))


@torch.no_grad()
def greedy(model: Translator, sources: Sequence[Tensor], batch: int = 64) -> list[list[int]]:
    """The most probable token each time; all that was written is read again for each."""
    model.eval()
    said: list[list[int]] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda place: len(sources[place]))
    for first in range(0, len(order), batch):
        places = order[first : first + batch]
        tokens = pad_sequence([sources[place] for place in places], batch_first=True)
        memory = model.read(tokens)
        written = tokens.new_full((len(places), 1), model.size.begin)
        going = torch.ones(len(places), dtype=torch.bool)
        for _ in range(tokens.shape[1] + MOST_BEYOND):
            scores = model.write(memory, tokens, written)[:, -1]
            scores[:, [*NEVER_SAID, model.size.begin]] = -torch.inf
            best = scores.argmax(-1)
            going &= best != model.size.end
            if not going.any():
                break
            written = torch.cat([written, best[:, None]], 1)
            for row, place in enumerate(places):
                if going[row]:
                    said[place].append(int(best[row]))
    return said
