"""One rank of a training run.

muster train sentiment                                             decides by itself how many ranks to start
torchrun --nproc-per-node 2 -m cluster.train sentiment             two ranks, started by torch's own launcher
torchrun --nproc-per-node 2 -m cluster.train --resume runs/sentiment
torchrun --nproc-per-node 2 -m cluster.train sentiment --run-folder runs/two
python -m cluster.train sentiment train.epochs=1 --run /tmp/try    one rank, no launcher
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from cluster.config.load import from_toml_with, load, to_toml
from cluster.config.schema import Recipe
from cluster.data.durable import write_arrays, write_atomically
from cluster.data.manifest import Manifest, open_prepared
from cluster.data.order import Order, OrderSettings
from cluster.data.pairs import Pairs
from cluster.data.reading import reader_of, said_of
from cluster.errors import Interrupted, MusterError, PlanError, RecipeError, RunError
from cluster.models.build import build_model
from cluster.models.skipgram import whole_gradients
from cluster.plan.memory import parameter_count
from cluster.plan.placement import Placement
from cluster.plan.plan import Plan, describe, keep_stored, make_plan
from cluster.prepare import prepare
from cluster.pulse.phase import Phase
from cluster.runs import RunFolder, create_run, locked, open_run, read_json, run_state
from cluster.supervision.verdict import Ending, verdict_of, write_verdict
from cluster.tasks.build import build_task
from cluster.tasks.rewrite import Rewrite
from cluster.tasks.task import Calibrates
from cluster.training.beginning import begin, keep_frozen_rows
from cluster.training.checkpoint import Checkpoints, TrainState, verify_folder, weights_of, write_tensors
from cluster.training.faults import ATTEMPT, StopFlag, run_rank
from cluster.training.loop import Trainer, fit
from cluster.training.monitor import Monitor, Silent
from cluster.training.optim import build_optimizer
from cluster.training.parallel import World, environment, inner, leave, machine, started, wrapped
from cluster.training.pulse import Pulse
from cluster.training.scoring import evaluate, evaluation_sums
from cluster.training.site import find_out, handed_down, keep_record
from cluster.training.writing import write_split


def main(arguments: list[str] | None = None) -> int:
    """Train one rank to the end, a stop, or an error; the exit code says which (`cluster/errors.py`)."""
    options = _parse(arguments)
    return run_rank(lambda pulse: _train(options, pulse), options.resume)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cluster.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="RECIPE key=value", help="a recipe (name or path), then settings")
    # torchrun takes --run for one of its own options, even behind -m: hence the longer name.
    parser.add_argument("--run", "--run-folder", type=Path, help="folder of the new run (default: runs/RECIPE)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with this run; then only launch.* settings")
    options = parser.parse_intermixed_args(arguments)
    if options.resume is None and not options.words:
        parser.error("name a recipe, or --resume RUN")
    return options


def _train(options: argparse.Namespace, pulse: Pulse) -> None:
    """A run from its folder to its scores."""
    run, recipe = _open(options)
    try:
        _attempt(run, recipe, pulse)
    except MusterError as error:
        if ATTEMPT not in os.environ and environment().rank == 0 and not isinstance(error, Interrupted):
            ending = Ending(verdict=verdict_of(error.exit_code), message=str(error))
            write_verdict(run, ending, attempt=run.attempts() - 1)
        raise


def _attempt(run: RunFolder, recipe: Recipe, pulse: Pulse) -> None:
    """One start of a run's processes, as one of them."""
    prepared = Path(read_json(run.record)["prepared"])
    manifest = open_prepared(prepared)
    node = None
    if (decided := handed_down()) is not None:
        plan, placement = decided
    else:
        plan = make_plan(recipe, machine(), ranks=environment())
        if run.plan.exists():
            plan = keep_stored(plan, read_json(run.plan), recipe)
        placement, node = find_out(run.path, prepared, plan, recipe)
    with _held(run), started(plan, recipe.train.strict, placement) as world, StopFlag().listening() as stop:
        if world.rank == 0:
            run.verdict.unlink(missing_ok=True)  # of the attempt before
        if node is not None:
            keep_record(run, recipe, node, world)
        attempt = int(os.environ.get(ATTEMPT, run.attempts() - 1))
        trainer, state = _build(run, recipe, manifest, plan, placement, world, stop, pulse)
        try:
            state = fit(trainer, state)
        except Interrupted as interruption:
            pulse.leave()
            if world.rank == 0:
                ending = Ending(verdict="checkpointed", message=str(interruption), step=run.checkpoint_steps()[-1])
                write_verdict(run, ending, attempt=attempt)
            raise
        else:
            with pulse.phase(Phase.SAVE):
                _finish(run, trainer, manifest, state)
            pulse.leave()
        finally:
            trainer.monitor.close()
        if world.rank == 0:
            ending = Ending(verdict="done", message=f"Finished after {state.step} steps.", step=state.step)
            write_verdict(run, ending, attempt=attempt)


def _open(options: argparse.Namespace) -> tuple[RunFolder, Recipe]:
    """The run to go on with, or a new one, which global rank 0 makes before it joins the others.

    The others wait for its files, not inside a collective: preparing may take longer than any timeout.
    """
    if options.resume is not None:
        run = open_run(options.resume)
        if environment().rank == 0 and ATTEMPT not in os.environ:
            run.attempt_logs(run.attempts()).mkdir(parents=True)
        return run, from_toml_with(run.recipe.read_text(), options.words)
    name, *overrides = options.words
    recipe = load(name, overrides)
    run = RunFolder(options.run or Path("runs") / Path(name).stem)
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    if environment().rank == 0 and not (restarted and run.record.exists()):
        _refuse_existing(run)
        prepared = prepare(recipe, lambda line: print(line, file=sys.stderr, flush=True))
        create_run(run, to_toml(recipe), prepared)
        run.attempt_logs(0).mkdir(parents=True)
    while not run.attempts():
        time.sleep(0.1)  # if rank 0 fails meanwhile, the launcher ends this process
    return open_run(run.path), recipe


def _refuse_existing(run: RunFolder) -> None:
    state = run_state(run)
    if state != "absent":
        raise RunError(
            f"{run.path} holds a run already ({state}): go on with it (--resume {run.path}), or choose another folder "
            "with --run DIR (under torchrun: --run-folder DIR)."
        )


@contextlib.contextmanager
def _held(run: RunFolder) -> Any:
    """The run's lock, unless the agent holds it for us, or we are not the rank that should."""
    if ATTEMPT in os.environ or environment().rank != 0:
        yield
        return
    with locked(run):
        yield


def _build(
    run: RunFolder,
    recipe: Recipe,
    manifest: Manifest,
    plan: Plan,
    placement: Placement,
    world: World,
    stop: StopFlag,
    pulse: Pulse,
) -> tuple[Trainer, TrainState]:
    """Put the parts together and restore the newest checkpoint that verifies. Collectives inside."""
    reader = reader_of(manifest.folder, "train", recipe)
    order = Order(OrderSettings.of(recipe, padded=manifest.layout == "sequence"), reader.lengths, reader.planned_tokens)
    torch.manual_seed(recipe.train.seed)
    model = build_model(recipe.model, *_sizes(manifest))
    _compare_size(model, recipe, manifest)
    if plan.precision == "float64":
        model = model.double()
    checkpoints = Checkpoints(run, recipe.train.keep_checkpoints, f"{manifest.fingerprint}/{order.fingerprint()}")
    model = model.to(world.device)
    if world.device.type == "cuda":
        whole_gradients(model)
    optimizer = build_optimizer(model, recipe.optim, world.device)
    notes = said_of(reader)
    state = _restore(checkpoints, model, optimizer, world, notes)
    if state.step == 0:
        begin(model, recipe.model, manifest, world, notes.append)
    keep_frozen_rows(model)
    total_steps = _fixed_at_first_start(run, recipe, plan, placement, order, world)
    if recipe.train.compile:
        model.compile()
    task = build_task(recipe, manifest)
    validate = None
    if "validation" in manifest.splits:
        validation = reader_of(manifest.folder, "validation", recipe)

        def validate() -> dict[str, Any]:
            with pulse.phase(Phase.VALIDATE):
                return evaluate(model, task, validation, world, plan, recipe.train.micro_batch_tokens, pulse)

    monitor = Monitor(run.metrics, state.step) if world.rank == 0 else Silent()
    for note in notes:
        monitor.write("note", step=state.step, message=note)
    trainer = Trainer(
        recipe=recipe,
        plan=plan,
        world=world,
        task=task,
        model=wrapped(model, world),
        optimizer=optimizer,
        reader=reader,
        loader_threads=placement.loader_threads,
        order=order,
        total_steps=total_steps,
        checkpoints=checkpoints,
        monitor=monitor,
        stop=stop,
        pulse=pulse,
        validate=validate,
    )
    return trainer, state


def _sizes(manifest: Manifest) -> tuple[int, int, int, int, bool]:
    """What a model is built for, besides its settings."""
    return manifest.vocabulary_rows, manifest.outputs, manifest.tag_rows, manifest.affix_rows, manifest.each_token


def _compare_size(model: nn.Module, recipe: Recipe, manifest: Manifest) -> None:
    """What is planned by the predicted size must not be planned by a wrong one. Raises RecipeError."""
    predicted = parameter_count(recipe.model, *_sizes(manifest))
    real = sum(parameter.numel() for parameter in model.parameters())
    if predicted not in (None, real):
        raise RecipeError(
            f"model.size says {predicted:,} parameters, but the model has {real:,}: mend the function, or leave "
            "model.size out."
        )


def _restore(
    checkpoints: Checkpoints, model: nn.Module, optimizer: torch.optim.Optimizer, world: World, notes: list[str]
) -> TrainState:
    """Rank 0 looks for the newest whole checkpoint and tells the others its step. A collective.

    `notes` takes what a person should know of it.
    """
    newest: int | None = 0  # what the other ranks add to the sum
    if world.rank == 0:
        checkpoints.sweep()
        newest = checkpoints.newest(notes.append)
    step = int(world.sum(torch.tensor([-1 if newest is None else newest], device=world.device)).item())
    if step < 0:
        return TrainState()
    state = checkpoints.load(step, model, optimizer)
    notes.append(f"resuming after step {step}")
    return state


def _fixed_at_first_start(
    run: RunFolder, recipe: Recipe, plan: Plan, placement: Placement, order: Order, world: World
) -> int:
    """Store what the bits depend on at the first start, compare with it later. Returns the run's steps. A
    collective."""
    if world.rank == 0:
        print("\n  ".join([describe(plan, machine()), *placement.reasons]), flush=True)
        if run.plan.exists():
            differences = plan.differences(read_json(run.plan))
            if differences:
                print(f"not bit-equal to the attempts before: {', '.join(differences)}", flush=True)
        else:
            total = recipe.train.steps
            if total == "auto":
                total = sum(order.steps_per_epoch(epoch) for epoch in range(recipe.train.epochs))
            if recipe.optim.warmup_steps >= total:
                raise PlanError(
                    f"optim.warmup_steps ({recipe.optim.warmup_steps}) must be below the steps of the run "
                    f"({total}), or the "
                    "learning rate never reaches its peak."
                )
            contents = dataclasses.asdict(plan) | {"total_steps": total, "documents": len(order.lengths)}
            contents["placement"] = dataclasses.asdict(placement)  # for people: each attempt finds out its own
            write_atomically(run.plan, json.dumps(contents, indent=2).encode() + b"\n")
    world.barrier()
    stored = read_json(run.plan).get("total_steps")
    if not isinstance(stored, int):
        raise RunError(f"{run.plan} has no total_steps: restore it from a copy, or begin a new run.")
    return stored


def _finish(run: RunFolder, trainer: Trainer, manifest: Manifest, state: TrainState) -> None:
    """Score the best weights on the test split, and write the model that `predict` uses. Collectives inside."""
    world = trainer.world
    model = inner(trainer.model)
    world.barrier()  # rank 0 has written the last weights
    if state.best_step >= 0:
        best = run.best_at(state.best_step)
        verify_folder(best)
        model.load_state_dict(load_file(best / "model.safetensors"))
    weights = {name: v.float() if v.is_floating_point() else v for name, v in weights_of(model).items()}
    model.load_state_dict(weights)  # what is saved is what is scored: float64 is rounded first
    if isinstance(trainer.task, Calibrates) and "validation" in manifest.splits:
        _calibrate(trainer, trainer.task, model, manifest, state)
    sums = written = None
    if "test" in manifest.splits:
        test = reader_of(manifest.folder, "test", trainer.recipe)
        budget = trainer.recipe.train.micro_batch_tokens
        before = time.perf_counter()
        with trainer.pulse.phase(Phase.SCORE):
            sums = evaluation_sums(model, trainer.task, test, world, trainer.plan, budget, trainer.pulse, keep=True)
            if isinstance(trainer.task, Rewrite) and isinstance(test, Pairs):
                written = write_split(model, trainer.task, test, "test", world, trainer.plan, trainer.pulse)
        trainer.monitor.write("scored", step=state.step, split="test", seconds=time.perf_counter() - before)
    if world.rank == 0:
        description = {
            "model": dataclasses.asdict(trainer.recipe.model),
            "task": trainer.task.describe(),
            "labels": list(manifest.labels),
            "layout": manifest.layout,
            "vocabulary_rows": manifest.vocabulary_rows,
            "tag_rows": manifest.tag_rows,
            "affix_rows": manifest.affix_rows,
            "step": state.best_step if state.best_step >= 0 else state.step,
        }
        shutil.rmtree(run.model, ignore_errors=True)
        texts = {
            "model.json": json.dumps(description, indent=2),
            "encoder.json": (manifest.folder / "encoder.json").read_text(encoding="utf-8"),
        }
        write_tensors(run.model, {"weights.safetensors": weights}, texts)
        if sums is not None:
            unknown = manifest.report.get("unknown_labels", {}).get("test", {})
            said = {"split": "test", "step": description["step"], "unknown_labels": unknown}
            figures = trainer.task.scores(sums) | (written.figures if written else {}) | said
            columns = written.columns() if written else {}
            write_arrays(run.predictions, trainer.task.documents(sums) | columns)
            write_atomically(run.evaluation, json.dumps(figures, indent=1).encode() + b"\n")


def _calibrate(trainer: Trainer, task: Calibrates, model: nn.Module, manifest: Manifest, state: TrainState) -> None:
    """Let the task choose a setting of its own on the validation split, with the weights that are kept. A collective;
    all ranks choose the same."""
    validation = reader_of(manifest.folder, "validation", trainer.recipe)
    budget = trainer.recipe.train.micro_batch_tokens
    with trainer.pulse.phase(Phase.VALIDATE):
        sums = evaluation_sums(model, task, validation, trainer.world, trainer.plan, budget, trainer.pulse, keep=False)
    if said := task.calibrate(sums):
        trainer.monitor.write("note", step=state.step, message=said)


if __name__ == "__main__":
    leave(main())
