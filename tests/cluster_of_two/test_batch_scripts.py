"""The batch scripts as jobs of a real Slurm."""

import json
import sys
from pathlib import Path

import pytest

from tests.cluster_of_two.job import Job
from tests.cluster_of_two.made_job import without_jobs, write_recipe
from tests.waiting import until

SCRIPTS = Path(__file__).parents[2] / "slurm"
LISTENS = """#!{python}
import os, signal, sys, time
print("started", *sys.argv[1:], flush=True)
signal.signal(signal.SIGUSR1, lambda *_: (print("told in time", flush=True), os._exit(0)))
open({folder!r} + "/listens", "w").close()
time.sleep(60)
"""


@pytest.fixture
def cluster(slurm):
    write_recipe(slurm)
    with without_jobs(slurm):
        yield slurm


def program(cluster, tmp_path, text):
    path = tmp_path / "muster"
    path.write_text(text.format(python=sys.executable, folder=str(tmp_path)))
    path.chmod(0o755)
    return {"MUSTER": str(path)}


def submitted(cluster, script, *words, options=(), **environment):
    output = cluster.folder / f"{script}.log"
    output.unlink(missing_ok=True)
    command = ("sbatch", "--parsable", f"--output={output}", *options, SCRIPTS / f"{script}.sbatch", *words)
    return cluster.output(*command, **environment).strip(), output


def test_the_time_limit_is_told_to_whoever_took_the_place_of_the_shell(cluster, tmp_path):
    stand_in = program(cluster, tmp_path, LISTENS)
    job, log = submitted(cluster, "train", "a b", "c", options=["--nodes=2"], **stand_in)
    until((tmp_path / "listens").exists)
    cluster.output("scancel", "--batch", "--signal=USR1", job)
    until(lambda: "told in time" in log.read_text())
    assert f"job {job}, restart 0, nodes h[1-2]" in log.read_text()
    assert "started train a b c" in log.read_text()


def test_a_signal_before_python_listens_is_survived(cluster, tmp_path):
    stand_in = program(cluster, tmp_path, "#!/bin/bash\ntouch {folder}/began; sleep 2; echo survived\n")
    job, log = submitted(cluster, "train", **stand_in)
    until((tmp_path / "began").exists)
    cluster.output("scancel", "--batch", "--signal=USR1", job)
    until(lambda: "survived" in log.read_text())


def test_a_requeued_job_adds_to_its_log(cluster, tmp_path):
    stand_in = program(cluster, tmp_path, LISTENS)
    job, log = submitted(cluster, "train", **stand_in)
    until((tmp_path / "listens").exists)
    cluster.output("scontrol", "requeue", job)
    until(lambda: cluster.output("squeue", "--noheader", "--format=%T", f"--jobs={job}").strip() == "PENDING")
    cluster.output("scontrol", "update", f"JobId={job}", "StartTime=now")
    until(lambda: "restart 1" in log.read_text())
    assert "restart 0" in log.read_text()


def test_tasks_of_an_array_have_names_of_their_own(cluster, tmp_path):
    stand_in = program(cluster, tmp_path, '#!/bin/bash\necho "$@" > {folder}/$SLURM_ARRAY_TASK_ID\n')
    submitted(cluster, "train", "r", "--run", "runs/r-{task}", options=["--array=2,5"], **stand_in)
    for task in ("2", "5"):
        until(lambda path=tmp_path / task: path.exists() and path.read_text())
        assert (tmp_path / task).read_text() == f"train r --run runs/r-{task}\n"


def test_two_nodes_prepare_together(cluster, tmp_path):
    muster = program(cluster, tmp_path, '#!/bin/bash\nexec {python} -m launch "$@"\n')
    number, log = submitted(cluster, "prepare", "my.toml", options=["--nodes=2"], **muster)
    job = Job(cluster, number, None, log)
    assert job.ended()["JobState"] == "COMPLETED", job.told()
    first, *lines = log.read_text().splitlines()
    assert "nodes h[1-2]" in first
    prepared = [line for line in lines if line.startswith("/")]
    assert len(prepared) == 2 and len(set(prepared)) == 1  # each task tells the folder, and it is one
    assert (Path(prepared[0]) / "manifest.json").exists()


def test_the_nodes_of_a_job_are_probed(cluster, tmp_path):
    muster = program(cluster, tmp_path, '#!/bin/bash\nexec {python} -m launch "$@"\n')
    record = tmp_path / "nodes.json"
    number, log = submitted(cluster, "probe", "--save", record, options=["--nodes=2"], **muster)
    job = Job(cluster, number, None, log)
    assert job.ended()["JobState"] == "COMPLETED", job.told()
    assert [node["name"] for node in json.loads(record.read_text())["nodes"]] == ["h1", "h2"]
