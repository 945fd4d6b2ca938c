"""How an attempt ended, in one file: `verdict.json`. Launchers lose exit codes; this is the truth."""

import json
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


def verdict_of(exit_code: int) -> Verdict:
    """The verdict that an exit code of our own stands for; any other code is a failure."""
    return next((name for name, code in EXIT_CODES.items() if code == exit_code), "failed")


def write_verdict(
    run: RunFolder,
    verdict: Verdict,
    message: str,
    *,
    attempt: int,
    step: int | None = None,
    rank: int | None = None,
    traceback: str = "",
) -> int:
    """Write the verdict of an attempt; returns its exit code."""
    contents = {
        "verdict": verdict,
        "exit_code": EXIT_CODES[verdict],
        "attempt": attempt,
        "step": step,
        "rank": rank,
        "message": message,
        "traceback": traceback,
    }
    write_atomically(run.verdict, json.dumps(contents, indent=2).encode() + b"\n")
    return EXIT_CODES[verdict]
