import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from cluster import processes
from cluster.errors import InfrastructureError
from cluster.runs import RunFolder
from launch import local
from launch.watch import Lines, Watch


@pytest.fixture
def stand_in(monkeypatch):
    """Have a few lines of Python stand in for the program that `local` would start."""

    def set_up(code):
        script = textwrap.dedent(code)
        monkeypatch.setattr(processes, "command", lambda module, arguments: [sys.executable, "-c", script, *arguments])

    return set_up


@pytest.fixture
def shown():
    return io.StringIO()


@pytest.fixture
def watch(tmp_path, shown):
    return Watch(RunFolder(tmp_path), "accuracy", Lines(shown))


def interrupt_when(said, shown, times=1, number=signal.SIGINT):
    """Send this process signals, each when the words have been shown (as a person would)."""

    def wait_and_send():
        for _ in range(times):
            deadline = time.monotonic() + 20
            while said() not in shown() and time.monotonic() < deadline:
                time.sleep(0.02)
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    thread = threading.Thread(target=wait_and_send)
    thread.start()
    return thread


@pytest.mark.parametrize("code", ['print("x"); print("{\\"a\\": 1}")', 'print("{\\n\\"a\\":\\n1}")'])
def test_an_answer_is_the_last_line_or_the_whole(stand_in, code):
    stand_in(code)
    assert local.answer("m", []) == {"a": 1}


def test_a_long_answer_does_not_block(stand_in):
    stand_in('import json; print(json.dumps({"a": "x" * 1_000_000}))')
    assert len(local.answer("m", [])["a"]) == 1_000_000


def test_a_failure_passes_its_code_on_and_adds_nothing(stand_in, capfd):
    stand_in('import sys; print("muster: the rule", file=sys.stderr); sys.exit(2)')
    with pytest.raises(local.ChildFailed) as caught:
        local.answer("m", [])
    assert caught.value.exit_code == 2
    assert capfd.readouterr().err == "muster: the rule\n"


def test_no_answer_and_a_kill_are_named(stand_in, capfd):
    stand_in('print("hello")')
    with pytest.raises(InfrastructureError, match="hello"):
        local.answer("m", [])
    stand_in("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(local.ChildFailed) as caught:
        local.answer("m", [])
    assert caught.value.exit_code == 75
    assert "m was killed by SIGKILL" in capfd.readouterr().err


def test_ctrl_c_reaches_a_child_once(stand_in, tmp_path, capsys):
    ready = tmp_path / "ready"
    stand_in(f"""
        import signal, sys, time
        def stop(*_): sys.exit(85)
        signal.signal(signal.SIGINT, stop)
        open({str(ready)!r}, "w").write("x")
        time.sleep(30)
    """)
    thread = interrupt_when(lambda: "x", lambda: ready.read_text() if ready.exists() else "")
    with pytest.raises(local.ChildFailed) as caught:
        local.answer("m", [])
    thread.join()
    assert caught.value.exit_code == 85
    assert capsys.readouterr().err == "muster: stopping (Ctrl-C again to kill)\n"


SUPERVISOR = """
    import json, signal, sys, time
    run = sys.argv[1]
    def say(line): open(run + "/metrics.jsonl", "a").write(json.dumps(line) + "\\n")
    def stop(*_):
        say({"kind": "checkpoint", "step": 1})
        if "obey" in sys.argv: sys.exit(85)
    signal.signal(signal.SIGINT, stop); signal.signal(signal.SIGTERM, stop)
    say({"kind": "step", "step": 1, "loss": 0.5})
    for _ in range(300 if len(sys.argv) > 2 else 1): time.sleep(0.1)
"""


def test_a_supervisor_is_watched_to_its_end(stand_in, watch, shown):
    stand_in(SUPERVISOR)
    assert local.supervise(watch.run.path, [], watch) == 0
    assert "step 1" in shown.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_saves_a_checkpoint(stand_in, watch, shown, number):
    stand_in(SUPERVISOR)
    thread = interrupt_when(lambda: "step 1", shown.getvalue, number=number)
    before = signal.getsignal(number)
    assert local.supervise(watch.run.path, ["obey"], watch) == 85
    thread.join()
    assert shown.getvalue().count("saving a checkpoint") == 1
    assert watch.run.metrics.read_text().count("checkpoint") == 1  # one request, not two
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_kills(stand_in, watch, shown):
    stand_in(SUPERVISOR)
    thread = interrupt_when(lambda: "step 1", shown.getvalue, times=2)
    assert local.supervise(watch.run.path, ["disobey"], watch) == 128 + signal.SIGKILL
    thread.join()
    assert f"muster resume {watch.run.path}" in shown.getvalue()


def test_a_supervisor_that_is_killed_is_the_machines_fault(stand_in, watch, shown, capsys):
    stand_in("import os; os.kill(os.getpid(), 9)")
    assert local.supervise(watch.run.path, [], watch) == 75
    assert "killed by SIGKILL" in capsys.readouterr().err
    assert "muster resume" in shown.getvalue()


def test_under_a_bar_the_supervisors_lines_pass_through_it(stand_in, watch, shown, monkeypatch):
    monkeypatch.setattr(Watch, "is_live", True)
    stand_in('import sys; sys.stderr.write("one\\ntwo\\n" * 2000 + "end"); sys.exit(93)')
    assert local.supervise(watch.run.path, [], watch) == 93
    assert shown.getvalue().splitlines() == ["one", "two"] * 2000 + ["end"]


def test_children_find_us_from_a_folder_with_a_cluster_of_its_own(tmp_path):
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    code = "import cluster.errors; print(cluster.errors.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=dict(processes.environment()), capture_output=True, text=True
    )
    assert done.stdout.strip() == os.path.abspath(sys.modules["cluster.errors"].__file__)
