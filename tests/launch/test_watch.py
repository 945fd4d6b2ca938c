import io
import json
import os
import sys

import pytest

from cluster.processes import Follower
from cluster.runs import RunFolder
from launch.watch import Bar, Lines, Watch, evaluation_line, figures


def add(path, *records):
    with open(path, "a") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


def step(number, **more):
    return {"kind": "step", "step": number, "epoch": 0, "loss": 1 / number, "tokens_per_second": 12345.6, **more}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


@pytest.fixture
def shown():
    return io.StringIO()


def test_follower_reads_whole_lines_once(tmp_path):
    path = tmp_path / "m"
    follower = Follower(path)
    assert follower.new() == []
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": ')
    assert follower.new() == [{"a": 1}, {"a": 2}]
    assert follower.new() == []
    with open(path, "a") as file:
        file.write("3}\nnot json\n[4]\n\n")
    assert follower.new() == [{"a": 3}]


@pytest.mark.parametrize("how", ["shortened", "replaced"])
def test_follower_gives_only_what_follows_where_the_file_was_cut_back(tmp_path, how):
    path = tmp_path / "m"
    add(path, {"a": 1}, {"a": 2})
    follower = Follower(path)
    follower.new()
    if how == "shortened":
        path.write_text('{"a": 1}\n')
        assert follower.new() == []
    else:
        (tmp_path / "other").write_text('{"a": 1}\n{"a": 4}\n{"a": 3}\n')
        os.replace(tmp_path / "other", path)
        assert follower.new() == [{"a": 4}, {"a": 3}]
    add(path, {"a": 2}, {"a": 9})
    assert follower.new() == [{"a": 2}, {"a": 9}]


def test_plain_lines_are_few(run, shown):
    clock = Clock()
    run.plan.write_text('{"total_steps": 100}')
    with Watch(run, "f1_macro", Lines(shown, clock)) as watch:
        add(run.metrics, step(10))
        watch.poll()
        clock.now = 1.0
        add(run.metrics, step(20), {"kind": "checkpoint", "step": 20, "seconds": 0.1, "bytes": 5})
        watch.poll()  # too soon after the first
        add(
            run.metrics,
            {"kind": "evaluation", "step": 20, "f1_macro": 0.5, "accuracy": 0.75, "loss": 0.6, "best": True},
        )
        watch.poll()
        clock.now = 10.0
        add(run.metrics, step(60, epoch=1))
        watch.poll()
        clock.now = 10.1
        add(run.metrics, step(100, epoch=1))  # the last one always
        watch.poll()
    assert shown.getvalue().splitlines() == [
        "step 10/100  epoch 1  loss 0.1000  12,346 tokens/s",
        "step 20  validation: f1_macro 0.5000  accuracy 0.7500  loss 0.6000  (best so far)",
        "step 60/100  epoch 2  loss 0.0167  12,346 tokens/s  f1_macro 0.5000  0:08 left",
        "step 100/100  epoch 2  loss 0.0100  12,346 tokens/s  f1_macro 0.5000",
    ]


def test_evaluations_too_are_not_said_by_the_hundred(run, shown):
    clock = Clock()
    run.plan.write_text('{"total_steps": 300}')
    with Watch(run, "loss", Lines(shown, clock), clock) as watch:
        for number in range(1, 301):
            add(run.metrics, {"kind": "evaluation", "step": number, "loss": 0.5})
            clock.now += 0.0101
            watch.poll()
    steps = [int(line.split()[1]) for line in shown.getvalue().splitlines()]
    assert steps == [1, 101, 201, 300]  # the last one always


def test_a_resumed_run_shows_what_is_new(run, shown):
    run.plan.write_text('{"total_steps": 100}')
    add(run.metrics, step(10), step(20), step(30))
    with Watch(run, "accuracy", Lines(shown)) as watch:
        watch.poll()
        assert not shown.getvalue()  # the attempt before showed these
        kept = run.path / "kept"
        add(kept, step(10), step(20))
        os.replace(kept, run.metrics)
        watch.poll()
        assert not shown.getvalue()
        add(run.metrics, step(30))
        watch.poll()
    assert shown.getvalue().startswith("step 30/100")


def test_without_a_plan_yet_there_is_no_total(run, shown):
    with Watch(run, "accuracy", Lines(shown)) as watch:
        add(run.metrics, step(10), {"kind": "step"}, {"kind": "new kind", "step": 3})
        watch.poll()
    assert shown.getvalue() == "step 10  epoch 1  loss 0.1000  12,346 tokens/s\n"


def test_figures_and_evaluations_take_what_is_there():
    assert figures({"loss": None}) == []
    assert evaluation_line({"step": 5, "loss": 0.5, "accuracy": 0.25, "split": "test"}, "loss") == (
        "step 5  test: loss 0.5000  accuracy 0.2500"
    )
    assert (
        evaluation_line({"step": 5, "loss": None, "accuracy": 0.25}, "accuracy")
        == "step 5  validation: accuracy 0.2500"
    )


def test_a_terminal_gets_a_bar(run, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    run.plan.write_text('{"total_steps": 100}')
    with Watch(run, "accuracy") as watch:
        assert isinstance(watch.display, Bar) and watch.is_live
        watch.say("[1 rank] on the CPU")
        add(run.metrics, step(10), step(100))
        watch.poll()
        task = watch.display.bar.tasks[0]
    assert (task.completed, task.total) == (100, 100)
    assert task.fields["figures"] == "loss 0.0100  12,346 tokens/s"
    assert "[1 rank] on the CPU" in capsys.readouterr().err
