"""What has become of a run: each case of what its folder, its signs of life and Slurm may say."""

import json
import os

import pytest

from launch.jobs.scheduler import Job, Queue
from launch.live.state import Observer, Seen, condition, conditions, judge, needs_slurm, with_queue

PENDING = Job("12", "PENDING", "Resources", "2026-11-26 14:05:00", "")
RUNNING = Job("12", "RUNNING", "", "2026-11-26 14:05:00", "h[1-2]")
COMPLETING = Job("12", "COMPLETING", "", "", "h[1-2]")
TRAINING = {"state": "training", "attempt": 2}
DOWN = "slurm_load_jobs error: Unable to contact slurm controller"


def verdict(name, then=""):
    return {"verdict": name, "attempt": 0, "message": "words", "next": then}


@pytest.mark.parametrize(
    "seen, state, detail",
    [
        # While there are signs of life they tell all.
        (Seen(folder="running", signs=TRAINING, age_seconds=0.5), "running", "attempt 2"),
        (Seen(folder="interrupted", signs=TRAINING, age_seconds=14), "running", ""),  # seen from another node
        (Seen(folder="interrupted", signs={"state": "starting"}, age_seconds=0), "starting", ""),
        (Seen(folder="interrupted", signs={"state": "stopping"}, age_seconds=0), "stopping", ""),
        (Seen(folder="interrupted", signs={"state": "waiting"}, age_seconds=0), "waiting to restart", ""),
        (Seen(folder="interrupted", signs={"state": "new word"}, age_seconds=0), "running", ""),
        (Seen(folder="finished", signs=TRAINING, age_seconds=0.5), "running", ""),  # it still fits the baseline
        # Old signs.
        (Seen(folder="interrupted", signs=TRAINING, age_seconds=200), "lost", "no sign of life for 3 min 20 s"),
        (
            Seen(folder="interrupted", signs=TRAINING, age_seconds=20, job="12", queued=RUNNING),
            "lost",
            "no sign of life for 20.0 s, though job 12 is running on h[1-2]",
        ),
        (Seen(folder="interrupted", signs=TRAINING, age_seconds=20, job="12"), "interrupted", "job 12 is over"),
        (Seen(folder="interrupted", signs=TRAINING, age_seconds=20, job="12", unknown=DOWN), "lost", DOWN),
        (Seen(folder="interrupted", signs=TRAINING, age_seconds=20, job="12", queued=PENDING), "queued", "Resources"),
        (Seen(folder="finished", signs=TRAINING, age_seconds=200), "finished", ""),
        # No signs: the queue tells, then the verdict.
        (
            Seen(folder="absent", reserved=True, job="12", queued=PENDING),
            "queued",
            "job 12 waits: Resources, expected to start 2026-11-26 14:05:00",
        ),
        (
            Seen(folder="interrupted", attempts=2, job="12", queued=PENDING, verdict=verdict("checkpointed")),
            "queued",
            "again after 2 attempts",
        ),
        (Seen(folder="absent", reserved=True, job="12", queued=RUNNING), "starting", "job 12 is running on h[1-2]"),
        (Seen(folder="absent", reserved=True, job="12"), "not started", "job 12 is over and began no attempt"),
        (Seen(folder="absent", reserved=True, job="12", unknown=DOWN), "not started", "Slurm cannot be asked"),
        (Seen(folder="created"), "not started", ""),
        (Seen(folder="running"), "running", "another launcher"),
        (Seen(folder="finished", job="12"), "finished", ""),
        (
            Seen(folder="interrupted", attempts=1, job="12", queued=COMPLETING, verdict=verdict("checkpointed")),
            "interrupted",
            "checkpointed",
        ),
        (  # between the end of the job and its next place in the queue
            Seen(
                folder="interrupted",
                attempts=1,
                job="12",
                queued=COMPLETING,
                verdict=verdict("checkpointed", "requeued"),
            ),
            "waiting to restart",
            "job 12 is about to wait again",
        ),
        (
            Seen(folder="interrupted", attempts=1, job="12", verdict=verdict("checkpointed", "requeued")),
            "interrupted",  # somebody has cancelled it since
            "checkpointed",
        ),
        (Seen(folder="interrupted", attempts=1, verdict=verdict("infrastructure")), "interrupted", "infrastructure"),
        (Seen(folder="interrupted", attempts=1, verdict=verdict("failed")), "given up", "failed"),
        (Seen(folder="interrupted", attempts=1, verdict=verdict("wrong input")), "given up", "wrong input"),
        (
            Seen(folder="interrupted", attempts=9, verdict=verdict("infrastructure", "given up: no progress")),
            "given up",
            "infrastructure",
        ),
        (Seen(folder="interrupted", attempts=1), "interrupted", "gave no verdict"),
        (Seen(folder="created", damage="run.json is not whole"), "damaged", "run.json is not whole"),
    ],
)
def test_states(seen, state, detail):
    assert judge(seen)[0] == state
    assert detail in judge(seen)[1]


@pytest.mark.parametrize(
    "seen, following",
    [
        (Seen(folder="absent", job="12", queued=PENDING), "it starts by itself"),
        (Seen(folder="absent", job="12", queued=Job("12", "PENDING", "JobHeldUser", "", "")), "scontrol release 12"),
        (
            Seen(folder="absent", job="12", queued=Job("12", "PENDING", "PartitionTimeLimit", "", "")),
            "it cannot start as it is: muster stop {run}, then submit it with other options",
        ),
        (Seen(folder="interrupted", attempts=1, verdict=verdict("checkpointed")), "muster resume {run}"),
        (
            Seen(
                folder="interrupted", attempts=1, job="12", verdict=verdict("checkpointed", "not requeued: muster stop")
            ),
            "not requeued: muster stop; go on with muster submit {run}",
        ),
        (Seen(folder="interrupted", attempts=1, verdict=verdict("failed")), "muster logs {run}"),
        (Seen(folder="finished"), "muster evaluate {run}"),
        (
            Seen(folder="interrupted", signs=TRAINING, age_seconds=99, queued=RUNNING, job="12"),
            "if no sign comes: scancel 12",
        ),
    ],
)
def test_what_follows(run, seen, following):
    assert condition(run, seen).next == following.format(run=run.path)


def test_slurm_is_asked_only_of_what_the_folder_does_not_tell():
    assert needs_slurm(Seen(folder="absent", job="12"))
    assert not needs_slurm(Seen(folder="interrupted"))
    assert not needs_slurm(Seen(folder="finished", job="12"))
    alive = Seen(folder="interrupted", job="12", signs=TRAINING, age_seconds=1)
    assert not needs_slurm(alive)
    assert with_queue(alive, Queue({"12": PENDING}, unknown="x")) == alive


def test_a_verdict_of_an_earlier_attempt_is_not_that_of_the_last_one(run):
    for attempt in range(2):
        run.attempt_logs(attempt).mkdir(parents=True)
    run.verdict.write_text('{"verdict": "failed", "attempt": 0, "message": "old"}')
    (found,) = conditions([run])
    assert (found.state, found.words) == ("interrupted", "")
    run.verdict.write_text('{"verdict": "failed", "attempt": 1, "message": "new", "nodes": ["h2", "h10"]}')
    (found,) = conditions([run])
    assert (found.state, found.words, found.nodes, found.restarts) == ("given up", "new", "h[2,10]", 1)


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """squeue(state, meanwhile): what Slurm answers from now on of job 12, and what happens before it has.

    A mock: moments between two attempts of a job that the real Slurm in tests/cluster_of_two passes at random."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def answers(state, meanwhile=""):
        program = programs / "squeue"
        program.write_text(
            f"#!/bin/sh\n{meanwhile}\necho '12|{state}||N/A|h[1-2]'\n" if state else f"#!/bin/sh\n{meanwhile}\n"
        )
        program.chmod(0o755)

    return answers


def requeued(run):
    run.job.write_text(json.dumps({"job": "12"}))
    run.attempt_logs(0).mkdir(parents=True)
    run.verdict.write_text(json.dumps(verdict("checkpointed", "requeued")))


def test_an_attempt_that_begins_after_slurm_was_asked_is_no_end(run, squeue):
    """What Slurm said of the attempt before is kept for seconds; a follower went away at that."""
    requeued(run)
    observer = Observer(run, clock=lambda: 0.0)
    squeue("COMPLETING")
    assert observer.look().state == "waiting to restart"
    run.attempt_logs(1).mkdir()
    squeue("RUNNING")
    assert observer.look().state == "starting"


def test_what_a_run_has_come_to_while_slurm_answered_counts(run, squeue):
    requeued(run)
    for looked in (Observer(run).look, lambda: conditions([run])[0]):
        run.verdict.write_text(json.dumps(verdict("checkpointed", "requeued")))
        ended = run.path / "ended.json"
        ended.write_text(json.dumps(verdict("failed")))
        squeue("", meanwhile=f"[ ! -e {ended} ] || mv {ended} {run.verdict}")
        assert looked().state == "given up"
