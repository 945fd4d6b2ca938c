"""A user's model whose forward goes wrong on one rank in one step of training, each in its own way."""

import ctypes
import os
import time

import torch
from torch import nn


class Misbehaving(nn.Module):
    def __init__(self, options, vocabulary_rows, outputs):
        super().__init__()
        self.fault, self.rank, self.at = options["fault"], options.get("rank", 0), options.get("at", 0)
        self.step_seconds, self.check_seconds = options.get("step_seconds", 0.0), options.get("check_seconds", 0.0)
        self.words = nn.Embedding(vocabulary_rows, 8, padding_idx=0)
        self.output = nn.Linear(8, outputs)
        self.forwards = 0

    def forward(self, tokens, lengths, tags=None):
        time.sleep(self.step_seconds if self.training else self.check_seconds)
        if self.training:
            self.forwards += 1
            if self.forwards == self.at and int(os.environ.get("RANK", "0")) == self.rank:
                go_wrong(self.fault)
        return self.output(self.words(tokens).sum(dim=1) / lengths[:, None])


def go_wrong(fault):
    match fault:
        case "sleeps for ever":
            asleep_for_ever()
        case "holds the interpreter":
            while True:
                ctypes.PyDLL(None).sleep(600)  # a signal ends it early
        case "makes one more collective":
            torch.distributed.all_reduce(torch.zeros(1))
        case "nothing":
            pass


def asleep_for_ever():
    time.sleep(10_000)


def build(options, vocabulary_rows, outputs):
    return Misbehaving(options, vocabulary_rows, outputs)
