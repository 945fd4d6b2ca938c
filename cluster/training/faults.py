"""What happens to a rank from outside, and what it leaves behind when it fails.

A signal only sets a flag; the ranks agree on it with the step. A rank that fails writes down why, in the run folder,
because launchers lose both exit codes and words.
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing.errors import record

from cluster.data.durable import write_atomically
from cluster.data.reserve import FULL, Reserve
from cluster.errors import InfrastructureError, Interrupted, MusterError
from cluster.processes import STOP_SIGNALS, die_with_parent
from cluster.runs import RunFolder
from cluster.training.parallel import environment
from cluster.training.pulse import Pulse, begin

ATTEMPT = "MUSTER_ATTEMPT"
"""Set by `cluster.agent`, which then holds the run's lock and reads the ranks' last words."""


class StopFlag:
    """Set by SIGINT, SIGTERM, SIGHUP or SIGUSR1; read once a step."""

    def __init__(self) -> None:
        self.signal_name = ""

    @property
    def is_set(self) -> bool:
        return bool(self.signal_name)

    def _set(self, number: int, _: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name

    @contextlib.contextmanager
    def listening(self) -> Iterator["StopFlag"]:
        before = {n: signal.signal(n, self._set) for n in STOP_SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_rank(work: Callable[[Pulse], None], logs: Path | None) -> int:
    """Do a rank's work and return its exit code, leaving word of why it failed if it did.

    `logs` is the run folder that keeps the ranks' logs; it is used under `cluster.agent` only. Errors that muster does
    not raise itself pass through.
    """
    attempt = os.environ.get(ATTEMPT)
    if attempt is not None:
        os.dup2(1, 2)  # one log for a rank: the agent has sent standard output there
        die_with_parent(signal.SIGKILL)
    faulthandler.enable()  # a segmentation fault or abort prints every thread's Python stack
    try:
        pulse = begin(environment().rank)
        record(lambda: work(pulse))()
    except BaseException as raised:
        error = as_full_disk(raised)
        if attempt is not None and logs is not None:
            rank, folder = environment()[0], RunFolder(logs)
            write_failure(folder.rank_failure(int(attempt), rank), rank, error, Reserve(folder.reserve))
        if not isinstance(error, MusterError):
            raise
        with contextlib.suppress(OSError):  # the log may be on the disk that is full
            print(f"muster: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def as_full_disk(error: BaseException) -> BaseException:
    """An error that says that a disk is full, wherever that was noticed, as an InfrastructureError; others as they
    are."""
    if not (isinstance(error, OSError) and error.errno in FULL):
        return error
    return InfrastructureError(f"A disk is full: {error}. Free some space; the newest checkpoint is whole.")


def write_failure(path: Path, rank: int, error: BaseException, reserve: Reserve) -> None:
    """Leave word of why this rank ends, for the agent's verdict."""
    record: dict[str, Any] = {
        "rank": rank,
        "time": time.time(),
        "kind": type(error).__name__,
        "message": str(error),
        "exit_code": error.exit_code if isinstance(error, MusterError) else None,
        "expected": isinstance(error, MusterError),
        "asked_to_stop": isinstance(error, (Interrupted, KeyboardInterrupt)),
        "because_of_a_peer": is_peer_failure(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
    with contextlib.suppress(OSError):  # a full disk must not hide the first error
        path.parent.mkdir(parents=True, exist_ok=True)
        reserve.write(lambda: write_atomically(path, json.dumps(record, indent=2).encode()))


def is_peer_failure(error: BaseException) -> bool:
    """Whether an error only says that another rank is gone: the other rank's own error is then the one to show."""
    if isinstance(error, MusterError):
        return False
    if isinstance(error, torch.distributed.DistError):
        return True
    words = str(error)
    # gloo raises a plain RuntimeError; these are its words for a peer that closed its side.
    return isinstance(error, RuntimeError) and ("Connection closed by peer" in words or "gloo" in words.lower())
