"""`muster probe` inside an allocation of a real Slurm: a batch script asks, every node answers."""

import json
import sys

from tests.cluster_of_two.job import Job


def batch(slurm, *words):
    """A batch script on two nodes that runs `muster`; its exit code and what it prints."""
    output = slurm.folder / "batch.out"
    line = " ".join([sys.executable, "-m", "launch", *words])
    number = slurm.output("sbatch", "--parsable", "--nodes=2", f"--output={output}", f"--wrap={line}").strip()
    code, _ = Job(slurm, number, None, output).ended()["ExitCode"].split(":")
    return int(code), output.read_text()


def test_a_batch_script_probes_all_its_nodes(slurm, tmp_path):
    record = tmp_path / "nodes.json"
    code, printed = batch(slurm, "probe", "--save", str(record), "--folder", f"data={tmp_path}")
    assert code == 0, printed
    cluster = json.loads(record.read_bytes())
    assert [node["name"] for node in cluster["nodes"]] == ["h1", "h2"]
    assert cluster["missing"] == []
    assert "probing the 2 nodes" in printed


def test_a_batch_script_checks_all_its_nodes(slurm):
    code, printed = batch(slurm, "check", "--node")
    assert "h1: " in printed
    assert "h2: " in printed
    assert code in (0, 75)
    assert ("--exclude=" in printed) == (code == 75)


def test_tasks_of_a_step_print_one_answer(slurm):
    ended = slurm.srun("launch", "probe", "--json")
    assert ended.returncode == 0, ended.stderr
    assert [node["name"] for node in json.loads(ended.stdout)["nodes"]] == ["h1", "h2"]
