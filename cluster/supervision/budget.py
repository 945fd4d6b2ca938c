"""Whether to start again after an attempt has failed, and after how long: pure functions over what has happened."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.supervision.history import Past

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
NODE_FAILURES = 2
"""So many failures on one node in a run, and the node is left out of the next attempt."""
OF_THE_MACHINE = ("infrastructure", "failed")


@dataclass(frozen=True)
class Move:
    """What to do now."""

    again: bool
    pause_seconds: float = 0.0
    why: str = ""
    """Why not again."""


def fruitless(pasts: Sequence[Past]) -> int:
    """How many attempts in a row, up to the last one, have saved nothing new."""
    count = 0
    for past in reversed(pasts):
        if past.got_on:
            break
        count += past.verdict in OF_THE_MACHINE
    return count


def barren(pasts: Sequence[Past]) -> int:
    """How many attempts in a row, up to the last one, have saved nothing new, those that were asked to stop too: a job
    whose time is too short for a single step must not be requeued for ever."""
    return next((count for count, past in enumerate(reversed(pasts)) if past.got_on), len(pasts))


def next_move(pasts: Sequence[Past], *, limit: int, chance: float) -> Move:
    """After the last of `pasts` has failed. `limit`: attempts in a row that may save nothing new. `chance`: in [0, 1),
    spreads the pauses of runs that failed together."""
    last = pasts[-1]
    if last.verdict == "failed" and last.is_expected:
        return Move(False, why="it would fail again")
    twin = next((past for past in reversed(pasts[:-1]) if past.verdict in OF_THE_MACHINE), None)
    if twin is not None and last.kind and _likeness(twin) == _likeness(last):
        return Move(False, why=f"the same failure twice ({last.kind}{_at(last)})")
    count = fruitless(pasts)
    if count >= limit:
        attempts = "1 attempt" if count == 1 else f"{count} attempts in a row"
        return Move(False, why=f"{attempts} without a newer checkpoint (launch.attempts={limit})")
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** max(0, count - 1))
    return Move(True, pause_seconds=pause * (1 + chance / 4))


def bad_nodes(pasts: Sequence[Past]) -> list[str]:
    """Nodes on which so many attempts have failed by the machine's fault that the next one should do without them."""
    failures: dict[str, int] = {}
    for past in pasts:
        if past.verdict == "infrastructure" and past.node:
            failures[past.node] = failures.get(past.node, 0) + 1
    return sorted(node for node, count in failures.items() if count >= NODE_FAILURES)


def _likeness(past: Past) -> tuple[object, ...]:
    return past.kind, past.rank, past.at_step, past.step


def _at(past: Past) -> str:
    where = [f"rank {past.rank}"] if past.rank is not None else []
    where += [f"step {past.at_step}"] if past.at_step is not None else []
    return ", " + ", ".join(where) if where else ""
