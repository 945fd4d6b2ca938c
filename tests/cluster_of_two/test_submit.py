"""`muster submit`, `status`, `logs` and `stop` of jobs that wait in the queue of a real Slurm."""

import json
import os
import shlex

import pytest

from tests.cluster_of_two.made_job import answer, muster, without_jobs, write_recipe
from tests.waiting import until


@pytest.fixture
def cluster(slurm):
    """The Slurm, a recipe `my.toml` in its folder, and no runs and no jobs before and after."""
    write_recipe(slurm)
    slurm.run("rm", "-rf", "runs")
    with without_jobs(slurm):
        yield slurm


def test_a_job_that_waits_has_a_run_folder_a_state_and_an_end(cluster):
    done = muster(cluster, "submit", "my.toml", "train.epochs=2", "--nodes", "2", "--time", "10", "--", "--hold")
    assert done.returncode == 0, done.stderr
    job = done.stdout.partition("job ")[2].partition(",")[0]
    for command in ("status", "watch", "logs", "stop"):
        assert f"muster {command} runs/my" in done.stdout
    script = cluster.output("scontrol", "show", "job", job)
    assert "NumNodes=2" in script and "TimeLimit=00:10:00" in script and "Requeue=1" in script
    assert f"StdOut={cluster.folder}/runs/my/logs/job-{job}.log" in script

    kept = json.loads((cluster.folder / "runs/my/job.json").read_text())
    assert (kept["job"], kept["array"]) == (job, "")
    assert shlex.join(kept["command"]) in done.stdout and kept["command"][0] == "sbatch"

    status = answer(cluster, "status", "runs/my")
    assert (status["state"], status["job"], status["queue"]["reason"]) == ("queued", job, "JobHeldUser")
    assert status["next"] == f"scontrol release {job}"
    assert "JobHeldUser" in muster(cluster, "status").stdout
    assert "is queued" in muster(cluster, "logs", "runs/my").stderr

    again = muster(cluster, "submit", "my.toml")
    assert again.returncode == 2 and f"reserved for job {job}" in again.stderr

    stopped = muster(cluster, "stop", "runs/my")
    assert stopped.returncode == 0 and f"job {job} is cancelled" in stopped.stdout
    assert not (cluster.folder / "runs/my").exists()
    assert job not in cluster.output("squeue", "--noheader", "--format=%i").split()


def test_the_expected_start_is_told(cluster):
    muster(cluster, "submit", "my.toml", "--", "--begin=now+3600")
    status = answer(cluster, "status", "runs/my")
    assert status["queue"]["reason"] in ("BeginTime", "Priority")
    assert status["queue"]["start"].startswith("20") and "expected to start 20" in status["detail"]
    assert status["next"] == "it starts by itself"


def test_each_task_of_an_array_has_its_run_and_can_be_stopped_alone(cluster):
    given = answer(cluster, "submit", "my.toml", "train.seed={task}", "--array", "1-3", "--", "--hold")
    assert [run["run"] for run in given["runs"]] == ["runs/my-1", "runs/my-2", "runs/my-3"]
    assert [run["job"] for run in given["runs"]] == [f"{given['job']}_{task}" for task in (1, 2, 3)]
    assert muster(cluster, "stop", "runs/my-2").returncode == 0
    left = {run["run"]: run["state"] for run in answer(cluster, "status")}
    assert left == {"runs/my-1": "queued", "runs/my-3": "queued"}


def test_a_dry_run_leaves_nothing_and_what_it_shows_can_be_pasted(cluster):
    done = muster(cluster, "submit", "my.toml", "--nodes", "2", "--dry-run", "--", "--hold", "--comment=two words")
    assert done.returncode == 0 and not (cluster.folder / "runs").exists()
    assert cluster.output("squeue", "--noheader") == ""
    lines = done.stdout.splitlines()
    assert "#SBATCH --requeue" in done.stdout and "exec" in done.stdout
    pasted = cluster.output("bash", "-c", "\n".join(lines[:2]))
    assert "Comment=two words" in cluster.output("scontrol", "show", "job", pasted.strip())


def test_the_folder_of_a_job_that_was_cancelled_by_hand_is_free_again(cluster):
    job = answer(cluster, "submit", "my.toml", "--", "--hold")["job"]
    cluster.output("scancel", job)
    until(lambda: answer(cluster, "status", "runs/my")["state"] == "not started")
    assert "is over and began no attempt" in muster(cluster, "status", "runs/my").stdout
    stop = muster(cluster, "stop", "runs/my")
    assert stop.returncode == 2 and "nothing to stop" in stop.stderr
    assert answer(cluster, "submit", "my.toml", "--", "--hold")["job"] != job


def test_a_run_that_was_stopped_goes_on_as_a_job(cluster):
    muster(cluster, "train", "my.toml", "--run", "runs/my")
    finished = muster(cluster, "submit", "runs/my")
    assert finished.returncode == 2 and "is finished" in finished.stderr
    for left in ("model", "evaluation.json", "verdict.json"):
        cluster.run("rm", "-r", cluster.folder / "runs/my" / left)
    taken = muster(cluster, "submit", "my.toml")
    assert taken.returncode == 2 and "muster submit runs/my" in taken.stderr and "interrupted" in taken.stderr
    for words, said in ((["--run", "x"], "no --run"), (["train.epochs=9"], "launch.* settings only")):
        refused = muster(cluster, "submit", "runs/my", *words)
        assert refused.returncode == 2 and said in refused.stderr
    given = answer(cluster, "submit", "runs/my", "launch.ranks=2", "--", "--hold")
    assert given["command"][-4:] == ["runs/my/recipe.toml", "launch.ranks=2", "--run", "runs/my"]
    assert answer(cluster, "status", "runs/my")["job"] == given["job"]
    again = muster(cluster, "submit", "runs/my")
    assert again.returncode == 2 and "is queued" in again.stderr
    assert muster(cluster, "stop", "runs/my").returncode == 0
    assert (cluster.folder / "runs/my/recipe.toml").exists()  # it held something: only the job is gone
    assert answer(cluster, "status", "runs/my")["state"] == "interrupted"


@pytest.mark.parametrize(
    "words, said",
    [
        (["train.epoch=3", "optim.learning_rate=-1"], ["2 mistakes", "train.epochs", "learning_rate"]),
        (["--array", "1-3", "train.epochs={task}x"], ["Task 1:", "train.epochs"]),
        (["data.train=nowhere.jsonl"], ["nowhere.jsonl"]),
        (["train.seed={task}"], ["--array 1-3"]),
        (["--array", "3-1"], ["--array is written"]),
        (["--array", "1-3", "--run", "runs/one"], ["runs/one-{task}"]),
        (["--run", "runs/50%"], ["Choose another name"]),
        (["--nodes", "0"], ["at least 1"]),
        (["--run", "my.toml/run"], ["cannot be made"]),
        (["--time", "soon"], ["sbatch refused the job", "Invalid --time"]),
        (["--", "--partition=nope"], ["sbatch refused the job", "Invalid partition name"]),
        (["--", "--output=mine.log"], ["leave it out"]),
        (["--", "-N4"], ["before the --"]),
        (["--", "--nonsense"], ["nonsense"]),
    ],
)
def test_what_cannot_be_submitted_is_told_and_leaves_nothing(cluster, words, said):
    before = sorted(os.listdir(cluster.folder))
    done = muster(cluster, "submit", "my.toml", *words)
    assert done.returncode == 2
    for one in said:
        assert one in done.stderr
    assert sorted(os.listdir(cluster.folder)) == before
    assert cluster.output("squeue", "--noheader") == ""


def test_without_sbatch_the_way_out_is_told(cluster, tmp_path):
    done = muster(cluster, "submit", "my.toml", PATH=str(tmp_path))
    assert done.returncode == 2 and "muster train" in done.stderr and "no sbatch" in done.stderr
    assert not (cluster.folder / "runs").exists()
    shown = muster(cluster, "submit", "my.toml", "--dry-run", PATH=str(tmp_path))
    assert shown.returncode == 0 and "#SBATCH" in shown.stdout


def test_a_controller_that_is_away_is_no_fault_of_the_job(cluster, tmp_path):
    (tmp_path / "slurm.conf").write_text(
        "\n".join(
            "SlurmctldPort=1\nMessageTimeout=2" if line.startswith("SlurmctldPort") else line
            for line in (cluster.folder / "slurm.conf").read_text().splitlines()
        )
    )
    away = {"SLURM_CONF": str(tmp_path / "slurm.conf")}
    muster(cluster, "submit", "my.toml", "--", "--hold")
    done = muster(cluster, "submit", "my.toml", "--run", "runs/other", timeout=200, **away)
    assert done.returncode == 75 and "sbatch refused the job" in done.stderr
    assert not (cluster.folder / "runs/other").exists()
    status = muster(cluster, "status", "runs/my", timeout=200, **away)
    assert status.returncode == 0 and "Slurm cannot be asked of job" in status.stdout
