"""From the order to micro-batches on the device: threads gather ahead, the device copies on a stream of its own.

Shapes: B documents, T tokens of the longest, N tokens of all documents together (of a bag: the distinct ones of each).
"""

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cluster.config.schema import Train
from cluster.data.ahead import Ahead
from cluster.data.order import Order, PlannedStep, Position, costs, deal, fuse
from cluster.data.questions import EVALUATION, Asks
from cluster.data.shards import Reader

STEPS_AHEAD = 4
"""Steps gathered before they are asked for, and one more for each thread: enough to hide a window's planning (about
10 ms) behind training."""
ALIGNMENT_BYTES = 64
"""What the places of arrays in one buffer are multiples of: any type may begin there."""


@dataclass(frozen=True)
class Batch:
    """What one forward takes, on the device."""

    tokens: Tensor
    """int64 (B, T) padded with 0, or (N,) flat for bags."""
    lengths: Tensor
    """int64 (B,)."""
    beside: Tensor | None
    """Weights of a bag, float32 (N,); tags of a sequence that has them, int64 (B, T), or with affixes (B, T, 4); for
    language models the number of each token's document, int64 (B, T), None where no document begins inside a
    sequence; of pairs the tokens before those asked for, int64, as wide as `labels`."""
    labels: Tensor
    """int64 (B,), -1 for a label that the training set did not hold; numbers float64 (B,); sets of labels int64
    (B, C); labels of the tokens int64 (B, T), as they are stored (`data/manifest.py`); tokens to be said int64 (B, T),
    -1 where none is asked for; of questions flags and numbers of the tokens of their windows int64 (B, T), where B are
    windows (`data/windows.py`)."""
    micro_batch: int
    """Index of its (first) micro-batch in the step: seeds its dropout."""
    idle: bool = False
    """This rank has no share of the step: the row keeps the collectives in step and its loss counts zero times."""


@dataclass(frozen=True, kw_only=True)
class PackedBatch(Batch):
    """The same documents without padding, `tokens` and tags (N,): the form that FlashAttention-style kernels take."""

    cu_seqlens: Tensor
    """int32 (B + 1,): document b is `tokens[cu_seqlens[b] : cu_seqlens[b + 1]]`."""
    longest: int
    """Tokens of the longest document."""


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
    """Turns document ids of a split into batches on a device. Several threads may use one.

    Every batch is of new tensors, which whoever holds it may keep. On a CPU they are gathered where they stay: buffers
    that are used again would save 2 to 8 % of a gather (measured), and change batches that are still held. On a GPU
    the arrays cross the bus through a ring of `buffers` pinned buffers, in narrow types, and are widened there, on
    `stream`: call `hand_over` before they are used.
    """

    def __init__(self, reader: Reader, device: torch.device, *, packed: bool = False, buffers: int = 2) -> None:
        self.reader = reader
        self.device = device
        self.packed = packed
        self._asks = reader if isinstance(reader, Asks) else None
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._ring = Ring(device, self.stream, buffers)

    def batch(self, documents: npt.NDArray[Any], micro_batch: int, idle: bool = False, step: int = EVALUATION) -> Batch:
        """One batch. Raises what the reader raises: IndexError, DataError."""
        return self.batches([documents], [micro_batch], idle, step)[0]

    def batches(
        self,
        groups: Sequence[npt.NDArray[Any]],
        micro_batches: Sequence[int],
        idle: bool = False,
        step: int = EVALUATION,
    ) -> list[Batch]:
        """A batch for each group of documents: what does not depend on the group is done once for all. `step` decides
        what is asked, where that is left to chance. Raises what the reader raises."""
        # All of them before any is widened: what is freed between wide ones that stay leaves holes in the heap.
        narrow = list(self._arrays(groups, step))
        return [
            self._batch(arrays, longest, micro_batch, idle)
            for (arrays, longest), micro_batch in zip(narrow, micro_batches, strict=True)
        ]

    def _batch(self, arrays: Mapping[str, npt.NDArray[Any]], longest: int, micro_batch: int, idle: bool) -> Batch:
        if self.stream is None:
            tensors = {name: torch.from_numpy(_wide_here(name, array)) for name, array in arrays.items()}
        else:
            with torch.cuda.stream(self.stream):
                tensors = {name: _wide_there(name, tensor) for name, tensor in self._ring.send(arrays).items()}
        beside = tensors.pop("beside", None)
        if self.packed:
            return PackedBatch(**tensors, beside=beside, longest=longest, micro_batch=micro_batch, idle=idle)
        return Batch(**tensors, beside=beside, micro_batch=micro_batch, idle=idle)

    def sent(self) -> torch.cuda.Event | None:
        """The moment at which all batches so far will be on the device; None on a CPU, where they are."""
        return None if self.stream is None else self.stream.record_event()

    def hand_over(self, batches: Sequence[Batch], sent: torch.cuda.Event | None) -> None:
        """Make the compute stream wait for `sent`, and tell the allocator that it uses the batches' memory."""
        if sent is None:
            return
        compute = torch.cuda.current_stream(self.device)
        compute.wait_event(sent)
        for batch in batches:
            for tensor in vars(batch).values():
                if isinstance(tensor, Tensor):
                    tensor.record_stream(compute)

    def _arrays(
        self, groups: Sequence[npt.NDArray[Any]], step: int
    ) -> Iterator[tuple[Mapping[str, npt.NDArray[Any]], int]]:
        """The arrays of each batch, and of a packed one the longest document's tokens."""
        documents = np.concatenate(groups)
        counts = [len(group) for group in groups]
        if self._asks is not None:
            for asked in self._asks.asked(documents, counts, step):
                beside = _apart(asked.get("beside"))
                yield (asked if beside is None else {**asked, "beside": beside}), 0
            return
        labels_of = self.reader.labels_each(documents, counts, self.packed)
        if self.packed:
            for group, labels in zip(groups, labels_of, strict=True):
                tokens, cu_seqlens, longest, beside = self.reader.packed(group)
                beside = _apart(beside)
                arrays = {"labels": labels, "tokens": tokens, "lengths": np.diff(cu_seqlens), "cu_seqlens": cu_seqlens}
                yield (arrays if beside is None else arrays | {"beside": beside}), longest
            return
        each = map(self.reader.flat, groups) if self.reader.weighted else self.reader.padded_each(documents, counts)
        for labels, (tokens, lengths, beside) in zip(labels_of, each, strict=True):
            beside = _apart(beside)
            arrays = {"labels": labels, "tokens": tokens, "lengths": lengths}
            yield (arrays if beside is None else arrays | {"beside": beside}), 0


def _apart(beside: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    """The four numbers that stand in one of 64 bits, side by side in an axis of their own."""
    return beside if beside is None or beside.dtype != np.uint64 else beside[..., None].view("<u2")


def _wide_here(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Whole numbers are indices: int64. Weights, numbers to predict and what kernels take as int32 stay as they are.

    By numpy: torch would use all threads of the process, each of the loader's with a team of its own."""
    return array if name == "cu_seqlens" or array.dtype.kind == "f" else array.astype(np.int64, copy=False)


def _wide_there(name: str, tensor: Tensor) -> Tensor:
    """The same, of a tensor on the device."""
    return tensor if name == "cu_seqlens" or tensor.is_floating_point() else tensor.long()


class Ring:
    """Pinned memory on the way to a GPU, used again once what was copied from it has arrived.

    Each of the `buffers` grows to the largest batch that it has carried; the one sent first is taken first. Several
    threads may use one ring. Without a stream, on a CPU, nothing is pinned, and a copy has arrived when it is made.
    """

    def __init__(self, device: torch.device, stream: "torch.cuda.Stream | None", buffers: int) -> None:
        self._device, self._stream = device, stream
        self._free: queue.SimpleQueue[_Buffer] = queue.SimpleQueue()
        for _ in range(buffers):
            self._free.put(_Buffer(torch.empty(0, dtype=torch.uint8)))

    def send(self, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
        """The arrays as tensors on the device, in their own types, by one copy on the ring's stream, which must be the
        current one. Returns before it is done; waits, if need be, for an earlier one from the same buffer."""
        places, end = {}, 0
        for name, array in arrays.items():
            places[name] = slice(end, end + array.nbytes)
            end += -(-array.nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        buffer = self._free.get()
        try:
            if buffer.sent is not None:
                buffer.sent.synchronize()  # this thread waits here for the device
            if buffer.host.numel() < end:
                buffer.host = torch.empty(end, dtype=torch.uint8, pin_memory=self._stream is not None)
            for name, array in arrays.items():
                buffer.host.numpy()[places[name]].view(array.dtype)[:] = array.reshape(-1)
            there = buffer.host[:end].to(self._device, non_blocking=True, copy=True)
            buffer.sent = None if self._stream is None else self._stream.record_event()
        finally:
            self._free.put(buffer)
        return {
            name: there[places[name]].view(_torch_type(array.dtype)).view(array.shape) for name, array in arrays.items()
        }


@dataclass
class _Buffer:
    host: Tensor
    sent: "torch.cuda.Event | None" = None
    """When the last copy from it has arrived."""


def _torch_type(dtype: np.dtype[Any]) -> torch.dtype:
    """The same bytes; 32 bits without a sign, of which torch can do little, as with one: tokens and lengths end far
    below 2^31."""
    return torch.int32 if dtype == np.uint32 else torch.from_numpy(np.empty(0, dtype=dtype)).dtype


class StepLoader:
    """The steps from a position to a last one, one rank's share of each, in order.

    `threads` gather steps ahead, and one more plans them; with 0 each step is planned and gathered when it is asked
    for. What a step holds does not depend on it: nothing in a thread is left to chance. With `packed`, batches are
    PackedBatch.

    Use as a context manager, and go through the steps once: leaving it ends the threads. What goes wrong in a thread is
    raised where the step that it concerns is taken, after all steps before it.
    """

    def __init__(
        self,
        reader: Reader,
        order: Order,
        start: Position,
        last_step: int,
        *,
        rank: int,
        ranks: int,
        fuse_tokens: int,
        device: torch.device,
        weigh: Callable[[np.ndarray[Any, Any]], float],
        threads: int = 0,
        packed: bool = False,
    ) -> None:
        self.weigh = weigh
        self.gather = Gather(reader, device, packed=packed, buffers=threads + 2)
        self.order = order
        self.start = start
        self.last_step = last_step
        self.rank = rank
        self.ranks = ranks
        self.fuse_tokens = fuse_tokens
        self.lengths = reader.lengths
        self._ahead = Ahead(self._planned(), self._load, threads, STEPS_AHEAD + threads) if threads else None

    def __enter__(self) -> "StepLoader":
        if self._ahead is not None:
            self._ahead.__enter__()
        return self

    def __exit__(self, *what: object) -> None:
        if self._ahead is not None:
            self._ahead.__exit__(*what)

    def __iter__(self) -> Iterator[LoadedStep]:
        for loaded, sent in map(self._load, self._planned()) if self._ahead is None else self._ahead:
            self.gather.hand_over(loaded.batches, sent)
            yield loaded

    def _planned(self) -> Iterator[PlannedStep]:
        for planned in self.order.steps(self.start):
            if planned.position.step >= self.last_step:
                return
            yield planned

    def _load(self, planned: PlannedStep) -> "tuple[LoadedStep, torch.cuda.Event | None]":
        if self.gather.stream is not None:
            torch.cuda.set_device(self.gather.device)  # each thread begins with the first GPU
        micro_batches = planned.micro_batches
        padded = self.order.settings.padded
        share = deal(costs(micro_batches, self.lengths, padded), self.ranks)[self.rank]
        groups = fuse_share(share, micro_batches, self.lengths, self.fuse_tokens, padded)
        if groups:
            documents_of = [_together([micro_batches[i] for i in group]) for group in groups]
            batches = self.gather.batches(documents_of, [group[0] for group in groups], step=planned.position.step)
        else:
            batches = [self.gather.batch(micro_batches[0][:1], 0, idle=True, step=planned.position.step)]
        documents = np.concatenate(micro_batches)
        loaded = LoadedStep(
            planned=planned,
            batches=batches,
            documents=len(documents),
            weight=self.weigh(self.gather.reader.labels[documents]),
            tokens=int(self.gather.reader.sizes[documents].sum()),
        )
        return loaded, self.gather.sent()


def _together(documents: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return documents[0] if len(documents) == 1 else np.concatenate(documents)


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
