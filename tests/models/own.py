"""A user's own model."""

import time

import torch
from torch import nn


class Gated(nn.Module):
    def __init__(self, width, vocabulary_rows, outputs):
        super().__init__()
        self.words = nn.Embedding(vocabulary_rows, width, padding_idx=0)
        self.gate = nn.Linear(width, 1)
        self.output = nn.Linear(width, outputs)

    def forward(self, tokens, lengths, tags=None):
        words = self.words(tokens)
        inside = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        gates = torch.sigmoid(self.gate(words)) * inside[..., None]
        return self.output((gates * words).sum(dim=1))


class EachToken(Gated):
    """Of each word, with the mark of the predicate."""

    def __init__(self, width, vocabulary_rows, outputs, tag_rows):
        super().__init__(width, vocabulary_rows, outputs)
        self.marks = nn.Embedding(tag_rows, width, padding_idx=0)

    def forward(self, tokens, lengths, marks):
        words = self.words(tokens) + self.marks(marks)
        return self.output(torch.sigmoid(self.gate(words)) * words)


class Unhurried(Gated):
    """Its steps take time, and no more of the processor than those of the others."""

    def forward(self, tokens, lengths, tags=None):
        time.sleep(0.02)
        return super().forward(tokens, lengths, tags)


def build(options, vocabulary_rows, outputs):
    return Gated(options["width"], vocabulary_rows, outputs)


def build_unhurried(options, vocabulary_rows, outputs):
    return Unhurried(options["width"], vocabulary_rows, outputs)


def build_tagger(options, vocabulary_rows, outputs, tag_rows):
    return EachToken(options["width"], vocabulary_rows, outputs, tag_rows)


def size(options, vocabulary_rows, outputs):
    width = options["width"]
    return vocabulary_rows * width + (width + 1) + outputs * (width + 1)


def size_of_tagger(options, vocabulary_rows, outputs, tag_rows):
    return size(options, vocabulary_rows, outputs) + tag_rows * options["width"]
