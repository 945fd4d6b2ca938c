"""Ranks of a real training that do not go on are named, with the place where they are; healthy ones never are."""

import os
import signal
import subprocess
import sys
import time

import pytest

from cluster.pulse.asking import collectives, stacks
from cluster.pulse.process import look_at
from cluster.pulse.words import explain, suspects
from tests.conftest import long_series
from tests.pulse.ranks import LOOK_SECONDS, ranks

FOREVER = 1_000_000
OWN = "tests.pulse.misbehaving"


def training(recipe_of, tmp_path, steps=FOREVER, evaluate_steps=FOREVER, **options):
    """The command of a rank. Each validation and test split is one micro-batch: one rank of two has none of it."""
    recipe = recipe_of(
        "custom",
        model={"factory": f"{OWN}:build", "size": f"{OWN}:size", "options": options},
        train={"steps": steps, "checkpoint_steps": 30, "micro_batch_tokens": 100_000},
        evaluate={"steps": evaluate_steps},
    )
    return ["-m", "cluster.train", recipe, "--run", tmp_path / "run"]


@long_series  # tests/supervision has the same faults under the agent
@pytest.mark.parametrize(
    "fault, words, place",
    [
        ("is stopped", "is stopped (SIGSTOP): no sign of life", "in fit"),
        ("holds the interpreter", "(the GIL is held): no sign of life", "in hold_the_interpreter"),
        ("sleeps for ever", "runs, but does not go on", "in asleep_for_ever"),
    ],
)
def test_a_rank_that_does_not_go_on_is_named(recipe_of, tmp_path, capsys, fault, words, place):
    """Within 10 s of what makes it frozen (5 s) or late (10 s); three times the mark on a busy machine."""
    fault_at = 0 if fault == "is stopped" else 40
    command = training(recipe_of, tmp_path, fault=fault, rank=1, at=fault_at)
    with ranks(2, command, tmp_path) as started:
        started.until_step(35, rank=1)
        if fault == "is stopped":
            os.kill(started.processes[1].pid, signal.SIGSTOP)
        stuck, seconds = started.until_stuck(45)
        with capsys.disabled():
            print(f"\na rank that {fault}: named after {seconds:.1f} s")
        entered = list(collectives(started.pages).values())
        told = stacks(started.pages)
        assert suspects(stuck, entered) == [1]
        said = explain(stuck, entered, {0: "h1", 1: "h2"})
        assert said.startswith(f"Rank 1 on h2 (process {started.processes[1].pid}) ") and words in said
        assert said.endswith(f" Rank 0 waits in all_reduce number {entered[0].number}.")
        assert place in told[1] and "in fit" in told[0]


@long_series
def test_a_healthy_run_is_never_named(recipe_of, tmp_path):
    """Neither while one rank validates, scores or saves for longer than a step may last and the other waits for it."""
    command = training(recipe_of, tmp_path, 60, 45, evaluation_seconds=11.0, save_seconds=11.0)
    with ranks(2, command, tmp_path) as started:
        end, phases = time.monotonic() + 200, set()
        while any(one.poll() is None for one in started.processes):
            assert started.clock.look() == [] and time.monotonic() < end
            phases |= {seen["phase"] for seen in started.clock.snapshot()}
            time.sleep(LOOK_SECONDS / 10)
        assert [one.returncode for one in started.processes] == [0, 0], started.said()
        assert started.clock.look() == []
        assert {"start", "step", "validate", "save", "score"} <= phases
        assert [seen["step"] for seen in started.clock.snapshot()] == [60, 60]


def test_without_an_agent_sigusr2_shows_the_stacks_and_training_goes_on(recipe_of, tmp_path, metrics_of):
    command = [sys.executable, *map(str, training(recipe_of, tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            metrics, end = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 60
            while not (metrics.exists() and metrics_of(tmp_path / "run", "step")):
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.1)
            assert look_at(process.pid).catches_usr2
            process.send_signal(signal.SIGUSR2)
            before = len(metrics_of(tmp_path / "run", "step"))
            while len(metrics_of(tmp_path / "run", "step")) < before + 5:
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.1)
        finally:
            process.kill()
        assert "in fit" in process.stderr.read()


def test_a_page_that_is_not_there_is_an_error_of_the_machine(recipe_of, tmp_path):
    command = [sys.executable, *map(str, training(recipe_of, tmp_path))]
    environment = os.environ | {"MUSTER_PULSE": str(tmp_path / "gone")}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert ended.returncode == 75
    assert "rank-0.pulse" in ended.stderr and "MUSTER_PULSE" in ended.stderr and "Traceback" not in ended.stderr
