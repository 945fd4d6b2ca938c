"""Who reads what when: the documents of every step, computed from settings and lengths alone.

position in the epoch -> document (a permutation) -> windows -> steps -> micro-batches -> ranks. Only the last arrow
knows how many ranks there are (`dealing.py`). A window of a padded order is sorted by length, so that documents of
about one length run together. Where a step is small, the sorted window is cut into *steps*, these are shuffled, and
each is split for the ranks: shuffling tiny micro-batches of one length and gluing them into steps would undo the
sorting. Where a step holds many full micro-batches, the window is cut into micro-batches, which are shuffled, and so
many in a row form a step.

No document is lost or repeated in an epoch. What is planned changes only together with PLAN_VERSION.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cluster.data.cutting import Documents, Ids, Lengths, chunk_rows, halve_to, sizes_of
from cluster.data.dealing import costs, deal, fuse
from cluster.data.permutation import permutation, run_permutation
from cluster.errors import DataError, RecipeError, RunError

if TYPE_CHECKING:
    from cluster.config.schema import Recipe

__all__ = ["Order", "OrderSettings", "PlannedStep", "Position", "StepSize", "costs", "deal", "fuse"]

PLAN_VERSION = 1
# A step counted in tokens gets a window of at least so many steps: what a window's end leaves unfilled stays small.
STEPS_IN_WINDOW = 8
# What the chance of a permutation is used for: no two uses share it.
EPOCH, STEPS, LARGER_CHUNKS, RUNS, WINDOW = 1, 2, 3, 4, 5

Span = tuple[int, int]


@dataclass(frozen=True)
class StepSize:
    """What one optimizer step takes, over all ranks: exactly `count` examples, or at most `count` tokens."""

    count: int
    unit: Literal["examples", "tokens"]

    @classmethod
    def parse(cls, text: str) -> "StepSize":
        """Reads `"64 examples"` or `"16384 tokens"`. Raises RecipeError."""
        match = re.fullmatch(r"([1-9][0-9_]*) (examples|tokens)", text)
        if match is None:
            raise RecipeError(f'train.step_size must be like "64 examples" or "16384 tokens", but is {text!r}.')
        unit: Literal["examples", "tokens"] = "examples" if match[2] == "examples" else "tokens"
        return cls(int(match[1].replace("_", "")), unit)


@dataclass(frozen=True)
class OrderSettings:
    """All that the order depends on, besides the documents' lengths; `padded` is False for bags."""

    seed: int
    step: StepSize
    micro_batch_tokens: int
    window_documents: int
    max_ranks: int
    padded: bool
    shuffle: Literal["full", "block"] = "full"

    @classmethod
    def of(cls, recipe: "Recipe", padded: bool) -> "OrderSettings":
        """What a recipe says. Raises RecipeError."""
        train = recipe.train
        return cls(
            seed=train.seed,
            step=StepSize.parse(train.step_size),
            micro_batch_tokens=train.micro_batch_tokens,
            window_documents=train.window_documents,
            max_ranks=train.max_ranks,
            padded=padded,
            shuffle=train.shuffle,
        )


@dataclass(frozen=True)
class Position:
    """Where a run is: the step to come. Says nothing of ranks, so any number of them goes on from here."""

    step: int = 0
    epoch: int = 0
    window: int = 0
    step_in_window: int = 0

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Position":
        """Raises RunError."""
        names = ("step", "epoch", "window", "step_in_window")
        if set(fields) != set(names) or not all(type(fields[name]) is int and fields[name] >= 0 for name in names):
            raise RunError(
                f"a position must hold {', '.join(names)}, whole numbers of 0 or more, but is {dict(fields)}: "
                "the checkpoint is damaged or of another version. Resume from an earlier one."
            )
        return cls(**fields)


@dataclass(frozen=True, eq=False)
class PlannedStep:
    """One step: `micro_batches` hold document ids, int64 and read-only, longest first if padded, none empty."""

    position: Position
    following: Position
    micro_batches: tuple[Ids, ...]
    ends_epoch: bool

    @property
    def documents(self) -> int:
        return sum(len(ids) for ids in self.micro_batches)


class Order:
    """The steps of a run. Holds no state but a cache: any position costs the same to start from.

    `lengths`: tokens of each document, integers [N]. `tokens`: their sum, if it is known that none is 0; without it all
    lengths are read. Raises DataError if there is no document.
    """

    def __init__(self, settings: OrderSettings, lengths: Lengths, tokens: int | None = None) -> None:
        if len(lengths) == 0:
            raise DataError("the training split holds no documents: there is nothing to put in order.")
        self.settings = settings
        self.lengths = lengths
        # Empty documents count as one token, as in `sizes_of`.
        if tokens is None:
            tokens = int(lengths.sum(dtype=np.int64)) + len(lengths) - int(np.count_nonzero(lengths))
        self._tokens = tokens
        self._large = self._step_tokens() >= settings.max_ranks * settings.micro_batch_tokens * len(lengths)
        self._window_size = self._whole_steps(settings.window_documents)
        self.windows = -(-len(lengths) // self._window_size)
        """Of an epoch."""
        self._plan = lru_cache(maxsize=1)(self._plan_window)
        self._steps_per_epoch: dict[int, int] = {}

    def steps(self, start: Position = Position()) -> Iterator[PlannedStep]:  # noqa: B008 - frozen
        """All steps from `start` on, epoch after epoch, without end. Raises RunError if there is no such position."""
        position = start
        while True:
            plan = self._plan(position.epoch, position.window) if position.window < self.windows else None
            if plan is None or position.step_in_window >= len(plan.steps):
                raise RunError(f"{position} lies outside the order: the data or the recipe are not those of the run.")
            following = self._after(position, len(plan.steps))
            ends_epoch = following.epoch > position.epoch
            yield PlannedStep(position, following, plan.micro_batches(position.step_in_window), ends_epoch)
            position = following

    def steps_per_epoch(self, epoch: int) -> int:
        """Steps of one epoch. In examples at once; in tokens each window is looked at (some ms per 65,536 documents),
        and epochs may differ."""
        if self.settings.step.unit == "examples":
            return -(-len(self.lengths) // self.settings.step.count)
        if epoch not in self._steps_per_epoch:
            counts = (self._count_steps(epoch, window) for window in range(self.windows))
            self._steps_per_epoch[epoch] = sum(counts)
        return self._steps_per_epoch[epoch]

    def at(self, step: int) -> Position:
        """Where step number `step` of the run stands; the cost is `steps_per_epoch`'s."""
        position, left = Position(step=step), step
        if self.settings.step.unit == "examples":
            epoch, left = divmod(left, self.steps_per_epoch(0))
            window, left = divmod(left, self._window_size // self.settings.step.count)
            return Position(step, epoch, window, left)
        while left >= (steps := self.steps_per_epoch(position.epoch)):
            position, left = Position(step, position.epoch + 1), left - steps
        while left >= (steps := self._count_steps(position.epoch, position.window)):
            position, left = Position(step, position.epoch, position.window + 1), left - steps
        return Position(step, position.epoch, position.window, left)

    def fingerprint(self) -> str:
        """Of the settings, the number of documents and the version of the plan; a checkpoint fits the same one only."""
        parts = {"plan": PLAN_VERSION, "documents": len(self.lengths), **asdict(self.settings)}
        if self.settings.shuffle == "full":
            del parts["shuffle"]  # which plans of before it could be chosen do not have
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _step_tokens(self) -> int:
        """Tokens of a step, times the number of documents (so that the mean length needs no rounding)."""
        step = self.settings.step
        return step.count * (self._tokens if step.unit == "examples" else len(self.lengths))

    def _whole_steps(self, documents: int) -> int:
        """The window's size: whole steps if they are counted in examples, so that none is cut by a window's end."""
        count = self.settings.step.count
        if self.settings.step.unit == "examples":
            return max(documents // count, 1) * count
        per_step = -(-count * len(self.lengths) // self._tokens)
        return max(documents, STEPS_IN_WINDOW * per_step)

    def _after(self, position: Position, steps_in_window: int) -> Position:
        step, epoch, window = position.step + 1, position.epoch, position.window
        if position.step_in_window + 1 < steps_in_window:
            return Position(step, epoch, window, position.step_in_window + 1)
        return Position(step, epoch, window + 1) if window + 1 < self.windows else Position(step, epoch + 1)

    def _window_documents(self, epoch: int, window: int) -> tuple[Ids, Documents, int]:
        """Ids of a window as they will be cut, their sizes, and how many of them form steps of full size.

        The rest is the short last step of the epoch: the last positions, hence documents of any length.
        """
        size = len(self.lengths)
        first = window * self._window_size
        positions = np.arange(first, min(first + self._window_size, size), dtype=np.int64)
        if self.settings.shuffle == "full":
            ids = permutation(positions, size, self.settings.seed, EPOCH, epoch, size)
        else:
            places = permutation(positions - first, len(positions), self.settings.seed, WINDOW, epoch, window)
            ids = run_permutation(first + places, size, self.settings.seed, RUNS, epoch)
        lengths = self.lengths[ids]
        step = self.settings.step
        full = len(ids) - len(ids) % step.count if step.unit == "examples" else len(ids)
        if self.settings.padded:
            order = np.concatenate([_longest_first(lengths[:full]), full + _longest_first(lengths[full:])])
            ids, lengths = ids[order], lengths[order]
        ids.setflags(write=False)
        return ids, Documents(sizes_of(lengths), self.settings.padded), full

    def _plan_window(self, epoch: int, window: int) -> "_Window":
        settings = self.settings
        ids, documents, full = self._window_documents(epoch, window)
        key = (settings.seed, STEPS, epoch, window)
        if self._large and settings.padded and settings.step.unit == "tokens":
            spans = _shuffled(_spans(self._micro_batch_bounds(documents)), *key)
            per_step = self._micro_batches_per_step()
            steps = [spans[i : i + per_step] for i in range(0, len(spans), per_step)]
        elif self._large and settings.padded:
            steps = self._steps_of_chunks(full, epoch, window)
        else:
            if settings.step.unit == "tokens":
                bounds = documents.cut_evenly(0, full, settings.step.count)
            else:
                bounds = list(range(0, full + 1, settings.step.count))
            spans = _spans(bounds)
            steps = [[span] for span in (_shuffled(spans, *key) if settings.padded else spans)]
        if full < len(ids):
            steps.append([(full, len(ids))])
        return _Window(settings, ids, documents, steps)

    def _count_steps(self, epoch: int, window: int) -> int:
        """`len(self._plan_window(...).steps)` of steps in tokens, cheaper."""
        _, documents, full = self._window_documents(epoch, window)
        if self._large and self.settings.padded:
            return -(-(len(self._micro_batch_bounds(documents)) - 1) // self._micro_batches_per_step())
        return len(documents.cut(0, full, self.settings.step.count)) - 1

    def _micro_batches_per_step(self) -> int:
        return self.settings.step.count // self.settings.micro_batch_tokens

    def _micro_batch_bounds(self, documents: Documents) -> list[int]:
        """A window in micro-batches, their number a multiple of a step's, unless the window has too few documents."""
        bounds = documents.cut_evenly(0, documents.count, self.settings.micro_batch_tokens)
        per_step = self._micro_batches_per_step()
        wanted = -(-(len(bounds) - 1) // per_step) * per_step
        return halve_to(bounds, wanted) if wanted <= documents.count else bounds

    def _steps_of_chunks(self, full: int, epoch: int, window: int) -> list[list[Span]]:
        """A sorted window in chunks of (almost) as many rows, each about a full micro-batch; a step takes some of any
        length. Chunks of two sizes are shuffled apart, so that every step gets as many of each."""
        count = self.settings.step.count
        budget = self.settings.micro_batch_tokens * len(self.lengths)
        per_step, steps = min(-(-self._step_tokens() // budget), count), full // count
        rows = chunk_rows(count, per_step, steps)
        ends = np.cumsum(rows)
        spans = list(zip((ends - rows).tolist(), ends.tolist(), strict=True))
        small, larger = count // per_step, count % per_step
        key = (self.settings.seed, epoch, window)
        few = _shuffled([span for span in spans if span[1] - span[0] > small], *key, LARGER_CHUNKS)
        many = _shuffled([span for span in spans if span[1] - span[0] == small], *key, STEPS)
        rest = per_step - larger
        return [few[i * larger : (i + 1) * larger] + many[i * rest : (i + 1) * rest] for i in range(steps)]


class _Window:
    """The steps of one window, as spans of its documents; micro-batches are made when a step is asked for."""

    def __init__(self, settings: OrderSettings, ids: Ids, documents: Documents, steps: list[list[Span]]) -> None:
        self.settings, self.ids, self.documents, self.steps = settings, ids, documents, steps

    def micro_batches(self, step: int) -> tuple[Ids, ...]:
        """At least `max_ranks` of them, documents permitting, so that no rank need be idle."""
        spans, budget = self.steps[step], self.settings.micro_batch_tokens
        wanted = min(self.settings.max_ranks, sum(last - first for first, last in spans))
        if len(spans) == 1:
            pieces = _spans(self.documents.split(*spans[0], wanted, budget))
        else:
            pieces = [piece for span in spans for piece in _spans(self.documents.cut_evenly(*span, budget))]
        while len(pieces) < wanted:
            widest = max(range(len(pieces)), key=lambda i: pieces[i][1] - pieces[i][0])
            pieces[widest : widest + 1] = _spans(halve_to(pieces[widest], 2))
        return tuple(self.ids[first:last] for first, last in pieces)


def _spans(bounds: Sequence[int]) -> list[Span]:
    return list(zip(bounds, bounds[1:], strict=False))


def _shuffled(spans: list[Span], *key: int) -> list[Span]:
    return [spans[i] for i in permutation(np.arange(len(spans)), len(spans), *key).tolist()]


def _longest_first(lengths: Lengths) -> Ids:
    """Places of the documents, the longest first, equals in the order they came."""
    longest = int(lengths.max(initial=0))
    # numpy sorts 16-bit numbers stably in linear time.
    keys = (longest - lengths.astype(np.int64)).astype(np.uint16 if longest < 1 << 16 else np.int64)
    return np.argsort(keys, kind="stable")
