"""One trainer, one process: prints its figures as JSON on the last line.

python -m bench.language.cell "muster"|"plain torch"|"nanoGPT" RECIPE.toml
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from bench.language.peers import PEERS, Schedule, Size, mean_loss, train
from bench.trainers.clock import peak_memory_bytes
from cluster.config.load import load
from cluster.config.models import Gpt
from cluster.config.schema import Recipe
from cluster.data.marks import mark_of
from cluster.data.shards import ShardReader
from cluster.prepare import prepare

WARM_STEPS = 10


class Steps:
    """When each step ended, by the clock on the wall and by that of the process."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.process: list[float] = []

    def stepped(self, *_: Any) -> None:
        self.wall.append(time.perf_counter())
        self.process.append(time.process_time())

    def figures(self, tokens_per_step: int) -> dict[str, float]:
        found = {}
        for name, ends in (("tokens_per_second", self.wall), ("tokens_per_cpu_second", self.process)):
            seconds = np.diff(ends[min(WARM_STEPS, len(ends) // 2) :])
            found[name] = tokens_per_step / statistics.median(seconds.tolist())
        return found


def row_of(folder: Path, split: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """All tokens of a split, and the mark that ends its last document."""
    reader = ShardReader(folder, split)
    tokens, _, _ = reader.flat(np.arange(reader.documents))
    return np.append(tokens.astype(np.int64), mark_of(reader.manifest.vocabulary_rows))


def schedule_of(recipe: Recipe) -> Schedule:
    assert recipe.train.steps != "auto"
    return Schedule(
        steps=recipe.train.steps,
        batch=int(recipe.train.step_size.split()[0]),
        rate=recipe.optim.learning_rate,
        warmup=recipe.optim.warmup_steps,
        beta2=recipe.optim.beta2,
        decay=recipe.optim.weight_decay,
        clip=recipe.optim.clip_norm,
        seed=recipe.train.seed,
    )


def with_muster(path: Path, steps: Steps) -> tuple[float, int]:
    """Loss on the test split, and parameters. The training program as `muster train` starts it."""
    import cluster.train as program

    register_optimizer_step_post_hook(steps.stepped)
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        if code := program.main([str(path), "--run", str(run)]):
            raise RuntimeError(f"muster ended with code {code}")
        from safetensors.torch import load_file

        size = sum(value.numel() for value in load_file(run / "model/weights.safetensors").values())
        return float(json.loads((run / "evaluation.json").read_text())["loss"]), size


def with_peer(who: str, recipe: Recipe, folder: Path, steps: Steps) -> tuple[float, int]:
    model, how = recipe.model, schedule_of(recipe)
    assert isinstance(model, Gpt) and recipe.launch.threads != "auto"
    torch.set_num_threads(recipe.launch.threads)
    torch.manual_seed(how.seed)
    size = Size(
        rows=ShardReader(folder, "train").manifest.vocabulary_rows,
        context=model.context,
        width=model.embedding,
        layers=model.layers,
        heads=model.heads,
        feed_forward=model.feed_forward,
    )
    built = PEERS[who](size)
    train(built, row_of(folder, "train"), model.context, how, steps.stepped)
    return mean_loss(built, row_of(folder, "test"), model.context), sum(p.numel() for p in built.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.language.cell", description=__doc__)
    parser.add_argument("trainer", choices=["muster", *PEERS])
    parser.add_argument("recipe", type=Path)
    options = parser.parse_args()
    recipe = load(str(options.recipe), [])
    assert isinstance(recipe.model, Gpt)
    folder, steps = prepare(recipe, lambda line: None), Steps()
    if options.trainer == "muster":
        loss, parameters = with_muster(options.recipe, steps)
    else:
        loss, parameters = with_peer(options.trainer, recipe, folder, steps)
    figures = {"loss": loss, "parameters": parameters, "peak_memory_bytes": peak_memory_bytes()}
    print(json.dumps(figures | steps.figures(schedule_of(recipe).batch * recipe.model.context)))


if __name__ == "__main__":
    main()
