"""`sbatch slurm/train.sbatch` on a real Slurm of two nodes, or of three."""

import random
import socket
import time
import tomllib

import psutil
import pytest

from cluster.topology.place import candidate_ports
from tests.cluster_of_two.job import Job
from tests.conftest import SOAK, long_series

LONG = {"steps": 400, "step_size": "32 examples", "log_steps": 1, "checkpoint_steps": 50}
ONE_THREAD = "launch.threads=1"
IN_TIME = 3  # deadlines are asserted at three times their mark, the figure is printed


def test_two_nodes_of_two_ranks_agree_with_one_process(submit, recipe_of, muster, tmp_path):
    recipe = recipe_of("lstm", train={"steps": 50, "precision": "float64", "strict": True})
    job = submit(recipe, "launch.ranks=4", ONE_THREAD)
    alone = muster("train", recipe, "--run", tmp_path / "alone", ONE_THREAD)
    assert alone.code == 0, alone.err
    assert job.ended()["JobState"] == "COMPLETED", job.told()
    assert job.verdict()["nodes"] == ["h1", "h2"] and job.verdict()["verdict"] == "done"
    assert "2 nodes, 4 ranks" in job.said()
    expected = Job(None, "", tmp_path / "alone", None).losses()
    assert job.losses().keys() == expected.keys() and len(expected) == 50
    assert max(abs(job.losses()[step] - loss) for step, loss in expected.items()) < 1e-9


def interrupt(job, how):
    """Three ways in which Slurm takes a job's nodes away."""
    match how:
        case "USR1":  # before its time is up
            job.slurm.output("scancel", "--batch", "--signal=USR1", job.number)
        case "TERM":  # to every process of the job: a preemption with a grace
            job.slurm.output("scancel", "--full", "--signal=TERM", job.number)
        case "requeue":  # Slurm's own decision, with KillWait of five seconds
            job.slurm.output("scontrol", "requeue", job.number)


def test_a_job_that_is_interrupted_goes_on_to_the_same_bits(submit, recipe_of):
    """A seeded sample; with MUSTER_SOAK twenty times."""
    recipe, chance = recipe_of("lstm", train=LONG), random.Random(7)
    undisturbed = submit(recipe, "launch.ranks=2", ONE_THREAD, name="undisturbed")
    assert undisturbed.ended()["JobState"] == "COMPLETED", undisturbed.told()
    ways = ["USR1", "requeue", "TERM"]
    for number in range(20 if SOAK else 2):
        job = submit(recipe, "launch.ranks=2", ONE_THREAD, name=f"run-{number}")
        how, step = ways[number % 3], chance.randrange(5, 250)
        job.until_step(step)
        interrupt(job, how)
        state = job.ended()
        assert state["JobState"] == "COMPLETED" and state["Restarts"] == "1", job.told()
        first, *_, last = job.history()
        print(f"{how} in step {step}: saved after step {first['step']}")
        assert first["verdict"] == "checkpointed" and first["step"] >= step, job.told()
        assert last["began_step"] == first["step"]  # no step is done twice after its checkpoint
        assert job.hashes() == undisturbed.hashes() and job.losses() == undisturbed.losses()


@long_series  # as long as two other tests
def test_a_job_that_is_preempted_by_a_more_urgent_one_goes_on_to_the_same_bits(submit, recipe_of, slurm):
    recipe = recipe_of("lstm", train=LONG | {"steps": 1000})
    undisturbed = submit(recipe, "launch.ranks=2", ONE_THREAD, name="undisturbed")
    assert undisturbed.ended()["JobState"] == "COMPLETED", undisturbed.told()
    job = submit(recipe, "launch.ranks=2", ONE_THREAD)
    job.until_step(60)
    whole = ("--partition=urgent", "--nodes=2", "--ntasks-per-node=4", "--output=/dev/null", "--wrap=sleep 2")
    slurm.output("sbatch", *whole)
    state = job.ended()
    assert state["JobState"] == "COMPLETED" and state["Restarts"] == "1", job.told()
    first, last = job.history()
    print(f"preempted: saved after step {first['step']}; {first['cause']} {first['next']}")
    assert first["verdict"] == "checkpointed" and first["step"] >= 60
    assert last["began_step"] == first["step"]
    assert job.hashes() == undisturbed.hashes() and job.losses() == undisturbed.losses()


def test_what_is_cancelled_is_not_requeued(submit, recipe_of):
    job = submit(recipe_of("lstm", train=LONG | {"steps": 5000}), "launch.ranks=2", ONE_THREAD)
    job.until_step(20)
    job.slurm.output("scancel", job.number)
    state = job.ended()
    assert state["JobState"] == "CANCELLED" and state["Restarts"] == "0", job.told()
    assert job.verdict()["verdict"] == "checkpointed" and "cancelled" in job.verdict()["next"]
    assert job.verdict()["step"] >= 20


@long_series  # a job has a minute at least
def test_the_end_of_the_time_is_seen_without_a_signal(submit, recipe_of):
    options = ["--time=1", "--signal=B:URG@10"]
    job = submit(recipe_of("mlp", train=LONG | {"steps": 1_000_000, "log_steps": 100}), nodes=1, options=options)
    job.until(lambda: job.history())
    (first,) = job.history()
    assert first["verdict"] == "checkpointed" and "time is nearly over" in first["cause"]
    job.until(lambda: job.state()["Restarts"] == "1")


def test_daemons_of_slurm_may_be_gone_for_a_while(submit, recipe_of, slurm):
    job = submit(recipe_of("lstm", train=LONG | {"steps": 1500}), "launch.ranks=2", ONE_THREAD)
    job.until_step(10)
    slurm.nodes["h2"].kill()
    slurm.restart_controller()
    job.until_step(300)
    slurm.nodes["h2"] = slurm.start_node("h2")
    assert job.ended()["JobState"] == "COMPLETED", job.told()
    assert len(job.history()) == 1
    slurm.until_idle()


def agent(job, node):
    for process in psutil.process_iter(["cmdline"]):
        ours = "cluster.agent" in (words := process.info["cmdline"] or ()) and str(job.run) in words
        if ours and words[0] != "srun" and process.environ().get("SLURMD_NODENAME") == node:
            return process
    raise AssertionError(f"no agent on {node}: {job.told()}")


def test_a_frozen_node_is_named_and_left_out_of_the_next_start(submit, recipe_of):
    recipe = recipe_of("custom", model={"factory": "tests.models.own:build_unhurried"}, train=LONG | {"steps": 900})
    job = submit(recipe, "launch.ranks=2", ONE_THREAD, options=["--partition=three"])
    job.until_step(60)
    hit = time.monotonic()
    agent(job, "h2").suspend()
    job.until(lambda: "has not been heard" in job.said())
    print(f"a frozen node: named after {time.monotonic() - hit:.1f} s (mark 10)")
    assert time.monotonic() - hit < IN_TIME * 10
    state = job.ended()
    assert state["JobState"] == "COMPLETED" and state["ExcNodeList"] == "h2", job.told()
    first, *_, last = job.history()
    assert (first["verdict"], first["node"]) == ("infrastructure", "h2")
    assert "requeued without h2" in job.said()
    assert last["nodes"] == ["h1", "h3"] and last["verdict"] == "done"


def test_a_node_that_does_not_see_the_run_is_named(submit, recipe_of, slurm):
    options = ["--partition=three", "--nodelist=h1,h3"]
    job = submit(recipe_of("mlp"), options=options, folder=slurm.hidden)
    job.until(lambda: "requeued" in job.verdict()["next"])
    assert (job.verdict()["exit_code"], job.verdict()["node"]) == (75, "h3")
    assert "h3 does not see" in job.verdict()["message"]


def test_two_jobs_on_one_node_do_not_meet(submit, recipe_of):
    recipe = recipe_of("lstm", train=LONG | {"steps": 100})
    jobs = [submit(recipe, "launch.ranks=2", ONE_THREAD, name=f"run-{number}") for number in range(2)]
    for job in jobs:
        state = job.ended()
        assert (state["JobState"], state["NodeList"]) == ("COMPLETED", "h[1-2]"), job.told()
    assert jobs[0].hashes() == jobs[1].hashes()


def test_a_port_that_is_taken_is_left_to_who_has_it(submit, slurm, recipe_of):
    job = submit(recipe_of("mlp"), "launch.ranks=2", ONE_THREAD, options=["--hold"])
    first, second, *_ = candidate_ports(f"agents {job.number} 0 0", 0)
    with socket.create_server(("", first)) as one, socket.create_server(("", second)) as two:
        slurm.output("scontrol", "release", job.number)
        assert job.ended()["JobState"] == "COMPLETED", job.told()
        assert len(job.history()) == 1
        for other in (one, two):  # nobody has even called there
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.accept()


@long_series  # one task of an array is requeued below
def test_an_array_of_three_trains_three_runs(submit, recipe_of, tmp_path):
    array = submit(recipe_of("mlp"), "train.seed={task}", nodes=1, options=["--array=1-3"], name="run-{task}")
    folders = [tmp_path / f"run-{task}" for task in (1, 2, 3)]
    array.until(lambda: all((folder / "evaluation.json").exists() for folder in folders))
    assert [tomllib.loads((one / "recipe.toml").read_text())["train"]["seed"] for one in folders] == [1, 2, 3]


def test_a_run_folder_of_somebody_else_is_refused(submit, recipe_of, muster, tmp_path):
    assert muster("train", recipe_of("linear"), "--run", tmp_path / "run").code == 0
    before = (tmp_path / "run" / "verdict.json").read_bytes()
    job = submit(recipe_of("mlp"))
    state = job.ended()
    assert (state["JobState"], state["ExitCode"]) == ("FAILED", "2:0")
    assert "holds a finished run" in job.said() and (tmp_path / "run" / "verdict.json").read_bytes() == before


def test_tasks_of_a_step_are_told_to_leave_it_to_the_batch_script(slurm, recipe_of, tmp_path):
    ended = slurm.srun("launch", "train", recipe_of("mlp"), "--run", tmp_path / "run")
    assert ended.returncode == 2 and "start it once, in the batch script" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_one_task_of_an_array_is_requeued_alone(submit, slurm, recipe_of, tmp_path):
    """The last task has the job id of the whole array."""
    recipe = recipe_of("lstm", train=LONG)
    array = submit(recipe, "launch.ranks=1", ONE_THREAD, nodes=1, options=["--array=1-2"], name="run-{task}")
    tasks = [Job(slurm, f"{array.number}_{task}", tmp_path / f"run-{task}", array.log) for task in (1, 2)]
    for task in tasks:
        task.until_step(10)
    slurm.output("scancel", "--batch", "--signal=USR1", tasks[1].number)
    tasks[1].until(lambda: tasks[1].state()["Restarts"] == "1")
    assert tasks[0].ended()["Restarts"] == "0" and tasks[1].ended()["Restarts"] == "1"
    assert [len(task.history()) for task in tasks] == [1, 2]
