"""What `muster submit` hands to Slurm, checked for all that can be known to be wrong before Slurm is asked."""

import argparse
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.config.load import from_toml_with, open_recipe
from cluster.config.packages import require_packages
from cluster.errors import PlanError, RecipeError, RunError
from cluster.runs import RunFolder, is_reserved, open_run, read_json, state_at_rest
from launch import check, commands, local
from launch.jobs import scheduler
from launch.jobs.arrays import PLACE, tasks_of
from launch.live.state import conditions

HERE = Path(__file__).parents[1]
SCRIPTS = (HERE / "slurm", HERE.parent / "slurm")
"""Where the batch scripts are: inside the package once it is installed, at the top of a copy of the source."""
OURS = {
    "--nodes": "-N", "--time": "-t", "--array": "-a", "--output": "-o", "--error": "-e", "--chdir": "-D",
    "--ntasks": "-n", "--ntasks-per-node": "", "--open-mode": "", "--parsable": "", "--wrap": "",
    "--clusters": "-M", "--wait": "-W", "--test-only": "",
}  # fmt: skip
"""Options of sbatch that would contradict what muster says for the job; short forms beside."""
ASKED_OF_US = ("--nodes", "--time", "--array")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One job, or an array of them."""

    name: str
    """What Slurm calls the job."""
    recipe: str
    overrides: Sequence[str]
    nodes: int
    time: str
    array: str
    run: str
    """The run folder as it was written, with {task} in an array."""
    runs: Mapping[str, RunFolder]
    """By the number of the task; "" where there is no array."""
    options: Sequence[str]
    """For sbatch, as the user wrote them."""
    muster: Path
    script: Path

    @property
    def command(self) -> list[str]:
        """The exact command line of sbatch."""
        log = f"{self.run.replace(PLACE, '%a')}/logs/job-{'%A_%a' if self.array else '%j'}.log"
        return [
            "sbatch", "--parsable", f"--job-name={self.name}", f"--nodes={self.nodes}",
            *([f"--time={self.time}"] if self.time else []), *([f"--array={self.array}"] if self.array else []),
            f"--output={log}", *self.options,
            str(self.script), self.recipe, *self.overrides, "--run", self.run,
        ]  # fmt: skip

    @property
    def lines(self) -> list[str]:
        """The same for a person's shell: folders first, since Slurm makes none for a job's output."""
        folders = shlex.join(str(run.logs) for run in self.runs.values())
        return [f"mkdir -p {folders}", f"MUSTER={shlex.quote(str(self.muster))} {shlex.join(self.command)}"]


def request_of(options: argparse.Namespace) -> Request:
    """From the command line. Raises MusterError."""
    _check_options(options.sbatch)
    if (Path(options.recipe) / "run.json").is_file():
        return _to_go_on(options)
    tasks = [str(task) for task in tasks_of(options.array)] if options.array else [""]
    name = Path(options.recipe).stem
    run = options.run or f"runs/{name}{f'-{PLACE}' if options.array else ''}"
    _check_places(options.overrides, run, options.array)
    _check_recipes(options.recipe, options.overrides, tasks)
    runs = {task: RunFolder(Path(run.replace(PLACE, task))) for task in tasks}
    for folder in runs.values():
        _refuse_taken(folder)
    return _request(options, name, options.recipe, run, runs)


def _to_go_on(options: argparse.Namespace) -> Request:
    """With a run that was stopped: in a job, `muster train` resumes a run of the same recipe."""
    run = open_run(Path(options.recipe))
    if options.run or options.array:
        raise PlanError(f"{run.path} is a run to go on with: it keeps its folder (no --run), and is one (no --array).")
    from_toml_with(run.recipe.read_text(encoding="utf-8"), options.overrides, str(run.recipe))
    (found,) = conditions([run])
    if found.is_going or found.state == "finished":
        told = f": {found.detail}" if found.detail else ""
        raise RunError(f"{run.path} is {found.state}{told}. There is nothing to submit.")
    _check_places(options.overrides, options.recipe, "")
    return _request(options, run.path.name, str(run.recipe), str(run.path), {"": run})


def _request(options: argparse.Namespace, name: str, recipe: str, run: str, runs: Mapping[str, RunFolder]) -> Request:
    return Request(
        name=name,
        recipe=recipe,
        overrides=options.overrides,
        nodes=options.nodes,
        time=options.time,
        array=options.array,
        run=run,
        runs=runs,
        options=options.sbatch,
        muster=_program(),
        script=next(folder / "train.sbatch" for folder in SCRIPTS if (folder / "train.sbatch").is_file()),
    )


def _check_options(given: Sequence[str]) -> None:
    """Raises PlanError for an option of sbatch that is muster's to give."""
    for word in given:
        for long, short in OURS.items():
            if word.partition("=")[0] == long or (short and not word.startswith("--") and word.startswith(short)):
                way_out = f"give {long} before the --" if long in ASKED_OF_US else "leave it out"
                raise PlanError(f"{word}: muster submit sets {long} of sbatch itself; {way_out}.")


def _check_places(overrides: Sequence[str], run: str, array: str) -> None:
    """Raises PlanError where {task} is missing, or means nothing, and for a folder that a job's log cannot be in."""
    if "%" in run or "\\" in run:  # sbatch.html, "filename pattern"
        raise PlanError(f"--run {run}: Slurm gives % and \\ a meaning in the name of a job's log. Choose another name.")
    placed = any(PLACE in word for word in overrides)
    if (placed or PLACE in run) and not array:
        raise PlanError(f"{PLACE} stands for the number of a task: give the numbers, as in --array 1-3.")
    if array and PLACE not in run:
        raise PlanError(f"--run {run}: each task of an array has a run of its own, as in --run {run}-{PLACE}")
    if array and not placed:
        local.say(f"every task trains the same: {PLACE} in a setting makes them differ, as in train.seed={PLACE}")


def _check_recipes(recipe: str, overrides: Sequence[str], tasks: Sequence[str]) -> None:
    """Raises what `muster check` would, for the first task whose recipe does not hold."""
    differ = any(PLACE in word for word in overrides)
    sources = []
    for task in tasks if differ else tasks[:1]:
        own = [word.replace(PLACE, task) for word in overrides]
        try:
            loaded = open_recipe(recipe, own)
            require_packages(loaded.recipe)
        except (RecipeError, PlanError) as error:
            raise type(error)(f"Task {task}: {error}" if differ else str(error)) from error
        for note in loaded.notes if task == tasks[0] else ():
            local.say(note)
        if loaded.recipe.data not in sources:
            sources.append(loaded.recipe.data)
            check.check_sources(loaded.recipe, recipe, own)


def _refuse_taken(run: RunFolder) -> None:
    """Raises RunError if the folder is a run's, or that of a job which is still to begin."""
    if state_at_rest(run) in ("created", "interrupted"):
        (found,) = conditions([run])
        raise RunError(
            f"{run.path} holds a run that is {found.state}. Go on with it as a job: muster submit {run.path}; on this "
            f"machine: muster resume {run.path}. Begin another with --run DIR."
        )
    if not (run.job.exists() and is_reserved(run)):
        if not is_reserved(run):
            commands.refuse_taken(run)
        return
    job = job_of(run)
    queue = scheduler.queue([job])
    if queue.unknown or job in queue.jobs:  # the folder of a job that is over and never began is free
        state = queue.jobs[job].state.lower() if job in queue.jobs else f"its state is unknown: {queue.unknown}"
        raise RunError(
            f"{run.path} is reserved for job {job} ({state}): see `muster status {run.path}`, or end it with "
            f"`muster stop {run.path}`. Begin another with --run DIR."
        )


def job_of(run: RunFolder) -> str:
    """The job that a run belongs to, as Slurm writes it; empty if it belongs to none. Raises RunError."""
    job = read_json(run.job) if run.job.exists() else {}
    return str(job.get("array") or job.get("job") or "")


def _program() -> Path:
    """The `muster` that the job is to use: this one. Raises PlanError if it is not installed."""
    called, beside, found = Path(sys.argv[0]), Path(sys.executable).with_name("muster"), shutil.which("muster")
    if called.name == "muster" and called.is_file():
        return called.absolute()
    if beside.is_file():
        return beside
    if found is None:
        raise PlanError("A job starts the program `muster`, which is not installed here: pip install . does that.")
    return Path(found).absolute()
