"""Sees a run through: one attempt after another, until it is done, asked to stop, or not worth another try.

python -m cluster.supervise RUN [launch.ranks=2]

Started by `muster train`, `muster resume` and `cluster.api`, on a workstation or on the first node of a job. Never
imports torch: what computes is in the agents' ranks (cluster/agent.py).
"""

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cluster.config.load import from_toml_with
from cluster.config.schema import Recipe
from cluster.data.reserve import FULL, Reserve
from cluster.errors import RunError, exit_code_of
from cluster.processes import die_with_parent
from cluster.runs import RunFolder, locked, open_run
from cluster.supervision.agents import Agents
from cluster.supervision.alive import Signs, refuse_alive
from cluster.supervision.attempt import Attempt
from cluster.supervision.budget import bad_nodes, barren, next_move
from cluster.supervision.history import Past, history, note
from cluster.supervision.outcome import newest_step
from cluster.supervision.requeue import start_again
from cluster.supervision.slurm import Job, job_of
from cluster.supervision.verdict import Ending, write_verdict
from cluster.supervision.wishes import Wishes

LOOK_SECONDS = 0.1


def main(arguments: list[str] | None = None) -> int:
    """See the run through; returns the exit code of its last verdict. Raises MusterError."""
    parser = argparse.ArgumentParser(prog="python -m cluster.supervise", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="launch.KEY=VALUE")
    options = parser.parse_intermixed_args(arguments)
    die_with_parent(signal.SIGTERM)
    run = open_run(options.run)
    recipe = from_toml_with(run.recipe.read_text(), options.overrides)
    job = job_of(os.environ)
    with locked(run):
        refuse_alive(run)
        return Supervisor(run, recipe, options.overrides, job).see_through()


class Supervisor:
    """Of one run, for as long as this process lives."""

    def __init__(self, run: RunFolder, recipe: Recipe, overrides: Sequence[str], job: Job | None) -> None:
        self.run, self.recipe, self.overrides, self.job = run, recipe, overrides, job
        self.signs = Signs(run, job.name if job is not None else "")
        self.wishes = Wishes(run, job)
        self.reserve = Reserve(run.reserve)

    def see_through(self) -> int:
        """One attempt after another; returns the exit code of the last verdict."""
        self.run.stop_request.unlink(missing_ok=True)  # meant for a supervisor that is gone
        self.wishes.listen()
        try:
            while True:
                ending, past = self._attempt()
                if ending.verdict in ("done", "wrong input"):
                    return self._end(ending, past, "")
                if ending.verdict == "checkpointed":
                    return self._leave(ending, past, ())
                move = next_move([*history(self.run), past], limit=self.recipe.launch.attempts, chance=random.random())
                if not move.again:
                    return self._give_up(ending, past, move.why)
                if ending.node_is_unfit:
                    return self._leave(ending, past, ending.unfit_nodes)
                if not self._restart(ending, past, move.pause_seconds):
                    message = (
                        f"Stopped ({self.wishes.stop}) between attempts; the checkpoint of step {past.step} is there."
                    )
                    stopped = Ending(verdict="checkpointed", message=message, step=past.step)
                    return self._leave(stopped, past, ())
        finally:
            self.reserve.give_up()
            self.signs.take_away()
            self.wishes.obeyed()

    def _attempt(self) -> tuple[Ending, Past]:
        """Make one; gives how it ended."""
        number = self.run.attempts()
        began, began_step = time.time(), newest_step(self.run)
        self.reserve.write(lambda: self.run.attempt_logs(number).mkdir(parents=True))
        self.reserve.keep()
        agents = Agents(self.job, number, self.recipe.launch.interface)
        self.signs.attempt, self.signs.restarts = number, len(history(self.run))
        self.signs.nodes = [name for name in agents.names if name]
        self.signs.give("starting", now=True)
        attempt = Attempt(
            folder=self.run, recipe=self.recipe, overrides=self.overrides, number=number, agents=agents,
            signs=self.signs, wishes=self.wishes, say=say,
        )  # fmt: skip
        try:
            ending = attempt.run()
        except OSError as error:
            if error.errno not in FULL:
                raise
            ending = Ending(verdict="infrastructure", message=f"The run's folder cannot be written: {error}.")
        if ending.verdict == "wrong input" and not attempt.has_started:  # nothing was started: nothing is changed
            self.run.attempt_logs(number).rmdir()
            raise RunError(ending.message)
        ending = replace(ending, step=newest_step(self.run) or None)
        self.signs.words = ending.message
        past = Past(
            attempt=number,
            verdict=ending.verdict,
            cause=ending.message.partition("\n")[0],
            is_expected=ending.is_expected,
            next="",
            began=began,
            ended=time.time(),
            began_step=began_step,
            step=newest_step(self.run),
            job=self.job.name if self.job is not None else "",
            restart=self.job.restart if self.job is not None else 0,
            nodes=tuple(self.signs.nodes),
            node=ending.node,
            rank=ending.rank,
            kind=ending.kind,
            at_step=ending.at_step,
        )
        return ending, past

    def _restart(self, ending: Ending, past: Past, pause_seconds: float) -> bool:
        """Say what happened, and wait before the next attempt. False if somebody wants the run to stop meanwhile."""
        then = f"started again in {pause_seconds:.0f} s from step {past.step}"
        self._tell(ending, past, then)
        end = time.monotonic() + pause_seconds
        while time.monotonic() < end:
            self.signs.give("waiting")
            self.wishes.look()
            if self.wishes.stop:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _give_up(self, ending: Ending, past: Past, why: str) -> int:
        """It would fail again, or has too often: nobody is to start it again by himself."""
        failed = replace(ending, verdict="failed" if ending.verdict == "infrastructure" else ending.verdict)
        return self._end(failed, replace(past, verdict=failed.verdict), f"given up: {why}")

    def _leave(self, ending: Ending, past: Past, without: Sequence[str]) -> int:
        """This process can do no more; in a job of Slurm's, the job is started again where that makes sense."""
        job = self.job
        if job is None:
            return self._end(ending, past, "")
        code = self._end(ending, past, "")  # on the disk before Slurm ends us
        then = self._after(job, past, without)
        self._write(ending, past, then)
        say(f"muster: {then}")
        return code

    def _after(self, job: Job, past: Past, without: Sequence[str]) -> str:
        """Whether the job goes on, in words; has Slurm start it again if it should."""
        if self.wishes.was_asked_by_person:
            return f"not requeued: {self.wishes.stop}"
        count = barren(history(self.run))
        if count >= self.recipe.launch.attempts:
            return f"not requeued: {count} attempts in a row without a newer checkpoint"
        return start_again(job, [*without, *bad_nodes(history(self.run))])

    def _end(self, ending: Ending, past: Past, then: str) -> int:
        self._tell(ending, past, then)
        return ending.exit_code

    def _tell(self, ending: Ending, past: Past, then: str) -> None:
        """The verdict, the line of history, and what a person should read."""
        self._write(ending, past, then)
        if ending.verdict == "done":
            return
        is_for_us = ending.verdict == "checkpointed" and not past.job
        goes_on = f" Go on with: muster resume {self.run.path}" if is_for_us else ""
        say(f"muster: {ending.message}{goes_on}")
        if ending.traceback:
            say(ending.traceback)
        if ending.verdict in ("failed", "infrastructure"):
            say(f"muster: logs of all ranks: {self.run.attempt_logs(past.attempt)}")
        if then:
            say(f"muster: {then}")

    def _write(self, ending: Ending, past: Past, then: str) -> None:
        def verdict() -> None:
            write_verdict(self.run, ending, attempt=past.attempt, nodes=past.nodes, job=past.job, then=then)

        try:
            if past.attempt not in {one.attempt for one in history(self.run)}:  # between attempts it is there already
                self.reserve.write(lambda: note(self.run, replace(past, next=then)))
            self.reserve.write(verdict)
        except OSError as error:  # what is said on the screen is then all that tells it
            say(f"muster: the verdict cannot be written: {error}")


def say(line: str) -> None:
    """For people; whoever started this process shows it."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
