"""One trainer, one case, one process: prints its figures as JSON on the last line.

python -m bench.trainers.cell muster|hf-trainer|lightning|accelerate RECIPE.toml [--device cpu|cuda]
"""

import argparse
import importlib.metadata
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.trainers.cases import SEED
from bench.trainers.clock import Clock
from cluster.config.load import load
from cluster.config.schema import Recipe
from cluster.data.manifest import Manifest, open_prepared
from cluster.data.shards import ShardReader
from cluster.models.build import build_model

TRAINERS = {"muster": "torch", "hf-trainer": "transformers", "lightning": "lightning", "accelerate": "accelerate"}
"""Each with the package whose version is told."""


def train_with_muster(recipe_file: Path, device: str, clock: Clock) -> nn.Module:
    """The training program as `muster train` starts it, its model watched."""
    import cluster.train as program

    built: list[nn.Module] = []
    build = build_model

    def watched(*arguments: Any) -> nn.Module:
        built.append(clock.watch(build(*arguments)))
        return built[-1]

    vars(program)["build_model"] = watched
    with tempfile.TemporaryDirectory() as scratch:
        code = program.main([str(recipe_file), f"launch.device={device}", "--run", str(Path(scratch) / "run")])
    if code != 0:
        raise RuntimeError(f"muster ended with code {code}")
    return built[0]


def train_with_peer(who: str, recipe: Recipe, manifest: Manifest, device: str, clock: Clock) -> nn.Module:
    from bench.trainers import peers

    steps = recipe.train.steps
    assert steps != "auto"
    torch.manual_seed(SEED)
    model = clock.watch(build_model(recipe.model, manifest.vocabulary_rows, len(manifest.labels)))
    train = peers.documents(ShardReader(manifest.folder, "train"))
    match who:
        case "hf-trainer":
            peers.hf_trainer(model, train, steps, device)
        case "lightning":
            peers.lightning(model, train, steps, device)
        case "accelerate":
            peers.accelerate(model, train, steps, device)
    return model


def accuracy(model: nn.Module, manifest: Manifest, device: str) -> float:
    """On the test split; the same for everybody."""
    reader = ShardReader(manifest.folder, "test")
    labels = np.asarray(reader.labels)
    order = np.argsort(reader.lengths, kind="stable")
    model = model.to(device).eval()
    right = 0
    with torch.no_grad():
        for ids in np.array_split(order, -(-len(order) // 64)):
            tokens, lengths, _ = reader.padded(ids)
            on_device = [torch.from_numpy(part.astype(np.int64)).to(device) for part in (tokens, lengths)]
            right += int((model(*on_device).argmax(1).cpu().numpy() == labels[ids]).sum())
    return right / len(order)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.trainers.cell", description=__doc__)
    parser.add_argument("trainer", choices=list(TRAINERS))
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers' advice (more workers, a logger) is not part of the table
    recipe = load(str(options.recipe), [])
    assert recipe.train.steps != "auto"
    clock = Clock(recipe.train.steps)
    from cluster.prepare import prepare  # light: prepared already, nothing but a look

    manifest = open_prepared(prepare(recipe, lambda line: None))
    if options.trainer == "muster":
        model = train_with_muster(options.recipe, options.device, clock)
    else:
        model = train_with_peer(options.trainer, recipe, manifest, options.device, clock)
    figures = clock.figures()
    figures["accuracy"] = accuracy(model, manifest, options.device)
    version = importlib.metadata.version(TRAINERS[options.trainer])
    print(json.dumps(figures | {"version": f"{TRAINERS[options.trainer]} {version}"}))


if __name__ == "__main__":
    main()
