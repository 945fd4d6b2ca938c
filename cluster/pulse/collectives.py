"""The collective that each rank entered last, as torch's flight recorder tells it, and who is behind. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

DEFAULT_GROUP = "0"


@dataclass(frozen=True, kw_only=True)
class Entered:
    """A rank's last collective. `dataclasses.asdict` makes it ready for JSON."""

    rank: int
    number: int = 0
    """Of the last that it entered, counted from 1 by every rank alike; 0: torch has recorded none."""
    finished: int = 0
    """Of the last that is over."""
    operation: str = ""
    sizes: list[list[int]] = field(default_factory=list)
    unknown: str = ""
    """Why nothing is known of it, "" if something is."""


def entered_last(rank: int, told: bytes) -> Entered:
    """From what the rank wrote: torch's JSON, or {"unknown": why}."""
    try:
        words = json.loads(told)
        if "unknown" in words:
            return Entered(rank=rank, unknown=str(words["unknown"]))
        entries = [one for one in words.get("entries", []) if _counts(one)]
        if not entries:
            return Entered(rank=rank)
        last = max(entries, key=lambda one: int(one["collective_seq_id"]))
        return Entered(
            rank=rank,
            number=int(last["collective_seq_id"]),
            finished=_finished(entries),
            operation=str(last["profiling_name"]).partition(":")[2],
            sizes=[list(map(int, sizes)) for sizes in last["input_sizes"]],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Entered(rank=rank, unknown=f"torch's record cannot be read ({type(error).__name__}: {error})")


def _counts(entry: dict[str, Any]) -> bool:
    # All of ours go through the group of all ranks.
    return str(entry["process_group"][0]) == DEFAULT_GROUP and not entry["is_p2p"]


def _finished(entries: list[dict[str, Any]]) -> int:
    over = [one for one in entries if one["retired"] or one["state"] == "completed"]
    # The oldest that is still recorded may itself wait.
    first = min(int(one["collective_seq_id"]) for one in entries)
    return max((int(one["collective_seq_id"]) for one in over), default=first - 1)


def behind(collectives: Iterable[Entered]) -> list[int]:
    """The ranks with the lowest number, if not all have the same: the others wait for them."""
    known = [one for one in collectives if not one.unknown]
    lowest = min((one.number for one in known), default=0)
    if all(one.number == lowest for one in known):
        return []
    return sorted(one.rank for one in known if one.number == lowest)


def in_disagreement(collectives: Iterable[Entered]) -> list[Entered]:
    """All ranks, if all are in a collective of the same number, but not in the same one: one of them has skipped one,
    or made one more."""
    known = [one for one in collectives if not one.unknown]
    numbers = {one.number for one in known}
    kinds = {(one.operation, str(one.sizes)) for one in known}
    return known if len(numbers) == 1 and len(kinds) > 1 else []
