"""What a run does along the way: best weights, stopping early, stopping at nonsense."""

import json

import pytest
import torch
from safetensors.torch import load_file

from cluster.training.monitor import Monitor


def train_here(recipe, run, overrides=()):
    from cluster.train import main

    return main([recipe, *overrides, "--run", run])


def test_the_model_is_the_best_evaluation_and_training_stops_early(pool, recipe_of, metrics_of, tmp_path):
    run = tmp_path / "run"
    recipe = recipe_of(
        train={"steps": 400, "step_size": "32 examples", "checkpoint_steps": 1000},
        evaluate={"steps": 5, "metric": "loss", "patience": 2},
        optim={"learning_rate": 0.05},
    )
    assert pool.run(2, train_here, recipe=str(recipe), run=str(run)) == [0, 0]
    evaluations = metrics_of(run, "evaluation")
    values = [line["loss"] for line in evaluations]
    best = min(range(len(values)), key=values.__getitem__)
    assert len(evaluations) == best + 1 + 2 < 80
    assert [line["best"] for line in evaluations] == [i == 0 or v < min(values[:i]) for i, v in enumerate(values)]
    step = evaluations[best]["step"]
    assert json.loads((run / "evaluation.json").read_text())["step"] == step
    ours = load_file(run / "model" / "weights.safetensors")
    kept = load_file(run / "best" / f"{step:06d}" / "model.safetensors")
    assert all(torch.equal(ours[name], kept[name]) for name in kept)


def test_a_loss_that_is_no_number_stops_the_run(muster, recipe_of, tmp_path):
    """A learning rate out of this world: the step and its documents are named, and the last checkpoint stays."""
    run = tmp_path / "run"
    recipe = recipe_of(
        train={"steps": 60, "step_size": "8 examples", "checkpoint_steps": 1, "log_steps": 1},
        optim={"learning_rate": 1e25},
        launch={"device": "cpu", "ranks": 2},
    )
    ended = muster("train", recipe, "--run", run)
    assert ended.code == 93
    assert "Its documents: " in ended.err and "Traceback" not in ended.err
    verdict = json.loads((run / "verdict.json").read_text())
    assert verdict["verdict"] == "failed" and verdict["exit_code"] == 93
    for folder in (run / "checkpoints").iterdir():
        assert all(torch.isfinite(t).all() for t in load_file(folder / "model.safetensors").values())


@pytest.mark.parametrize(
    "written, step, left",
    [
        (['{"kind": "step", "step": 1}', '{"kind": "step", "step": 2}'], 1, 1),
        (['{"kind": "step", "step": 1}', '{"kind": "checkpoint", "step": 1}', '{"kind": "st'], 1, 2),  # torn at the end
        (['{"kind": "step", "step": 1}'], 0, 0),  # no checkpoint: from the beginning
    ],
)
def test_what_was_lost_with_an_attempt_leaves_the_record(tmp_path, written, step, left):
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(written))
    monitor = Monitor(path, step)
    monitor.write("step", step=step + 1, loss=0.5)
    monitor.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == left + 1
    assert lines[-1] == {"kind": "step", "step": step + 1, "loss": 0.5}
