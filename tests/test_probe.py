"""`python -m cluster.probe` on one node: what it prints, keeps, and refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.topology.node import cluster_from_json

ROOT = Path(__file__).parents[1]


@pytest.fixture
def probe(tmp_path):
    def call(*options, code=0, command=("-m", "cluster.probe"), **environment):
        outer = ("SLURM", "RANK", "LOCAL_RANK", "WORLD_SIZE")
        kept = {name: words for name, words in os.environ.items() if not name.startswith(outer)}
        done = subprocess.run(
            [sys.executable, *command, *map(str, options)],
            cwd=tmp_path,
            env=kept | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done

    return call


def test_one_document_on_standard_output_and_nothing_else(probe):
    done = probe("--json")
    cluster = cluster_from_json(json.loads(done.stdout), "the test")
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""
    (node,) = cluster.nodes
    assert (cluster.missing, cluster.problems) == ((), ())
    assert cluster.probed.endswith("+00:00") and node.probe_seconds > 0
    assert json.loads(probe().stdout).keys() == json.loads(done.stdout).keys()  # without --json just so


def test_the_folders_that_it_looks_at(probe, tmp_path):
    done = probe(
        "--folder", f"data={tmp_path}/texts", "--folder", "scratch=.", MUSTER_CACHE="/elsewhere", TMPDIR="/tmp"
    )
    (node,) = json.loads(done.stdout)["nodes"]
    assert {storage["role"]: storage["path"] for storage in node["storage"]} == {
        "data": f"{tmp_path}/texts",
        "runs": f"{tmp_path}/runs",
        "temporary": "/tmp",
        "scratch": str(tmp_path),
    }
    (node,) = json.loads(probe(MUSTER_CACHE=f"{tmp_path}/cache").stdout)["nodes"]
    assert [storage["path"] for storage in node["storage"] if storage["role"] == "data"] == [f"{tmp_path}/cache"]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--folder", "data"], "ROLE=PATH"),
        (["--folder", "=x"], "ROLE=PATH"),
        (["--wait", "soon"], "seconds are a number"),
        (["--wait", "-1"], "seconds are a number"),
        (["--wait", "nan"], "seconds are a number"),
        (["--record", "a", "--replay", "b"], "not allowed with"),
        (["n1"], "unrecognized arguments"),
    ],
)
def test_what_it_does_not_understand_is_wrong_input(probe, options, words):
    done = probe(*options, code=2)
    assert words in done.stderr and done.stdout == ""


def test_a_launcher_that_contradicts_itself_is_wrong_input(probe):
    torchrun = {"RANK": "4", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    done = probe(code=2, **torchrun)
    assert "rank 4 of 2" in done.stderr and "Traceback" not in done.stderr


def test_a_recording_tells_the_same_elsewhere(probe, tmp_path):
    first = json.loads(probe("--record", tmp_path / "machine.json").stdout)["nodes"][0]
    kept = json.loads((tmp_path / "machine.json").read_text())
    assert kept["about"].startswith("real: ") and "names /sys/class/net" in kept["answers"]
    second = json.loads(probe("--replay", tmp_path / "machine.json").stdout)["nodes"][0]
    assert second["network"] == first["network"] and second["name"] == first["name"]


def test_a_file_that_is_no_recording_is_wrong_input(probe, tmp_path):
    (tmp_path / "x.json").write_text("[]")
    assert "holds no" in probe("--replay", tmp_path / "x.json", code=2).stderr
    assert "cannot be read" in probe("--replay", tmp_path / "none.json", code=2).stderr
    assert "--record" in probe("--record", tmp_path / "no folder" / "x.json", code=2).stderr


def test_facts_need_neither_torch_nor_spacy(probe):
    words = "import sys; from cluster import probe; probe.main([]); print({'torch', 'spacy'} & set(sys.modules))"
    assert probe(command=("-c", words)).stdout.splitlines()[-1] == "set()"


def test_a_reader_who_leaves_is_no_fault(tmp_path):
    script = f"{sys.executable} -m cluster.probe | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
