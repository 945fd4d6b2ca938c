"""A disk that fills up while a run is under way."""

import os
import subprocess

import pytest

from tests.supervision.test_faults import LONG, Training


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MiB."""
    if os.geteuid() != 0:
        pytest.skip("a file system of our own needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk):
    """To the last byte."""
    with open(disk / "filling", "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_it_is_said_and_the_run_goes_on_once_there_is_room(recipe_of, muster, small_disk):
    model, launch = {"factory": "tests.models.own:build_unhurried"}, {"device": "cpu", "ranks": 2, "health": "warn"}
    recipe = recipe_of("custom", model=model, train=LONG | {"steps": 200}, launch=launch)
    run = small_disk / "run"
    one = Training(recipe, run, "launch.attempts=2", log=small_disk.parent / "said")
    one.wait_for(lambda: one.step() >= 25)
    fill(small_disk)
    code, words = one.end()
    assert code == 93 and "Traceback" not in words, words
    first, *_, last = one.history()
    # On a busy machine another end may come first.
    assert any("No space left on device" in past["cause"] and past["cause"] in words for past in one.history())
    assert first["verdict"] == "infrastructure"
    assert one.verdict()["next"] == last["next"] and "given up" in last["next"]
    assert not (run / "reserve").exists()

    (small_disk / "filling").unlink()
    resumed = muster("resume", run, timeout=300)
    assert resumed.code == 0, resumed.err
    assert one.history()[-1]["began_step"] == first["step"] >= 20
    assert one.verdict()["verdict"] == "done"
