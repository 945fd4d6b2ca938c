"""A step of SparseAdam beside one of torch.optim.SparseAdam: the same tables, the same gradients, one thread, paired.

    python -m bench.adam [--trials 60]

A gradient is that of an embedding table whose rows are met as often as words are (Zipf); what is timed is `step` alone,
by the processor's time, so that neighbours on the machine count little. A figure is the median over the trials.
"""

import argparse
import statistics
import sys
import time

import numpy as np
import torch
from torch import Tensor, nn

from bench.machine import described, versions
from cluster.training.rows import SparseAdam

SIZES = [(30_000, 64, 4_096), (30_000, 100, 16_384), (50_000, 200, 32_768), (200_000, 300, 32_768)]
"""Rows of the table, its width, tokens of a step."""
WARM_UP = 5


def gradients(rows: int, width: int, tokens: int, trials: int) -> list[Tensor]:
    """Sparse gradients of a table, as backward leaves them."""
    chance = np.random.default_rng(1)
    table = nn.Embedding(rows, width, sparse=True)
    found = []
    for _ in range(trials):
        met = torch.from_numpy(chance.zipf(1.2, tokens) % rows)
        table.weight.grad = None
        table(met).backward(torch.randn(tokens, width))
        assert table.weight.grad is not None
        found.append(table.weight.grad)
    return found


def milliseconds(rows: int, width: int, tokens: int, trials: int) -> tuple[float, float, float]:
    """Of a step of ours, of torch's, and the median of their ratios."""
    torch.manual_seed(1)
    first = torch.randn(rows, width)
    tables = [nn.Parameter(first.clone()) for _ in range(2)]
    optimizers = [SparseAdam(tables[:1], 0.01, (0.9, 0.999)), torch.optim.SparseAdam(tables[1:], 0.01, (0.9, 0.999))]
    taken: list[list[float]] = [[], []]
    for trial, gradient in enumerate(gradients(rows, width, tokens, trials + WARM_UP)):
        for which in (0, 1) if trial % 2 else (1, 0):
            tables[which].grad = gradient.clone()
            began = time.thread_time()
            optimizers[which].step()
            taken[which].append(1000 * (time.thread_time() - began))
    assert torch.allclose(*tables, atol=1e-5), "they do not take the same steps"
    ours, theirs = (times[WARM_UP:] for times in taken)
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    return statistics.median(ours), statistics.median(theirs), ratio


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench.adam")
    parser.add_argument("--trials", type=int, default=60)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(f"{described()}; {versions('torch')}; one thread, {options.trials} trials")
    for size in SIZES:
        ours, theirs, ratio = milliseconds(*size, options.trials)
        rows, width, tokens = size
        print(f"{rows:,} x {width}, {tokens:,} tokens: {ours:.2f} ms, torch's {theirs:.2f} ms, {ratio:.2f} of its time")


if __name__ == "__main__":
    main(sys.argv[1:])
