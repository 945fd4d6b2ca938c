import json

import pytest

from launch.cli import main
from tests.waiting import until


def status(capsys, *words):
    assert main(["status", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_a_run_that_is_looked_after_elsewhere(run, looked_after, capsys):
    process = looked_after(100)
    until(lambda: run.metrics.read_text().count("\n") > 3)
    shown = status(capsys, run.path)
    assert f"{run.path} is running: attempt 0" in shown
    for words in (" of 40 (", "epoch 1", "50,000 tokens/s", "h[1-2] (2 ranks)", "about "):
        assert words in shown
    found = json.loads(status(capsys, run.path, "--json"))
    assert (found["state"], found["total_steps"], found["nodes"]) == ("running", 40, "h[1-2]")
    assert found["seconds_per_step"] == pytest.approx(0.1) and len(found["ranks"]) == 2
    process.kill()
    process.wait()
    found = json.loads(status(capsys, run.path, "--json"))
    assert found["state"] == "running" and found["age_seconds"] < 15  # nobody can know yet


def test_a_finished_run(made_run, capsys):
    shown = status(capsys, made_run())
    assert "is finished" in shown and "200 of 200 (100.0 %)" in shown
    assert "validation accuracy 0.8000, loss 0.0100 (step 200, best)" in shown
    assert "next      muster evaluate" in shown and "tokens/s" not in shown


def test_all_runs_stand_in_one_table(tmp_path, made_run, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "There are no runs" in status(capsys)
    assert json.loads(status(capsys, "--json")) == []
    (tmp_path / "runs").mkdir()
    made_run().rename("runs/done")
    (tmp_path / "runs" / "done" / "verdict.json").write_text(
        '{"verdict": "done", "message": "Finished\\nwell \\u001b[31m"}'
    )
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    for name, words in {"run.json": "{}", "verdict.json": "{torn"}.items():
        (broken / name).write_text(words)
    (tmp_path / "runs" / "notes").mkdir()
    head, *rows = status(capsys).splitlines()
    assert head.split() == ["run", "state", "step", "loss", "restarts", "last", "words"]
    assert [row.split()[:2] for row in rows] == [["broken", "damaged"], ["done", "finished"]]
    assert "verdict.json is not whole JSON" in rows[0] and "Finished well" in rows[1] and "\x1b" not in rows[1]
    assert [one["state"] for one in json.loads(status(capsys, "--json"))] == ["damaged", "finished"]


@pytest.mark.parametrize("command", ["status", "logs", "stop", "watch"])
def test_what_is_no_run_is_refused(command, tmp_path, capsys):
    for path, said in ((tmp_path / "absent", "There is no run at"), (tmp_path, "is no run of muster")):
        assert main([command, str(path)]) == 2
        assert said in capsys.readouterr().err


def test_a_damaged_file_is_named(run, capsys):
    run.alive.write_text("{")
    assert main(["status", str(run.path)]) == 2
    assert "alive.json is not whole JSON" in capsys.readouterr().err
    run.alive.unlink()
    run.job.write_text("[1]")
    assert main(["status", str(run.path)]) == 2
    assert "job.json holds list" in capsys.readouterr().err
