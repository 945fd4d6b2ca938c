"""One, two and three ranks are the same run."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.conftest import long_series

STEPS = 50


def train_here(recipe, run):
    """Runs on each rank of the pool, as torchrun would start it."""
    from cluster.train import main

    return main([recipe, "--run", run])


def losses(run):
    lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "step"]


def train_on(pool, ranks, recipe, folder):
    run = folder / f"{Path(recipe).stem}-on-{ranks}"
    assert pool.run(ranks, train_here, recipe=str(recipe), run=str(run)) == [0] * ranks
    return run


@pytest.mark.parametrize("model", ["mlp", "lstm", "gpt", "bert"])
@pytest.mark.parametrize(
    "train, dropout, tolerance",
    [
        ({"strict": True}, 0.5, 1e-5),
        pytest.param({}, 0.0, 1e-5, marks=long_series),
        ({"strict": True, "precision": "float64"}, 0.5, 1e-9),
    ],
    ids=["strict with dropout", "fused without dropout", "float64"],
)
def test_losses_agree_on_any_number_of_ranks(pool, recipe_of, tmp_path, model, train, dropout, tolerance):
    recipe = recipe_of(
        model,
        model={"dropout": dropout},
        launch={"threads": 1},  # small products: a second thread would only be waited for
        train={"steps": STEPS, "step_size": "32 examples", "log_steps": 1, "checkpoint_steps": STEPS, **train},
    )
    one, two, three = (losses(train_on(pool, ranks, recipe, tmp_path)) for ranks in (1, 2, 3))
    assert len(one) == STEPS
    assert one[-1] < one[0]
    assert two == pytest.approx(one, abs=tolerance)
    assert three == pytest.approx(one, abs=tolerance)


def test_token_budget_steps_agree_too(pool, recipe_of, tmp_path):
    recipe = recipe_of(
        "lstm",
        model={"kind": "lstm", "embedding": 8, "hidden": 16, "dropout": 0.0},
        train={"steps": 30, "step_size": "700 tokens", "log_steps": 1, "checkpoint_steps": 30},
    )
    one, three = (losses(train_on(pool, ranks, recipe, tmp_path)) for ranks in (1, 3))
    assert three == pytest.approx(one, abs=1e-5)


def test_more_ranks_than_micro_batches(pool, recipe_of, tmp_path):
    """A step of one example leaves two of three ranks idle: no hang, and the same losses."""
    recipe = recipe_of(train={"steps": 12, "step_size": "1 examples", "log_steps": 1, "strict": True})
    one, three = (losses(train_on(pool, ranks, recipe, tmp_path)) for ranks in (1, 3))
    assert three == pytest.approx(one, abs=1e-5)


def test_resume_on_another_number_of_ranks_goes_on_with_the_same_run(pool, recipe_of, tmp_path):
    """The losses of the steps after the change are those of the run that was left alone."""
    settings = {"step_size": "32 examples", "log_steps": 1, "checkpoint_steps": 10, "strict": True}
    undisturbed = train_on(pool, 1, recipe_of(train=settings | {"steps": 30}), tmp_path)
    run = tmp_path / "moved"
    recipe = recipe_of(train=settings | {"steps": 30})
    assert pool.run(2, stop_at, recipe=str(recipe), run=str(run), step=10) == [85, 85]
    assert pool.run(3, resume_here, run=str(run)) == [0, 0, 0]
    assert losses(run) == pytest.approx(losses(undisturbed), abs=1e-5)
    ours = load_file(run / "model" / "weights.safetensors")
    for name, value in load_file(undisturbed / "model" / "weights.safetensors").items():
        assert (ours[name] - value).abs().max() < 1e-4


def stop_at(recipe, run, step):
    """Trains, and asks rank 1 alone to stop once a step is logged: all ranks must stop together."""
    import os
    import signal
    import threading
    import time

    def ask():
        metrics = Path(run) / "metrics.jsonl"
        while not metrics.exists() or f'"step": {step},' not in metrics.read_text():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    if os.environ["RANK"] == "1":
        threading.Thread(target=ask, daemon=True).start()
    return train_here(recipe, run)


def resume_here(run):
    from cluster.train import main

    return main(["--resume", run])
