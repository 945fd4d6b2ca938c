"""What `muster watch` draws: by itself at many sizes, and on a terminal."""

import dataclasses
import os
import pty
import re
import signal
import struct
import termios
from fcntl import ioctl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.runs import RunFolder
from launch.jobs.scheduler import Job
from launch.live.progress import progress
from launch.live.screen import STATES, View, screen
from launch.live.state import Seen, condition
from tests.waiting import until

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def step(number):
    times = {"data": 0.02, "compute": 0.7, "communication": 0.28}
    about = {"kind": "step", "step": number, "epoch": 0, "loss": 1 + 1 / number, "tokens_per_second": 9e4}
    return about | {"seconds": times}


def evaluation(number):
    scores = {"accuracy": 1 - 1 / number, "loss": 1 + 2 / number, "best": True}
    return {"kind": "evaluation", "step": number, "split": "validation", "seconds": 0.5} | scores


def rank_at(number, step):
    slow, silent = number == 1, number == 2
    return {
        "rank": number, "node": f"h{1 + number % 2}", "step": step - silent, "phase": "step",
        "phase_seconds": 14.2 if slow else 0.2, "silent_seconds": 7.0 if silent else 0.1,
    }  # fmt: skip


def view(steps=400, ranks=4, attempts=2, live=True, **seen):
    """A run of 1,000 steps under way on two nodes; rank 1 waits for rank 2, which is silent."""
    records = [one for number in range(10, steps + 1, 10) for one in (step(number), evaluation(number))]
    evaluations = [one for one in records if one["kind"] == "evaluation"][9::10]
    signs = {"state": "training", "attempt": attempts, "nodes": ["h1", "h2"], "restarts": attempts, "words": "all well"}
    signs["ranks"] = [rank_at(number, steps) for number in range(ranks)]
    known = {"folder": "interrupted", "attempts": attempts + 1, "signs": signs, "age_seconds": 0.5, "job": "123"}
    last = evaluations[-1] if evaluations else {}
    ended = {"verdict": "infrastructure", "step": 100, "cause": "h2 fell silent", "next": "restarted"}
    return View(
        found=condition(RunFolder(Path("runs/sentiment")), Seen(**known | seen)),
        reached=dataclasses.replace(progress(records, 1000, known["signs"], {}), metric="accuracy", evaluation=last),
        losses=[(float(one["step"]), one["loss"]) for one in records if one["kind"] == "step"],
        evaluations=evaluations,
        attempts=[{"attempt": number, **ended} for number in range(attempts)],
        live=live,
    )


def words(view, width=80, height=24):
    return "\n".join(line.plain for line in screen(view, width, height))


@given(st.integers(20, 200), st.integers(5, 60), st.integers(0, 70), st.sampled_from([0, 10, 400]), st.integers(0, 4))
def test_it_fits_any_terminal(width, height, ranks, steps, attempts):
    lines = screen(view(steps, ranks, attempts), width, height)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    assert "sentiment" in lines[0].plain


def test_at_80_by_24_all_of_a_small_run_is_seen():
    shown = words(view())
    for told in (
        "running", "attempt 2", "job 123", "h[1-2]", "2 restarts", "400 of 1,000 (40.0 %)", "90,000 tokens/s", " left",
        "loss 1.0025", "● validation accuracy 0.9975", "(step 400, best)", "step 400", "14.2 s", "7.0 s",
        "attempt 1 infrastructure at step 100: h2 fell silent; restarted",
        "data 2.0 %", "compute 70.0 %", "communication 28.0 %", "all well", "Ctrl-C",
    ):  # fmt: skip
        assert told in shown
    assert len([line for line in shown.splitlines() if "●" in line]) >= 2  # the legend, and marks on the curve
    assert len(shown.splitlines()) == 24


def test_of_a_long_path_the_end_is_shown_and_the_state_in_full():
    long = view()
    long = dataclasses.replace(
        long, found=dataclasses.replace(long.found, run=RunFolder(Path("/scratch" * 12, "runs/sentiment")))
    )
    title = words(long).splitlines()[0]
    assert "…" in title and "h/runs/sentiment" in title and title.endswith(" running") and len(title) == 80


def test_a_wide_terminal_shows_the_metric_beside_the_loss():
    lines = words(view(), 140, 40).splitlines()
    assert "loss 1.0025" in lines[2] and "validation accuracy 0.9975" in lines[2]
    assert lines[3].count("┤") == 2


def test_of_many_ranks_those_in_need_are_shown():
    shown = words(view(ranks=64), 80, 24)
    rows = [line.split() for line in shown.splitlines() if " step " in line and line.split()[0].isdigit()]
    assert ["2", "h1", "399"] in [row[:3] for row in rows]
    assert f"and {64 - len(rows)} more, at step 400" in shown


@pytest.mark.parametrize(
    "seen, told",
    [
        (
            {"signs": {}, "age_seconds": None, "queued": Job("123", "PENDING", "Resources", "2026-11-26 14:05:00", "")},
            ["queued", "Resources", "14:05:00", "next: it starts by itself"],
        ),
        (
            {"age_seconds": 200.0, "queued": Job("123", "RUNNING", "", "", "h[1-2]")},
            ["lost", "3 min 20 s", "scancel 123"],
        ),
        (
            {"signs": {}, "age_seconds": None, "verdict": {"verdict": "failed", "attempt": 2, "message": "NaN [bold]"}},
            ["given up", "NaN [bold]", "next: muster logs runs/sentiment"],
        ),
    ],
)
def test_states_are_told(seen, told):
    shown = words(view(**seen))
    for one in told:
        assert one in shown


def test_every_state_has_a_style():
    from typing import get_args

    from launch.live.state import State

    assert set(STATES) == set(get_args(State))


def test_what_stays_on_the_screen_says_nothing_of_ctrl_c():
    assert "Ctrl-C" not in words(view(live=False))


class Terminal:
    """A terminal of 100 x 30 that a program draws on."""

    def __init__(self, started, *command):
        self.inside, self.outside = pty.openpty()
        ioctl(self.outside, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.drawn = ""
        self.process = started(*command, stdin=self.outside, stdout=self.outside, stderr=self.outside)
        os.close(self.outside)

    def shows(self, told):
        self.read()
        return told in CONTROL.sub("", self.drawn)

    def read(self):
        """False once the program is gone and all is read."""
        try:
            self.drawn += os.read(self.inside, 1 << 16).decode("utf-8", "replace")
        except OSError:
            return False
        return True

    def to_the_end(self):
        until(lambda: not self.read())
        return self.process.wait(10)


@pytest.fixture
def terminal(started, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    opened = []

    def open_terminal(*command):
        opened.append(Terminal(started, *command))
        return opened[-1]

    yield open_terminal
    for one in opened:
        os.close(one.inside)


def test_a_terminal_shows_the_run_until_its_end(run, looked_after, terminal):
    looked_after(30)
    shown = terminal("-m", "launch", "watch", run.path)
    until(lambda: shown.shows("last sign"))
    assert "\x1b[?1049h" in shown.drawn  # a screen of its own
    assert shown.to_the_end() == 0
    left = CONTROL.sub("", shown.drawn.partition("\x1b[?1049l")[2])
    for told in (f"{run.path}"[-20:], "finished", "30 of 40", "loss 0.0333", "Finished after 30 steps"):
        assert told in left
    assert "Ctrl-C" not in left


def test_ctrl_c_leaves_the_screen_and_the_run_alone(run, looked_after, terminal):
    process = looked_after(1000)
    shown = terminal("-m", "launch", "watch", run.path)
    until(lambda: shown.shows("last sign"))
    shown.process.send_signal(signal.SIGINT)
    assert shown.to_the_end() == 0
    assert "\x1b[?1049l" in shown.drawn and shown.shows("no longer watching")
    assert process.poll() is None


def test_where_there_is_no_terminal_lines_are_told(run, looked_after, started):
    looked_after(30)
    watching = started("-m", "launch", "watch", run.path)
    out, err = watching.communicate(timeout=60)
    assert watching.returncode == 0 and "\x1b" not in out and not err
    first, *_, last = out.splitlines()
    assert first == f"{run.path} is running: attempt 0" and "step " in out and "loss " in out
    assert last == f"{run.path} is finished: Finished after 30 steps."


def test_a_run_that_is_over_is_shown_once(made_run, terminal):
    shown = terminal("-m", "launch", "watch", made_run())
    assert shown.to_the_end() == 0
    assert "\x1b[?1049h" not in shown.drawn
    assert shown.shows("200 of 200 (100.0 %)") and shown.shows("finished")
