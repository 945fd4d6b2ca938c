"""Stacks and collectives of ranks that do not go on."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cluster.pulse.asking import collectives, record, stacks
from cluster.pulse.collectives import behind
from cluster.pulse.page import Pages
from cluster.pulse.process import look_at
from cluster.pulse.words import explain
from tests.pulse.ranks import ranks

RANK = Path(__file__).parent / "rank.py"


def test_the_stack_of_a_stopped_rank(tmp_path):
    """It is continued for a moment, and stopped again."""
    with ranks(1, [RANK, "steps"], tmp_path) as started:
        started.until_step(3)
        pid = started.processes[0].pid
        started.processes[0].send_signal(signal.SIGSTOP)
        for times in range(2):
            told = stacks(started.pages)[0]
            assert told.startswith(f"Rank 0, process {pid}, which was stopped; it was continued for a moment")
            assert "in take_steps" in told and told.count("in take_steps") == 1, times
            assert "in _beat" in told
            started.until(lambda: look_at(pid).state == "T", 10)
        assert collectives(started.pages)[0].unknown == "it gave no answer: the process is stopped (SIGSTOP)"
        started.processes[0].send_signal(signal.SIGCONT)
        step = started.pages.pages[0].read().step
        started.until_step(step + 3)


def test_the_stack_of_a_rank_whose_interpreter_is_held(tmp_path):
    with ranks(1, [RANK, "steps, then holds the interpreter"], tmp_path) as started:
        started.until_step(1)
        time.sleep(1)
        assert "in hold_the_interpreter" in stacks(started.pages)[0]
        beat = started.pages.pages[0].read().beat
        started.until(lambda: time.monotonic() - beat > 5.5)
        unknown = collectives(started.pages)[0].unknown
        assert unknown == ("it gave no answer: the process runs, but its interpreter does not answer (the GIL is held)")


def test_a_skipped_collective(tmp_path):
    """Of three ranks one leaves a collective out: it is the one behind, though all of them are late."""
    with ranks(3, [RANK, "meets, but rank 1 skips a collective"], tmp_path) as started:
        started.until(lambda: all(page.read().step == 5 for page in started.pages.pages.values()))
        started.until(lambda: all(one.number == 6 for one in collectives(started.pages, (0, 2)).values()))
        found = collectives(started.pages)
        assert [found[rank].unknown for rank in range(3)] == ["", "", ""]
        assert (found[1].number, found[1].finished, found[1].operation) == (5, 5, "all_reduce")
        assert (found[2].number, found[2].finished, found[2].operation) == (6, 5, "all_reduce")
        assert behind(found.values()) == [1]
        told = stacks(started.pages)
        assert "in skips_the_collective" in told[1] and "in skips_the_collective" not in told[0] + told[2]
        stuck, _ = started.until_stuck(30)
        words = explain(stuck, list(found.values()), {1: "h2"})
        assert words.startswith("Rank 1 on h2 ") and words.endswith(" The other ranks wait in all_reduce number 6.")
        recorded = json.loads(record(started.pages, found[1]))["entries"]
        assert [one["collective_seq_id"] for one in recorded] == [1, 2, 3, 4, 5]


def test_who_does_not_listen_is_left_alive():
    """SIGUSR2 would kill a process that does not catch it."""
    with Pages([0, 1, 2]) as pages, subprocess.Popen(["sleep", "600"]) as process:
        pages.pages[0].begin(process.pid, look_at(process.pid).started_ticks)
        pages.pages[1].begin(process.pid, 1)  # a rank that has ended, whose number the other process has now
        told, found = stacks(pages), collectives(pages)
        assert told == {
            0: "No stack of rank 0: it does not take SIGUSR2.\n",
            1: "No stack of rank 1: it has ended.\n",
            2: "No stack of rank 2: it has not begun.\n",
        }
        assert [found[rank].unknown for rank in (1, 2)] == ["it has ended", "it has not begun"]
        assert found[0].unknown.startswith("it gave no answer: ")
        assert json.loads(record(pages, found[1])) == {"unknown": "it has ended"}
        time.sleep(0.2)
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_sigusr2_does_not_kill_a_rank_that_is_starting(tmp_path, seconds):
    with ranks(1, [RANK, "steps"], tmp_path) as started:
        time.sleep(seconds)
        started.processes[0].send_signal(signal.SIGUSR2)
        started.until_step(3)
