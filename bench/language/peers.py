"""Language models in plain torch, trained by a loop as nanoGPT has it (github.com/karpathy/nanoGPT, train.py and
model.py): random blocks of one long row of tokens, AdamW, a warm-up, half a cosine, clipping. Nothing of muster's but
the tokens.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Size:
    """The same for everybody."""

    rows: int
    context: int
    width: int
    layers: int
    heads: int
    feed_forward: int


class Plain(nn.Module):
    """The architecture of muster's `gpt`, written out plainly."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.words = nn.Embedding(size.rows, size.width)
        self.blocks = nn.ModuleList(PlainBlock(size) for _ in range(size.layers))
        self.norm = nn.RMSNorm(size.width, eps=1e-5)
        begin(self, ("out.weight", "down.weight"))
        half = size.width // size.heads // 2
        angles = torch.outer(torch.arange(size.context), 10_000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return F.linear(self.norm(x), self.words.weight)


class PlainBlock(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.norm1, self.norm2 = nn.RMSNorm(size.width, eps=1e-5), nn.RMSNorm(size.width, eps=1e-5)
        self.q, self.k, self.v, self.out = (nn.Linear(size.width, size.width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(size.width, size.feed_forward, bias=False) for _ in range(2))
        self.down = nn.Linear(size.feed_forward, size.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        h = self.norm1(x)
        q, k, v = (one(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(rotated(q, cos, sin), rotated(k, cos, sin), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    cos, sin = cos[: x.shape[2]], sin[: x.shape[2]]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class NanoGpt(nn.Module):
    """nanoGPT's own: LayerNorm without bias, learned positions, GELU four times as wide."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.words, self.places = nn.Embedding(size.rows, size.width), nn.Embedding(size.context, size.width)
        self.blocks = nn.ModuleList(NanoBlock(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width, bias=False)
        begin(self, ("out.weight", "narrow.weight"))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.words.weight)


class NanoBlock(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.norm1, self.norm2 = nn.LayerNorm(size.width, bias=False), nn.LayerNorm(size.width, bias=False)
        self.all, self.out = (nn.Linear(size.width, n * size.width, bias=False) for n in (3, 1))
        self.wide = nn.Linear(size.width, 4 * size.width, bias=False)
        self.narrow = nn.Linear(4 * size.width, size.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (one.unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in self.all(self.norm1(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


def begin(model: nn.Module, into_the_sum: tuple[str, ...]) -> None:
    """nanoGPT's first weights."""
    layers = len(list(model.get_submodule("blocks").children()))
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * layers) if name.endswith(into_the_sum) else 1.0))


PEERS = {"plain torch": Plain, "nanoGPT": NanoGpt}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    steps: int
    batch: int
    rate: float
    warmup: int
    beta2: float
    decay: float
    clip: float
    seed: int


def blocks(tokens: Tokens, context: int, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """nanoGPT's `get_batch`: blocks from anywhere, and the same one token on."""
    chance = torch.Generator().manual_seed(seed)
    while True:
        places = torch.randint(len(tokens) - context, (batch,), generator=chance).tolist()
        x = torch.stack([torch.from_numpy(tokens[place : place + context]) for place in places])
        y = torch.stack([torch.from_numpy(tokens[place + 1 : place + 1 + context]) for place in places])
        yield x, y


def train(model: nn.Module, tokens: Tokens, context: int, how: Schedule, stepped: Callable[[], None]) -> None:
    """Trains so many steps; `stepped` is called after each."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=how.rate, betas=(0.9, how.beta2), weight_decay=how.decay, fused=True
    )
    given = blocks(tokens, context, how.batch, how.seed)
    model.train()
    for step in range(how.steps):
        rate = how.rate * (step + 1) / how.warmup
        if step >= how.warmup:
            rate = how.rate * 0.5 * (1 + math.cos(math.pi * (step - how.warmup) / (how.steps - how.warmup)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        x, y = next(given)
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), how.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        stepped()


@torch.no_grad()
def mean_loss(model: nn.Module, tokens: Tokens, context: int) -> float:
    """Over all tokens but the first, block by block."""
    model.eval()
    total = 0.0
    for first in range(0, len(tokens) - 1, context):
        x = torch.from_numpy(tokens[first : first + context + 1])[None]
        total += F.cross_entropy(model(x[:, :-1])[0], x[0, 1:], reduction="sum").item()
    return total / (len(tokens) - 1)
