"""What has become of a run: from what its folder holds, how old its last sign of life is, and what Slurm says."""

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from cluster.errors import RunError
from cluster.runs import RunFolder, RunState, is_reserved, read_json, run_state, state_at_rest
from cluster.topology.hosts import compressed
from launch.jobs.scheduler import Job, Queue, queue
from launch.live.signs import LOST_SECONDS, Heart, Signs, age_seconds, read_signs
from launch.report.figures import SPACE, seconds

State = Literal[
    "not started", "queued", "starting", "running", "stopping", "waiting to restart", "lost", "interrupted",
    "given up", "finished", "damaged",
]  # fmt: skip
GOING: frozenset[State] = frozenset({"queued", "starting", "running", "stopping", "waiting to restart", "lost"})
"""States that something else will follow by itself; nobody knows of a lost run."""
SPOKEN: Mapping[str, State] = {
    "starting": "starting",
    "training": "running",
    "stopping": "stopping",
    "waiting": "waiting to restart",
}
"""What the signs of life call it."""
SECONDS_BETWEEN_QUESTIONS = 5.0
"""To Slurm, whose controller answers everybody."""
HELD = ("JobHeldUser", "JobHeldAdmin")
"""Reasons of squeue for which a job waits until it is released."""
NEVER = re.compile(r"Partition\w*Limit|BadConstraints|Dependency\w*NeverSatisfied|Invalid\w+")
"""Reasons of squeue for which a job waits for good."""
HOPELESS = ("failed", "wrong input")
"""Verdicts after which nothing starts again by itself."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """All that the state of a run follows from."""

    folder: RunState
    reserved: bool = False
    """For a job that has not made the run yet."""
    attempts: int = 0
    verdict: Mapping[str, Any] = field(default_factory=dict)
    signs: Signs = field(default_factory=dict)
    age_seconds: float | None = None
    """Of the signs of life."""
    job: str = ""
    """The Slurm job that the run belongs to."""
    queued: Job | None = None
    """What Slurm says of that job; None where it is over."""
    unknown: str = ""
    """Why Slurm could not be asked of it."""
    damage: str = ""
    """Which file cannot be read."""

    @property
    def is_alive(self) -> bool:
        return self.age_seconds is not None and self.age_seconds <= LOST_SECONDS


@dataclass(frozen=True, kw_only=True)
class Condition:
    """The state of a run in words."""

    run: RunFolder
    seen: Seen
    state: State
    detail: str
    """Why, or since when."""
    next: str
    """What follows, or what can be done."""

    @property
    def is_going(self) -> bool:
        return self.state in GOING

    @property
    def words(self) -> str:
        """The last words: of whoever looks after the run, else of its verdict."""
        return str(self.seen.signs.get("words") or self.seen.verdict.get("message") or "")

    @property
    def nodes(self) -> str:
        """Where it runs or last ran, written short."""
        for said in (self.seen.signs, self.seen.verdict):
            if isinstance(nodes := said.get("nodes"), list) and nodes:
                return compressed(map(str, nodes))
        return self.seen.queued.nodes if self.seen.queued else ""

    @property
    def restarts(self) -> int:
        said = self.seen.signs.get("restarts")
        return said if isinstance(said, int) else max(0, self.seen.attempts - 1)


def conditions(runs: Sequence[RunFolder], damaged: bool = False) -> list[Condition]:
    """What has become of runs; Slurm is asked once, and only of those whose folder does not tell.

    Raises RunError for a run with a file that cannot be read, unless such a one may be among them (`damaged`).
    """
    seen = [_look(run, damaged) for run in runs]
    asked = queue(one.job for one in seen if needs_slurm(one))
    return [_after(asked, run, one, damaged) for run, one in zip(runs, seen, strict=True)]


def _after(asked: Queue, run: RunFolder, seen: Seen, damaged: bool) -> Condition:
    """How a run is, now that Slurm has answered: one that is over may have ended otherwise than it looked before."""
    found = condition(run, with_queue(seen, asked))
    if found.is_going or not needs_slurm(seen):
        return found
    return condition(run, with_queue(_look(run, damaged), asked))


def _look(run: RunFolder, damaged: bool) -> Seen:
    try:
        return look(run)
    except RunError as error:
        if not damaged:
            raise
        return Seen(folder="created", damage=str(error))


def look(run: RunFolder, age: float | None = None, once: bool = True) -> Seen:
    """What the folder of a run tells. Raises RunError.

    `age`: of the signs of life, where somebody watches them. `once`: nobody looks again and again, so that the run may
    be held for a moment, to see whether a launcher that gives no signs is at it.
    """
    signs = read_signs(run)
    job = read_json(run.job) if run.job.exists() else {}
    verdict = read_json(run.verdict) if run.verdict.exists() else {}
    attempts, judged = run.attempts(), verdict.get("attempt")
    if isinstance(judged, int) and judged < attempts - 1:
        verdict = {}  # the last attempt ended without one
    age = (age_seconds(run) if age is None else age) if signs else None
    alive = age is not None and age <= LOST_SECONDS
    return Seen(
        folder=run_state(run) if once and not alive else state_at_rest(run),
        reserved=is_reserved(run),
        attempts=attempts,
        verdict=verdict,
        signs=signs,
        age_seconds=age,
        job=str(job.get("array") or job.get("job") or ""),
    )


def needs_slurm(seen: Seen) -> bool:
    """Can the folder alone not tell?"""
    return bool(seen.job) and not seen.is_alive and seen.folder != "finished"


def with_queue(seen: Seen, asked: Queue) -> Seen:
    """The same with what Slurm answered."""
    if not needs_slurm(seen):
        return seen
    return dataclasses.replace(seen, queued=asked.jobs.get(seen.job), unknown=asked.unknown)


def condition(run: RunFolder, seen: Seen) -> Condition:
    """The state with its words; what can be done names the folder."""
    state, detail = judge(seen)
    return Condition(run=run, seen=seen, state=state, detail=detail, next=_following(run, seen, state))


def judge(seen: Seen) -> tuple[State, str]:
    """The state, and why or since when it is so."""
    if seen.damage:
        return "damaged", seen.damage
    if seen.is_alive:
        return _alive(seen)
    if seen.folder == "finished":
        return "finished", ""
    if seen.queued and seen.queued.waits:
        return "queued", _waiting(seen.queued, seen.attempts)
    if seen.age_seconds is not None:
        return _silent(seen, seen.age_seconds)
    if seen.queued and seen.queued.state == "COMPLETING" and _next(seen).startswith("requeued"):
        return "waiting to restart", f"job {seen.job} is about to wait again: {_next(seen)}"
    if seen.queued and seen.queued.state != "COMPLETING":
        where = f" on {seen.queued.nodes}" if seen.queued.nodes else ""
        return "starting", f"job {seen.job} is {seen.queued.state.lower()}{where}, and no attempt is under way"
    if seen.folder == "running":
        return "running", "started by another launcher: it gives no signs of life"
    return _over(seen)


def _alive(seen: Seen) -> tuple[State, str]:
    state = SPOKEN.get(str(seen.signs.get("state")), "running")
    attempt = seen.signs.get("attempt")
    return state, f"attempt {attempt}" if isinstance(attempt, int) else ""


def _waiting(job: Job, attempts: int) -> str:
    again = f", again after {attempts} attempt{'s' * (attempts > 1)}" if attempts else ""
    start = f", expected to start {job.start}" if job.start else ", Slurm cannot tell yet when it starts"
    return f"job {job.id} waits{again}: {job.reason or 'no reason given'}{start}"


def _silent(seen: Seen, age: float) -> tuple[State, str]:
    """There are signs of life, but old ones."""
    silence = f"no sign of life for {seconds(age).replace(SPACE, ' ')}"
    if seen.queued:
        return "lost", f"{silence}, though job {seen.job} is {seen.queued.state.lower()} on {seen.queued.nodes}"
    if seen.job and not seen.unknown:
        return "interrupted", f"{silence}, and job {seen.job} is over"
    return "lost", f"{silence}{f' ({seen.unknown})' if seen.unknown else ''}"


def _over(seen: Seen) -> tuple[State, str]:
    """Nobody is at it."""
    why = f"Slurm cannot be asked of job {seen.job}: {seen.unknown}" if seen.unknown else ""
    verdict = str(seen.verdict.get("verdict") or "")
    if seen.attempts == 0:
        ended = f"job {seen.job} is over and began no attempt" if seen.job and not why else ""
        return "not started", why or ended
    if verdict in HOPELESS or _next(seen).startswith("given up"):
        return "given up", f"{verdict}, attempt {seen.verdict.get('attempt')}"
    return "interrupted", why or verdict or "the last attempt gave no verdict"


def _next(seen: Seen) -> str:
    """What follows from the last attempt, as its verdict says."""
    return str(seen.verdict.get("next") or "")


def _following(run: RunFolder, seen: Seen, state: State) -> str:
    said = _next(seen)
    match state:
        case "queued":
            return _of_queued(run, seen)
        case "stopping":
            return "a checkpoint is saved, then it ends"
        case "lost":
            return f"if no sign comes: {f'scancel {seen.job}' if seen.queued else f'muster resume {run.path}'}"
        case "finished":
            return f"muster evaluate {run.path}"
        case "interrupted":
            on = f"muster {'submit' if seen.job else 'resume'} {run.path}"
            return f"{said}; go on with {on}" if said else on
        case "given up":
            return said or f"muster logs {run.path}"
        case "not started":
            return f"muster logs {run.path}" if seen.reserved else f"muster resume {run.path}"
        case "starting" | "running" | "waiting to restart" | "damaged":
            return ""
        case _:
            assert_never(state)


def _of_queued(run: RunFolder, seen: Seen) -> str:
    reason = seen.queued.reason if seen.queued else ""
    if reason in HELD:
        return f"scontrol release {seen.job}"
    if NEVER.match(reason):
        return f"it cannot start as it is: muster stop {run.path}, then submit it with other options"
    return "it starts by itself"


class Observer:
    """Looks at one run again and again, and asks Slurm only now and then."""

    def __init__(self, run: RunFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self.run, self.clock = run, clock
        self._heart = Heart(run, clock)
        self._queue: Queue | None = None
        self._asked_at = 0.0

    def look(self) -> Condition:
        """Raises RunError."""
        found = self._look()
        if found.is_going or not needs_slurm(found.seen):
            return found
        # Over, says an answer that may be older than the attempt that has just begun: ask now, then see what is there.
        self._ask(found.seen.job)
        return self._look()

    def _look(self) -> Condition:
        seen = look(self.run, self._heart.age_seconds(), once=False)
        if not needs_slurm(seen):
            self._queue = None  # what it last said is of no use later
        elif self._queue is None or self.clock() - self._asked_at >= SECONDS_BETWEEN_QUESTIONS:
            self._ask(seen.job)
        return condition(self.run, with_queue(seen, self._queue or Queue()))

    def _ask(self, job: str) -> None:
        self._queue, self._asked_at = queue([job]), self.clock()
