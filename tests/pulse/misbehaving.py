"""A user's model that goes wrong on one rank in one step of training, or is slow where steps are not."""

import ctypes
import os
import time

from torch import nn


class Misbehaving(nn.Module):
    def __init__(self, options, vocabulary_rows, outputs):
        super().__init__()
        self.options = {"fault": "", "rank": 0, "at": 0, "evaluation_seconds": 0.0, "save_seconds": 0.0} | options
        self.words = nn.Embedding(vocabulary_rows, 8, padding_idx=0)
        self.output = nn.Linear(8, outputs)
        self.forwards = 0

    def forward(self, tokens, lengths, tags=None):
        if self.training:
            time.sleep(0.02)
            self.forwards += 1
            if self.forwards == self.options["at"] and int(os.environ.get("RANK", "0")) == self.options["rank"]:
                go_wrong(self.options["fault"])
        else:
            time.sleep(self.options["evaluation_seconds"])
        return self.output(self.words(tokens).sum(dim=1) / lengths[:, None])

    def state_dict(self, *given, **named):
        """Asked for its weights after a step, it takes its time once."""
        if self.forwards:
            time.sleep(self.options["save_seconds"])
            self.options["save_seconds"] = 0.0
        return super().state_dict(*given, **named)


def go_wrong(fault):
    match fault:
        case "sleeps for ever":
            asleep_for_ever()
        case "holds the interpreter":
            hold_the_interpreter()


def asleep_for_ever():
    time.sleep(10_000)


def hold_the_interpreter():
    while True:
        ctypes.PyDLL(None).sleep(600)  # a signal ends it early


def build(options, vocabulary_rows, outputs):
    return Misbehaving(options, vocabulary_rows, outputs)


def size(options, vocabulary_rows, outputs):
    return 8 * vocabulary_rows + 9 * outputs
