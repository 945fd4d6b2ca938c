"""`muster watch`: the live view of a run. It reads the run's folder, and nothing else."""

import argparse
import os
import sys
import time
from pathlib import Path

from cluster.errors import EXIT_DONE
from cluster.runs import RunFolder
from launch import local
from launch.live.course import Course
from launch.live.progress import metric_of
from launch.live.screen import View, screen
from launch.live.state import Condition, Observer
from launch.live.status import folder
from launch.watch import Lines, Watch

SECONDS_BETWEEN_LOOKS = 0.5


def watch(options: argparse.Namespace) -> int:
    """Show a run until it ends; Ctrl-C leaves it alone."""
    run = folder(Path(options.run))
    try:
        _draw(run) if is_screen() else _tell(run)
    except KeyboardInterrupt:
        local.say(f"no longer watching; {run.path} goes on (`muster stop {run.path}` would end it)")
    return EXIT_DONE


def is_screen() -> bool:
    """Can standard output be drawn upon?"""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and encoding == "utf8"


def _draw(run: RunFolder) -> None:
    """On a screen of its own, which is gone afterwards; how the run ended then stands in its place."""
    from rich.console import Console, Group
    from rich.live import Live

    observer, course, console = Observer(run), Course(run), Console(highlight=False)
    view = _view(observer, course, live=True)
    if view.found.is_going:
        with Live(console=console, screen=True, auto_refresh=False) as shown:
            while view.found.is_going:
                shown.update(Group(*screen(view, *console.size)), refresh=True)
                time.sleep(SECONDS_BETWEEN_LOOKS)
                view = _view(observer, course, live=True)
    console.print(Group(*screen(_view(observer, course, live=False), *console.size)))


def _view(observer: Observer, course: Course, live: bool) -> View:
    found = observer.look()  # before the records: what was logged until the end is shown
    course.look()
    return View(
        found=found,
        reached=course.progress(found.seen.signs, found.seen.verdict),
        losses=course.losses,
        evaluations=course.evaluations,
        attempts=course.attempts,
        live=live,
    )


def _tell(run: RunFolder) -> None:
    """Where nothing can be drawn: a line for every few seconds of steps, and for each state that is news."""
    observer, state = Observer(run), ""
    with Watch(run, metric_of(run), Lines(sys.stdout)) as lines:
        while True:
            found = observer.look()
            lines.poll()
            if found.state != state:
                lines.say(_news(found))
                state = found.state
            if not found.is_going:
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _news(found: Condition) -> str:
    told = "; ".join(filter(None, [found.detail, " ".join(found.words.split())]))
    return f"{found.run.path} is {found.state}{f': {told}' if told else ''}"
