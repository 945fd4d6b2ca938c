"""100 steps are 50, a SIGKILL of every rank, and the rest: to the last bit."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cluster.processes import Follower
from tests.conftest import SOAK, long_series

STEPS = 100
# Large enough that the kill, seen from outside, falls between the checkpoint and the end.
MODELS = {
    "mlp": {"kind": "mlp", "hidden": [1536, 1024], "dropout": 0.5},
    "lstm": {"kind": "lstm", "embedding": 32, "hidden": 96, "dropout": 0.5},
    "gpt": {"embedding": 64, "feed_forward": 128, "layers": 3, "dropout": 0.1},
}

EVERY = [(model, ranks, step) for model in MODELS for ranks in (1, 2, 3) for step in (52, 61, 70, 85)]
SAMPLE = [("lstm", 3, 60)]


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


def hashes(run):
    """SHA-256 of weights and optimizer after the last step."""
    folder = Path(run) / "checkpoints" / f"{STEPS:06d}"
    names = ("model.safetensors", "optimizer.safetensors")
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]


def kill_ranks_after(run, step, arguments):
    """Starts `muster`, kills all ranks with SIGKILL once a step is logged, and returns the exit code."""
    process = subprocess.Popen([sys.executable, "-m", "launch", *arguments], stderr=subprocess.PIPE, text=True)
    deadline, metrics, logged = time.monotonic() + 120, Follower(run / "metrics.jsonl"), 0
    while logged < step:
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.002)
        logged = max([logged, *(record["step"] for record in metrics.new() if record["kind"] == "step")])
    ranks = [p for p in psutil.Process(process.pid).children(recursive=True) if "cluster.train" in p.cmdline()]
    for rank in ranks:
        os.kill(rank.pid, signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert "SIGKILL" in said
    return process.returncode


@pytest.mark.parametrize("model, ranks, killed_after", EVERY if SOAK else SAMPLE)
def test_killed_and_resumed_equals_undisturbed(pool, recipe_of, metrics_of, tmp_path, model, ranks, killed_after):
    recipe = recipe_of(
        model,
        model=MODELS[model],
        train={"steps": STEPS, "step_size": "32 examples", "log_steps": 1, "checkpoint_steps": 50},
        launch={"device": "cpu", "ranks": ranks, "threads": 1},
    )
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert pool.run(ranks, train_here, recipe=str(recipe), run=str(undisturbed)) == [0] * ranks
    assert kill_ranks_after(killed, killed_after, ["train", str(recipe), "--run", str(killed)]) == 0
    first, last = (json.loads(line) for line in (killed / "attempts.jsonl").read_text().splitlines())
    assert (first["verdict"], first["step"], last["verdict"]) == ("infrastructure", 50, "done")
    assert hashes(killed) == hashes(undisturbed)
    assert [line["loss"] for line in metrics_of(killed, "step")] == [
        line["loss"] for line in metrics_of(undisturbed, "step")
    ]
    log = (killed / "logs" / "attempt-001" / "rank-0.log").read_text()
    assert "resuming after step 50" in log
    assert "not bit-equal" not in log


@long_series
def test_killed_before_the_first_checkpoint_begins_again(recipe_of, tmp_path):
    run = tmp_path / "run"
    recipe = recipe_of("mlp", model=MODELS["mlp"], train={"steps": 60, "log_steps": 1, "checkpoint_steps": 60})
    assert kill_ranks_after(run, 3, ["train", str(recipe), "--run", str(run)]) == 0
    first, last = (json.loads(line) for line in (run / "attempts.jsonl").read_text().splitlines())
    assert (first["step"], last["began_step"], last["verdict"]) == (0, 0, "done")
    assert json.loads((run / "evaluation.json").read_text())["examples"] == 101
