"""The live view of a run, as lines of a terminal: a pure function of what is known and of the size."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from cluster.markup import visible
from launch.live.chart import chart
from launch.live.curve import Point
from launch.live.progress import Progress, Record, ranks_of
from launch.live.state import Condition
from launch.live.status import evaluation_words, step_words
from launch.report.figures import SPACE, count, is_number, percent, seconds

STATES = {
    "running": "bold green",
    "starting": "bold cyan",
    "stopping": "bold yellow",
    "waiting to restart": "bold yellow",
    "queued": "bold cyan",
    "finished": "bold green",
    "interrupted": "bold yellow",
    "not started": "bold yellow",
    "lost": "bold red",
    "given up": "bold red",
    "damaged": "bold red",
}
SHARES = {"data": "yellow", "compute": "green", "communication": "magenta"}
VERDICTS = {"done": "green", "checkpointed": "cyan"}
QUIET = "dim"
WIDE = 110
"""Columns from which on there is room for a second curve."""
LEAST_ROWS, MOST_ROWS = 4, 22
"""Of a curve."""
SLOW_SECONDS, SILENT_SECONDS = 10.0, 5.0
"""A phase that lasts so long, a rank that says nothing for so long, catches the eye."""
MOST_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class View:
    """All that is shown."""

    found: Condition
    reached: Progress
    losses: Sequence[Point]
    evaluations: Sequence[Record]
    attempts: Sequence[Record]
    """How earlier attempts ended."""
    live: bool = True
    """Is this drawn again and again?"""


def screen(view: View, width: int, height: int) -> list[Text]:
    """At most `height` lines of at most `width` characters."""
    head = [*_title(view, width), _bar(view.reached, width)]
    below = [*_shares(view.reached, width), *_words(view, width)]
    foot = [Text("Ctrl-C leaves the view and the run alone", QUIET)] if view.live else []
    room = height - len(head) - len(below) - len(foot)
    ended = _attempts(view.attempts, min(MOST_ATTEMPTS, max(0, room - LEAST_ROWS - 6)))
    room -= len(ended)
    ranks = _ranks(ranks_of(view.found.seen.signs), max(0, min(room // 3, room - LEAST_ROWS - 3)))
    rows = min(MOST_ROWS, room - len(ranks) - 2)
    curves = _curves(view, width, rows) if rows >= LEAST_ROWS and (view.losses or view.evaluations) else []
    lines = [*head, *curves, *ranks, *ended, *below, *foot][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _title(view: View, width: int) -> list[Text]:
    found = view.found
    room = width - len(found.state) - 3
    path = Text(str(found.run.path))
    if path.cell_len > room:  # its end tells more than its beginning
        path = Text("…") + path[-max(1, room - 1) :]
    line = Text.assemble((f" {path.plain} ", "bold reverse"), " ", (found.state, STATES[found.state]))
    attempt = found.seen.signs.get("attempt")
    facts = [f"attempt {attempt}"] if isinstance(attempt, int) else []
    facts += [f"job {found.seen.job}"] if found.seen.job else []
    facts += [found.nodes] if found.nodes else []
    facts += [f"{found.restarts} restart{'s' * (found.restarts > 1)}"] if found.restarts else []
    right = Text("  ".join(facts))
    gap = width - line.cell_len - right.cell_len
    lines = [line + Text(" " * gap) + right] if gap >= 2 else [line, right]
    if found.detail and found.state not in ("running", "starting"):
        lines += [Text(one, STATES[found.state]) for one in _wrapped(found.detail, width)]
    return lines


def _bar(reached: Progress, width: int) -> Text:
    """Steps done, how fast they come, and how long it will take."""
    facts = [step_words(reached) or "no step yet"]
    facts += [f"{count(reached.tokens_per_second)} tokens/s"] if reached.tokens_per_second is not None else []
    left = reached.seconds_left
    facts += [f"{seconds(left)} left".replace(SPACE, " ")] if left else []
    words = Text("  ".join(facts))
    room = width - words.cell_len - 2
    if not reached.total or reached.step is None or room < 5:
        return words
    done = round(room * min(1.0, reached.step / reached.total))
    return Text.assemble(("━" * done, "green"), ("━" * (room - done), QUIET), "  ", words)


def _curves(view: View, width: int, rows: int) -> list[Text]:
    """Loss, and beside it, where there is room, the figure that decides."""
    own = [(float(one["step"]), float(one["loss"])) for one in view.evaluations if is_number(one.get("loss"))]
    metric = view.reached.metric
    scored = [(float(one["step"]), float(one[metric])) for one in view.evaluations if is_number(one.get(metric))]
    last = max([x for x, _ in [*view.losses[-1:], *own[-1:], *scored[-1:]]], default=0.0)
    loss = f"loss {view.losses[-1][1]:.4f}" if view.losses else "loss"
    validation = evaluation_words(view.reached)
    if width < WIDE or metric == "loss" or not scored:
        legend = Text().append(loss, "bold cyan")
        if validation:
            legend.append("   ● ", "bold yellow").append(validation)
        return [legend, *chart(view.losses, own, last, width, rows)]
    half = (width - 2) // 2
    head = Text.assemble((loss, "bold cyan"), ("   ● validation", "bold yellow"))
    left = [head, *chart(view.losses, own, last, half, rows)]
    right = [Text(validation, "bold yellow"), *chart(scored, scored, last, width - 2 - half, rows, "yellow")]
    return [_beside(one, other, half + 2, width) for one, other in zip(left, right, strict=True)]


def _beside(left: Text, right: Text, column: int, width: int) -> Text:
    left.truncate(column - 2, pad=True)
    right.truncate(width - column, overflow="ellipsis")
    return left + Text("  ") + right


def _shares(reached: Progress, width: int) -> list[Text]:
    """Where the time of the last steps went."""
    if not reached.shares:
        return []
    words = [f"{name} {percent(share)}".replace(SPACE, " ") for name, share in reached.shares.items()]
    room = width - sum(map(len, words)) - 2 * len(words) - 6
    line = Text("time  ")
    if room >= 10:
        for name, share in reached.shares.items():
            line.append("█" * round(room * share), SHARES[name])
        line.append("  ")
    for name, told in zip(reached.shares, words, strict=True):
        line.append(told + "  ", SHARES[name])
    line.rstrip()
    return [line]


def _ranks(ranks: Sequence[Record], rows: int) -> list[Text]:
    """Each rank in a line; where they are too many, those that lag or are silent."""
    if not ranks or rows < 2:
        return []
    shown, left_out = list(ranks), []
    if len(ranks) > rows - 1:
        by_need = sorted(ranks, key=_need)
        shown, left_out = sorted(by_need[: rows - 2], key=lambda rank: _number(rank, "rank")), by_need[rows - 2 :]
    node = max([4, *(len(str(rank.get("node", ""))) for rank in shown)])
    lines = [Text(f"rank  {'node':<{node}}  {'step':>9}  {'phase':<14}  {'for':>9}  {'last sign':>9}", QUIET)]
    for rank in shown:
        for_seconds, silence = _number(rank, "phase_seconds"), _number(rank, "silent_seconds")
        lines.append(
            Text.assemble(
                f"{_number(rank, 'rank'):>4.0f}  {rank.get('node') or '':<{node}}  {count(rank.get('step')):>9}  ",
                f"{visible(str(rank.get('phase', ''))):<14}  ",
                (f"{_short(for_seconds):>9}", "yellow" if for_seconds > SLOW_SECONDS else ""),
                (f"  {_short(silence):>9}", "bold red" if silence > SILENT_SECONDS else ""),
            )
        )
    if left_out:
        steps = [_number(rank, "step") for rank in left_out]
        where = f"step {min(steps):,.0f}" + (f" to {max(steps):,.0f}" if max(steps) > min(steps) else "")
        lines.append(Text(f"  … and {len(left_out):,} more, at {where}", QUIET))
    return lines


def _need(rank: Record) -> tuple[float, float, float]:
    """Smallest for the rank that most needs a look: silent, then behind, then long at one thing."""
    return -(_number(rank, "silent_seconds") // 1), _number(rank, "step"), -_number(rank, "phase_seconds")


def _attempts(attempts: Sequence[Record], rows: int) -> list[Text]:
    """How the last attempts ended."""
    lines = []
    for one in attempts[-rows:] if rows else []:
        verdict = str(one.get("verdict", ""))
        told = [f" at step {count(one.get('step'))}: {one.get('cause', '')}"]
        told += [f"; {one['next']}"] if one.get("next") else []
        line = Text(f"attempt {one.get('attempt')} ").append(verdict, VERDICTS.get(verdict, "red"))
        lines.append(line.append(visible("".join(told))))
    return lines


def _words(view: View, width: int) -> list[Text]:
    """The last words, in at most two lines, and what follows."""
    lines = [Text(one) for one in _wrapped(view.found.words, width)]
    if view.found.next:
        lines.append(Text(f"next: {view.found.next}", "cyan"))
    return lines


def _wrapped(words: str, width: int) -> list[str]:
    """In at most two lines."""
    return textwrap.wrap(visible(" ".join(words.split())), width, max_lines=2, placeholder=" …") if words else []


def _number(record: Record, name: str) -> float:
    value = record.get(name)
    return float(value) if is_number(value) else 0.0


def _short(value: float) -> str:
    return seconds(value).replace(SPACE, " ")
