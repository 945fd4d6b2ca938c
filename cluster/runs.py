"""Where everything of a run lies: every path, once."""

import contextlib
import datetime
import fcntl
import importlib.metadata
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster.errors import DataError, RunError

FORMAT = 1
RunState = Literal["absent", "created", "interrupted", "running", "finished"]


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: names only, but for the two methods that list what is there."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.toml"

    @property
    def record(self) -> Path:
        """What the run is made from: prepared data, version of muster."""
        return self.path / "run.json"

    @property
    def plan(self) -> Path:
        """What the bits depend on (ranks, threads, precision), fixed at the first start."""
        return self.path / "plan.json"

    @property
    def topology(self) -> Path:
        """The record of the machines that the last attempt ran on (`muster probe`); each checkpoint has its own."""
        return self.path / "topology.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: every logged step, every evaluation."""
        return self.path / "metrics.jsonl"

    @property
    def verdict(self) -> Path:
        """How the last attempt ended."""
        return self.path / "verdict.json"

    @property
    def history(self) -> Path:
        """One JSON object a line: how each attempt ended, and what followed from it."""
        return self.path / "attempts.jsonl"

    @property
    def alive(self) -> Path:
        """Signs of life: rewritten about once a second while the run is attempted, removed at the end."""
        return self.path / "alive.json"

    @property
    def job(self) -> Path:
        """The Slurm job that this run belongs to, if there is one."""
        return self.path / "job.json"

    @property
    def reserve(self) -> Path:
        """Room for the last words, if the disk fills up: see `cluster/data/reserve.py`."""
        return self.path / "reserve"

    @property
    def stop_request(self) -> Path:
        """What `muster stop` asks for, `checkpoint` or `now`; gone once it is obeyed."""
        return self.path / "stop"

    @property
    def evaluation(self) -> Path:
        """The scores on the test split, written once at the end."""
        return self.path / "evaluation.json"

    @property
    def predictions(self) -> Path:
        """What the model said of each document of the test split."""
        return self.path / "predictions.npz"

    @property
    def model(self) -> Path:
        """All that `predict` needs."""
        return self.path / "model"

    @property
    def weights(self) -> Path:
        return self.model / "weights.safetensors"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"{step:06d}"

    @property
    def best(self) -> Path:
        """Weights of the evaluations that were the best so far, one folder a step."""
        return self.path / "best"

    def best_at(self, step: int) -> Path:
        return self.best / f"{step:06d}"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def attempt_logs(self, attempt: int) -> Path:
        return self.logs / f"attempt-{attempt:03d}"

    def job_log(self, job: str) -> Path:
        """What the batch job itself says; `job` as Slurm writes it: 123, or 120_3 in an array."""
        return self.logs / f"job-{job}.log"

    def rank_log(self, attempt: int, rank: int) -> Path:
        """Standard output and standard error of one rank."""
        return self.attempt_logs(attempt) / f"rank-{rank}.log"

    def rank_failure(self, attempt: int, rank: int) -> Path:
        """What a rank says of its own end, if it failed, as JSON."""
        return self.attempt_logs(attempt) / f"rank-{rank}.failure.json"

    def rank_stack(self, attempt: int, rank: int) -> Path:
        """The Python stacks of a rank's threads, if the attempt did not get on."""
        return self.attempt_logs(attempt) / f"rank-{rank}.stack.txt"

    def rank_collectives(self, attempt: int, rank: int) -> Path:
        """The collective that a rank was in, if the attempt did not get on, as JSON."""
        return self.attempt_logs(attempt) / f"rank-{rank}.collectives.json"

    def attempts(self) -> int:
        """How many attempts have been started."""
        if not self.logs.is_dir():
            return 0
        numbers = [folder.name.removeprefix("attempt-") for folder in self.logs.glob("attempt-*")]
        return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)

    def checkpoint_steps(self) -> list[int]:
        """Steps of the committed checkpoints, oldest first (a folder still being written has a suffix)."""
        if not self.checkpoints.is_dir():
            return []
        return sorted(int(p.name) for p in self.checkpoints.iterdir() if p.is_dir() and p.name.isdigit())


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object from a file. Raises RunError if it is not there or not whole."""
    try:
        contents = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): is {path.parent} a run of muster?") from error
    except ValueError as error:
        raise RunError(f"{path} is not whole JSON ({error}): restore it from a copy, or begin a new run.") from error
    if not isinstance(contents, dict):
        raise RunError(
            f"{path} holds {type(contents).__name__}, not a JSON object: restore it from a copy, or begin a new run."
        )
    return contents


def create_run(run: RunFolder, recipe_toml: str, prepared: Path) -> None:
    """Make a new run in a folder of its own, which may be reserved for its job already.

    Raises RunError if the folder holds anything else, or cannot be written.
    """
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        if any(run.path.iterdir()) and not is_reserved(run):
            raise RunError(f"{run.path} is not empty; a new run needs a folder of its own: choose one with --run DIR.")
        run.recipe.write_text(recipe_toml)
        record = {
            "format": FORMAT,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "version": importlib.metadata.version("muster-train"),
            "prepared": str(prepared.resolve()),
        }
        run.record.write_text(json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise RunError(
            f"The run folder {run.path} cannot be written ({error.strerror}). Choose another with --run DIR."
        ) from error


def is_reserved(run: RunFolder) -> bool:
    """Does the folder hold what `muster submit` makes for a job that has not begun, and nothing else?

    That is job.json, and logs/ with the log of the job; of a job that is very quick, the log may be there first.
    """
    try:
        names = {path.name for path in run.path.iterdir()}
        logs = [path.name for path in run.logs.iterdir()] if run.logs.name in names else []
    except (FileNotFoundError, NotADirectoryError):
        return False
    ours = all(name.startswith("job-") for name in logs)
    return bool(names) and names <= {run.job.name, run.logs.name} and ours


def open_run(path: Path) -> RunFolder:
    """The run in a folder. Raises RunError if there is none, or one of another format."""
    run = RunFolder(path)
    if not path.is_dir():
        raise RunError(f"There is no run at {path}: `muster train RECIPE --run {path}` would start one.")
    if not run.record.exists():
        raise RunError(
            f"{path} is no run of muster, it holds no {run.record.name}: name the folder of a run, "
            "or start one with `muster train RECIPE --run DIR`."
        )
    record = read_json(run.record)
    if record.get("format") != FORMAT:
        raise RunError(
            f"{run.record} has format {record.get('format')}, this version of muster reads {FORMAT}: "
            "continue it with the version that began it."
        )
    if not isinstance(record.get("prepared"), str):
        raise RunError(
            f"{run.record} does not name the folder of its data (prepared is {record.get('prepared')!r}): "
            "restore it from a copy, or begin a new run."
        )
    return run


def model_folder(run: Path) -> Path:
    """The `model/` folder of a finished run, or the folder itself if it is one. Raises RunError."""
    if (run / "model.json").is_file():
        return run
    opened = open_run(run)
    if not opened.model.is_dir():
        raise RunError(f"{run} has no model yet, it is {run_state(opened)}: `muster resume {run}` finishes it.")
    return opened.model


def prepared_folder(named: Path) -> Path:
    """A folder of prepared data itself, or the one that a run was made from. Raises DataError, RunError."""
    if not named.is_dir():
        raise DataError(f"{named} is no folder: name one that `muster prepare` printed, or a run.")
    run = RunFolder(named)
    return Path(str(read_json(run.record).get("prepared"))) if run.record.exists() else named


def run_state(run: RunFolder) -> RunState:
    """What has become of a run, judged by its folder alone. Holds it for a moment: not for those who look often."""
    return "running" if run.record.exists() and _is_locked(run) else state_at_rest(run)


def state_at_rest(run: RunFolder) -> RunState:
    """The same without a look at whether somebody is at it."""
    if not run.record.exists():
        return "absent"
    # Without its model there is something left to do: a resume writes it again from the last checkpoint.
    if run.weights.exists() and (run.evaluation.exists() or _verdict(run) == "done"):
        return "finished"
    return "interrupted" if run.attempts() else "created"


def _verdict(run: RunFolder) -> str:
    return str(read_json(run.verdict).get("verdict")) if run.verdict.exists() else ""


@contextlib.contextmanager
def locked(run: RunFolder) -> Iterator[None]:
    """Hold a run for one attempt. The lock is on the folder itself and goes with the process, however that ends.

    Raises RunError if another process holds it.
    """
    folder = os.open(run.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise RunError(f"{run.path} is being trained by another process: wait for it, or stop it first.") from error
    try:
        yield
    finally:
        os.close(folder)


def _is_locked(run: RunFolder) -> bool:
    try:
        with locked(run):
            return False
    except RunError:
        return True
