"""`python -m bench.data.growing FOLDER THREADS`: MB of its own that a loader's process takes in 100,000 batches."""

import sys
from pathlib import Path

import psutil
import torch

from bench.data.subjects import settings
from cluster.data.order import Order, Position
from cluster.data.shards import ShardReader
from cluster.loader import StepLoader

WARM_UP, BATCHES = 5_000, 100_000


def grown(folder: Path, threads: int) -> float:
    reader = ShardReader(folder, "train")
    order = Order(settings(), reader.lengths)
    process, batches, start = psutil.Process(), 0, 0
    with StepLoader(
        reader, order, Position(), 1 << 40, rank=0, ranks=1, fuse_tokens=0, device=torch.device("cpu"), weigh=len,
        threads=threads,
    ) as steps:  # fmt: skip
        for step in steps:
            batches += len(step.batches)
            if not start and batches >= WARM_UP:
                start = process.memory_full_info().uss
            if batches >= WARM_UP + BATCHES:
                break
    return (process.memory_full_info().uss - start) / 1e6


if __name__ == "__main__":
    print(grown(Path(sys.argv[1]), int(sys.argv[2])))
