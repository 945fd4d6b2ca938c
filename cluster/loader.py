"""From the order to micro-batches on the device: a thread gathers ahead, the device copies on a stream of its own.

Shapes: B documents, T tokens, N distinct tokens of all documents of a bag together.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cluster.config.schema import Train
from cluster.data.order import Order, PlannedStep, Position, costs, deal, fuse
from cluster.data.shards import ShardReader

STEPS_AHEAD = 4
"""Steps gathered before they are asked for: enough to hide a window's planning (about 10 ms) behind training."""


@dataclass(frozen=True)
class Batch:
    """What one forward takes, on the device."""

    tokens: Tensor
    """int64 (B, T) padded with 0, or (N,) flat for bags."""
    lengths: Tensor
    """int64 (B,)."""
    beside: Tensor | None
    """Weights of a bag, float32 (N,); tags of a sequence that has them, int64 (B, T)."""
    labels: Tensor
    """int64 (B,), -1 for a label that the training set did not hold; numbers float64 (B,); sets of labels int64
    (B, C)."""
    micro_batch: int
    """Index of its (first) micro-batch in the step: seeds its dropout."""
    idle: bool = False
    """This rank has no share of the step: the row keeps the collectives in step and its loss counts zero times."""


@dataclass(frozen=True)
class LoadedStep:
    """One rank's share of a step, and what every rank knows of the whole."""

    planned: PlannedStep
    batches: list[Batch]
    documents: int
    """Examples of the step over all ranks."""
    weight: float
    """What the loss of the step is divided by."""
    tokens: int
    """Real tokens of the step over all ranks."""

    @property
    def step(self) -> int:
        return self.planned.position.step


class Gather:
    """Turns document ids of a split into batches on a device."""

    def __init__(self, reader: ShardReader, device: torch.device) -> None:
        self.reader = reader
        self.device = device
        self.labels = np.asarray(reader.labels)
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def batch(self, documents: np.ndarray[Any, Any], micro_batch: int, idle: bool = False) -> Batch:
        gather = self.reader.flat if self.reader.weighted else self.reader.padded
        tokens, lengths, beside = gather(documents)
        labels = self.labels[documents]
        if self.stream is None:
            return Batch(
                tokens=torch.from_numpy(tokens.astype(np.int64)),
                lengths=torch.from_numpy(lengths.astype(np.int64)),
                beside=None if beside is None else _index(torch.from_numpy(beside)),
                labels=_index(torch.from_numpy(labels)),
                micro_batch=micro_batch,
                idle=idle,
            )
        with torch.cuda.stream(self.stream):
            # Narrow types cross the bus and are widened on the device.
            return Batch(
                tokens=self._send(tokens).long(),
                lengths=self._send(lengths.astype(np.int32)).long(),
                beside=None if beside is None else _index(self._send(beside)),
                labels=_index(self._send(labels)),
                micro_batch=micro_batch,
                idle=idle,
            )

    def _send(self, array: np.ndarray[Any, Any]) -> Tensor:
        """To the device without waiting. torch's caching host allocator reuses the pinned block once the copy is
        done."""
        if array.dtype == np.uint32:
            array = array.astype(np.int32)  # vocabularies end far below 2^31
        pinned = torch.from_numpy(np.ascontiguousarray(array)).pin_memory()
        return pinned.to(self.device, non_blocking=True)


def _index(values: Tensor) -> Tensor:
    """Whole numbers are indices: int64. Weights and numbers to predict stay as they are."""
    return values if values.is_floating_point() else values.long()


class StepLoader:
    """The steps from a position to a last one, one rank's share of each.

    For a GPU one thread gathers ahead. On a CPU steps are gathered when they are asked for: there a second thread takes
    its time from the cores that train (measured on 2 cores: half again as long a step for a small model).

    Use as a context manager: leaving it ends the thread. What goes wrong in the thread is raised where steps are taken.
    """

    def __init__(
        self,
        reader: ShardReader,
        order: Order,
        start: Position,
        last_step: int,
        *,
        rank: int,
        ranks: int,
        fuse_tokens: int,
        device: torch.device,
        weigh: Callable[[np.ndarray[Any, Any]], float],
    ) -> None:
        self.weigh = weigh
        self.gather = Gather(reader, device)
        self.order = order
        self.start = start
        self.last_step = last_step
        self.rank = rank
        self.ranks = ranks
        self.fuse_tokens = fuse_tokens
        self.lengths = reader.lengths
        self._ahead: queue.Queue[tuple[LoadedStep, Any] | BaseException | None] = queue.Queue(maxsize=STEPS_AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)

    def __enter__(self) -> "StepLoader":
        if self.gather.stream is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self.gather.stream is None:
            return
        while self._thread.is_alive():  # a full queue may hold the thread: empty it until it sees the flag
            try:
                self._ahead.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread.join()

    def __iter__(self) -> Iterator[LoadedStep]:
        if self.gather.stream is None:
            yield from map(self._load, self._planned())
            return
        while (item := self._ahead.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            loaded, copied = item
            self._hand_over(loaded, copied)
            yield loaded

    def _hand_over(self, loaded: LoadedStep, copied: torch.cuda.Event) -> None:
        """Make the compute stream wait for the copies, and tell the allocator that it uses their memory."""
        compute = torch.cuda.current_stream(self.gather.device)
        compute.wait_event(copied)
        for batch in loaded.batches:
            for tensor in (batch.tokens, batch.lengths, batch.beside, batch.labels):
                if tensor is not None:
                    tensor.record_stream(compute)

    def _planned(self) -> Iterator[PlannedStep]:
        for planned in self.order.steps(self.start):
            if planned.position.step >= self.last_step or self._stop.is_set():
                return
            yield planned

    def _run(self) -> None:
        try:
            torch.cuda.set_device(self.gather.device)
            assert self.gather.stream is not None
            for planned in self._planned():
                self._put((self._load(planned), self.gather.stream.record_event()))
            self._put(None)
        except BaseException as error:  # noqa: B036 - handed to the training thread, which raises it
            self._put(error)

    def _put(self, item: tuple[LoadedStep, Any] | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                self._ahead.put(item, timeout=0.05)
                return
            except queue.Full:
                continue

    def _load(self, planned: PlannedStep) -> LoadedStep:
        micro_batches = planned.micro_batches
        padded = self.order.settings.padded
        share = deal(costs(micro_batches, self.lengths, padded), self.ranks)[self.rank]
        groups = fuse_share(share, micro_batches, self.lengths, self.fuse_tokens, padded)
        batches = [self.gather.batch(np.concatenate([micro_batches[i] for i in group]), group[0]) for group in groups]
        if not batches:
            batches = [self.gather.batch(micro_batches[0][:1], 0, idle=True)]
        documents = np.concatenate(micro_batches)
        return LoadedStep(
            planned=planned,
            batches=batches,
            documents=len(documents),
            weight=self.weigh(self.gather.labels[documents]),
            tokens=int(self.lengths[documents].sum()),
        )


def fuse_tokens(train: Train) -> int:
    """Tokens up to which training fuses a rank's micro-batches of a step into one forward; 0 keeps each alone."""
    return 0 if train.strict else train.micro_batch_tokens


def fuse_share(
    share: Sequence[int], micro_batches: Sequence[np.ndarray[Any, Any]], lengths: Any, fuse_tokens: int, padded: bool
) -> list[list[int]]:
    """One rank's micro-batches grouped into forwards; `fuse_tokens` 0 keeps each alone."""
    if fuse_tokens == 0:
        return [[index] for index in share]
    return fuse(list(share), micro_batches, lengths, fuse_tokens, padded)
