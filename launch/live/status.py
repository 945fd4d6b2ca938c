"""`muster status`: how a run is, or all of them, in words and as JSON."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.errors import EXIT_DONE
from cluster.markup import visible
from cluster.runs import RunFolder, open_run
from launch.live.progress import Progress, progress_of, ranks_of
from launch.live.state import Condition, conditions
from launch.report.figures import MISSING, SPACE, count, is_number, percent, seconds

RUNS = Path("runs")
"""Where `muster train` and `muster submit` put runs that are not named."""
SCORES = ("accuracy", "spearman", "loss")
"""Figures that are shown beside the one that decides, the best known first."""
HEADS = ("run", "state", "step", "loss", "tokens/s", "left", "nodes", "restarts", "last words")
RIGHT = frozenset({2, 3, 4, 5, 7})
MOST_WORDS = 120


def status(options: argparse.Namespace) -> int:
    """One run in full, or all runs in a table."""
    if options.run:
        (found,) = conditions([folder(Path(options.run))])
        reached = progress_of(found.run, found.seen.signs, found.seen.verdict)
        print(json.dumps(as_json(found, reached), indent=2) if options.json else in_full(found, reached))
        return EXIT_DONE
    runs = [RunFolder(path) for path in sorted(RUNS.iterdir()) if is_run(path)] if RUNS.is_dir() else []
    shown = [(one, progress_of(one.run, one.seen.signs, one.seen.verdict)) for one in conditions(runs, damaged=True)]
    if options.json:
        print(json.dumps([as_json(*one) for one in shown], indent=2))
    elif shown:
        print(table(shown, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    else:
        print(f"There are no runs in {RUNS}/: `muster train RECIPE` begins one, `muster submit RECIPE` a job.")
    return EXIT_DONE


def is_run(path: Path) -> bool:
    """Is this the folder of a run, or one that is reserved for a job?"""
    run = RunFolder(path)
    return run.record.is_file() or run.job.is_file()


def folder(path: Path) -> RunFolder:
    """A run, begun or reserved for a job. Raises RunError."""
    run = RunFolder(path)
    return run if run.job.is_file() and not run.record.exists() else open_run(path)


def as_json(found: Condition, reached: Progress) -> dict[str, Any]:
    """One run. What is not known is null."""
    seen = found.seen
    queued = seen.queued
    return {
        "run": str(found.run.path),
        "state": found.state,
        "detail": found.detail,
        "job": seen.job or None,
        "queue": {"state": queued.state, "reason": queued.reason, "start": queued.start} if queued else None,
        "step": reached.step,
        "total_steps": reached.total,
        "epoch": reached.epoch,
        "loss": reached.loss,
        "tokens_per_second": reached.tokens_per_second,
        "seconds_per_step": reached.seconds_per_step,
        "seconds_left": reached.seconds_left if found.is_going else None,
        "shares": dict(reached.shares),
        "evaluation": dict(reached.evaluation) or None,
        "nodes": found.nodes or None,
        "ranks": [dict(rank) for rank in ranks_of(seen.signs)],
        "attempts": seen.attempts,
        "restarts": found.restarts,
        "age_seconds": seen.age_seconds,
        "words": found.words or None,
        "verdict": seen.verdict.get("verdict"),
        "next": found.next or None,
    }


def in_full(found: Condition, reached: Progress) -> str:
    """One run, a line for each thing that is known."""
    going = found.is_going
    left = reached.seconds_left if going and found.state != "queued" else None
    ranks = ranks_of(found.seen.signs)
    lines: dict[str, str] = {
        "step": step_words(reached),
        "loss": _loss(reached),
        "speed": _speed(reached) if going else "",
        "left": f"about {_plain(seconds(left))}" if left is not None else "",
        "nodes": found.nodes + (f" ({len(ranks)} rank{'s' * (len(ranks) > 1)})" if ranks and found.nodes else ""),
        "job": found.seen.job,
        "restarts": str(found.restarts) if found.seen.attempts else "",
        "words": found.words,
        "next": found.next,
    }
    told = f": {found.detail}" if found.detail else ""
    shown = [f"  {name:<9} {visible(' '.join(words.split()))}" for name, words in lines.items() if words]
    return "\n".join([f"{found.run.path} is {found.state}{told}", *shown])


def table(shown: Sequence[tuple[Condition, Progress]], columns: int | None) -> str:
    """All runs, one a line, without columns that nobody fills; the last words are cut where the line ends
    (`columns`), if it ends."""
    rows = [_row(*one) for one in shown]
    used = [index for index in range(len(HEADS)) if any(row[index] for row in rows)]
    widths = {index: max(len(row[index]) for row in [HEADS, *rows]) for index in used}
    lines = []
    for row in [HEADS, *rows]:
        cells = [
            row[index].rjust(widths[index]) if index in RIGHT else row[index].ljust(widths[index]) for index in used
        ]
        line = "  ".join(cells).rstrip()
        lines.append(line if columns is None or len(line) <= columns else line[: columns - 1] + "…")
    return "\n".join(lines)


def _row(found: Condition, reached: Progress) -> tuple[str, ...]:
    going = found.is_going and found.state != "queued"
    step = count(reached.step) if reached.step is not None else ""
    total = f"/{count(reached.total)}" if reached.total is not None and step else ""
    rate, left = reached.tokens_per_second, reached.seconds_left
    own = found.words if found.words and found.state not in ("queued", "lost") else found.detail
    words = visible(" ".join(own.split()))
    return (
        found.run.path.name,
        found.state,
        step + total,
        f"{reached.loss:.4f}" if reached.loss is not None else "",
        count(rate) if going and rate is not None else "",
        _plain(seconds(left)) if going and left is not None else "",
        found.nodes,
        str(found.restarts) if found.seen.attempts else "",
        words if len(words) <= MOST_WORDS else words[: MOST_WORDS - 1] + "…",
    )


def step_words(reached: Progress) -> str:
    if reached.step is None:
        return ""
    epoch = f", epoch {reached.epoch}" if reached.epoch is not None else ""
    if not reached.total:
        return f"{count(reached.step)}{epoch}"
    return f"{count(reached.step)} of {count(reached.total)} ({_plain(percent(reached.step / reached.total))}){epoch}"


def _loss(reached: Progress) -> str:
    own = f"{reached.loss:.4f}" if reached.loss is not None else ""
    return "; ".join(filter(None, [own, evaluation_words(reached)]))


def evaluation_words(reached: Progress) -> str:
    """The last evaluation: the figure that decides, another, and where it was made; empty if there is none."""
    made = reached.evaluation
    if not made:
        return ""
    names = dict.fromkeys([reached.metric, *SCORES])
    named = [f"{name} {made[name]:.4f}" for name in names if is_number(made.get(name))]
    best = ", best" if made.get("best") else ""
    return f"validation {', '.join(named[:2] or [MISSING])} (step {count(made.get('step'))}{best})"


def _speed(reached: Progress) -> str:
    rate, each = reached.tokens_per_second, reached.seconds_per_step
    told = [f"{count(rate)} tokens/s"] if rate is not None else []
    told += [f"{1 / each:,.3g} steps/s" if each < 1 else f"{_plain(seconds(each))} a step"] if each else []
    return ", ".join(told)


def _plain(words: str) -> str:
    return words.replace(SPACE, " ")
