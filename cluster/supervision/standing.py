"""Ranks that do not go on, in words: who it is, what it is at, and what the others wait for. Pure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cluster.pulse.collectives import Entered, behind, in_disagreement
from cluster.supervision.verdict import Ending


class Standing(NamedTuple):
    """A rank that is frozen or late, as its agent has told (`cluster/pulse/clock.py`, Stuck)."""

    node: str
    told: dict[str, Any]


def in_short(stuck: Sequence[Standing]) -> str:
    """Who, at once; the reason may follow."""
    return "; ".join(map(_one, _guilty(stuck, ())))


def ending_of(stuck: Sequence[Standing], entered: Sequence[Entered], logs: Path, step: int) -> Ending:
    """The ending of an attempt that did not go on. `step`: of the newest checkpoint."""
    guilty = _guilty(stuck, entered)
    first = guilty[0]
    lines = [f"{'; '.join(map(_one, guilty))}.{_others(guilty, entered)}"]
    lines += [f"  rank {one.rank}: {_place(one)}" for one in entered]
    lines.append(f"  Python stacks of all ranks: {logs}/rank-*.stack.txt")
    return Ending(
        verdict="infrastructure",
        message="\n".join(lines),
        step=step or None,
        rank=first.told["rank"],
        node=first.node,
        kind=f"hung ({first.told['kind']})",
        at_step=first.told["step"],
    )


def _guilty(stuck: Sequence[Standing], entered: Sequence[Entered]) -> list[Standing]:
    """The frozen ones; else, of those that are late, the ones whose last collective is the oldest: the others wait for
    them."""
    frozen = [one for one in stuck if one.told["kind"] == "frozen"]
    if frozen:
        return frozen
    late = {one.told["rank"]: one for one in stuck}
    slow = [late[rank] for rank in behind(entered) if rank in late]
    return slow or list(stuck)


def _one(stuck: Standing) -> str:
    told = stuck.told
    where = f" on {stuck.node}" if stuck.node else ""
    who = f"Rank {told['rank']}{where} (process {told['pid']})"
    at = f"step {told['step']}, phase {told['phase']}"
    if told["kind"] == "frozen":
        return f"{who} has given no sign for {told['seconds']:.1f} s: the process {told['state']}; {at}"
    return f"{who} does not get on: {told['seconds']:.1f} s in {at} (at most {told['allowed_seconds']:.0f} s)"


def _others(guilty: Sequence[Standing], entered: Sequence[Entered]) -> str:
    """What the other ranks wait in."""
    own = {one.told["rank"] for one in guilty}
    waiting = [one for one in entered if one.rank not in own and not one.unknown and one.number > one.finished]
    if waiting:
        first = waiting[0]
        return f" The others wait for it in {first.operation} number {first.number}."
    if in_disagreement(entered):
        return " The ranks are in different collectives: one of them has skipped one, or made one more."
    return ""


def _place(entered: Entered) -> str:
    if entered.unknown:
        return f"its collective is not known ({entered.unknown})"
    if not entered.number:
        return "no collective yet"
    state = "waits in" if entered.number > entered.finished else "is past"
    return f"{state} {entered.operation} number {entered.number}, sizes {entered.sizes}"
