"""Every command of `muster`, as a person uses it, on the small corpus. Two runs are trained once and shared."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parent.parent
STEPS_PER_EPOCH = 13  # 400 sentences, 32 a step
FIGURES = {"macro", "micro", "weighted", "per_class"}

PLANT = """
import importlib.abc, importlib.util, os, pathlib, sys, time

class Changed(importlib.abc.MetaPathFinder):
    # Changes a module of ours as soon as it is loaded.
    def find_spec(self, name, path, target=None):
        if name != "cluster.training.loop":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def load_and_change(module):
            load(module)
            change(module)
        spec.loader.exec_module = load_and_change
        return spec

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("spacy", "pyarrow"):
            raise ImportError(f"{name} is blocked in ranks")

def change(loop):
    pass

"""
SLOW = """
def change(loop):
    step = loop.train_step
    def slow(*arguments):
        time.sleep(0.1)
        return step(*arguments)
    loop.train_step = slow

sys.meta_path.insert(0, Changed())
"""
FAILING = """
def change(loop):
    step = loop.train_step
    def failing(trainer, loaded):
        if trainer.world.rank == 1 and loaded.step == 3:
            raise ValueError("planted in rank 1")
        return step(trainer, loaded)
    loop.train_step = failing

sys.meta_path.insert(0, Changed())
"""
WITHOUT_SPACY = """
if "RANK" in os.environ:
    pathlib.Path(__file__).with_name("blocked-" + os.environ["RANK"]).touch()
    sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """A PYTHONPATH whose `sitecustomize` does this in every process that a command starts."""

    def plant(code):
        folder = tmp_path_factory.mktemp("plant")
        (folder / "sitecustomize.py").write_text(PLANT + code)
        return os.pathsep.join([str(folder), str(ROOT)])

    return plant


@pytest.fixture(scope="session")
def mlp_recipe(recipe_of):
    return recipe_of("mlp", evaluate={"baseline": True}, optim={"learning_rate": 0.01})


@pytest.fixture(scope="session")
def lstm_recipe(recipe_of):
    return recipe_of("lstm")


@pytest.fixture(scope="session")
def mlp(mlp_recipe, muster, tmp_path_factory):
    """(run folder, how `muster train` ended): one rank, a table of scores."""
    run = tmp_path_factory.mktemp("runs") / "mlp"
    ended = muster("train", mlp_recipe, "--run", run)
    assert ended.code == 0, ended.err
    return run, ended


@pytest.fixture(scope="session")
def lstm(lstm_recipe, muster, planted, tmp_path_factory):
    """Two ranks that can load neither spaCy nor pyarrow; scores as JSON."""
    run, path = tmp_path_factory.mktemp("runs") / "lstm", planted(WITHOUT_SPACY)
    ended = muster("train", lstm_recipe, "launch.ranks=2", "--run", run, "--json", PYTHONPATH=path)
    assert ended.code == 0, ended.err
    blocked = Path(path.split(os.pathsep)[0]).glob("blocked-*")
    assert sorted(file.name for file in blocked) == ["blocked-0", "blocked-1"]
    return run, ended


def test_train_shows_its_score_beside_the_baseline(mlp):
    run, ended = mlp
    assert "1 rank with" in ended.err and "step 20/20" in ended.err
    for words in ("finished in", "TF-IDF + logistic regression", "accuracy", "F1 macro", "101 examples"):
        assert words in ended.out
    assert f"muster predict {run}" in ended.out and f"muster evaluate {run}" in ended.out


def test_train_as_json_is_one_document(lstm):
    run, ended = lstm
    assert ended.json["run"] == str(run) and ended.json["exit_code"] == 0
    assert ended.json["verdict"]["verdict"] == "done"
    assert ended.json["evaluation"]["examples"] == 101
    assert "2 ranks with" in ended.err and "gloo" in ended.err


@pytest.mark.parametrize("which", ["mlp", "lstm"])
def test_a_run_folder_tells_how_the_model_came_about(which, request, metrics_of):
    run, _ = request.getfixturevalue(which)
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {"recipe.toml", "run.json", "plan.json", "metrics.jsonl", "verdict.json", "evaluation.json"} <= files
    assert {f"model/{name}" for name in ("weights.safetensors", "model.json", "encoder.json")} <= files
    assert {f"logs/attempt-000/rank-{rank}.log" for rank in range(2 if which == "lstm" else 1)} <= files
    for step in ("000010", "000020"):
        names = ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json")
        assert {f"checkpoints/{step}/{name}" for name in names} <= files
    assert not [name for name in files if "partial" in name]
    assert [line["step"] for line in metrics_of(run, "step")] == list(range(1, 21))
    assert [line["step"] for line in metrics_of(run, "evaluation")] == [STEPS_PER_EPOCH, 20]
    plan = json.loads((run / "plan.json").read_text())
    assert (plan["device"], plan["ranks"], plan["total_steps"]) == ("cpu", 2 if which == "lstm" else 1, 20)


def test_evaluate_says_what_training_said(lstm, muster):
    """On one rank; training was on two."""
    run, trained = lstm
    ended = muster("evaluate", run, "launch.ranks=1", "--json")
    assert ended.code == 0, ended.err
    figures = ended.json
    assert all(set(figures[name]) == FIGURES for name in ("precision", "recall", "f1"))
    assert set(figures["f1"]["per_class"]) == set(figures["labels"]) == {"good", "bad"}
    assert sum(map(sum, figures["confusion"])) == figures["examples"] == 101
    assert 0 <= figures["accuracy"] <= 1 and figures["loss"] > 0
    for name in ("accuracy", "precision", "recall", "f1", "confusion"):
        assert figures[name] == trained.json["evaluation"][name]
    assert figures["loss"] == pytest.approx(trained.json["evaluation"]["loss"], abs=1e-6)


def test_evaluate_of_a_file_counts_labels_that_training_never_saw(mlp, muster, corpus, tmp_path):
    run, _ = mlp
    lines = (corpus / "test.jsonl").read_text().splitlines()[:10]
    lines += [json.dumps({"text": "a warm film", "label": label}) for label in ("odd", "odd", 7)]
    (tmp_path / "more.jsonl").write_text("\n".join(lines))
    ended = muster("evaluate", run, "--data", tmp_path / "more.jsonl", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["examples"] == 13 and ended.json["unknown_labels"] == {"odd": 2, "7": 1}
    right = sum(ended.json["confusion"][i][i] for i in range(2))
    assert ended.json["accuracy"] == pytest.approx(right / 13)


def test_predict_reads_arguments_a_pipe_or_a_file(mlp, muster, here, tmp_path):
    run, _ = mlp
    texts = ["a bright and tender film", "a dull film", "words nobody knows"]
    by_arguments = here("predict", run, *texts, "--json")
    by_pipe = muster("predict", run, stdin="".join(text + "\n" for text in texts))
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"text": text, "id": text[0]}) + "\n" for text in texts))
    to_file = muster("predict", run, "--input", tmp_path / "new.jsonl", "--output", tmp_path / "out.jsonl")
    assert [by_arguments.code, by_pipe.code, to_file.code] == [0, 0, 0], to_file.err
    assert by_arguments.out == by_pipe.out and not to_file.out
    answers = [json.loads(line) for line in by_arguments.out.splitlines()]
    assert [answer["text"] for answer in answers] == texts
    for answer in answers:
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    filed = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line.pop("id") for line in filed] == ["a", "a", "w"] and filed == answers


def test_predict_needs_nothing_but_the_model_folder(mlp, here, tmp_path):
    (mlp[0] / "model").rename(tmp_path / "alone")
    try:
        ended = here("predict", tmp_path / "alone", "a dull film")
    finally:
        (tmp_path / "alone").rename(mlp[0] / "model")
    assert ended.code == 0 and json.loads(ended.out)["label"] in ("good", "bad")


@pytest.mark.parametrize("which", ["mlp_recipe", "lstm_recipe"])
def test_inspect_order_shows_the_same_steps_on_any_number_of_ranks(which, request, muster):
    recipe = request.getfixturevalue(which)
    seen = []
    for ranks in (1, 2, 3):
        ended = muster("inspect", "order", recipe, "--ranks", ranks, "--steps", f"0:{STEPS_PER_EPOCH}", "--json")
        assert ended.code == 0, ended.err
        assert [len(step["ranks"]) for step in ended.json["steps"]] == [ranks] * STEPS_PER_EPOCH
        seen.append([sorted(i for rank in step["ranks"] for ids in rank for i in ids) for step in ended.json["steps"]])
    assert seen[0] == seen[1] == seen[2]
    assert sorted(i for step in seen[0] for i in step) == list(range(400))  # an epoch: every document once


def test_commands_that_only_tell(mlp_recipe, muster):
    baseline = muster("baseline", mlp_recipe, "--json")
    assert 0.5 < baseline.json["accuracy"] <= 1 and baseline.json["examples"] == 101
    assert "train.max_ranks" in muster("explain", "train.max_ranks").out
    assert muster("explain", "step_size", "--json").json[0]["default"] == "64 examples"
    names = [recipe["name"] for recipe in muster("recipes", "--json").json]
    assert names == sorted(path.stem for path in (ROOT / "launch/recipes").glob("*.toml"))
    assert {"data", "model", "train", "launch"} <= muster("schema").json["properties"].keys()
    checked = muster("check", mlp_recipe, "launch.ranks=2", "--json")
    assert checked.json["valid"] and checked.json["settings"]["launch"]["ranks"] == 2
    mistaken = muster("check", mlp_recipe, "data.label=lable")
    assert mistaken.code == 2 and "no field 'lable'" in mistaken.err and mistaken.out == ""
    listed = muster("data", "list", "--json").json
    assert {"movie-sentences", "brown", "shakespeare", "minilm"} <= {entry["name"] for entry in listed}
    assert all(entry["licence"] and entry["title"] for entry in listed)


def test_resume_of_a_finished_run_shows_it_again(mlp, muster):
    run, trained = mlp
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    ended = muster("resume", run)
    assert ended.code == 0 and "has finished; there is nothing left to do" in ended.err
    assert ended.out.splitlines()[1:] == trained.out.splitlines()[1:]
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@contextlib.contextmanager
def started(*arguments, **environment):
    """A command that goes on while the test looks; nothing of it is left behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "launch", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            for child in [*psutil.Process(process.pid).children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        process.communicate()


def wait_until(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def test_ctrl_c_saves_a_checkpoint_and_resume_finishes(recipe_of, muster, planted, metrics_of, tmp_path):
    run = tmp_path / "run"
    recipe = recipe_of(train={"steps": 300, "checkpoint_steps": 1000}, evaluate={"steps": 1000})
    with started("train", recipe, "launch.ranks=2", "--run", run, PYTHONPATH=planted(SLOW)) as launcher:
        wait_until(lambda: (run / "metrics.jsonl").exists() and len(metrics_of(run, "step")) >= 2, launcher)
        for command in (["train", recipe, "--run", run], ["resume", run]):
            refused = muster(*command)
            assert refused.code == 2 and "is being trained by another process" in refused.err
        processes = psutil.Process(launcher.pid).children(recursive=True)
        assert len(processes) >= 3  # the agent and two ranks
        launcher.send_signal(signal.SIGINT)
        _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 85, said
    assert not psutil.wait_procs(processes, timeout=10)[1]
    assert f"Go on with: muster resume {run}" in said and "Traceback" not in said
    verdict = json.loads((run / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["exit_code"]) == ("checkpointed", 85)
    step = verdict["step"]
    assert 2 <= step < 300 and (run / "checkpoints" / f"{step:06d}" / "manifest.json").exists()
    ended = muster("resume", run)
    assert ended.code == 0, ended.err
    assert [line["step"] for line in metrics_of(run, "step")] == list(range(1, 301))
    assert json.loads((run / "verdict.json").read_text())["verdict"] == "done"


def test_the_rank_that_failed_speaks_for_itself(recipe_of, muster, planted, tmp_path):
    run = tmp_path / "run"
    ended = muster("train", recipe_of(), "launch.ranks=2", "--run", run, PYTHONPATH=planted(FAILING))
    assert ended.code == 93
    assert "muster: Rank 1 failed: ValueError: planted in rank 1\n" in ended.err
    assert ended.err.count("Traceback") == 2 and 'raise ValueError("planted in rank 1")' not in ended.out
    assert "in failing" in ended.err and str(run / "logs" / "attempt-000") in ended.err
    assert "given up: the same failure twice" in ended.err
    assert "error_file" not in ended.err and "<N/A>" not in ended.err
    verdict = json.loads((run / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["exit_code"], verdict["rank"]) == ("failed", 93, 1)
    assert "planted in rank 1" in verdict["message"] and "in failing" in verdict["traceback"]


def test_torchrun_starts_the_same_run(lstm, lstm_recipe, tmp_path):
    """The run is named after its recipe, in the working folder: torchrun takes `--run` for one of its own options."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        + ["-m", "cluster.train", str(lstm_recipe)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    run, final = tmp_path / "runs" / lstm_recipe.stem, "model/weights.safetensors"
    assert (run / final).read_bytes() == (lstm[0] / final).read_bytes()
    assert json.loads((run / "verdict.json").read_text())["verdict"] == "done"
