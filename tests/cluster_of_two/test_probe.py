"""The probe as a job step of a real Slurm."""

import json
import subprocess
import sys
import time
from pathlib import Path


def record_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # one document: node 0 prints, and nobody else


def test_two_nodes_are_merged(slurm, tmp_path):
    done = slurm.srun("cluster.probe", "--json", "--folder", f"data={tmp_path}")
    cluster = record_of(done)
    assert [node["name"] for node in cluster["nodes"]] == ["h1", "h2"]
    assert (cluster["missing"], cluster["problems"]) == ([], [])
    for node in cluster["nodes"]:
        (data,) = [storage for storage in node["storage"] if storage["role"] == "data"]
        assert data["shared"]["value"] is True
        assert abs(node["host"]["clock_skew_seconds"]["value"]) < 1  # the same clock
        assert {"eth0", "lo"} & {port["name"] for port in node["network"]["ports"]}
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_of_several_tasks_of_a_node_one_probes(slurm):
    cluster = record_of(slurm.srun("cluster.probe", options=["--ntasks=5"]))
    assert [node["name"] for node in cluster["nodes"]] == ["h1", "h2"]


def test_the_task_numbers_may_run_against_the_nodes(slurm):
    options = ["--ntasks=2", "--nodelist=h2,h1", "--distribution=arbitrary"]
    cluster = record_of(slurm.srun("cluster.probe", options=options))
    assert [node["name"] for node in cluster["nodes"]] == ["h1", "h2"]


def test_a_step_of_one_node_probes_that_node(slurm):
    cluster = record_of(slurm.srun("cluster.probe", nodes=1, options=["--nodelist=h2"]))
    assert [node["name"] for node in cluster["nodes"]] == ["h2"]
    assert cluster["nodes"][0]["host"]["clock_skew_seconds"]["status"] == "absent"


def test_a_batch_script_is_no_step_but_knows_its_nodes(slurm, tmp_path):
    words = "import os; from cluster.topology.place import place_among_nodes as p; print(p(os.environ))"
    script, out = tmp_path / "job.sh", tmp_path / "out"
    script.write_text(f'#!/bin/sh\n{sys.executable} -c "{words}"\n')
    slurm.output("sbatch", "--nodes=2", "--wait", f"--output={out}", script)
    assert "allocation=('h1', 'h2')" in out.read_text() and "nodes=1" in out.read_text()


def test_a_task_that_does_not_come_is_named_and_not_waited_for(slurm):
    script = f'if [ "$SLURM_NODEID" = 1 ]; then exit 0; fi; exec {sys.executable} -m cluster.probe --wait 1'
    done = slurm.run("srun", "--nodes=2", "sh", "-c", script)
    cluster = record_of(done)
    assert [node["name"] for node in cluster["nodes"]] == ["h1"]
    assert cluster["missing"] == [{"name": "h2", "why": "it did not call within 1 s"}]


def test_two_steps_at_once_do_not_mix(slurm):
    script = (
        f"for i in 1 2 3; do srun --overlap --nodes=2 --output=%s.out {sys.executable} -m cluster.probe & done; wait"
    )
    done = slurm.run("salloc", "--nodes=2", "sh", "-c", script, timeout=120)
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in Path(slurm.folder).glob("[0-9].out")]
    assert len(records) == 3
    for record in records:
        assert [node["name"] for node in record["nodes"]] == ["h1", "h2"]
        assert record["problems"] == []


def test_a_cancelled_probe_leaves_nothing_in_the_folders(slurm, tmp_path):
    script = f"[ $SLURM_NODEID = 1 ] || exec {sys.executable} -m cluster.probe --wait 100 --folder data={tmp_path}"
    command = ["srun", "--nodes=2", "--job-name=cancelled", "sh", "-c", script]
    job = subprocess.Popen(command, env=slurm.environment, cwd=slurm.folder, stdout=subprocess.DEVNULL)
    while not list(tmp_path.iterdir()):
        assert job.poll() is None
        time.sleep(0.05)
    slurm.output("scancel", "--name=cancelled")
    job.wait(timeout=60)
    assert list(tmp_path.iterdir()) == []
