"""One self-contained HTML page about a run: `muster report RUN`."""

import base64
import hashlib
from pathlib import Path

from cluster.data.durable import write_atomically
from cluster.errors import RunError
from cluster.markup import Html, tag
from cluster.runs import RunFolder
from launch.report import course, outcome
from launch.report.facts import Facts, gather
from launch.report.figures import count
from launch.report.tables import Section

HERE = Path(__file__).parent
STATES = {
    "created": "This run has not been started.",
    "running": "This run is being trained: the page shows how far it was.",
    "interrupted": "This run is not finished: `muster resume` goes on with it.",
}


def write_report(run: RunFolder, output: Path | None = None) -> Path:
    """Write the page, whole or not at all; returns where (default: report.html in the run's folder).

    Raises RunError if the run's files are damaged or the page cannot be written.
    """
    path = run.path / "report.html" if output is None else output
    written = page(gather(run)).encode("utf-8", "replace")
    try:
        write_atomically(path, written)
    except OSError as error:
        raise RunError(
            f"The report cannot be written to {path} ({error.strerror}): name a file elsewhere with --output FILE."
        ) from error
    return path


def page(facts: Facts) -> str:
    """The whole page. It asks for nothing from anywhere, and says so to the browser: even markup that slipped through
    could neither run nor call home, for only our own script and style, known by their hashes, are let in."""
    style, script = Html((HERE / "page.css").read_text()), Html((HERE / "page.js").read_text())
    allowed = f"style-src {_known(style)}; script-src {_known(script)}"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    parts = [
        course.score(facts),
        course.curves(facts),
        outcome.errors(facts),
        outcome.mistakes(facts),
        outcome.data(facts),
        course.time_split(facts),
        course.machine(facts),
        course.recipe(facts),
        course.attempts(facts),
    ]
    made = f"By muster {facts.record.get('version', '')}, from {facts.folder}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{facts.name}: report of a run"),
        tag("style", style),
    )
    shown = [part for part in parts if part is not None]
    main = tag("main", _notices(facts), *(part.body for part in shown))
    footer = tag("footer", tag("p", made, class_="quiet"))
    body = tag("body", course.head(facts), _contents(shown), main, footer, tag("script", script))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _known(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _contents(sections: list[Section]) -> Html:
    return tag("nav", *(tag("a", one.title, href=f"#{one.name}") for one in sections), aria_label="Sections")


def _notices(facts: Facts) -> Html | None:
    """What a reader must know before anything else: that it is not finished, that something is not there."""
    said = []
    if facts.state in STATES:
        steps, total = facts.of_kind("step"), facts.plan.get("total_steps")
        so_far = f" Step {count(steps[-1]['step'])} of {count(total)} is the last recorded." if steps else ""
        said.append(STATES[facts.state] + so_far)
    said += facts.missing
    return tag("div", *(tag("p", sentence) for sentence in said), class_="notice", role="note") if said else None
