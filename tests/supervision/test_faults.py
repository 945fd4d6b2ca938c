"""Faults of ranks in real runs: named in time, gone on from the checkpoint, nobody left behind."""

import json
import subprocess
import sys
import time

import psutil
import pytest

SIZE = "tests.supervision.misbehaving:size"
FROZEN = "has given no sign"
IN_TIME = 3  # deadlines are asserted at three times their mark, the figure is printed
LONG = {"steps": 60, "step_size": "32 examples", "log_steps": 1, "checkpoint_steps": 10, "max_ranks": 4}


class Training:
    """A run under way, as its folder and its processes show it."""

    def __init__(self, recipe, run, *words):
        self.run = run
        command = [sys.executable, "-m", "launch", "train", str(recipe), "--run", str(run), *words]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def wait_for(self, is_so, seconds=90):
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end and (self.process.poll() is None or is_so()), self.end()
            time.sleep(0.02)

    def step(self):
        try:
            lines = (self.run / "metrics.jsonl").read_text().splitlines(keepends=True)
        except OSError:
            return 0
        return max([json.loads(line).get("step", 0) for line in lines if line.endswith("\n")], default=0)

    def processes(self, module):
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if module in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return sorted(found, key=lambda one: one.pid)

    def history(self):
        path = self.run / "attempts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def verdict(self):
        return json.loads((self.run / "verdict.json").read_text())

    def end(self, seconds=120):
        said = self.process.communicate(timeout=seconds)[1]
        return self.process.returncode, said


@pytest.fixture
def training(tmp_path):
    begun = []

    def begin(recipe, *words):
        begun.append(Training(recipe, tmp_path / f"run-{len(begun)}", *words))
        return begun[-1]

    yield begin
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()  # the others end with it
            one.process.communicate()


def misbehaving(recipe_of, what, at=25, rank=1):
    options = {"what": what, "at": at, "rank": rank}
    model = {"kind": "custom", "factory": "tests.supervision.misbehaving:build", "options": options, "size": SIZE}
    return recipe_of("custom", model=model, train=LONG, launch={"device": "cpu", "ranks": 2})


def gone(processes, seconds=2.0):
    """Are they all gone within so long?"""
    return not psutil.wait_procs(processes, timeout=seconds * IN_TIME)[1]


@pytest.mark.parametrize(
    "what, said, rank",
    [
        ("raises", "Rank 1 failed: ValueError: a bug of the model", 1),
        ("leaves", "Rank 1 ended with exit code 0 in the middle of training", 1),
        ("holds the interpreter", FROZEN, 1),
        ("sleeps", "does not get on", 1),
        ("skips a collective", "", None),
    ],
)
def test_a_rank_that_misbehaves_once_is_named_and_the_run_goes_on(training, recipe_of, what, said, rank):
    one = training(misbehaving(recipe_of, what))
    code, words = one.end(240)
    print(words)
    assert code == 0, words
    first, *_, last = one.history()
    assert said in first["cause"] and first["rank"] in ([rank] if rank is not None else [0, 1])
    assert last["verdict"] == "done"
    assert (one.run / "logs" / "attempt-001").is_dir()
