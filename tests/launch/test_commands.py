import json

import pytest

from cluster.config.load import load, to_toml
from cluster.runs import RunFolder, create_run, locked
from launch import commands, local
from launch.cli import main

EVALUATION = {
    "accuracy": 0.75,
    "precision": {"per_class": {"a": 0.5, "b": 1.0}},
    "recall": {"per_class": {"a": 1.0, "b": 0.5}},
    "f1": {"macro": 0.7, "weighted": 0.8, "per_class": {"a": 0.6, "b": 0.7}},
    "loss": 0.5,
    "examples": 4,
    "labels": ["a", "b"],
    "support": {"a": 1, "b": 3},
    "confusion": [[1, 0], [1, 2]],
}
BASELINE = {"accuracy": 0.7, "f1_macro": 0.6, "seconds": 1.0}


@pytest.fixture(autouse=True)
def programs(monkeypatch, tmp_path):
    """Stand-ins for the programs that commands start; returns what was started."""
    started = []
    (tmp_path / "prepared").mkdir()
    answers = {
        "cluster.prepare": {"prepared": str(tmp_path / "prepared"), "report": {}},
        "cluster.baseline": BASELINE,
        "cluster.evaluation": EVALUATION,
    }

    def answer(module, arguments):
        started.append((module, list(arguments)))
        if module == "cluster.text.raw.glance":
            return [f"no file in {word}" for word in arguments if "nowhere" in word]
        return answers[module]

    def supervise(run, overrides, watch):
        started.append(("train", list(overrides)))
        finish(RunFolder(run))
        return 0

    monkeypatch.setattr(local, "answer", answer)
    monkeypatch.setattr(local, "supervise", supervise)
    return started


def finish(run):
    run.evaluation.write_text(json.dumps(EVALUATION))
    run.model.mkdir(exist_ok=True)
    run.weights.touch()
    run.verdict.write_text('{"verdict": "done"}')


@pytest.fixture
def run(tmp_path):
    """A run that was made and not yet started."""
    run = RunFolder(tmp_path / "run")
    create_run(run, to_toml(load("sentiment")), tmp_path / "prepared")
    return run


def test_train_prepares_trains_and_shows_the_score_beside_the_baseline(tmp_path, programs, capsys):
    folder = tmp_path / "deep" / "run"
    assert main(["train", "sentiment", "train.epochs=1", "--run", str(folder)]) == 0
    assert [module for module, _ in programs] == ["cluster.prepare", "train", "cluster.baseline"]
    assert programs[0][1] == ["sentiment", "train.epochs=1", "--json", "--alone", "--wait"]
    assert "epochs = 1" in (folder / "recipe.toml").read_text()
    shown = capsys.readouterr().out
    assert "0.7500" in shown and "0.7000" in shown and f"muster predict {folder}" in shown


def test_train_as_json_is_one_document(tmp_path, capsys):
    assert main(["train", "sentiment", "--json", "model.kind=lstm", "--run", str(tmp_path / "r")]) == 0
    written = capsys.readouterr()
    report = json.loads(written.out)
    assert (report["exit_code"], report["evaluation"], report["baseline"]) == (0, EVALUATION, BASELINE)
    assert "model.hidden" in written.err  # the note on what was left out


def test_runs_are_named_after_their_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "reuters-r8"]) == 0
    assert (tmp_path / "runs" / "reuters-r8" / "recipe.toml").exists()


def test_a_stopped_run_passes_the_code_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(local, "supervise", lambda *_: 85)
    assert main(["train", "sentiment", "--json", "--run", str(tmp_path / "r")]) == 85
    assert json.loads(capsys.readouterr().out)["exit_code"] == 85


def test_a_failed_baseline_does_not_lose_the_run(tmp_path, run, monkeypatch, capsys):
    def fail(*_):
        raise local.ChildFailed(1)

    finish(run)
    monkeypatch.setattr(local, "answer", fail)
    assert main(["resume", str(run.path)]) == 0
    written = capsys.readouterr()
    assert "0.7500" in written.out and "no baseline" in written.err


def test_train_never_touches_a_run_that_is_there(run, programs, capsys):
    train = ["train", "sentiment", "--run", str(run.path)]
    before = run.recipe.read_text()
    assert main(train) == 2 and "stopped before its first checkpoint" in capsys.readouterr().err
    run.attempt_logs(0).mkdir(parents=True)
    run.checkpoint(50).mkdir(parents=True)
    assert main(train) == 2
    words = capsys.readouterr().err
    assert "checkpoint of step 50" in words and f"muster resume {run.path}" in words
    with locked(run):
        assert main(train) == 2 and "being trained by another process" in capsys.readouterr().err
    finish(run)
    assert main(train) == 2
    words = capsys.readouterr().err
    assert "finished run (test accuracy 0.7500)" in words and "--run DIR" in words
    assert not programs and run.recipe.read_text() == before


def test_folders_that_cannot_hold_a_run(tmp_path, programs, monkeypatch, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    assert main(["train", "sentiment", "--run", str(tmp_path / "full")]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["train", "sentiment", "--run", str(tmp_path / "full" / "mine.txt")]) == 2
    assert "is a file" in capsys.readouterr().err
    monkeypatch.setattr(commands.os, "access", lambda *_: False)  # tests may run as root, who has all rights
    assert main(["train", "sentiment", "--run", str(tmp_path / "a" / "b")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not programs and (tmp_path / "full" / "mine.txt").read_text() == "precious"


def test_resume_takes_launch_settings_only(run, programs, capsys):
    run.attempt_logs(0).mkdir(parents=True)
    assert main(["resume", str(run.path), "train.epochs=9"]) == 2
    assert "takes launch.* settings only" in capsys.readouterr().err
    assert not programs
    assert main(["resume", str(run.path), "launch.ranks=2"]) == 0
    assert programs[0] == ("train", ["launch.ranks=2"])


def test_resume_of_a_finished_run_shows_it_again(run, programs, capsys):
    finish(run)
    assert main(["resume", str(run.path)]) == 0
    assert "nothing left to do" in capsys.readouterr().err
    assert ("train", []) not in programs


def test_resume_prepares_again_what_was_cleared_away(run, tmp_path, programs, capsys):
    (tmp_path / "prepared").rmdir()
    assert main(["resume", str(run.path)]) == 0
    assert programs[0] == ("cluster.prepare", [str(run.recipe), "--json", "--alone"])
    finish_record = json.loads(run.record.read_text()) | {"prepared": str(tmp_path / "other")}
    run.record.write_text(json.dumps(finish_record))
    for path in (run.evaluation, run.verdict):
        path.unlink()
    assert main(["resume", str(run.path)]) == 2
    assert "the sources have changed" in capsys.readouterr().err


def test_evaluate_shows_each_class_and_needs_a_model(run, tmp_path, programs, capsys):
    assert main(["evaluate", str(run.path)]) == 2
    assert "has no model yet" in capsys.readouterr().err
    finish(run)
    (tmp_path / "prepared" / "baseline.json").write_text(json.dumps(BASELINE))
    assert main(["evaluate", str(run.path), "launch.ranks=2"]) == 0
    shown = capsys.readouterr().out
    assert "precision" in shown and "0.7000" in shown
    assert programs == [("cluster.evaluation", [str(run.path), "launch.ranks=2"])]
    assert main(["evaluate", str(run.path), "--data", "x.jsonl"]) == 0
    assert "logistic" not in capsys.readouterr().out  # the baseline was scored on other examples
    assert main(["evaluate", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == EVALUATION


def test_a_run_without_a_test_split_shows_its_best_evaluation(run, capsys):
    finish(run)
    run.evaluation.unlink()
    lines = [
        {"kind": "evaluation", "step": s, "accuracy": a, "loss": 1.0, "best": b}
        for s, a, b in [(5, 0.9, True), (9, 0.8, False)]
    ]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["resume", str(run.path)]) == 0
    assert "accuracy 0.9000" in capsys.readouterr().out


def test_check_prepare_and_baseline(capsys, programs, tmp_path):
    assert main(["check", "sentiment"]) == 0
    assert "sentiment is valid" in capsys.readouterr().out
    assert main(["check", "sentiment", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["train"]["seed"] == 1
    assert main(["check", "sentiment", "data.train=nowhere.jsonl"]) == 2
    assert "nowhere.jsonl" in capsys.readouterr().err
    assert main(["prepare", "sentiment"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "prepared")
    assert main(["baseline", "sentiment", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == BASELINE


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_gpu_that_is_not_there_is_refused_before_the_preparation(gpus, tmp_path, programs, monkeypatch, capsys):
    names = ["A card"] * gpus
    monkeypatch.setattr(commands.checks, "gpus", lambda _: (names, True))
    arguments = ["train", "sentiment", "launch.device=cuda", f"launch.ranks={gpus + 1}", "--run", str(tmp_path / "r")]
    assert main(arguments) == 2
    assert "launch.device" in capsys.readouterr().err
    assert not programs and not (tmp_path / "r").exists()
