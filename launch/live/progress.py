"""How far a run has got and how fast it goes, from what it logs."""

import dataclasses
import json
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import RunError
from cluster.runs import RunFolder, read_json
from launch.report.figures import is_number

Record = Mapping[str, Any]
TAIL_BYTES = 1 << 18
"""Of metrics.jsonl: about a thousand lines, enough for the speed and mostly for the last evaluation."""
RECENT = 300
"""Records that tell how fast a run is now."""
SHARES = ("data", "compute", "communication")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What is not known is None, or empty."""

    step: int | None = None
    total: int | None = None
    epoch: int | None = None
    loss: float | None = None
    tokens_per_second: float | None = None
    seconds_per_step: float | None = None
    """With evaluations and checkpoints between the steps."""
    shares: Mapping[str, float]
    """Of the time of the steps: `SHARES`, together 1."""
    evaluation: Record
    """The last one on the validation split."""
    metric: str = "loss"
    """The figure of an evaluation that decides."""

    @property
    def seconds_left(self) -> float | None:
        if self.seconds_per_step is None or self.total is None or self.step is None:
            return None
        return max(0.0, (self.total - self.step) * self.seconds_per_step)


def progress_of(run: RunFolder, signs: Record, verdict: Record) -> Progress:
    """From the end of a run's metrics, its plan, the last signs of life, and the verdict on its last attempt."""
    return dataclasses.replace(progress(tail(run.metrics), total_steps(run), signs, verdict), metric=metric_of(run))


def progress(records: Sequence[Record], total: int | None, signs: Record, verdict: Record) -> Progress:
    """Of these records of the metrics. Not every step is logged: signs and verdict may know of a later one."""
    steps = [one for one in records if one.get("kind") == "step" and isinstance(one.get("step"), int)]
    evaluations = [one for one in records if one.get("kind") == "evaluation" and isinstance(one.get("step"), int)]
    last: Record = steps[-1] if steps else {}
    reached = [one["step"] for one in [*ranks_of(signs), verdict, last] if isinstance(one.get("step"), int)]
    epoch, loss, rate = last.get("epoch"), last.get("loss"), last.get("tokens_per_second")
    return Progress(
        step=max(reached, default=None),
        total=total,
        epoch=epoch + 1 if isinstance(epoch, int) else None,
        loss=float(loss) if is_number(loss) else None,
        tokens_per_second=float(rate) if is_number(rate) else None,
        seconds_per_step=_seconds_per_step(records[-RECENT:]),
        shares=_shares(steps[-RECENT:]),
        evaluation=evaluations[-1] if evaluations else {},
    )


def ranks_of(signs: Record) -> list[Record]:
    """What the signs of life say of each rank."""
    ranks = signs.get("ranks")
    return [rank for rank in ranks if isinstance(rank, dict)] if isinstance(ranks, list) else []


def total_steps(run: RunFolder) -> int | None:
    """How many steps are planned; None before the first start."""
    try:
        total = read_json(run.plan).get("total_steps")
    except RunError:
        return None  # not written yet
    return total if isinstance(total, int) else None


def metric_of(run: RunFolder) -> str:
    """The figure that decides, as the stored recipe names it; `loss` if it cannot be told."""
    try:
        recipe = tomllib.loads(run.recipe.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "loss"
    section = recipe.get("evaluate")
    return str(section.get("metric", "loss")) if isinstance(section, dict) else "loss"


def tail(path: Path, most_bytes: int = TAIL_BYTES) -> list[Record]:
    """The last whole records of a file of JSON lines; none if there is no such file."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most_bytes))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    whole = lines[1:-1] if size > most_bytes else lines[:-1]
    return list(_records(whole))


def _records(lines: Iterable[bytes]) -> Iterable[Record]:
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn by a crash
        if isinstance(record, dict):
            yield record


def _seconds_per_step(records: Sequence[Record]) -> float | None:
    """Of the steps whose time is in the records; what stands between them is shared out among them."""
    timed = [one for one in records if isinstance(one.get("step"), int)]
    if not timed:
        return None
    spent = 0.0
    for record in timed[1:]:  # the time of the first one belongs to steps before it
        seconds = record.get("seconds")
        parts = seconds.values() if isinstance(seconds, dict) else [seconds]
        spent += sum(float(part) for part in parts if is_number(part))
    steps = timed[-1]["step"] - timed[0]["step"]
    return float(spent / steps) if steps > 0 and spent > 0 else None


def _shares(steps: Sequence[Record]) -> dict[str, float]:
    spent = dict.fromkeys(SHARES, 0.0)
    for record in steps:
        seconds = record.get("seconds")
        for name in SHARES:
            value = seconds.get(name) if isinstance(seconds, dict) else None
            spent[name] += value if is_number(value) else 0.0
    total = sum(spent.values())
    return {name: value / total for name, value in spent.items()} if total > 0 else {}
