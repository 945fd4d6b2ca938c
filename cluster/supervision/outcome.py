"""From what the agents and the ranks have left to how the attempt ended: which rank failed first by itself, and why."""

import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster.errors import EXIT_CHECKPOINTED, EXIT_DO_NOT_REQUEUE, EXIT_INFRASTRUCTURE
from cluster.runs import RunFolder, read_json
from cluster.supervision.verdict import Ending, verdict_of

LOG_TAIL_LINES = 20
KILLED = {
    True: ": the kernel killed a process of this node for want of memory meanwhile. Use a smaller "
    "train.micro_batch_tokens, or ask for more memory.",
    False: ", and not by the kernel for want of memory.",
    None: "; this kernel does not say whether for want of memory.",
}
"""By whom, as far as is known."""
LEFT_IN_GOOD_ORDER = "leave"
"""The phase of a rank that has done all its work."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one agent said at the end of its ranks."""

    node: str
    failures: Sequence[Mapping[str, Any]] = ()
    """Of ranks that ended badly: rank, exit_code (negative: a signal), pid, time."""
    was_stopped: bool = False
    """A signal ended the ranks, not they themselves."""
    ranks: Sequence[Mapping[str, Any]] = ()
    """How far each rank was: rank, phase, step."""
    ran_out_of_memory: bool | None = None
    """The kernel killed a process of this node for want of memory meanwhile; None where it does not say."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One rank's failure; of several, the one with the lowest order and time is the cause of the others."""

    order: int
    """0: its own error. 1: killed, or gone without a word. 2: it lost a peer. 3: it was asked to stop."""
    time: float
    ending: Ending


def conclude(run: RunFolder, attempt: int, reports: Sequence[Report], asked: str) -> Ending:
    """How an attempt ended whose agents have all reported. `asked`: why it was asked to stop, empty if nobody did."""
    spoken = _spoken(run, attempt)
    step = _newest(run)
    records = [
        (report, read_json(path))
        for report in reports
        for rank in report.ranks
        if (path := run.rank_failure(attempt, int(rank["rank"]))).exists()
    ]
    failures = [failure for report in reports for failure in report.failures]
    if spoken == "done" and not failures:
        return Ending(verdict="done", message=_message(run), step=step)
    own = [words for _, words in records if not words["asked_to_stop"] and not words["because_of_a_peer"]]
    stopped = any(report.was_stopped for report in reports)
    if spoken == "checkpointed" and not own and (stopped or _all_asked_to_stop(failures)):
        message = _message(run)  # the rank knows of no other signal than the agent's
        return Ending(
            verdict="checkpointed", message=message.replace("(SIGTERM)", f"({asked})") if asked else message, step=step
        )
    candidates = [_own_words(report, words) for report, words in records]
    told = {words["rank"] for _, words in records}
    for report in reports:
        candidates += [_last_words(run, attempt, report, f) for f in report.failures if f["rank"] not in told]
        candidates += _left_early(report, told)
    if not own and asked and not any(candidate.order < 2 for candidate in candidates):
        saved = f"the checkpoint of step {step} is there" if step else "no step had been saved"
        return Ending(verdict="checkpointed", message=f"Stopped ({asked}); {saved}.", step=step)
    if not candidates:
        return Ending(verdict="failed", message="The ranks ended without a result.", step=step)
    cause = min(candidates, key=lambda candidate: (candidate.order, candidate.time)).ending
    return replace(cause, step=step)


def newest_step(run: RunFolder) -> int:
    """Of the newest checkpoint; 0 if there is none."""
    return _newest(run) or 0


def _newest(run: RunFolder) -> int | None:
    steps = run.checkpoint_steps()
    return steps[-1] if steps else None


def _spoken(run: RunFolder, attempt: int) -> str:
    """What rank 0 itself has written if it finished, or stopped after a checkpoint."""
    verdict = read_json(run.verdict) if run.verdict.exists() else {}
    return str(verdict.get("verdict")) if verdict.get("attempt") == attempt else ""


def _message(run: RunFolder) -> str:
    return str(read_json(run.verdict)["message"])


def _all_asked_to_stop(failures: Iterable[Mapping[str, Any]]) -> bool:
    # Once the first rank has left, the launcher signals the others, which only repeats the request to stop.
    return all(failure["exit_code"] in (EXIT_CHECKPOINTED, -signal.SIGTERM) for failure in failures)


def _own_words(report: Report, words: Mapping[str, Any]) -> Candidate:
    expected, peer = bool(words["expected"]), bool(words["because_of_a_peer"])
    code = words["exit_code"] if expected else EXIT_INFRASTRUCTURE if peer else EXIT_DO_NOT_REQUEUE
    told = words["message"] if expected else f"Rank {words['rank']} failed: {words['kind']}: {words['message']}"
    ending = Ending(
        verdict=verdict_of(code),
        message=told if expected else _on(report.node, told),
        rank=words["rank"],
        node=report.node,
        kind="" if peer else str(words["kind"]),
        at_step=_step_of(report, words["rank"]),
        is_expected=expected,
        traceback="" if expected else words["traceback"],
    )
    return Candidate(order=3 if words["asked_to_stop"] else 2 if peer else 0, time=words["time"], ending=ending)


def _last_words(run: RunFolder, attempt: int, report: Report, failure: Mapping[str, Any]) -> Candidate:
    """A rank that left no record: killed by a signal, or ended before it could speak."""
    rank, code = int(failure["rank"]), int(failure["exit_code"])
    log = run.rank_log(attempt, rank)
    tail = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
    step = _step_of(report, rank)
    if code < 0:
        kind = signal.Signals(-code).name
        message = f"Rank {rank} (process {failure['pid']}) was killed by {kind}"
        if kind == "SIGKILL":
            kind = "out of memory" if report.ran_out_of_memory else kind
            message += KILLED[report.ran_out_of_memory]
        else:
            message += "."
    else:
        kind, message = f"exit code {code}", f"Rank {rank} ended with exit code {code} before it could say why."
    ending = Ending(
        verdict=verdict_of(EXIT_INFRASTRUCTURE if code < 0 else EXIT_DO_NOT_REQUEUE),
        message=_on(report.node, message),
        rank=rank,
        node=report.node,
        kind=kind,
        at_step=step,
        traceback="\n".join(["Last lines of its log:", *tail]) if tail else "",
    )
    # Torch's launcher ends the others with SIGTERM once one has failed.
    return Candidate(order=3 if code == -signal.SIGTERM else 1, time=float(failure["time"]), ending=ending)


def _left_early(report: Report, told: set[int]) -> list[Candidate]:
    """Ranks that ended with exit code 0 in the middle of their work: to the launcher they have succeeded."""
    failed = {int(failure["rank"]) for failure in report.failures}
    found = []
    for rank in report.ranks:
        number = int(rank["rank"])
        if number in failed | told or rank["phase"] == LEFT_IN_GOOD_ORDER:
            continue
        message = f"Rank {number} ended with exit code 0 in the middle of training (phase {rank['phase']}, step "
        ending = Ending(
            verdict="failed",
            message=_on(report.node, f"{message}{rank['step']}): something in it calls exit."),
            rank=number,
            node=report.node,
            kind="exit code 0",
            at_step=rank["step"],
        )
        found.append(Candidate(order=1, time=0.0, ending=ending))
    return found


def _step_of(report: Report, rank: int) -> int | None:
    return next((one["step"] for one in report.ranks if int(one["rank"]) == rank), None)


def _on(node: str, message: str) -> str:
    """Names the node, where there are several or it has a name to Slurm."""
    return f"{node}: {message}" if node else message
