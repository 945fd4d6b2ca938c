"""`sbatch slurm/train.sbatch` on a real Slurm of two nodes."""

import json
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = f'#!/bin/bash\nexec {sys.executable} -m launch train "$@"\n'


class Job:
    """One batch job and its run."""

    def __init__(self, slurm, number, run):
        self.slurm, self.number, self.run = slurm, number, run

    def state(self):
        words = self.slurm.run("scontrol", "--oneliner", "show", "job", self.number).stdout
        return dict(word.split("=", 1) for word in words.split() if "=" in word)

    def wait(self, seconds=120, until=("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")):
        """Until it has ended for good; what its state is then."""
        end = time.monotonic() + seconds
        while (state := self.state())["JobState"] not in until:
            assert time.monotonic() < end, self.told()
            if state["JobState"] == "PENDING" and state["Reason"] == "BeginTime":  # else Slurm waits for two minutes
                self.slurm.run("scontrol", "update", f"JobId={self.number}", "StartTime=now")
            time.sleep(0.2)
        return state

    def wait_for_step(self, step, seconds=120):
        end = time.monotonic() + seconds
        while self.step() < step:
            assert time.monotonic() < end, self.told()
            time.sleep(0.05)

    def step(self):
        try:
            lines = (self.run / "metrics.jsonl").read_text().splitlines(keepends=True)
        except OSError:
            return 0
        return max([json.loads(line).get("step", 0) for line in lines if line.endswith("\n")], default=0)

    def verdict(self):
        return json.loads((self.run / "verdict.json").read_text())

    def history(self):
        return [json.loads(line) for line in (self.run / "attempts.jsonl").read_text().splitlines()]

    def told(self):
        out = self.run.with_suffix(".out")
        return f"{self.state()}\n{out.read_text() if out.exists() else ''}"


@pytest.fixture
def submit(slurm, tmp_path):
    """Submits `slurm/train.sbatch RECIPE ...`; cancels what is left at the end."""
    jobs = []

    def call(recipe, *words, nodes=2, options=(), name="run"):
        script = tmp_path / "train.sbatch"
        script.write_text(SCRIPT)
        run = tmp_path / name
        options = [f"--nodes={nodes}", "--open-mode=append", "--requeue", f"--output={run}.out", *options]
        said = slurm.output("sbatch", "--parsable", *options, script, recipe, "--run", run, *words)
        jobs.append(Job(slurm, said.strip(), run))
        return jobs[-1]

    yield call
    for job in jobs:
        slurm.run("scancel", job.number)


LONG = {"steps": 400, "step_size": "32 examples", "log_steps": 1, "checkpoint_steps": 50}


def test_two_nodes_train(submit, recipe_of):
    job = submit(recipe_of("lstm"), "launch.ranks=4", "launch.threads=1")
    state = job.wait()
    assert state["JobState"] == "COMPLETED", job.told()
    assert job.verdict()["nodes"] == ["h1", "h2"]
    assert job.verdict()["verdict"] == "done"
    print(job.told())


def test_a_signal_before_the_limit_saves_and_requeues(submit, recipe_of):
    job = submit(recipe_of("lstm", train=LONG), "launch.ranks=2", "launch.threads=1")
    job.wait_for_step(20)
    job.slurm.output("scancel", "--batch", "--signal=USR1", job.number)
    state = job.wait()
    print(job.told())
    assert state["JobState"] == "COMPLETED" and state["Restarts"] == "1", job.told()
    first, last = job.history()
    assert first["verdict"] == "checkpointed" and "SIGUSR1" in first["cause"]
    assert last["verdict"] == "done" and last["began_step"] == first["step"]


def test_what_is_cancelled_is_not_requeued(submit, recipe_of):
    job = submit(recipe_of("lstm", train=LONG), "launch.ranks=2", "launch.threads=1")
    job.wait_for_step(20)
    job.slurm.output("scancel", job.number)
    state = job.wait()
    print(job.told())
    assert state["JobState"] == "CANCELLED" and state["Restarts"] == "0"
    assert job.verdict()["verdict"] == "checkpointed" and "cancelled" in job.verdict()["next"]
    assert job.verdict()["step"] >= 20
