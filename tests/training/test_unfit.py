"""A node that is not fit to train is found before the ranks start, and the verdict says so."""

import json
import os
import subprocess

import pytest


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 MiB with next to nothing free."""
    if os.geteuid() != 0:
        pytest.skip("a file system of our own needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        (disk / "filling").write_bytes(bytes(60 << 20))
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_stops_the_start_with_the_way_out(muster, recipe_of, full_disk):
    recipe, run = recipe_of(), full_disk / "run"
    refused = muster("train", recipe, "--run", run)
    assert refused.code == 75, refused.err
    assert "Not fit to train" in refused.err
    assert str(run) in refused.err
    assert "launch.health=warn" in refused.err
    verdict = json.loads((run / "verdict.json").read_bytes())
    assert (verdict["verdict"], verdict["exit_code"]) == ("infrastructure", 75)
    assert not (run / "checkpoints").exists()
    warned = muster("resume", run, "launch.health=warn")
    assert warned.code == 0, warned.err
    assert "started all the same" in warned.err
