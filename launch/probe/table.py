"""What the probe found, as plain text; with colours on a terminal."""

import io
import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.markup import visible
from cluster.topology.difference.change import Difference
from cluster.topology.draw.card import gathered
from cluster.topology.draw.judged import Judgement, Judgements
from cluster.topology.draw.many import tally
from cluster.topology.draw.marks import said
from cluster.topology.draw.picture import FEW, summary
from cluster.topology.health.finding import Finding
from cluster.topology.health.judge import Health, exclude_line
from cluster.topology.hosts import compressed
from cluster.topology.kinds import kinds
from cluster.topology.node import Cluster, Node
from launch.probe import rows
from launch.probe.rows import Rows

STYLES = {
    "pass": "green",
    "warning": "yellow",
    "fail": "bold red",
    "unknown": "magenta",
    "head": "bold",
    "quiet": "dim",
}
CHANGES = {"lost": "fail", "slower": "warning", "new": "pass", "faster": "pass"}
SLOWEST = 5
LONGEST_CELL = 70
INDENT = "  "
COLUMNS = 116  # of what is told in sentences; tables are as wide as they are


@dataclass(frozen=True)
class Line:
    """One line, and how it is painted where there are colours."""

    text: str
    style: str = ""


def table(cluster: Cluster, health: Health | None) -> str:
    """Everything for people to read; nodes that are alike are shown once."""
    return _written(lines(cluster, health))


def differences_table(differences: Sequence[Difference]) -> str:
    """What is otherwise in a second record, what is lost first."""
    if not differences:
        return "Nothing has changed."
    cells = [tuple(map(_cut, (one.level, one.where, one.what, one.before, one.after))) for one in differences]
    head, *found = _aligned(Rows("", ("", "where", "what", "before", "after"), tuple(cells)), "")
    painted = [Line(line.text, CHANGES.get(one.level, "")) for line, one in zip(found, differences, strict=True)]
    return _written([head, *painted])


def health_table(health: Health) -> str:
    """The verdict on every node, what is wrong and what to do; and what nobody could judge."""
    found: list[Line] = []
    for name, verdict in health.verdicts.items():
        found.append(Line(f"{name}: {verdict}", verdict))
        for finding in health.findings:
            if finding.node == name:
                found += _finding(finding)
        unjudged = [f"{one.rule} ({one.what})" for one in health.unjudged if one.node == name]
        if unjudged:
            found += [Line(line, "quiet") for line in _wrapped(f"not judged: {'; '.join(unjudged)}")]
    for finding in health.findings:
        if not finding.node:
            found += [Line(f"between {compressed(finding.between)}", finding.level), *_finding(finding)]
    return _written(found)


def _finding(finding: Finding) -> list[Line]:
    """What is wrong, why it matters, what to do."""
    return [
        *(Line(line, finding.level) for line in _wrapped(f"{finding.level}: {finding.what}")),
        *(Line(line) for line in _wrapped(f"  {finding.why}")),
        *(Line(line, "quiet") for line in _wrapped(f"  {finding.remedy}")),
    ]


def _cut(words: str) -> str:
    return words if len(words) <= LONGEST_CELL else words[: LONGEST_CELL - 1] + "…"


def lines(cluster: Cluster, health: Health | None) -> list[Line]:
    judgements = Judgements(health)
    found: list[Line] = []
    if len(cluster.nodes) > 1 or cluster.missing:
        counts = [f"{count:,} {said(verdict)}" for verdict, count in tally(cluster, judgements)]
        found.append(Line(f"{len(cluster.nodes):,} nodes: {', '.join(counts)}", "head"))
    found += [Line(f"{one.name} gave no answer: {one.why}", "fail") for one in cluster.missing]
    found += [Line(problem, "warning") for problem in cluster.problems]
    found += [Line(exclude_line(health), "fail")] if health and exclude_line(health) else []
    if len(cluster.nodes) <= FEW:
        for node in cluster.nodes:
            found += [Line(""), *_node((node,), node.name, judgements.of(node.name))]
    else:
        found += _kinds(cluster, judgements)
    for curve in cluster.curves:
        found += [Line(""), *_titled(rows.sizes(curve))]
    if cluster.pairs:
        found += [Line(""), *_titled(rows.slowest_pairs(cluster, SLOWEST))]
    return found[1:] if found and not found[0].text else found


def _kinds(cluster: Cluster, judgements: Judgements) -> list[Line]:
    by_name = {node.name: node for node in cluster.nodes}
    groups = kinds(cluster.nodes)
    found = [Line(""), *(Line(line, "" if index else "head") for index, line in enumerate(summary(groups)))]
    for index, kind in enumerate(groups[: FEW + 1]):
        names = compressed(kind.nodes)
        heading = f"{names}: {len(kind.nodes):,} nodes like this" if len(kind.nodes) > 1 else names
        nodes = (kind.sample, *(by_name[name] for name in kind.nodes if name != kind.sample.name))
        counted = judgements.counted(kind.nodes)
        found += [Line(""), *_node(nodes, heading, judgements.of_all(kind.nodes), counted, brief=index > 0)]
    return found


def _node(
    nodes: Sequence[Node], heading: str, judgement: Judgement, counted: str = "", brief: bool = False
) -> list[Line]:
    """`brief`: of a kind that differs in a few facts, which are told above: only findings and rates."""
    node = nodes[0]
    found = [Line(f"{heading}: {counted or said(judgement.verdict)}", judgement.verdict or "head")]
    for remark, whose in gathered(judgement.remarks):
        where = f" ({whose})" if len(nodes) > 1 else ""
        found += [Line(line, remark.level) for line in _wrapped(f"{remark.level}: {remark.what}{where}")]
        found += [Line(INDENT + line, "quiet") for line in _wrapped(f"{remark.why} {remark.remedy}".strip(), 0)]
    if not brief:
        for missed in judgement.unjudged:
            found += [Line(line, "quiet") for line in _wrapped(f"not judged: {missed}")]
    if not brief:
        told = rows.facts(node)
        width = max(len(name) for name, _ in told)
        for name, words in told:
            found += [Line(line) for line in _wrapped(f"{name.ljust(width)}  {words}", width + 2)]
        for part in (rows.numa(node), rows.gpus(node), rows.ports(node), rows.folders(node)):
            found += _titled(part)
    found += _titled(rows.measured(nodes))
    found += [Line(f"{INDENT}problem while measuring: {problem}", "warning") for problem in node.problems]
    if not brief:
        for none_here, why, names in rows.unknowns(node):
            whole = f"{'not there' if none_here else 'not known'}: {names}, because {why or 'no reason was given'}"
            found += [Line(line, "quiet") for line in _wrapped(whole)]
    return found


def _wrapped(words: str, indent: int = 4) -> list[str]:
    """In lines of a width that can be read, the first as it is and the others further in."""
    inner = textwrap.wrap(words, COLUMNS, subsequent_indent=" " * indent, drop_whitespace=True, break_on_hyphens=False)
    return [INDENT + line for line in inner]


def _titled(part: Rows) -> list[Line]:
    """Nothing where there are no lines."""
    if not part.lines:
        return []
    return [Line(f"{INDENT}{part.title}", "head"), *_aligned(part, INDENT * 2)]


def _aligned(part: Rows, indent: str) -> list[Line]:
    shown = [part.heads, *(tuple(map(_clean, line)) for line in part.lines)]
    widths = [max(len(line[column]) for line in shown) for column in range(len(part.heads))]
    return [
        Line(
            indent
            + "  ".join(
                cell.rjust(width) if column in part.right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip(),
            "" if index else "quiet",
        )
        for index, line in enumerate(shown)
    ]


def _clean(words: str) -> str:
    return visible(" ".join(words.split()))


def _written(found: Sequence[Line]) -> str:
    plain = [Line(visible(line.text.replace("\n", " ").replace("\t", " ")), line.style) for line in found]
    if not is_terminal():
        return "\n".join(line.text for line in plain)
    from rich.console import Console
    from rich.text import Text

    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, highlight=False, soft_wrap=True)
    for line in plain:
        console.print(Text(line.text, style=STYLES.get(line.style, "")))
    return stream.getvalue().rstrip("\n")


def is_terminal() -> bool:
    """Whether standard output can show colours."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ
