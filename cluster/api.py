"""muster from a script or a notebook: the steps of `muster train`, one by one (docs/python.md).

from cluster import api

recipe = api.load("sentiment", ["train.epochs=2"])
prepared = api.prepare(recipe)
run = api.fit(recipe, "runs/notebook")
api.Predictor(run).predict(["a warm, funny film"])
"""

import json
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cluster.config.load import load, to_toml
from cluster.config.packages import require_packages
from cluster.config.schema import Recipe
from cluster.config.traits import reads
from cluster.data.inspect import refuse_impossible
from cluster.data.manifest import Manifest
from cluster.data.order import Order, OrderSettings
from cluster.data.reading import reader_of
from cluster.errors import (
    EXIT_CHECKPOINTED,
    EXIT_DO_NOT_REQUEUE,
    EXIT_DONE,
    EXIT_INFRASTRUCTURE,
    EXIT_WRONG_INPUT,
    DataError,
    InfrastructureError,
    InputError,
    Interrupted,
    MusterError,
    PlanError,
    RunError,
    TrainingError,
)
from cluster.loader import LoadedStep, StepLoader, fuse_tokens
from cluster.plan.placement import loader_threads
from cluster.plan.plan import Machine, make_plan
from cluster.predictor import Predictor
from cluster.processes import SUPERVISOR, Follower, Record, Words, attend, ending, kill, start
from cluster.runs import RunFolder, create_run, open_run, read_json, run_state
from cluster.tasks.build import build_task

__all__ = ["Predictor", "fit", "load", "prepare", "resume", "scores", "steps"]

Show = Callable[[Record], None]
SAYS = "muster: "  # how our programs begin what is meant for people
ERRORS: dict[int, type[MusterError]] = {
    EXIT_CHECKPOINTED: Interrupted,
    EXIT_WRONG_INPUT: InputError,
    EXIT_INFRASTRUCTURE: InfrastructureError,
    EXIT_DO_NOT_REQUEUE: TrainingError,
}


def prepare(recipe: Recipe) -> Path:
    """The prepared folder of a recipe's data: made if it is not there yet, in processes of its own.

    Raises InputError, InfrastructureError; Interrupted after Ctrl-C: what was finished is kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.toml"
        path.write_text(to_toml(recipe), encoding="utf-8")
        ended = _to_its_end("cluster.prepare", [str(path)], "the preparation", lambda: None)
    if ended.was_asked:  # even if it was done just then: whoever pressed Ctrl-C does not want what comes next
        raise Interrupted("Preparation was stopped. What is finished is kept: the same call goes on.")
    if ended.code == EXIT_DONE:
        return Path(json.loads(ended.answer.strip().rpartition("\n")[2])["prepared"])
    raise ERRORS.get(ended.code, MusterError)(ended.message)


def steps(
    recipe: Recipe, prepared: str | Path, *, first: int = 0, last: int | None = None, rank: int = 0, ranks: int = 1
) -> Iterator[LoadedStep]:
    """What one rank of so many gets of each step of training, from step `first` up to, not including, `last` (default:
    the end of the first epoch), as tensors on the CPU: the very batches that `fit` trains on.

    A later `first` costs no more than 0. Raises DataError, PlanError, at the call.
    """
    reader = reader_of(Path(prepared), "train", recipe)
    _refuse_other_data(recipe, reader.manifest)
    order = Order(OrderSettings.of(recipe, padded=not reader.weighted), reader.lengths, reader.planned_tokens)
    end = order.steps_per_epoch(0) if last is None else last
    if last is None and first >= end:
        raise PlanError(f"first is {first}, but the first epoch ends before step {end}: say with last where to end.")
    refuse_impossible(recipe, ranks, first, end)
    if not 0 <= rank < ranks:
        raise PlanError(f"rank {rank} is outside 0..{ranks - 1}: with ranks={ranks} the first is 0.")
    loader = StepLoader(
        reader,
        order,
        order.at(first),
        end,
        rank=rank,
        ranks=ranks,
        fuse_tokens=fuse_tokens(recipe.train),
        device=torch.device("cpu"),
        weigh=build_task(recipe, reader.manifest).weight,
        threads=loader_threads(recipe.train, "cpu", threads=1),
    )
    return _loaded(loader)


def _refuse_other_data(recipe: Recipe, manifest: Manifest) -> None:
    """Raises DataError for data that was prepared for another task, or for models that read it otherwise."""
    wanted, found = (recipe.task.kind, reads(recipe.model)), (manifest.task, manifest.layout)
    if wanted != found:
        raise DataError(
            f"{manifest.folder} was prepared for task.kind={found[0]} and a model that reads a {found[1]}; the recipe "
            f"has task.kind={wanted[0]} and reads a {wanted[1]}: take the folder that api.prepare(recipe) returns."
        )


def _loaded(loader: StepLoader) -> Iterator[LoadedStep]:
    with loader:
        yield from loader


def fit(recipe: Recipe, run: str | Path, show: Show | None = None) -> Path:
    """Train a new run, as `muster train` does, in processes of its own; returns its folder.

    `show` gets every record of `metrics.jsonl` as it is written. Ctrl-C (or a notebook's stop) saves a checkpoint and
    raises Interrupted; `resume` goes on. A second one kills. What `show` raises also stops the run with a checkpoint,
    and passes through. Raises InputError (RecipeError, DataError, DeviceError, PlanError, RunError), TrainingError,
    InfrastructureError.
    """
    folder = RunFolder(Path(run))
    if run_state(folder) != "absent":
        raise RunError(f"{run} holds a run already ({run_state(folder)}): go on with it by resume(), or name another.")
    # Refuses now what the agent would refuse after the preparation. More than the number of GPUs is not asked: that
    # would set CUDA up in this process.
    make_plan(recipe, Machine(cores=1, gpus=torch.cuda.device_count(), gpu_name="", bfloat16_gains=False))
    require_packages(recipe)
    prepared = prepare(recipe)
    create_run(folder, to_toml(recipe), prepared)
    return _attempt(folder, show)


def resume(run: str | Path, show: Show | None = None) -> Path:
    """Go on with a run that was stopped or killed; `show` gets what is new. Raises as `fit` does."""
    folder = open_run(Path(run))
    match run_state(folder):
        case "finished":
            return folder.path
        case "running":
            raise RunError(f"{run} is being trained by another process: wait for it, or stop it first.")
        case _:
            return _attempt(folder, show)


def scores(run: str | Path) -> dict[str, Any]:
    """The scores of a finished run on its test split: what `muster evaluate --json` prints, and beside it the name of
    the split and the step of the weights. Raises RunError."""
    folder = open_run(Path(run))
    if folder.evaluation.exists():
        return read_json(folder.evaluation)
    if run_state(folder) == "finished":
        raise RunError(
            f"{run} has no test split (data.test is none): `muster evaluate {run} --data FILE` scores it on a file."
        )
    raise RunError(f"{run} has not finished (it is {run_state(folder)}): api.resume({str(run)!r}) goes on with it.")


def _attempt(run: RunFolder, show: Show | None) -> Path:
    """See a run through: its folder if it is done. Raises as `fit` does."""
    first = run.attempts()
    follower, waiting = Follower(run.metrics), deque[Record]()
    follower.new()  # what earlier attempts wrote has been shown

    def look() -> None:
        if show is not None:
            waiting.extend(follower.new())
            while waiting:  # one by one: Ctrl-C between two loses none
                show(waiting.popleft())

    ended = _to_its_end("cluster.supervise", [str(run.path)], SUPERVISOR, look)
    return _done(run, ended.code, _verdict(run, first) or ended.message)


class _Ended(NamedTuple):
    """How one of our programs ended."""

    code: int
    message: str  # its last
    answer: str  # its standard output
    was_asked: bool  # to stop, by Ctrl-C


def _to_its_end(module: str, arguments: list[str], who: str, look: Callable[[], None]) -> _Ended:
    """Run one of our programs. What it says is passed on; `look` is called a few times a second.

    A process of its own: what prepares or trains starts others, which would run a script's own lines again
    (docs.python.org/3/library/multiprocessing.html, "Safe importing of main module").
    """
    asked, said = list[int](), list[str]()
    with Words() as words, Words() as answer:

        def listen() -> None:
            for line in words.new():
                said.append(line)
                print(line, file=sys.stderr, flush=True)

        def listen_and_look() -> None:
            listen()
            look()

        process = start(module, arguments, stdout=answer.file, stderr=words.file)
        try:
            attend(process, listen_and_look)
        except BaseException as error:  # Ctrl-C, or what `show` raised: nobody would be left to own it
            # SIGTERM: a SIGINT is ignored in what a shell runs in the background, and leaves a traceback of imports.
            asked.append(signal.SIGTERM)
            process.terminate()
            attend(process, listen)
            if not isinstance(error, KeyboardInterrupt):
                raise
            look()
        finally:  # a second Ctrl-C
            kill(process)
            process.wait()
        code, killed = ending(process.returncode, who, asked)
        return _Ended(code, killed or _last_words(said, who, code), answer.rest(), bool(asked))


def _verdict(run: RunFolder, first: int) -> str:
    """The message of the last verdict, "" if no attempt from `first` on has one: it was refused, or ended, before it
    began."""
    verdict = read_json(run.verdict) if run.verdict.exists() else {}
    return str(verdict["message"]) if verdict.get("attempt", -1) >= first else ""


def _last_words(said: list[str], who: str, code: int) -> str:
    """The last message of a program; whatever came last, if it is none of ours."""
    starts = [index for index, line in enumerate(said) if line.startswith(SAYS)]
    if starts:
        return "\n".join(said[starts[-1] :]).removeprefix(SAYS)
    return f"{who} ended with exit code {code}: {said[-1] if said else 'it said nothing'}"


def _done(run: RunFolder, code: int, message: str) -> Path:
    """The folder of a run that is done; else what went wrong, as an exception."""
    if code == EXIT_DONE:
        return run.path
    goes_on = f" (api.resume({str(run.path)!r}) goes on)" if code in (EXIT_CHECKPOINTED, EXIT_INFRASTRUCTURE) else ""
    raise ERRORS.get(code, MusterError)(message + goes_on)
