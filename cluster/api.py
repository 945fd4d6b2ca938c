"""muster from a script or a notebook: the steps of `muster train`, one by one (docs/python.md).

from cluster import api

recipe = api.load("sentiment", ["train.epochs=2"])
prepared = api.prepare(recipe)
run = api.fit(recipe, "runs/notebook")
api.Predictor(run).predict(["a warm, funny film"])
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from cluster.config.load import load, to_toml
from cluster.config.schema import Recipe
from cluster.data.manifest import open_prepared
from cluster.data.order import Order, OrderSettings
from cluster.data.shards import ShardReader
from cluster.errors import (
    EXIT_CHECKPOINTED,
    EXIT_DO_NOT_REQUEUE,
    EXIT_DONE,
    EXIT_WRONG_INPUT,
    InfrastructureError,
    Interrupted,
    MusterError,
    RunError,
    TrainingError,
)
from cluster.loader import LoadedStep, StepLoader
from cluster.predictor import Predictor
from cluster.prepare import prepare as prepare_data
from cluster.prepare import to_stderr
from cluster.runs import RunFolder, create_run, open_run, read_json, run_state
from cluster.tasks.build import build_task

__all__ = ["Predictor", "fit", "load", "prepare", "resume", "scores", "steps"]

Record = dict[str, Any]
SECONDS_BETWEEN_LOOKS = 0.1


def prepare(recipe: Recipe) -> Path:
    """The prepared folder of a recipe's data: made if it is not there yet. Raises DataError, RecipeError."""
    return prepare_data(recipe, to_stderr)


def steps(
    recipe: Recipe, prepared: Path, *, first: int = 0, last: int | None = None, rank: int = 0, ranks: int = 1
) -> Iterator[LoadedStep]:
    """What one rank of so many gets of each step of training, from step `first` up to, not including, `last` (default:
    the end of the first epoch), as tensors on the CPU: the very batches that `fit` trains on.

    A later `first` costs no more than 0. Raises DataError, RunError.
    """
    reader = ShardReader(prepared, "train")
    order = Order(OrderSettings.of(recipe, padded=not reader.weighted), reader.lengths)
    weigh = build_task(recipe.task, open_prepared(prepared)).weight
    position = order.at(first)
    loader = StepLoader(
        reader,
        order,
        position,
        order.steps_per_epoch(0) if last is None else last,
        rank=rank,
        ranks=ranks,
        fuse_tokens=recipe.train.micro_batch_tokens,
        device=torch.device("cpu"),
        weigh=weigh,
    )
    with loader:
        yield from loader


def fit(recipe: Recipe, run: str | Path, show: Callable[[Record], None] | None = None) -> Path:
    """Train a new run, as `muster train` does, in processes of its own; returns its folder.

    `show` gets every record of `metrics.jsonl` as it is written. Ctrl-C (or a notebook's stop) saves a checkpoint and
    raises Interrupted; `resume` goes on. Raises RecipeError, DataError, RunError for wrong input, TrainingError,
    InfrastructureError.
    """
    folder = RunFolder(Path(run))
    if run_state(folder) != "absent":
        raise RunError(f"{run} holds a run already ({run_state(folder)}): go on with it by resume(), or name another.")
    prepared = prepare(recipe)
    create_run(folder, to_toml(recipe), prepared)
    return _attempt(folder, show)


def resume(run: str | Path, show: Callable[[Record], None] | None = None) -> Path:
    """Go on with a run that was stopped or killed. Raises as `fit` does."""
    folder = open_run(Path(run))
    return folder.path if run_state(folder) == "finished" else _attempt(folder, show)


def scores(run: str | Path) -> dict[str, Any]:
    """The scores of a finished run on its test split, as `muster evaluate --json` prints them. Raises RunError."""
    return read_json(open_run(Path(run)).evaluation)


def _attempt(run: RunFolder, show: Callable[[Record], None] | None) -> Path:
    shown = run.metrics.stat().st_size if run.metrics.exists() else 0
    process = subprocess.Popen(
        [sys.executable, "-m", "cluster.agent", "train", str(run.path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
    )
    try:
        while process.poll() is None:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            shown = _show_new(run.metrics, shown, show)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
    code = process.wait()
    _show_new(run.metrics, shown, show)
    return _ended(run, code)


def _show_new(path: Path, shown: int, show: Callable[[Record], None] | None) -> int:
    """Hand on the whole lines behind `shown` bytes; returns where they end."""
    if show is None or not path.exists():
        return shown
    with open(path, "rb") as file:
        file.seek(min(shown, path.stat().st_size))  # a resume cuts the file back
        start = file.tell()
        whole, end, _ = file.read().rpartition(b"\n")
    for line in whole.splitlines():
        show(json.loads(line))
    return start + len(whole) + len(end)


def _ended(run: RunFolder, code: int) -> Path:
    """The folder of a run that is done; else what went wrong, as an exception."""
    if code == EXIT_DONE:
        return run.path
    said = str(read_json(run.verdict).get("message", "")) if run.verdict.exists() else f"exit code {code}"
    errors: dict[int, type[MusterError]] = {
        EXIT_CHECKPOINTED: Interrupted,
        EXIT_WRONG_INPUT: RunError,
        EXIT_DO_NOT_REQUEUE: TrainingError,
    }
    raise errors.get(code, InfrastructureError)(f"{said} (api.resume({str(run.path)!r}) goes on)")
