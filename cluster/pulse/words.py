"""What a person is told of ranks that do not go on: who holds the others up, where, what the others wait in. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cluster.pulse.clock import NOT_BEGUN, Stuck
from cluster.pulse.collectives import Entered, behind, in_disagreement


def suspects(stuck: Sequence[Stuck], entered: Sequence[Entered]) -> list[int]:
    """The ranks that hold the others up: the frozen ones; else those that the others wait for; else all that are late.

    Where one rank of a step stays away, all are late: only their collectives tell them apart.
    """
    frozen = [one.rank for one in stuck if one.kind == "frozen"]
    return sorted(frozen or behind(entered) or [one.rank for one in stuck])


def explain(stuck: Sequence[Stuck], entered: Sequence[Entered], nodes: Mapping[int, str]) -> str:
    """One paragraph. `nodes`: the node of each rank, as far as it should be named."""
    named = suspects(stuck, entered)
    known = {one.rank: one for one in stuck}
    last = {one.rank: one for one in entered}
    sentences = [_on_one(rank, known.get(rank), last.get(rank), nodes) for rank in named]
    if differing := in_disagreement(entered):
        meetings = "; ".join(f"rank {one.rank} is in {_collective(one)} of sizes {one.sizes}" for one in differing)
        sentences.append(f"They do not meet: {meetings}. One of them has left one out, or made one more.")
    elif waiting := [one for one in entered if one.rank not in named and _waits(one)]:
        sentences.append(_on_the_others(waiting))
    elif len(named) > 1 and (all_in := {_collective(one) for one in entered if _waits(one)}) and len(all_in) == 1:
        sentences.append(f"All wait in {all_in.pop()}: is the network between them whole?")
    return " ".join(sentences)


def table(ranks: Iterable[Mapping[str, Any]], entered: Mapping[int, Entered]) -> list[str]:
    """A line for each rank of `alive.json`, with its last collective if that was asked for."""
    return [_line(rank, entered.get(int(rank["rank"]))) for rank in ranks]


def _on_one(rank: int, stuck: Stuck | None, last: Entered | None, nodes: Mapping[int, str]) -> str:
    who = f"Rank {rank}" + (f" on {nodes[rank]}" if nodes.get(rank) else "")
    if stuck is None:  # late by the others' clocks, not by its own
        return f"{who} stays away{_left(last)}."
    if stuck.state == NOT_BEGUN:
        return f"{who} has not begun after {stuck.seconds:.0f} s."
    who += f" (process {stuck.pid})"
    where = f"after step {stuck.step}, phase {stuck.phase}"
    if stuck.kind == "frozen":
        return f"{who} {stuck.state}: no sign of life for {stuck.seconds:.0f} s, {where}."
    allowed = f"{stuck.seconds:.0f} s, {stuck.allowed_seconds:.0f} are allowed"
    return f"{who} {stuck.state}, but does not go on ({allowed}), {where}{_left(last)}."


def _left(last: Entered | None) -> str:
    if last is None or last.unknown or last.number == 0 or _waits(last):
        return ""
    return f"; it is out of {_collective(last)} and did not come to the next"


def _on_the_others(waiting: Sequence[Entered]) -> str:
    ranks_in: dict[str, list[int]] = {}
    for one in waiting:
        ranks_in.setdefault(_collective(one), []).append(one.rank)
    if len(ranks_in) == 1:
        collective, ranks = ranks_in.popitem()
        return f"The other ranks wait in {collective}." if len(ranks) > 1 else f"Rank {ranks[0]} waits in {collective}."
    each = (f"{'ranks' if len(ranks) > 1 else 'rank'} {_listed(ranks)} in {name}" for name, ranks in ranks_in.items())
    return f"Of the others wait {'; '.join(each)}."


def _line(rank: Mapping[str, Any], last: Entered | None) -> str:
    node = f"  {rank['node']}" if rank.get("node") else ""
    collective = ""
    if last is not None:
        collective = f"  {last.unknown}" if last.unknown else "  no collective on record"
        if last.number:
            collective = f"  {'in' if _waits(last) else 'out of'} {_collective(last)}"
    return (
        f"rank {rank['rank']}{node}  process {rank['pid']}  step {rank['step']}  {rank['phase']} for "
        f"{rank['phase_seconds']:.1f} s  beat {rank['silent_seconds']:.1f} s ago{collective}"
    )


def _waits(one: Entered) -> bool:
    return not one.unknown and one.finished < one.number


def _collective(one: Entered) -> str:
    return f"{one.operation} number {one.number}"


def _listed(ranks: Sequence[int]) -> str:
    """1, 2 and 5; of many, the first."""
    if len(ranks) > 8:
        return f"{', '.join(map(str, ranks[:8]))} and {len(ranks) - 8} more"
    return ", ".join(map(str, ranks[:-1])) + f" and {ranks[-1]}" if len(ranks) > 1 else str(ranks[0])
