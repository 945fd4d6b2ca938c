"""How an attempt ended, in one file: `verdict.json`. Launchers lose exit codes; this is the truth."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from cluster.data.durable import write_atomically
from cluster.errors import (
    EXIT_CHECKPOINTED,
    EXIT_DO_NOT_REQUEUE,
    EXIT_DONE,
    EXIT_INFRASTRUCTURE,
    EXIT_WRONG_INPUT,
)
from cluster.runs import RunFolder

Verdict = Literal["done", "checkpointed", "failed", "infrastructure", "wrong input"]
EXIT_CODES: dict[Verdict, int] = {
    "done": EXIT_DONE,
    "checkpointed": EXIT_CHECKPOINTED,
    "failed": EXIT_DO_NOT_REQUEUE,
    "infrastructure": EXIT_INFRASTRUCTURE,
    "wrong input": EXIT_WRONG_INPUT,
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one attempt ended, and why."""

    verdict: Verdict
    message: str
    """For a person: which rank on which node, in which step, and what it was."""
    step: int | None = None
    """Of the newest checkpoint."""
    rank: int | None = None
    node: str = ""
    """Where the cause lies, if it lies on one node."""
    kind: str = ""
    """What would be the same if it happened again: the class of an exception, a signal; empty where chance or other
    people decide."""
    at_step: int | None = None
    """The step that the rank was in."""
    traceback: str = ""
    is_expected: bool = False
    """The run itself has said what is wrong with it (a MusterError)."""
    node_is_unfit: bool = False
    """A node itself is the cause: another attempt on it would be no better."""
    unfit_nodes: tuple[str, ...] = ()
    """Those that the scheduler should leave out, as far as they have names."""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]


def verdict_of(exit_code: int) -> Verdict:
    """The verdict that an exit code of our own stands for; any other code is a failure."""
    return next((name for name, code in EXIT_CODES.items() if code == exit_code), "failed")


def write_verdict(
    run: RunFolder, ending: Ending, *, attempt: int, nodes: tuple[str, ...] = (), job: str = "", then: str = ""
) -> int:
    """Write how an attempt ended, and what happens next; returns the exit code."""
    fields = asdict(ending)
    for name in ("kind", "at_step", "is_expected", "node_is_unfit", "unfit_nodes"):
        del fields[name]
    contents = fields | {
        "exit_code": ending.exit_code,
        "attempt": attempt,
        "nodes": list(nodes),
        "job": job,
        "next": then,
    }
    write_atomically(run.verdict, json.dumps(contents, indent=2).encode() + b"\n")
    return ending.exit_code
