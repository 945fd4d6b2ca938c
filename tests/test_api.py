"""What docs/python.md shows, run as it stands; and the ends that it does not show."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from cluster import api, processes
from cluster.data.inspect import order_report
from cluster.data.shards import ShardReader
from cluster.errors import (
    DataError,
    DeviceError,
    InfrastructureError,
    InputError,
    Interrupted,
    MusterError,
    PlanError,
    RunError,
    TrainingError,
)
from cluster.prepare import SMALL_INPUT_BYTES
from cluster.runs import RunFolder, locked, run_state
from tests.conftest import long_series

ROOT = Path(__file__).parents[1]


def recipe_with(recipe_of, kind="mlp", **sections):
    return api.load(str(recipe_of(kind, **sections)))


def lines_of(run):
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def test_the_example_of_the_docs_runs_as_it_stands(tmp_path):
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL).group(1)
    script = tmp_path / "example.py"
    script.write_text(example)
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=None, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^0 torch.Size", done.stdout, re.MULTILINE)
    assert "'label': 'positive'" in done.stdout
    assert (tmp_path / "runs/notebook/model/weights.safetensors").exists()


# ---- steps ---------------------------------------------------------------------------------------------------------


def documents_of(batch):
    """The tokens of each document of a batch, and its label."""
    lengths, labels = batch.lengths.tolist(), batch.labels.tolist()
    if batch.tokens.ndim == 1:
        rows = [rows.tolist() for rows in batch.tokens.split(lengths)]
    else:
        rows = [row[:length].tolist() for row, length in zip(batch.tokens, lengths, strict=True)]
    return list(zip(map(tuple, rows), labels, strict=True))


@pytest.mark.parametrize("kind", ["lstm", "mlp"])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("first, ranks", [(0, 1), (0, 2), (11, 3)])  # 13 steps an epoch: 11 to 15 reaches the second
def test_steps_are_those_of_the_order_report(recipe_of, kind, strict, first, ranks):
    recipe = recipe_with(recipe_of, kind, train={"strict": strict})
    prepared = api.prepare(recipe)
    reader = ShardReader(prepared, "train")

    def document(number):
        return tuple(reader.flat([number])[0].tolist()), int(reader.labels[number])

    report = order_report(prepared, recipe, ranks, first, first + 4)["steps"]
    for rank in range(ranks):
        loaded = list(api.steps(recipe, str(prepared), first=first, last=first + 4, rank=rank, ranks=ranks))
        assert [step.step for step in loaded] == [step["step"] for step in report]
        for step, dealt in zip(loaded, report, strict=True):
            told = [[document(number) for number in micro_batch] for micro_batch in dealt["ranks"][rank]]
            found = [documents_of(batch) for batch in step.batches]
            if strict:
                assert found == told  # each micro-batch alone, in its order
            else:
                assert len(found) < len(told)  # fused
                assert sorted(sum(found, [])) == sorted(sum(told, []))


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"first": -1}, PlanError, "steps -1:13"),
        ({"first": 5, "last": 2}, PlanError, "steps 5:2"),
        ({"first": 13}, PlanError, "first epoch ends before step 13"),
        ({"ranks": 0}, PlanError, r"0 ranks are outside 1..train.max_ranks \(16\)"),
        ({"ranks": 40}, PlanError, r"40 ranks are outside"),
        ({"rank": 2, "ranks": 2}, PlanError, r"rank 2 is outside 0..1"),
        ({"rank": -1, "ranks": 2}, PlanError, "rank -1 is outside 0..1"),
        ({"prepared": "no/such/folder"}, DataError, "no/such/folder"),
    ],
)
def test_steps_refuses_at_the_call(recipe_of, arguments, error, words):
    recipe = recipe_with(recipe_of, "lstm")
    with pytest.raises(error, match=words):
        api.steps(recipe, **{"prepared": api.prepare(recipe)} | arguments)


def test_steps_refuses_data_that_was_prepared_for_others(recipe_of):
    bag = api.prepare(recipe_with(recipe_of, "mlp"))
    with pytest.raises(DataError, match="reads a bag; the recipe has task.kind=classify and reads a sequence"):
        api.steps(recipe_with(recipe_of, "lstm"), bag)
    with pytest.raises(DataError, match="prepared for task.kind=classify .* has task.kind=regress"):
        api.steps(recipe_with(recipe_of, "mlp", task={"kind": "regress"}), bag)


# ---- runs that end well --------------------------------------------------------------------------------------------


def test_fit_shows_every_record_and_refuses_a_folder_in_use(recipe_of, tmp_path, monkeypatch):
    (tmp_path / "cluster").mkdir()  # beside a notebook: must not hide ours
    (tmp_path / "cluster" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    recipe = recipe_with(recipe_of, train={"steps": 4, "log_steps": 1})
    shown = []
    run = api.fit(recipe, "run", show=shown.append)
    assert shown == lines_of(run)
    assert [record["step"] for record in shown if record["kind"] == "step"] == [1, 2, 3, 4]
    assert api.scores(run)["examples"] == 101
    assert (api.scores(run)["split"], api.scores(run)["step"]) == ("test", 4)
    assert api.resume(run) == run  # nothing is left to do
    with pytest.raises(RunError, match="holds a run already"):
        api.fit(recipe, run)


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


def test_a_run_without_a_test_split_has_no_scores(pool, recipe_of, tmp_path):
    recipe = recipe_of(data={"test": "none"}, train={"steps": 2})
    assert pool.run(1, train_here, recipe=str(recipe), run=str(tmp_path / "run")) == [0]
    with pytest.raises(RunError, match="no test split"):
        api.scores(tmp_path / "run")


# ---- stops and kills -----------------------------------------------------------------------------------------------

UNHURRIED = {"factory": "tests.models.own:build_unhurried"}
LONG = {"steps": 250, "log_steps": 1, "checkpoint_steps": 30}


@long_series  # what follows after a kill is in the test below
def test_ctrl_c_saves_a_checkpoint_and_resume_shows_the_rest(recipe_of, tmp_path):
    run, shown = tmp_path / "run", []

    def show(record):
        shown.append(record)
        if record["kind"] == "step" and record["step"] == 50:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"a checkpoint was saved\. \(api.resume\('.*run'\) goes on\)"):
        api.fit(recipe_with(recipe_of, "custom", model=UNHURRIED, train=LONG), run, show)
    assert shown == lines_of(run)  # those too that came before the stop
    with pytest.raises(RunError, match=r"not finished \(it is interrupted\): api.resume"):
        api.scores(run)
    api.resume(run, shown.append)
    assert shown == lines_of(run)  # nothing was lost, so nothing came twice


def test_after_a_kill_resume_shows_what_the_new_attempt_writes(recipe_of, tmp_path):
    run, family = RunFolder(tmp_path / "run"), []

    def kill_the_supervisor(record):
        if record["kind"] == "step" and record["step"] == 51:
            children = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
            supervisor = next(child for child in children if "cluster.supervise" in child.cmdline())
            family.extend(supervisor.children(recursive=True))
            supervisor.kill()

    with pytest.raises(InfrastructureError, match=r"killed by SIGKILL.*api.resume"):
        api.fit(recipe_with(recipe_of, "custom", model=UNHURRIED, train=LONG), run.path, kill_the_supervisor)
    assert family and not psutil.wait_procs(family, timeout=10)[1]  # agent and ranks die with it
    resumed_step = run.checkpoint_steps()[-1]
    before, shown = lines_of_whole(run.metrics), []
    kept = [record for record in before if record["step"] <= resumed_step]
    assert 0 < len(kept) <= len(before) and resumed_step < LONG["steps"]
    api.resume(run.path, shown.append)
    assert kept + shown == lines_of(run.path)
    assert shown[0]["message"] == f"resuming after step {resumed_step}"


def lines_of_whole(path):
    """Records of a file whose last line may be torn."""
    return [json.loads(line) for line in path.read_bytes().rpartition(b"\n")[0].splitlines()]


@pytest.mark.parametrize(
    "interrupted, seconds, says",
    [
        ("cluster.supervise", 0.3, r"api.resume\('.*run'\) goes on"),
        ("cluster.prepare", 0.1, "Preparation was stopped"),
    ],
)
def test_ctrl_c_before_a_program_can_hear_it(recipe_of, tmp_path, monkeypatch, capfd, interrupted, seconds, says):
    recipe = recipe_with(recipe_of, train={"steps": 2})
    api.prepare(recipe)
    start = api.start

    def start_and_interrupt(module, *arguments, **settings):
        program = start(module, *arguments, **settings)
        if module == interrupted:
            # It imports torch, or what preparing needs.
            threading.Timer(seconds, os.kill, [os.getpid(), signal.SIGINT]).start()
        return program

    monkeypatch.setattr(api, "start", start_and_interrupt)
    # What a shell started in the background ignores SIGINT; a notebook's kernel does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted, match=says):
            api.fit(recipe, tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    monkeypatch.undo()
    assert "Traceback" not in capfd.readouterr().err
    go_on = api.resume if interrupted == "cluster.supervise" else lambda run: api.fit(recipe, run)
    assert go_on(tmp_path / "run") == tmp_path / "run"


def test_ctrl_c_as_the_preparation_ends_is_not_forgotten(recipe_of, tmp_path, monkeypatch):
    def ended_and_interrupted(process, look):
        process.wait()
        if not interrupted:
            interrupted.append(process)
            raise KeyboardInterrupt
        look()

    interrupted = []
    monkeypatch.setattr(api, "attend", ended_and_interrupted)
    with pytest.raises(Interrupted, match="Preparation was stopped"):
        api.fit(recipe_with(recipe_of), tmp_path / "run")
    assert interrupted[0].returncode == 0 and not (tmp_path / "run").exists()


def test_what_show_raises_stops_the_run(recipe_of, tmp_path):
    run = RunFolder(tmp_path / "run")

    def show(record):
        raise ValueError("a mistake of mine")

    with pytest.raises(ValueError, match="a mistake of mine"):
        api.fit(recipe_with(recipe_of, train=LONG | {"steps": 1_000_000}), run.path, show)
    assert run_state(run) == "interrupted"  # nobody trains on
    assert json.loads(run.verdict.read_text())["verdict"] == "checkpointed"
    assert run.checkpoint_steps()


def test_a_second_ctrl_c_kills(recipe_of, tmp_path, monkeypatch):
    run, attend, stopping = RunFolder(tmp_path / "run"), api.attend, []

    def attend_once(agent, look):
        if stopping:
            raise KeyboardInterrupt
        attend(agent, look)

    def show(record):
        stopping.append(True)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "attend", attend_once)
    with pytest.raises(KeyboardInterrupt):
        api.fit(recipe_with(recipe_of, train=LONG | {"steps": 1_000_000}), run.path, show)
    assert run_state(run) == "interrupted" and not run.verdict.exists()


# ---- errors --------------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_refused_before_anything_is_made(recipe_of, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(DeviceError, match="torch sees no GPU"):
        api.fit(recipe_with(recipe_of, launch={"device": "cuda"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_fails_raises_what_the_verdict_says_and_later_what_the_agent_refuses(
    recipe_of, tmp_path, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run = RunFolder(tmp_path / "run")
    with pytest.raises(TrainingError, match="loss") as caught:
        api.fit(recipe_with(recipe_of, "cnn", optim={"learning_rate": 1e30}), run.path)
    assert "goes on" not in str(caught.value)
    run.recipe.write_text(run.recipe.read_text().replace('device = "cpu"', 'device = "cuda"'))
    with pytest.raises(InputError, match="^launch.device is cuda, but torch sees no GPU") as caught:
        api.resume(run.path)
    assert "goes on" not in str(caught.value) and "loss" not in str(caught.value)
    with locked(run), pytest.raises(RunError, match="trained by another process"):
        api.resume(run.path)


def test_a_supervisor_that_cannot_speak_is_quoted(recipe_of, tmp_path, monkeypatch):
    recipe = recipe_with(recipe_of)
    command = processes.command
    failing = [sys.executable, "-c", "raise OSError('no such thing')"]
    monkeypatch.setattr(
        processes, "command", lambda module, given: failing if module == "cluster.supervise" else command(module, given)
    )
    with pytest.raises(MusterError, match="the run's supervisor ended with exit code 1: OSError: no such thing$"):
        api.fit(recipe, tmp_path / "run")


def test_a_script_without_a_guard_prepares_much_data(tmp_path):
    """Enough for several processes, which would run the script's own lines again if it started them."""
    rows = ({"text": f"a film of {i % 977} scenes and {i % 31} songs", "label": "ab"[i % 2]} for i in range(80_000))
    (tmp_path / "big.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert (tmp_path / "big.jsonl").stat().st_size > SMALL_INPUT_BYTES
    (tmp_path / "r.toml").write_text('[data]\ntrain = "big.jsonl"\n[model]\nkind = "mlp"\n')
    (tmp_path / "script.py").write_text('from cluster import api\nprint(api.prepare(api.load("r.toml")))\n')
    ended = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    assert (Path(ended.stdout.strip()) / "manifest.json").exists()


def test_what_preparing_refuses_is_raised(recipe_of, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"text": 1}\n')
    with pytest.raises(InputError, match="1 of .* rows cannot be used"):
        api.prepare(recipe_with(recipe_of, data={"train": str(tmp_path / "bad.jsonl")}))
