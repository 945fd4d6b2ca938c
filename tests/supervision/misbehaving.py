"""A model that misbehaves in a training step, on one rank, at a given step of its first attempt."""

import ctypes
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn


class Misbehaving(nn.Module):
    def __init__(self, what, at, rank, rows, outputs):
        super().__init__()
        self.what, self.at, self.rank = what, at, rank
        self.embedding = nn.Embedding(rows, 4)
        self.output = nn.Linear(4, outputs)
        self.forwards = 0

    def forward(self, tokens, lengths, beside):
        if self.training:
            self.forwards += 1
            again = self.what.endswith("always")
            first = os.environ.get("MUSTER_ATTEMPT") == "0"
            if self.forwards == self.at and dist.get_rank() == self.rank and (first or again):
                self.misbehave()
        return self.output(self.embedding(tokens).mean(dim=1))

    def misbehave(self):
        match self.what.removesuffix(" always"):
            case "raises":
                raise ValueError("a bug of the model")
            case "leaves":
                os._exit(0)
            case "holds the interpreter":
                ctypes.PyDLL(None).sleep(200)
            case "sleeps":
                time.sleep(200)
            case "skips a collective":  # one more than the others: they are behind by one from here on
                dist.all_reduce(torch.zeros(3))
            case "eats memory":  # in a control group that allows 64 MiB more, so that the kernel kills this process
                (Path(os.environ["MUSTER_TEST_CGROUP"]) / "cgroup.procs").write_text(str(os.getpid()))
                eaten = bytearray()
                while True:
                    eaten += os.urandom(1 << 20)


def build(options, vocabulary_rows, outputs, tag_rows=0):
    return Misbehaving(options["what"], options["at"], options["rank"], vocabulary_rows, outputs)


def size(options, vocabulary_rows, outputs):
    return vocabulary_rows * 4 + 4 * outputs + outputs
