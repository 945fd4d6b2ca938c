"""Who is frozen, who is late, and who is forgiven. Real processes; the watcher's own time is given."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from cluster.pulse.clock import Clock
from cluster.pulse.page import Pages
from cluster.pulse.phase import Phase
from cluster.pulse.process import look_at
from tests.pulse.ranks import ranks

RANK = Path(__file__).parent / "rank.py"


def stopped(process):
    os.kill(process.pid, signal.SIGSTOP)
    end = time.monotonic() + 10
    while look_at(process.pid).state != "T":
        assert time.monotonic() < end
        time.sleep(0.01)


def first_found(clock, first, last, period=0.5):
    """The time of the first look, every half second from `first` to `last`, that finds anybody, and whom."""
    now = first
    while now <= last:
        if found := clock.look(now):
            return now, found
        now += period
    return None, []


@pytest.fixture
def sleeper():
    """A process of another program, with a page as if it were rank 0."""
    with Pages([0]) as pages, subprocess.Popen(["sleep", "600"]) as process:
        page, now = pages.pages[0], time.monotonic()
        page.beat(now, 0)
        page.begin(process.pid, look_at(process.pid).started_ticks)
        yield pages, page, process, now
        process.kill()


@pytest.mark.parametrize(
    "phase, is_stopped, seconds, words",
    [
        (Phase.STEP, True, 5.0, "is stopped (SIGSTOP)"),
        (Phase.STEP, False, 5.0, "runs, but its interpreter does not answer (the GIL is held)"),
        (Phase.SAVE, False, 5.0, "runs, but its interpreter does not answer (the GIL is held)"),
        (Phase.START, True, 5.0, "is stopped (SIGSTOP)"),
        (Phase.START, False, 60.0, "runs, but its interpreter does not answer (the GIL is held)"),  # loads libraries
        (Phase.FIRST_STEP, False, 60.0, "runs, but its interpreter does not answer (the GIL is held)"),
        (Phase.LEAVE, False, 60.0, "runs, but its interpreter does not answer (the GIL is held)"),
    ],
)
def test_no_beat(sleeper, phase, is_stopped, seconds, words):
    pages, page, process, beat = sleeper
    page.turn(phase, 120, beat - 1, 600.0)
    if is_stopped:
        stopped(process)
    named, found = first_found(Clock(pages), beat, beat + 100)
    assert seconds < named - beat <= seconds + 0.5
    [stuck] = found
    assert (stuck.rank, stuck.pid, stuck.kind, stuck.state) == (0, process.pid, "frozen", words)
    assert (stuck.phase, stuck.step, stuck.seconds) == (phase.word, 120, pytest.approx(named - beat, abs=0.01))


def test_a_beat_without_progress(sleeper):
    pages, page, process, now = sleeper
    page.turn(Phase.STEP, 120, now, 10.0)
    clock = Clock(pages)
    for tenth in range(0, 100, 5):
        page.beat(now + tenth / 10, 0)
        assert clock.look(now + tenth / 10) == []
    page.beat(now + 10.2, 0)
    [stuck] = clock.look(now + 10.3)
    assert (stuck.kind, stuck.state, stuck.seconds, stuck.allowed_seconds) == ("late", "runs", 10.3, 10.0)


def test_who_has_not_begun_is_late_in_the_end():
    with Pages([3]) as pages:
        clock, made = Clock(pages), time.monotonic()
        named, found = first_found(clock, made, made + 700)
        assert 600 <= named - made <= 600.5  # the page is a little older than `made`
        assert [(one.rank, one.pid, one.kind, one.state) for one in found] == [(3, 0, "late", "has not begun")]


def test_who_has_ended_is_not_stuck(sleeper):
    """Its exit code says more. So it is while nobody has read that yet, and when another process got its number."""
    pages, page, process, beat = sleeper
    page.turn(Phase.STEP, 120, beat, 10.0)
    page.begin(os.getpid(), 1)  # this process did not start at tick 1
    assert first_found(Clock(pages), beat, beat + 30) == (None, [])
    page.begin(process.pid, look_at(process.pid).started_ticks)
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert first_found(Clock(pages), beat, beat + 30) == (None, [])
    process.wait()
    assert first_found(Clock(pages), beat, beat + 30) == (None, [])


def test_a_watcher_that_was_held_up_itself_blames_nobody_for_that_time(sleeper):
    """A node that slept for a minute: nobody beat, nobody went on. Who still does not afterwards is named."""
    pages, page, process, beat = sleeper
    page.turn(Phase.STEP, 120, beat, 10.0)
    clock = Clock(pages)
    assert clock.look(beat + 1) == []
    woken = beat + 61
    named, found = first_found(clock, woken, woken + 30)
    assert 5.0 < named - woken <= 5.5
    assert [one.kind for one in found] == ["frozen"]

    clock = Clock(pages)
    assert clock.look(beat + 1) == []
    now = woken
    while now < woken + 8.9:  # it beats again: of the ten seconds of its step, one was before the pause
        page.beat(now, 0)
        assert clock.look(now) == []
        now += 0.5
    page.beat(woken + 9.2, 0)
    [stuck] = clock.look(woken + 9.3)
    assert (stuck.kind, stuck.seconds) == ("late", pytest.approx(10.3, abs=0.01))


def test_a_watcher_that_is_a_little_late_forgives_nothing(sleeper):
    pages, page, process, beat = sleeper
    page.turn(Phase.STEP, 120, beat, 10.0)
    named, _ = first_found(Clock(pages), beat, beat + 30, period=1.5)
    assert 5.0 < named - beat <= 6.5


@pytest.mark.parametrize("what", ["is stopped", "holds the interpreter"])
def test_a_real_rank_is_named_in_time(tmp_path, capsys, what):
    """The mark is 10 s; three times as long may it take on a busy machine."""
    behaviour = "steps" if what == "is stopped" else "steps, then holds the interpreter"
    with ranks(1, [RANK, behaviour], tmp_path) as started:
        started.until_step(1)
        if what == "is stopped":
            assert started.clock.look() == []
            stopped(started.processes[0])
        [stuck], seconds = started.until_stuck(30)
        with capsys.disabled():
            print(f"\na rank that {what}: named after {seconds:.1f} s (mark: 10 s)")
        assert (stuck.rank, stuck.pid, stuck.kind, stuck.phase) == (0, started.processes[0].pid, "frozen", "step")
        assert what.split()[-1].rstrip("ped") in stuck.state
        [seen] = started.clock.snapshot()
        assert (seen["rank"], seen["pid"], seen["phase"]) == (0, stuck.pid, "step") and seen["silent_seconds"] > 5


def test_an_interpreter_held_at_the_start_is_not_frozen_yet(tmp_path):
    with ranks(1, [RANK, "starts, the interpreter held"], tmp_path) as started:
        started.until(lambda: started.pages.pages[0].read().pid)
        beat = started.pages.pages[0].read().beat
        started.until(lambda: time.monotonic() - beat > 6)
        assert started.clock.look() == []
        assert started.clock.look(time.monotonic() + 1) == []
