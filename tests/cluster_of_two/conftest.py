"""Batch jobs that train."""

import sys
from pathlib import Path

import pytest

from tests.cluster_of_two.job import Job

SCRIPT = Path(__file__).parents[2] / "slurm" / "train.sbatch"


@pytest.fixture
def submit(slurm, tmp_path):
    """Submits `slurm/train.sbatch RECIPE --run FOLDER/NAME ...`; cancels what is left at the end."""
    jobs = []
    program = tmp_path / "muster"
    program.write_text(f'#!/bin/bash\nexec {sys.executable} -m launch "$@"\n')
    program.chmod(0o755)

    def call(recipe, *words, nodes=2, options=(), name="run", folder=None):
        run, log = Path(folder or tmp_path) / name, tmp_path / f"{name}.out"
        command = ("sbatch", "--parsable", f"--nodes={nodes}", f"--output={log}", *options, SCRIPT)
        number = slurm.output(*command, recipe, "--run", run, *words, MUSTER=str(program)).strip()
        jobs.append(Job(slurm, number, run, log))
        return jobs[-1]

    yield call
    for job in jobs:
        slurm.run("scancel", job.number)
