"""A rank's pulse: says twice a second that this process lives, and what it is at and since when.

The page that it writes belongs to the agent (cluster/pulse/page.py). Without an agent nobody reads it, and there is
none.
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from cluster.pulse.deadline import Deadline
from cluster.pulse.page import BEAT_SECONDS, PULSE, Page, collectives_path, page_path, stack_path
from cluster.pulse.phase import Phase
from cluster.pulse.process import own_ticks


class Pulse:
    """What this rank is at. Methods are for the main thread, and cost a few microseconds."""

    def __init__(self, page: Page | None = None) -> None:
        self._page = page
        self._deadline = Deadline()
        self._phase = Phase.START
        self._step = 0
        self._since = self._began = time.monotonic()
        self._after: tuple[Phase, float] | None = None

    def first(self, step: int, compiles: bool) -> None:
        """The first step of this attempt begins, after so many of the run."""
        self._step = step
        self._deadline.compiles = compiles
        self._turn(Phase.FIRST_STEP, self._deadline.allowed_seconds(Phase.FIRST_STEP))

    def tick(self, step: int) -> None:
        """A step is over, the next begins. `step`: how many the run has taken."""
        if self._page is None:
            return
        if self._after is None:
            self._deadline.lasted(self._phase, time.monotonic() - self._since)
        else:
            phase, began = self._after
            if phase is Phase.SAVE:  # as long as it was for the rank that writes: the others have waited for it here
                self._deadline.lasted(phase, time.monotonic() - began)
            self._after = None
        self._step = step
        self._turn(Phase.STEP, self._deadline.allowed_seconds(Phase.STEP))

    @contextlib.contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Inside, this rank is at something else than a step. What it does next may take as long: others may still be
        inside."""
        outer = self._phase
        allowed = self._deadline.allowed_seconds(phase)
        self._turn(phase, allowed)
        began = self._began = self._since
        yield
        self._after = (phase, began)
        self._turn(outer, max(self._deadline.allowed_seconds(outer), allowed))

    def batch(self) -> None:
        """A batch of an evaluation is over."""
        if self._page is None:
            return
        self._deadline.lasted(self._phase, time.monotonic() - self._since)
        self._turn(self._phase, self._deadline.allowed_seconds(self._phase))

    def wait(self) -> None:
        """This rank's batches are done; the others' may take as long again."""
        self._turn(self._phase, max(self._deadline.allowed_seconds(self._phase), time.monotonic() - self._began))

    def leave(self) -> None:
        """The work is done; what is left is to end."""
        self._turn(Phase.LEAVE, self._deadline.allowed_seconds(Phase.LEAVE))

    def _turn(self, phase: Phase, allowed_seconds: float) -> None:
        self._phase = phase
        self._since = time.monotonic()
        if self._page is not None:
            self._page.turn(phase, self._step, self._since, allowed_seconds)


def begin(rank: int) -> Pulse:
    """Begin to beat, in a thread that ends with the process, and answer SIGUSR2 with the stacks of all threads.

    Raises InfrastructureError if the page that the environment names is not there.
    """
    folder = os.environ.get(PULSE)
    if folder is None:
        faulthandler.register(signal.SIGUSR2, file=sys.stderr, all_threads=True)
        return Pulse()
    page = Page(page_path(Path(folder), rank))
    stack = open(stack_path(Path(folder), rank), "ab")  # noqa: SIM115 - as long as this process
    faulthandler.register(signal.SIGUSR2, file=stack, all_threads=True)
    page.beat(time.monotonic(), page.read().answered)  # first: who has begun without a beat would count as frozen
    page.begin(os.getpid(), own_ticks())
    threading.Thread(target=_beat, args=(page, Path(folder)), name="pulse", daemon=True).start()
    return Pulse(page)


def _beat(page: Page, folder: Path) -> None:
    answered = page.read().answered
    while True:
        page.beat(time.monotonic(), answered)
        if (requested := page.requested()) > answered:
            with contextlib.suppress(OSError):  # whoever asked finds no answer, and says so
                _write_collectives(collectives_path(folder, page.rank))
            answered = requested
            continue
        time.sleep(BEAT_SECONDS)


def _write_collectives(path: Path) -> None:
    beside = path.with_suffix(".partial")
    beside.write_bytes(recorded())
    os.replace(beside, path)


def recorded() -> bytes:
    """The last collectives of this process as torch's flight recorder tells them, or {"unknown": why}, as JSON."""
    # NCCL's groups have a recorder of their own.
    nccl = torch.distributed.is_initialized() and torch.distributed.get_backend() == "nccl"
    name = "_dump_nccl_trace_json" if nccl else "_dump_fr_trace_json"
    dump = getattr(torch._C._distributed_c10d, name, None)
    if dump is None:
        return json.dumps({"unknown": f"torch {torch.__version__} has no {name}"}).encode()
    told: bytes = dump()
    return told
