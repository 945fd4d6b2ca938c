"""How fast the steps go, and where their time goes."""

import time
from collections.abc import Iterable, Iterator

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cluster.loader import LoadedStep

# DDP times its own backward and reductions every so many steps; each time costs a few clock reads (on a GPU, events).
TIMED_EVERY = 10


class Pace:
    """Examples and real tokens per second over all ranks, and this rank's seconds, since the last line.

    `data`: waiting for the next step's documents. `communication`: waiting for other ranks, as far as it was not hidden
    behind the backward: what DDP says of the steps that it timed, times the steps, and the small sum that ends each
    step. `compute`: the rest.
    """

    def __init__(self, model: nn.Module) -> None:
        self._ddp = model if isinstance(model, DistributedDataParallel) else None
        if self._ddp is not None:
            self._ddp._set_ddp_runtime_logging_sample_rate(TIMED_EVERY)  # type: ignore[no-untyped-call]
        self.steps = 0
        self.restart()

    def restart(self) -> None:
        """Leave out what happened since the last step was counted (an evaluation, a checkpoint)."""
        self._since = time.perf_counter()
        self._steps = self._examples = self._tokens = 0
        self._data = self._communication = 0.0

    def waiting(self, loader: Iterable[LoadedStep]) -> Iterator[LoadedStep]:
        """The steps of the loader, the time it takes to get each counted."""
        steps = iter(loader)
        while True:
            before = time.perf_counter()
            loaded = next(steps, None)
            self._data += time.perf_counter() - before
            if loaded is None:
                return
            yield loaded

    def communicated(self, seconds: float) -> None:
        self._communication += seconds

    def count(self, loaded: LoadedStep) -> None:
        self.steps += 1
        self._steps += 1
        self._examples += loaded.documents
        self._tokens += loaded.tokens

    def rates(self) -> dict[str, object]:
        """What a line of `metrics.jsonl` says; begins anew."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        communication = self._communication + self._steps * self._exposed_reduction_seconds()
        communication = min(communication, seconds - self._data)
        rates: dict[str, object] = {
            "examples_per_second": self._examples / seconds,
            "tokens_per_second": self._tokens / seconds,
            "seconds": {
                "data": self._data,
                "compute": seconds - self._data - communication,
                "communication": communication,
            },
        }
        self.restart()
        return rates

    def _exposed_reduction_seconds(self) -> float:
        """Of one step: DDP's mean time in reductions less what ran beside the backward."""
        if self._ddp is None:
            return 0.0
        timed: dict[str, float] = self._ddp._get_ddp_logging_data()  # type: ignore[no-untyped-call]
        hidden = timed.get("avg_backward_compute_comm_overlap_time", 0)
        return max(0.0, (timed.get("avg_backward_comm_time", 0) - hidden) * 1e-9)
