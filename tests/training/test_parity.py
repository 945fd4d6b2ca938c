"""Steps of documents of one length teach as much as steps of documents drawn by chance: same budget, three seeds."""

import json
from pathlib import Path

import numpy as np

from tests.conftest import long_series

SEEDS = (1, 2, 3)
# Steps of 32 documents. A window of so many is one step drawn by chance; one of all documents is sorted by length and
# cut into steps, which are then shuffled.
WINDOWS = {"chance": 32, "length": 65_536}
RECIPE = """
[data]
train = "reuters-r8"
validation = "none"
test = "reuters-r8"

[text]
min_count = 2
max_tokens = 200

[model]
kind = "cnn"
embedding = 64
filters = 64
widths = [1, 2]

[optim]
learning_rate = 3e-3
schedule = "linear"

[train]
epochs = 3
step_size = "32 examples"
checkpoint_steps = 10000
"""


def train_here(recipe, run, seed, window):
    from cluster.train import main

    return main([recipe, f"train.seed={seed}", f"train.window_documents={window}", "--run", run])


@long_series
def test_steps_of_one_length_teach_as_much_as_steps_by_chance(pool, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    losses, apart = {}, {}
    for name, window in WINDOWS.items():
        runs = [tmp_path / f"{name}-{seed}" for seed in SEEDS]
        for seed, run in zip(SEEDS, runs, strict=True):
            assert pool.run(1, train_here, recipe=str(recipe), run=str(run), seed=seed, window=window) == [0]
        losses[name] = [json.loads((run / "evaluation.json").read_text())["loss"] for run in runs]
        apart[name] = spread_in_step(runs[0])
    middle = {name: sum(found) / len(found) for name, found in losses.items()}
    spread = max(max(found) - min(found) for found in losses.values())
    print({name: [round(loss, 4) for loss in found] for name, found in losses.items()}, apart)
    assert apart["length"] < 5 < 40 < apart["chance"]
    assert abs(middle["length"] - middle["chance"]) <= spread


def spread_in_step(run: Path) -> float:
    """The standard deviation of lengths in the first epoch's steps, in tokens, on average."""
    from cluster.config.load import from_toml
    from cluster.data.order import Order, OrderSettings
    from cluster.data.shards import ShardReader

    reader = ShardReader(Path(json.loads((run / "run.json").read_text())["prepared"]), "train")
    order = Order(OrderSettings.of(from_toml((run / "recipe.toml").read_text()), padded=True), reader.lengths)
    found = []
    for step in order.steps():
        found.append(float(reader.lengths[np.concatenate(step.micro_batches)].std()))
        if step.ends_epoch:
            return float(np.mean(found))
    raise AssertionError
