"""One for each node and attempt: calls the supervisor, starts the ranks of its node, and says how they ended.

python -m cluster.agent train RUN [launch.ranks=2]     started by cluster.supervise, alone or through srun
"""

import argparse
import dataclasses
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from cluster.errors import EXIT_DO_NOT_REQUEUE, EXIT_DONE, EXIT_INFRASTRUCTURE, InfrastructureError, MusterError
from cluster.processes import PARENT, STOP_SIGNALS, die_with_parent
from cluster.pulse.asking import collectives, record, stacks
from cluster.pulse.clock import Clock
from cluster.pulse.page import Pages
from cluster.runs import RunFolder, read_json
from cluster.supervision.frames import BEAT_SECONDS, NODE
from cluster.supervision.line import Line
from cluster.topology.frames import Message
from cluster.topology.listening import own_port

END_SECONDS = 2.0
"""Between the end of the ranks and ours when we are told to end at once."""


def main(arguments: list[str] | None = None) -> int:
    """Serve one attempt; returns an exit code of `cluster/errors.py`, which srun may lose."""
    options = _parse(arguments)
    if PARENT in os.environ:  # not under srun: there the line to the supervisor tells when to end
        die_with_parent(signal.SIGKILL)
    node = int(os.environ[NODE] if NODE in os.environ else os.environ["SLURM_NODEID"])
    try:
        return Agent(RunFolder(options.run), options.overrides, node).serve()
    except InfrastructureError as error:  # the supervisor cannot be reached, and misses this node by itself
        print(f"muster: {error}", file=sys.stderr)
        return error.exit_code


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cluster.agent", description=__doc__)
    parser.add_argument("job", choices=["train"])
    parser.add_argument("run", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="launch.KEY=VALUE")
    return parser.parse_intermixed_args(arguments)


class Agent:
    """Its own thread waits for the ranks; the line's thread obeys the supervisor meanwhile."""

    def __init__(self, run: RunFolder, overrides: Sequence[str], node: int) -> None:
        """Calls the supervisor. Raises InfrastructureError."""
        self.run, self.overrides, self.node = run, overrides, node
        self._told_to_go = threading.Event()
        self._go: Message = {}
        self._is_stopping = False
        self._out_of_memory_before = _kills_for_memory()
        self._pages: Pages | None = None
        self._clock: Clock | None = None
        self._has_told_of_stuck = self._has_told_of_gone = False
        for number in STOP_SIGNALS:  # Slurm sends its signals to every process of a step
            signal.signal(number, self._hear)
        hello = {"name": os.environ.get("SLURMD_NODENAME", ""), "pid": os.getpid(), "sees": self._sees()}
        self._line = Line(node, hello)
        self._line.follow(self._obey, self._beat)

    def serve(self) -> int:
        """From the import of torch to the last word; returns the exit code."""
        try:
            self._prepare()
            self._told_to_go.wait()
            report = self._run_ranks()
        except Exception as error:  # whatever it is, the supervisor is to say it
            self._line.tell({"failed": _failure(error)})
            return error.exit_code if isinstance(error, MusterError) else EXIT_DO_NOT_REQUEUE
        self._line.tell({"ended": report})
        return EXIT_INFRASTRUCTURE if report["failures"] else EXIT_DONE

    def _sees(self) -> dict[str, bool]:
        """Whether the folders that every node needs are there."""
        paths = [self.run.record]
        if self.run.record.exists():
            paths.append(Path(read_json(self.run.record)["prepared"]))
        return {str(path): path.exists() for path in paths}

    def _prepare(self) -> None:
        # Not before the supervisor has heard of this node: from a slow disk, torch takes a minute to be read.
        from cluster.topology.node import to_json
        from cluster.training.parallel import machine
        from cluster.training.site import node_of

        node = node_of(self.run.path, Path(read_json(self.run.record)["prepared"]))
        ready = {"machine": dataclasses.asdict(machine()), "node": to_json(node), "port": own_port()}
        self._line.tell({"ready": ready})

    def _run_ranks(self) -> dict[str, Any]:
        from cluster.elastic import Meeting, failures_told, run_ranks
        from cluster.plan.plan import Plan
        from cluster.training.site import hand_down, placement_of

        go = self._go
        plan, of_node = Plan(**go["plan"]), int(go["ranks_of_node"])
        hand_down(plan, placement_of(go["placement"]))
        meeting = Meeting(go["address"], go["port"], self.node, go["nodes"])
        module = ["cluster.train", "--resume", str(self.run.path), *self.overrides]
        failures: list[dict[str, Any]] = []
        with Pages(range(self.node * of_node, (self.node + 1) * of_node)) as pages:
            os.environ.update(pages.hand_down())
            self._pages, self._clock = pages, Clock(pages, BEAT_SECONDS)
            if not self._is_stopping:
                failures = failures_told(run_ranks(self.run, go["attempt"], plan, of_node, module, meeting))
            ranks = self._clock.snapshot()
            self._clock = self._pages = None
        before = self._out_of_memory_before
        return {
            "failures": failures,
            "was_stopped": self._is_stopping,
            "ranks": ranks,
            "ran_out_of_memory": None if before is None else (_kills_for_memory() or 0) > before,
        }

    def _beat(self) -> Message:
        """How far each rank of this node is, and once, which of them are gone or do not go on."""
        clock = self._clock
        if clock is None:
            return {"ranks": []}
        if (gone := clock.gone()) and not self._has_told_of_gone and not self._is_stopping:
            self._has_told_of_gone = True
            self._line.tell({"lost": gone})
        stuck = clock.look()
        if stuck and not self._has_told_of_stuck:
            self._has_told_of_stuck = True
            self._line.tell({"stuck": [dataclasses.asdict(one) for one in stuck]})
        return {"ranks": clock.snapshot()}

    def _dump(self) -> None:
        """Where every rank is: into files beside the ranks' logs, and in short to the supervisor."""
        pages, attempt = self._pages, int(self._go.get("attempt", 0))
        found: list[dict[str, Any]] = []
        if pages is not None:
            for rank, entered in collectives(pages).items():
                found.append(dataclasses.asdict(entered))
                self._leave(self.run.rank_collectives(attempt, rank), partial(record, pages, entered))
            for rank, stack in stacks(pages).items():
                self._leave(self.run.rank_stack(attempt, rank), partial(str, stack))
        self._line.tell({"dumped": found})

    def _leave(self, path: Path, words: Callable[[], str]) -> None:
        try:
            path.write_text(words())
        except OSError as error:
            print(f"muster: {path} could not be written ({error.strerror})", file=sys.stderr, flush=True)

    # ---- the line's thread, and signals ----

    def _obey(self, order: Message) -> None:
        match order:
            case {"go": dict() as go}:
                self._go = go
                self._told_to_go.set()
            case {"stop": True}:
                self._stop()
            case {"dump": True}:  # takes seconds: the line must go on beating
                threading.Thread(target=self._dump, name="dump", daemon=True).start()
            case {"end": True}:
                self._end("told to end")
            case {"gone": why}:
                self._end(str(why))
            case _:
                pass  # a sign of life

    def _hear(self, number: int, _: FrameType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        """Ask the ranks, once, to save a checkpoint and end: they agree on the step among themselves."""
        if self._is_stopping:
            return
        self._is_stopping = True
        for rank in _ranks_of(os.getpid()):
            with suppress(psutil.Error):
                rank.send_signal(signal.SIGTERM)

    def _end(self, why: str) -> None:
        """At once, and the ranks before: nothing is left that could still write into the run's folder."""
        print(f"muster: agent of node {self.node}: {why}; its ranks are ended", file=sys.stderr, flush=True)
        for rank in _ranks_of(os.getpid()):
            with suppress(psutil.Error):
                rank.kill()
        time.sleep(END_SECONDS)  # for the main thread to tell the supervisor, if there is one
        os._exit(EXIT_INFRASTRUCTURE)


def _ranks_of(agent: int) -> list[psutil.Process]:
    return psutil.Process(agent).children(recursive=True)


def _kills_for_memory() -> int | None:
    """How often the kernel has killed a process of this machine for want of memory (proc(5), /proc/vmstat); None where
    it does not say."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None


def _failure(error: Exception) -> dict[str, Any]:
    expected = isinstance(error, MusterError)
    return {
        "message": str(error) if expected else f"{type(error).__name__}: {error}",
        "exit_code": error.exit_code if isinstance(error, MusterError) else EXIT_INFRASTRUCTURE,
        "kind": type(error).__name__,
        "traceback": "" if expected else "".join(traceback.format_exception(error)),
    }


if __name__ == "__main__":
    sys.exit(main())
