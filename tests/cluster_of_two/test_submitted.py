"""Runs that `muster submit` has begun on a real Slurm of two nodes, as a person sees to them from a login node."""

import subprocess
import sys

import pytest

from tests.cluster_of_two.job import Job
from tests.cluster_of_two.made_job import answer, muster, without_jobs, write_recipe
from tests.conftest import long_series
from tests.waiting import until

TWO = ("launch.ranks=2", "launch.threads=1")
ENDLESS = ("train.steps=100000", "evaluate.steps=1000", "train.log_steps=1")


@pytest.fixture
def cluster(slurm):
    write_recipe(slurm)
    slurm.run("rm", "-rf", "runs")
    with without_jobs(slurm):
        yield slurm


def state(cluster, run, *states, seconds=150):
    """Waits until a run is in one of these states; what `muster status` says then."""

    def reached():
        found = answer(cluster, "status", run)
        assert found["state"] in states or found["state"] in ("queued", "starting", "running", "stopping"), found
        return found if found["state"] in states else None

    return until(reached, seconds)


def test_a_run_is_submitted_watched_stopped_and_gone_on_with(cluster):
    first = answer(cluster, "submit", "my.toml", *TWO, *ENDLESS, "--nodes", "2")["job"]
    until(lambda: (answer(cluster, "status", "runs/my")["step"] or 0) > 5, 150)
    seen = answer(cluster, "status", "runs/my")
    assert (seen["state"], seen["job"], seen["nodes"], seen["total_steps"]) == ("running", first, "h[1-2]", 100_000)
    assert sorted(rank["node"] for rank in seen["ranks"]) == ["h1", "h2"]
    assert seen["seconds_left"] > 0 and sum(seen["shares"].values()) == pytest.approx(1)
    assert "[rank 0] step: " in muster(cluster, "logs", "runs/my").stdout

    watching = [follow(cluster, "watch", "runs/my"), follow(cluster, "logs", "runs/my", "-f")]
    until(lambda: watching[0].stdout.readline().startswith("step "))
    stopped = muster(cluster, "stop", "runs/my", timeout=120)
    assert stopped.returncode == 0, stopped.stderr
    assert "runs/my is interrupted (Stopped after step" in stopped.stdout
    for one in watching:
        out, err = one.communicate(timeout=60)
        assert one.returncode == 0 and "is interrupted" in out + err
    seen = answer(cluster, "status", "runs/my")
    assert seen["verdict"] == "checkpointed" and "not requeued" in seen["next"] and "submit runs/my" in seen["next"]
    until(lambda: cluster.output("squeue", "--noheader") == "")

    second = answer(cluster, "submit", "runs/my", *TWO, "--nodes", "2")["job"]
    assert second != first
    again = until(lambda: (now := answer(cluster, "status", "runs/my"))["attempts"] == 2 and now["ranks"] and now, 150)
    assert (again["job"], again["restarts"]) == (second, 1)
    assert muster(cluster, "stop", "runs/my", "--now", timeout=120).returncode == 0
    ended = answer(cluster, "status", "runs/my")
    assert ended["state"] in ("interrupted", "given up") and ended["ranks"] == []


def test_a_follower_stays_over_a_requeue(cluster):
    job = answer(cluster, "submit", "my.toml", "train.steps=1500", "train.log_steps=1", "evaluate.steps=500")["job"]
    until(lambda: (answer(cluster, "status", "runs/my")["step"] or 0) > 5, 150)
    following = follow(cluster, "logs", "runs/my", "-f")
    cluster.output("scancel", "--batch", "--signal=USR1", job)  # as before the time limit
    until(lambda: answer(cluster, "status", "runs/my")["state"] == "queued", 150)
    seen = answer(cluster, "status", "runs/my")
    assert "again after 1 attempt" in seen["detail"] and seen["next"] == "it starts by itself"
    run = cluster.folder / "runs/my"
    assert Job(cluster, job, run, run / "log").ended()["JobState"] == "COMPLETED"
    state(cluster, "runs/my", "finished")
    out, err = following.communicate(timeout=60)
    assert following.returncode == 0
    assert "is queued: job" in err or "is waiting to restart: job" in err
    for told in ("attempt 1 begins", "is finished"):
        assert told in err
    assert "[job] " in out and "step=1500 " in out


def follow(cluster, *words):
    command = [sys.executable, "-m", "launch", *words]
    return subprocess.Popen(
        command, cwd=cluster.folder, env=cluster.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@long_series
def test_every_task_of_an_array_finishes_in_its_own_run(cluster):
    answer(cluster, "submit", "my.toml", "train.seed={task}", "--array", "3,5")
    for task in ("3", "5"):
        state(cluster, f"runs/my-{task}", "finished")
        recipe = (cluster.folder / f"runs/my-{task}/recipe.toml").read_text()
        assert f"seed = {task}\n" in recipe
    assert "finished" in muster(cluster, "status").stdout
    assert muster(cluster, "stop", "runs/my-3").returncode == 2


def test_a_job_that_is_cancelled_by_hand_is_interrupted_and_says_so(cluster):
    job = answer(cluster, "submit", "my.toml", *ENDLESS)["job"]
    until(lambda: (answer(cluster, "status", "runs/my")["step"] or 0) > 5, 150)
    cluster.output("scancel", job)
    seen = state(cluster, "runs/my", "interrupted")
    assert "cancelled" in seen["next"]


def test_a_job_that_cannot_begin_is_told_by_its_log(cluster):
    """The data is gone by the time the job starts."""
    job = answer(cluster, "submit", "my.toml", "--", "--hold")["job"]
    cluster.run("rm", "-r", "corpus")
    cluster.output("scontrol", "release", job)
    state(cluster, "runs/my", "not started")
    assert "train.jsonl" in muster(cluster, "logs", "runs/my").stdout
