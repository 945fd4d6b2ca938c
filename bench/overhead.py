"""What the trainer costs over a hand-written loop: the same model, the same batches, one process, paired.

    python -m bench.overhead [--trials 9] [--steps 100] [--json]

For each case all run the same steps from the same weights in turn, the order drawn anew each trial; a figure is the
median
of the paired ratios of wall time. There are two hand-written loops: one takes its batches ready-made from memory,
which no
real loop can; the other collates each batch from the shards when it needs it, with the trainer's own fast gather.
Planning,
logging, the schedule, checks for NaN and the wish to stop are on the trainer's side alone.
"""

import argparse
import copy
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from cluster.config.load import load
from cluster.data.manifest import open_prepared
from cluster.data.order import Order, OrderSettings
from cluster.data.shards import ShardReader
from cluster.loader import Batch, StepLoader
from cluster.models.build import build_model
from cluster.plan.plan import make_plan
from cluster.prepare import prepare
from cluster.tasks.classify import Classify
from cluster.training.checkpoint import TrainState
from cluster.training.faults import StopFlag
from cluster.training.loop import Trainer, fit
from cluster.training.monitor import Monitor
from cluster.training.optim import build_optimizer
from cluster.training.parallel import environment, machine, started

CASES = {
    "mlp, 256 wide": ["sentiment"],
    "mlp, 1024 wide": ["sentiment", "model.hidden=[1024]"],
    "lstm": ["sentiment", "model.kind=lstm"],
    "lstm, clipped": ["sentiment", "model.kind=lstm", "optim.clip_norm=1.0"],
}


class NoCheckpoints:
    """Stands where checkpoints are written: saving is not part of this comparison."""

    def commit(self, *_: Any) -> int:
        return 0


def measure(name: str, arguments: list[str], steps: int, trials: int) -> dict[str, Any]:
    recipe = load(arguments[0], [*arguments[1:], f"train.steps={steps}", "train.checkpoint_steps=1000000"])
    manifest = open_prepared(prepare(recipe, lambda line: print(line, file=sys.stderr)))
    reader = ShardReader(manifest.folder, "train")
    order = Order(OrderSettings.of(recipe, padded=manifest.layout == "sequence"), reader.lengths)
    plan = make_plan(recipe, machine(), ranks=environment())
    seconds: dict[str, list[float]] = {"trainer": [], "ready-made": [], "collating": []}
    with started(plan, strict=False) as world, tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(1)
        first = build_model(recipe.model, manifest.vocabulary_rows, len(manifest.labels)).to(world.device)
        with StepLoader(
            reader, order, TrainState().position, steps, rank=0, ranks=1,
            fuse_tokens=recipe.train.micro_batch_tokens, device=world.device,
        ) as loader:  # fmt: skip
            shares = [(loaded.planned, batch) for loaded in loader for batch in loaded.batches]
            gather = loader.gather
        ready = [batch for _, batch in shares]
        ids = [np.concatenate(planned.micro_batches) for planned, _ in shares]
        assert len(shares) == steps, "a step that is several forwards would be several steps by hand"

        def trainer(trial: int) -> float:
            model = copy.deepcopy(first)
            monitor = Monitor(Path(folder) / f"{trial}.jsonl", 0)
            parts = Trainer(
                recipe=recipe, plan=plan, world=world, task=Classify(list(manifest.labels)), model=model,
                optimizer=build_optimizer(model, recipe.optim, world.device), reader=reader, order=order,
                total_steps=steps, checkpoints=NoCheckpoints(), monitor=monitor, stop=StopFlag(), validate=None,  # type: ignore[arg-type]
            )  # fmt: skip
            before = time.perf_counter()
            fit(parts, TrainState())
            return time.perf_counter() - before

        def by_hand(batches: Iterable[Batch]) -> float:
            model = copy.deepcopy(first)
            optimizer = build_optimizer(model, recipe.optim, world.device)
            before = time.perf_counter()
            for batch in batches:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(batch.tokens, batch.lengths, batch.weights), batch.labels)
                loss.backward()
                if recipe.optim.clip_norm != float("inf"):
                    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optim.clip_norm)
                optimizer.step()
            return time.perf_counter() - before

        chance = random.Random(1)
        runs = {
            "trainer": trainer,
            "ready-made": lambda _: by_hand(ready),
            "collating": lambda _: by_hand(gather.batch(documents, 0) for documents in ids),
        }
        for trial in range(trials + 1):  # the first warms up and does not count
            for who in chance.sample(list(runs), len(runs)):
                took = runs[who](trial)
                if trial:
                    seconds[who].append(took)
    ratios = {
        who: statistics.quantiles([a / b for a, b in zip(seconds["trainer"], seconds[who], strict=True)], n=4)
        for who in ("ready-made", "collating")
    }
    medians = {who: statistics.median(values) / steps * 1e3 for who, values in seconds.items()}
    return {"case": name, "ratios": ratios, "milliseconds_per_step": medians}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with torch.random.fork_rng(), open("/dev/null", "w") as quiet:
        shown, sys.stdout = sys.stdout, quiet  # the monitor's lines are part of the work, not of the table
        rows = [measure(name, arguments, options.steps, options.trials) for name, arguments in CASES.items()]
        sys.stdout = shown
    if options.json:
        print(json.dumps(rows))
        return 0
    threads = torch.get_num_threads()
    print(
        "trainer / hand-written loop, median (quartiles) of paired ratios; milliseconds a step, trainer and both loops"
    )
    print(f"torch {torch.__version__}, {threads} threads, {options.trials} trials of {options.steps} steps")
    for row in rows:
        took = row["milliseconds_per_step"]
        shown = "   ".join(
            f"{who} {middle:.3f} ({low:.3f}-{high:.3f})" for who, (low, middle, high) in row["ratios"].items()
        )
        print(f"{row['case']:15} {shown}   {', '.join(f'{value:.2f}' for value in took.values())} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
