"""`python -m bench.data.resuming FOLDER`: seconds to a first batch in the middle of an epoch, imports apart."""

import sys
import time
from pathlib import Path

import torch

from bench.data.subjects import settings
from cluster.data.order import Order, Position
from cluster.data.shards import ShardReader
from cluster.loader import StepLoader

STEP_TOKENS = 8_192
"""Of documents of one or two tokens: a window is then one of `window_documents`, not of eight large steps."""

if __name__ == "__main__":
    began = time.perf_counter()
    reader = ShardReader(Path(sys.argv[1]), "train")
    order = Order(settings(STEP_TOKENS), reader.lengths, reader.planned_tokens)
    middle = Position(step=1000, window=order.windows // 2)
    with StepLoader(
        reader, order, middle, 1 << 40, rank=0, ranks=1, fuse_tokens=0, device=torch.device("cpu"), weigh=len
    ) as steps:
        batch = next(iter(steps)).batches[0]
    assert int(batch.lengths.sum()) > 0
    print(time.perf_counter() - began)
