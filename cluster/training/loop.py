"""The training loop: steps, and what happens between them (log, evaluate, save, stop)."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cluster.config.schema import Recipe
from cluster.data.order import Order
from cluster.data.permutation import mix
from cluster.data.shards import Reader
from cluster.errors import DataError, Interrupted, NonFiniteError
from cluster.loader import LoadedStep, StepLoader, fuse_tokens
from cluster.metrics import LOWER_IS_BETTER
from cluster.plan.plan import Plan
from cluster.pulse.phase import Phase
from cluster.tasks.task import Task
from cluster.training.checkpoint import Checkpoints, TrainState
from cluster.training.faults import StopFlag
from cluster.training.monitor import Monitor, Silent
from cluster.training.optim import learning_rate, set_learning_rate
from cluster.training.pace import Pace
from cluster.training.parallel import World, autocast, inner, seed_chance, unsynchronised
from cluster.training.pulse import Pulse
from cluster.training.settling import damage_named, settle


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """The parts of one attempt, put together by `cluster/train.py`."""

    recipe: Recipe
    plan: Plan
    world: World
    task: Task
    model: nn.Module
    optimizer: torch.optim.Optimizer
    reader: Reader
    loader_threads: int
    order: Order
    total_steps: int
    checkpoints: Checkpoints
    monitor: Monitor | Silent
    stop: StopFlag
    pulse: Pulse
    validate: Callable[[], dict[str, Any]] | None
    """Evaluates the validation split on all ranks (a collective), if there is one."""


def fit(trainer: Trainer, state: TrainState) -> TrainState:
    """Train from `state` to the last step.

    Raises Interrupted after a checkpoint if a signal came, NonFiniteError, DataError for a damaged block of the data.
    """
    if state.ended or state.step >= trainer.total_steps:
        settle(trainer.reader, trainer.world)
        return state
    loader = StepLoader(
        trainer.reader,
        trainer.order,
        state.position,
        trainer.total_steps,
        rank=trainer.world.rank,
        ranks=trainer.world.size,
        fuse_tokens=fuse_tokens(trainer.recipe.train),
        device=trainer.world.device,
        weigh=trainer.task.weight,
        threads=trainer.loader_threads,
    )
    trainer.pulse.first(state.step, compiles=trainer.recipe.train.compile)
    pace = Pace(trainer.model)
    checks = StepChecks(trainer)
    with loader, damage_named(trainer.reader):
        for loaded in pace.waiting(loader):
            if loaded.step == state.step and pace.steps == 0 and trainer.world.size > 1:
                _rehearse(trainer, loaded)
                pace.restart()
            loss, norm = train_step(trainer, loaded)
            pace.communicated(checks.start(loaded, loss, norm))
            pace.count(loaded)
            state = dataclasses.replace(state, step=loaded.step + 1, position=loaded.planned.following)
            trainer.pulse.tick(state.step)
            state = _between_steps(trainer, state, loaded, checks, pace)
            if state.ended:
                break
    return state


def train_step(trainer: Trainer, loaded: LoadedStep) -> tuple[Tensor, Tensor]:
    """One optimizer step. Returns this rank's part of the mean loss, and the norm of the gradients.

    Without clipping the norm is of the biases alone: whatever is not a number on its way back passes through them, and
    reading a large embedding's gradient would cost a tenth of a step. Weights and optimizer are looked at in full
    before they are saved.
    """
    config = trainer.recipe.optim
    set_learning_rate(trainer.optimizer, learning_rate(config, loaded.step, trainer.total_steps))
    loss = backward(trainer, loaded)
    if math.isfinite(config.clip_norm):
        norm = torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), config.clip_norm)
    else:
        parameters = list(trainer.model.parameters())
        biases = [one for one in parameters if one.ndim < 2] or parameters
        gradients = [one.grad for one in biases if one.grad is not None]
        norm = torch.nn.utils.get_total_norm([one._values() if one.is_sparse else one for one in gradients])
    trainer.optimizer.step()
    trainer.optimizer.zero_grad(set_to_none=True)
    return loss, norm


def backward(trainer: Trainer, loaded: LoadedStep) -> Tensor:
    """Gradients of the step's mean loss, averaged over ranks by the last backward. A collective.

    DDP divides the sum over ranks by their number, so each rank's sum of losses is scaled by ranks / weight of the
    whole step, which every rank knows: unequal shares need no weighting and no talk.
    """
    seed = trainer.recipe.train.seed
    scale = trainer.world.size / loaded.weight
    total = torch.zeros((), dtype=torch.float64, device=trainer.world.device)
    for index, batch in enumerate(loaded.batches):
        last = index == len(loaded.batches) - 1
        with contextlib.nullcontext() if last else unsynchronised(trainer.model):
            seed_chance(trainer.world.device, mix(seed, loaded.step, batch.micro_batch))
            with autocast(trainer.plan, trainer.world):
                outputs = trainer.model(batch.tokens, batch.lengths, batch.beside)
                loss_sum = trainer.task.loss_sum(outputs, batch.labels)
            (loss_sum * (0.0 if batch.idle else scale)).backward()  # type: ignore[no-untyped-call]
        if not batch.idle:
            total += loss_sum.detach()
    return total / loaded.weight


def _rehearse(trainer: Trainer, loaded: LoadedStep) -> None:
    """One discarded forward and backward at the start of every attempt. A collective.

    DDP lays out its buckets anew after its first backward; without this a resumed run on three or more ranks would
    sum its
    first gradients in another order than the run that was never stopped.
    """
    buffers = [buffer.clone() for buffer in trainer.model.buffers()]
    backward(trainer, loaded)
    trainer.optimizer.zero_grad(set_to_none=True)
    for buffer, before in zip(trainer.model.buffers(), buffers, strict=True):
        buffer.copy_(before)


def _between_steps(
    trainer: Trainer, state: TrainState, loaded: LoadedStep, checks: "StepChecks", pace: "Pace"
) -> TrainState:
    """Everything that is due after a step; the order (evaluate, then save) puts the best figure into the checkpoint."""
    config = trainer.recipe.train
    last = state.step >= trainer.total_steps
    saving = last or state.step % config.checkpoint_steps == 0
    logging = last or state.step % config.log_steps == 0
    evaluating = trainer.validate is not None and (last or _evaluation_is_due(trainer.recipe, state, loaded))
    wanted = logging or saving or evaluating
    loss, norm, stopping = checks.finish(wait=wanted)
    if logging:
        rate = learning_rate(trainer.recipe.optim, loaded.step, trainer.total_steps)
        clipping = {"gradient_norm": norm} if math.isfinite(trainer.recipe.optim.clip_norm) else {}
        trainer.monitor.write(
            "step", step=state.step, epoch=loaded.planned.position.epoch, loss=loss, learning_rate=rate,
            **pace.rates(), **clipping,
        )  # fmt: skip
    if evaluating:
        state = _evaluate(trainer, state, loaded)
        pace.restart()
    if saving or stopping or state.ended:
        checks.finish(wait=True)  # nothing is saved before the newest step has been looked at
        with trainer.pulse.phase(Phase.SAVE):
            _save(trainer, state)
        pace.restart()
    if stopping and not (last or state.ended):
        trainer.world.barrier()  # nobody leaves, or says that a checkpoint was saved, before it was
        raise Interrupted(
            f"Stopped after step {state.step} of {trainer.total_steps} "
            f"({trainer.stop.signal_name or 'asked by another rank'}); "
            "a checkpoint was saved."
        )
    return state


def _evaluation_is_due(recipe: Recipe, state: TrainState, loaded: LoadedStep) -> bool:
    steps = recipe.evaluate.steps
    return loaded.planned.ends_epoch if steps == "epoch" else state.step % steps == 0


def _evaluate(trainer: Trainer, state: TrainState, loaded: LoadedStep) -> TrainState:
    """Validate on all ranks (a collective), keep the weights if they are the best so far, count towards patience."""
    assert trainer.validate is not None
    trainer.model.eval()
    before = time.perf_counter()
    figures = trainer.task.headline(trainer.validate())
    trainer.model.train()
    metric = trainer.recipe.evaluate.metric
    value = figures[metric]
    if value is None:
        raise DataError(
            "The validation split holds no label that the training set has: it can choose nothing. Give "
            "data.validation "
            "labels of the training set, or none."
        )
    first = state.best_step < 0 or math.isnan(state.best_value)
    better = first or (value < state.best_value if metric in LOWER_IS_BETTER else value > state.best_value)
    if better:
        settle(trainer.reader, trainer.world)
        with trainer.pulse.phase(Phase.SAVE):
            if trainer.world.rank == 0:
                trainer.checkpoints.commit_best(state.step, inner(trainer.model))
        state = dataclasses.replace(state, best_step=state.step, best_value=value, evaluations_since_best=0)
    else:
        since = state.evaluations_since_best + 1
        state = dataclasses.replace(
            state, evaluations_since_best=since, ended=since >= trainer.recipe.evaluate.patience
        )
    epoch = loaded.planned.position.epoch
    trainer.monitor.write(
        "evaluation", step=state.step, epoch=epoch, split="validation", **figures, best=better,
        seconds=time.perf_counter() - before,
    )  # fmt: skip
    return state


def _save(trainer: Trainer, state: TrainState) -> None:
    """Rank 0 writes; the others meet it again in the next step's reduction. A collective: nothing is saved that any
    rank has learnt from a damaged block."""
    settle(trainer.reader, trainer.world)
    if trainer.world.rank == 0:
        before = time.perf_counter()
        written = trainer.checkpoints.commit(state, inner(trainer.model), trainer.optimizer)
        trainer.monitor.write("checkpoint", step=state.step, seconds=time.perf_counter() - before, bytes=written)


class StepChecks:
    """Loss, finiteness and the wish to stop, reduced over ranks once a step, so that all ranks decide alike.

    On a GPU the result is read one step late, before anything is saved, so that the host need not wait for each step.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._pending: list[tuple[LoadedStep, Tensor]] = []
        self._latest = (math.nan, 0.0, False)

    def start(self, loaded: LoadedStep, loss: Tensor, norm: Tensor) -> float:
        """A collective: [loss, ranks that want to stop], with this rank's gradient norm, equal on all, behind it.

        Returns the seconds that this rank waited for the others (none on a GPU, where nobody waits here).
        """
        stop = torch.tensor(float(self.trainer.stop.is_set), dtype=torch.float64)
        sums = torch.stack([loss, stop.to(loss.device, non_blocking=True)])
        before = time.perf_counter()
        self.trainer.world.sum(sums)
        waited = time.perf_counter() - before
        self._pending.append((loaded, torch.cat([sums, norm.double().reshape(1)])))
        return waited if self.trainer.world.size > 1 else 0.0

    def finish(self, wait: bool) -> tuple[float, float, bool]:
        """(mean loss, gradient norm, whether to stop) of the newest step that is read. Raises NonFiniteError, or
        DataError if a rank read a damaged block."""
        behind = 0 if wait or self.trainer.world.device.type == "cpu" else 1
        while len(self._pending) > behind:
            loaded, figures = self._pending.pop(0)
            loss, stops, norm = figures.tolist()  # the host waits for the device here
            if not (math.isfinite(loss) and math.isfinite(norm)):
                settle(self.trainer.reader, self.trainer.world)  # all ranks are here: a damaged block may be the cause
                raise self._not_finite(loaded, loss, norm)
            self._latest = (loss, norm, stops > 0)
        return self._latest

    def _not_finite(self, loaded: LoadedStep, loss: float, norm: float) -> NonFiniteError:
        documents = sorted({int(i) for ids in loaded.planned.micro_batches for i in ids})
        shown = ", ".join(map(str, documents[:20])) + (" ..." if len(documents) > 20 else "")
        return NonFiniteError(
            f"Step {loaded.step} on rank {self.trainer.world.rank}: loss {loss}, gradient norm {norm}, "
            "neither may be NaN or "
            f"infinite. Its documents: {shown}. Nothing was saved since the last checkpoint, which is "
            "whole. Try a smaller "
            "optim.learning_rate, optim.clip_norm=1.0, or train.precision=float32."
        )
