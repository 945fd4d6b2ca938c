"""The batch scripts where there is no Slurm, and where they are found."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "slurm"
TELLS = """#!/bin/bash
printf '%s\\n' "$@"
grep SigIgn /proc/self/status
env | grep -E '^(CUDA_DEVICE_ORDER|PYTHONUNBUFFERED|SRUN_CPUS_PER_TASK)='
"""
USR1 = 1 << (10 - 1)


@pytest.fixture
def tells(tmp_path):
    """A program in the place of muster that tells how it was started."""
    return write_program(tmp_path / "bin" / "muster")


def write_program(path):
    path.parent.mkdir(parents=True)
    path.write_text(TELLS)
    path.chmod(0o755)
    return path


def bash(script, *words, cwd=ROOT, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "MUSTER"))}
    return subprocess.run(
        ["bash", str(script), *words], cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("name", ["train", "prepare", "probe"])
def test_words_arrive_as_they_were_written(tells, name):
    words = ["my recipe.toml", 'model={kind="lstm"}', "train.seed={task}", ""]
    done = bash(SCRIPTS / f"{name}.sbatch", *words, MUSTER=str(tells))
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert "job none" in first and str(tells) in first
    assert lines[:5] == [name, *words]
    assert "PYTHONUNBUFFERED=1" in lines


def test_a_signal_in_the_first_second_does_not_kill(tells):
    done = bash(SCRIPTS / "train.sbatch", MUSTER=str(tells))
    ignored = int(done.stdout.partition("SigIgn:")[2].split()[0], 16)
    assert ignored & USR1


def test_a_task_of_an_array_gets_its_number_and_srun_its_cores(tells):
    job = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_JOB_ID": "12", "SLURM_CPUS_PER_TASK": "4", "SLURM_RESTART_COUNT": "2"}
    done = bash(SCRIPTS / "train.sbatch", "train.seed={task}", "--run", "runs/{task}-{task}", MUSTER=str(tells), **job)
    first, *lines = done.stdout.splitlines()
    assert "job 12 (task 7), restart 2" in first
    assert lines[:4] == ["train", "train.seed=7", "--run", "runs/7-7"]
    assert "SRUN_CPUS_PER_TASK=4" in lines and "CUDA_DEVICE_ORDER=PCI_BUS_ID" in lines


def test_muster_is_found_on_the_path_or_beside_the_script_or_not(tmp_path, tells):
    path = os.pathsep.join([str(tells.parent), "/usr/bin", "/bin"])
    assert str(tells) in bash(SCRIPTS / "train.sbatch", PATH=path).stdout
    copy = tmp_path / "copy"
    shutil.copytree(SCRIPTS, copy / "slurm")
    missing = bash(copy / "slurm" / "train.sbatch", PATH="/usr/bin:/bin", cwd="/")
    assert missing.returncode == 2 and "MUSTER=/path/to/bin/muster" in missing.stderr
    write_program(copy / ".venv" / "bin" / "muster")
    assert (
        bash(copy / "slurm" / "train.sbatch", "sentiment", PATH="/usr/bin:/bin", cwd="/").stdout.count("sentiment") == 1
    )
    wrong = bash(copy / "slurm" / "train.sbatch", PATH=path, MUSTER="/nowhere/muster")
    assert wrong.returncode == 2 and "/nowhere/muster" in wrong.stderr


def test_on_a_workstation_the_script_trains(recipe_of, tmp_path):
    run = tmp_path / "run"
    done = bash(
        SCRIPTS / "train.sbatch", str(recipe_of()), "train.steps=2", "--run", str(run), MUSTER=_muster(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert (run / "model").is_dir() and "finished in" in done.stdout


def _muster(folder):
    """The program as pip would install it."""
    path = folder / "muster"
    path.write_text(f'#!/bin/bash\nexec {sys.executable} -m launch "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_the_scripts_are_found_where_pip_puts_them(tmp_path):
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert built["package-dir"]["launch.slurm"] == "slurm" and "*.sbatch" in built["package-data"]["launch.slurm"]
    for name in ("cluster", "launch"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SCRIPTS, tmp_path / "launch" / "slurm")
    shown = subprocess.run(
        [sys.executable, "-m", "launch", "submit", "sentiment", "--dry-run"],
        cwd="/", env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert f"{tmp_path}/launch/slurm/train.sbatch sentiment" in shown.stdout
