"""A real browser for the pages that muster writes; runs that somebody looks after, and processes beside the test."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.config.load import load, to_toml
from cluster.runs import RunFolder, create_run
from tests.waiting import until

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("stand_in.py")


@pytest.fixture(scope="session")
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no browser: needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture
def run(tmp_path):
    """A run of 40 steps that has been made and not begun."""
    (tmp_path / "prepared").mkdir()
    made = RunFolder(tmp_path / "run")
    create_run(made, to_toml(load("sentiment")), tmp_path / "prepared")
    made.plan.write_text(json.dumps({"ranks": 2, "total_steps": 40}))
    return made


@pytest.fixture
def started():
    """Starts programs that end with the test: started("-m", "launch", "watch", run.path)."""
    processes = []

    def start(*words, **more):
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | more
        command = [sys.executable, *map(str, words)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        processes.append(subprocess.Popen(command, env=environment, text=True, **piped))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def looked_after(run, started):
    """Has a stand-in (stand_in.py) look after the run; returns once it shows."""

    def look_after(steps=40, *how):
        process = started(STAND_IN, run.path, steps, *how)
        until(lambda: run.metrics.exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process

    return look_after
