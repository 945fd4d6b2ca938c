"""Training over nodes with addresses, names and cables of their own."""

import time

import psutil
import pytest

from tests.cluster_of_two.cables import Cables, why_not
from tests.cluster_of_two.job import Job
from tests.cluster_of_two.test_train import IN_TIME, LONG, ONE_THREAD


@pytest.fixture(scope="module")
def slurm():
    if why := why_not():
        pytest.skip(why)
    with Cables() as cluster:
        yield cluster


def test_the_way_between_the_nodes_is_found(submit, slurm, recipe_of, muster, tmp_path):
    recipe = recipe_of("lstm", train={"steps": 50, "precision": "float64", "strict": True})
    job = submit(recipe, "launch.ranks=4", ONE_THREAD)
    alone = muster("train", recipe, "--run", tmp_path / "alone", ONE_THREAD)
    assert alone.code == 0, alone.err
    assert job.ended()["JobState"] == "COMPLETED", job.told()
    assert "interface eth0: the way to rank 0's node" in job.said()
    expected = Job(None, "", tmp_path / "alone", None).losses()
    assert len(expected) == 50
    assert max(abs(job.losses()[step] - loss) for step, loss in expected.items()) < 1e-9


def ours(job):
    """Agents and ranks of a job's run, on any node: they are all processes of this machine."""
    return [one for one in psutil.process_iter(["cmdline"]) if _is_ours(one.info["cmdline"] or (), job)]


def _is_ours(words, job):
    return str(job.run) in words and {"cluster.agent", "cluster.train"} & set(words) and words[0] != "srun"


def test_a_pulled_cable_is_named_and_both_sides_end(submit, slurm, recipe_of):
    job = submit(recipe_of("lstm", train=LONG | {"steps": 20_000}), "launch.ranks=2", ONE_THREAD)
    job.until_step(60)
    family = ours(job)
    assert len(family) == 4
    hit = time.monotonic()
    slurm.cut("n1")
    try:
        job.until(lambda: "n1 has not been heard" in job.said())
        named = time.monotonic() - hit
        assert not psutil.wait_procs(family, timeout=IN_TIME * 12)[1]
        gone = time.monotonic() - hit
        print(f"a pulled cable: named after {named:.1f} s (mark 10), both sides gone after {gone:.1f} s")
        assert named < IN_TIME * 10
        job.until(lambda: job.verdict()["next"])
        verdict = job.verdict()
        assert (verdict["exit_code"], verdict["node"], verdict["step"]) == (75, "n1", job.history()[0]["step"])
        assert "requeued" in verdict["next"] and "too few other nodes" in verdict["next"]
    finally:
        slurm.mend("n1")
