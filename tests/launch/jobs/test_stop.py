import json
import os
import signal

import pytest

from cluster.runs import locked
from launch.cli import main
from tests.waiting import until


@pytest.mark.parametrize("words, asked", [([], "checkpoint"), (["--now"], "now")])
def test_a_run_obeys_and_its_verdict_is_told(run, looked_after, capsys, words, asked):
    process = looked_after(1000)
    assert main(["stop", str(run.path), *words]) == 0
    shown = capsys.readouterr().out
    assert "is interrupted (Stopped after step" in shown and f"({asked})" in shown
    assert process.wait(10) == 0 and not run.stop_request.exists()


def test_the_answer_as_json(run, looked_after, capsys):
    looked_after(1000)
    assert main(["stop", str(run.path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["state"], answer["verdict"]["verdict"]) == ("interrupted", "checkpointed")


def test_nobody_need_wait(run, looked_after, capsys):
    process = looked_after(1000, "deaf")
    assert main(["stop", str(run.path), "--no-wait"]) == 0
    assert "is running" in capsys.readouterr().out
    assert run.stop_request.read_text() == "checkpoint"
    assert main(["stop", str(run.path), "--no-wait", "--now"]) == 0  # impatient
    assert run.stop_request.read_text() == "now" and process.poll() is None


def test_who_stops_waiting_leaves_the_request(run, looked_after, started):
    looked_after(1000, "deaf")
    stopping = started("-m", "launch", "stop", run.path)
    until(run.stop_request.exists)
    stopping.send_signal(signal.SIGINT)
    _, err = stopping.communicate(timeout=30)
    assert stopping.returncode == 130 and "the request stands" in err
    assert run.stop_request.exists()


def test_a_request_that_came_too_late_does_not_stop_the_next_attempt(run, looked_after, started):
    looked_after(30, "deaf")
    assert main(["stop", str(run.path)]) == 0
    assert not run.stop_request.exists()


def test_there_may_be_nothing_to_stop(run, capsys):
    assert main(["stop", str(run.path)]) == 2
    assert "is not running, it is not started" in capsys.readouterr().err
    run.alive.write_text('{"state": "training"}')
    old = run.alive.stat().st_mtime - 100
    os.utime(run.alive, (old, old))
    assert main(["stop", str(run.path)]) == 75
    written = capsys.readouterr().err
    assert "no sign of life for 1 min 40 s" in written and "muster resume" in written
    run.alive.unlink()
    with locked(run):
        assert main(["stop", str(run.path)]) == 2
    assert "another launcher" in capsys.readouterr().err
    assert not run.stop_request.exists()
