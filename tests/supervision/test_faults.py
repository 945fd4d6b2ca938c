"""Faults of ranks in real runs: named in time, gone on from the checkpoint, nobody left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import long_series

SIZE = "tests.supervision.misbehaving:size"
FROZEN = "no sign of life"
IN_TIME = 3  # deadlines are asserted at three times their mark, the figure is printed
LONG = {"steps": 60, "step_size": "32 examples", "log_steps": 1, "checkpoint_steps": 10, "max_ranks": 4}


class Training:
    """A run under way, as its folder and its processes show it."""

    def __init__(self, recipe, run, *words, log=None):
        self.run = run
        command = [sys.executable, "-m", "launch", "train", str(recipe), "--run", str(run), *words]
        self.log = log or run.with_suffix(".err")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL)

    def wait_for(self, is_so, seconds=90):
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end and (self.process.poll() is None or is_so()), self.said()
            time.sleep(0.02)

    def step(self):
        try:
            lines = (self.run / "metrics.jsonl").read_text().splitlines(keepends=True)
        except OSError:
            return 0
        return max([json.loads(line).get("step", 0) for line in lines if line.endswith("\n")], default=0)

    def ranks(self, attempt):
        """Ranks of an attempt that take steps, as the sign of life shows them."""
        try:
            alive = json.loads((self.run / "alive.json").read_text())
        except OSError:
            return []
        return [one for one in alive["ranks"] if alive["attempt"] == attempt and one["phase"] == "step"]

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
        return self.process.wait(seconds), self.said()

    def said(self):
        return self.log.read_text()


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
            one.process.wait()


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
        pytest.param("leaves", "Rank 1 ended with exit code 0 in the middle of training", 1, marks=long_series),
        ("holds the interpreter", FROZEN, 1),
        pytest.param("sleeps", "does not go on", 1, marks=long_series),
        pytest.param("skips a collective", "", None, marks=long_series),
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


@pytest.mark.parametrize(
    "victim, number, mark_seconds, said, cause",
    [
        ("cluster.train", signal.SIGKILL, 1.0, "is gone, after step", "was killed by SIGKILL"),
        pytest.param("cluster.agent", signal.SIGKILL, 1.0, "The agent is gone", "The agent is gone", marks=long_series),
        pytest.param(
            "cluster.train", signal.SIGSTOP, 10.0, "is stopped (SIGSTOP)", "is stopped (SIGSTOP)", marks=long_series
        ),
        ("cluster.agent", signal.SIGSTOP, 10.0, "has not been heard", "has not been heard"),
    ],
    ids=["rank killed", "agent killed", "rank stopped", "agent stopped"],
)
def test_a_process_that_is_lost_is_named_and_the_run_goes_on(
    training, recipe_of, victim, number, mark_seconds, said, cause
):
    one = training(recipe_of("lstm", train=LONG | {"steps": 20_000}, launch={"device": "cpu", "ranks": 2}))
    one.wait_for(lambda: one.step() >= 25)
    family = one.processes("cluster.train") + one.processes("cluster.agent")
    hit = time.monotonic()
    one.processes(victim)[-1].send_signal(number)
    one.wait_for(lambda: said in one.said() or cause in one.said())  # a rank's end may be told before it is missed
    named = time.monotonic() - hit
    one.wait_for(lambda: len(one.history()) > 0)
    assert gone(family), [process for process in family if process.is_running()]
    one.wait_for(lambda: (one.run / "logs" / "attempt-001" / "rank-0.log").exists())
    reached = one.step()
    one.wait_for(lambda: one.step() > max(reached, 25) or one.process.poll() is not None, 120)
    went_on = time.monotonic() - hit
    print(f"{said}: named after {named:.1f} s (mark {mark_seconds:g}), trained on after {went_on:.1f} s (mark 30)")
    assert named < IN_TIME * mark_seconds
    assert one.history()[0]["verdict"] == "infrastructure" and cause in one.history()[0]["cause"]
    one.process.terminate()
    assert one.process.wait(60) == 85


@pytest.fixture
def little_memory():
    """A control group (version 1 or 2) whose processes may take another 64 MiB."""
    found = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    own = next((f"memory{path}" for _, kinds, path in found if "memory" in kinds.split(",")), None)
    own, limit = (own, "memory.limit_in_bytes") if own else (found[-1][2].lstrip("/"), "memory.max")
    group = Path("/sys/fs/cgroup") / own / f"muster-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(64 << 20))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group for memory can be made here: {error}")
    yield group
    group.rmdir()


def test_a_rank_that_the_kernel_kills_for_memory_is_told_so(training, recipe_of, little_memory, monkeypatch):
    monkeypatch.setenv("MUSTER_TEST_CGROUP", str(little_memory))
    one = training(misbehaving(recipe_of, "eats memory"))
    code, words = one.end(240)
    assert code == 0, words
    first, *_, last = one.history()
    assert (first["kind"], first["rank"], first["verdict"]) == ("out of memory", 1, "infrastructure")
    assert "for want of memory meanwhile. Use a smaller train.micro_batch_tokens" in first["cause"]
    assert last["verdict"] == "done"


def test_nothing_outlives_a_supervisor_that_is_killed(training, recipe_of):
    one = training(recipe_of("lstm", train=LONG | {"steps": 20_000}, launch={"device": "cpu", "ranks": 2}))
    one.wait_for(lambda: one.step() >= 12)
    family = one.processes("cluster.train") + one.processes("cluster.agent")
    assert len(family) == 3
    one.processes("cluster.supervise")[0].kill()
    assert gone(family)
    code, words = one.end()
    assert code == 75 and "muster resume" in words


def test_a_second_launcher_is_refused_and_the_first_is_unharmed(training, recipe_of, muster):
    recipe = recipe_of("lstm", train=LONG | {"steps": 2000}, launch={"device": "cpu"})
    one = training(recipe)
    one.wait_for(lambda: one.step() >= 5)
    began = time.monotonic()
    second = muster("resume", one.run)
    print(f"refused after {time.monotonic() - began:.1f} s (mark 5 s)")
    assert time.monotonic() - began < IN_TIME * 5
    assert second.code == 2 and "being trained by another process" in second.err
    reached = one.step()
    one.wait_for(lambda: one.step() > reached)
    one.process.terminate()
    assert one.process.wait(60) == 85


def test_the_same_failure_twice_is_the_end(training, recipe_of):
    one = training(misbehaving(recipe_of, "raises always", at=5))
    code, words = one.end()
    assert code == 93, words
    first, second = one.history()
    assert first["kind"] == second["kind"] == "ValueError"
    assert "the same failure twice" in one.verdict()["next"]
    assert one.verdict()["verdict"] == "failed" and one.verdict()["rank"] == 1


def test_attempts_that_save_nothing_are_counted_and_given_up(training, recipe_of):
    one = training(recipe_of("lstm", train=LONG | {"steps": 2000, "checkpoint_steps": 1900}), "launch.attempts=2")
    for attempt in range(2):
        one.wait_for(lambda attempt=attempt: one.ranks(attempt))
        one.processes("cluster.train")[0].kill()
        one.wait_for(lambda attempt=attempt: len(one.history()) > attempt)
    code, words = one.end()
    assert code == 93 and "given up: 2 attempts in a row without a newer checkpoint" in words


@pytest.mark.parametrize("wish, saves", [("checkpoint", True), ("now", False)])
def test_a_stop_request_is_obeyed(training, recipe_of, wish, saves):
    one = training(recipe_of("lstm", train=LONG | {"steps": 3000, "checkpoint_steps": 10}))
    one.wait_for(lambda: one.step() >= 15)
    (one.run / "stop").write_text(wish)
    code, words = one.end()
    assert code == 85, words
    assert not (one.run / "stop").exists() and not (one.run / "alive.json").exists()
    assert ("a checkpoint was saved" in one.verdict()["message"]) == saves
