"""One self-contained page about a cluster: the picture, and every fact, rate and finding in tables."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from cluster.markup import Html, tag
from cluster.topology.draw.colours import style as picture_style
from cluster.topology.draw.judged import Judgements
from cluster.topology.draw.many import tally
from cluster.topology.draw.marks import said
from cluster.topology.draw.picture import FEW, picture, summary
from cluster.topology.health.judge import Health, exclude_line
from cluster.topology.hosts import compressed
from cluster.topology.kinds import Kind, kinds
from cluster.topology.node import Cluster, Node
from launch.probe import rows
from launch.probe.rows import Rows
from launch.report.tables import Section, fold, listed, section, table

HERE = Path(__file__).parent
SLOWEST = 40
MOST_KINDS = 12


def html_page(cluster: Cluster, health: Health | None) -> str:
    """The whole page. It holds no script, and tells the browser to let none in and to ask for nothing."""
    report = (HERE.parent / "report" / "page.css").read_text()
    style, drawn_style = Html(report + (HERE / "page.css").read_text()), picture_style()
    policy = f"default-src 'none'; style-src {_known(style)} {_known(drawn_style)}; base-uri 'none'; form-action 'none'"
    title = cluster.nodes[0].name if len(cluster.nodes) == 1 else f"{len(cluster.nodes):,} nodes"
    parts = [part for part in _sections(cluster, health) if part is not None]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title}: topology of a cluster"),
        tag("style", style),
    )
    links = tag("nav", *(tag("a", part.title, href=f"#{part.name}") for part in parts), aria_label="Sections")
    top = tag("header", tag("h1", title), tag("p", _probed(cluster), class_="quiet"), links)
    drawn = tag("div", Html(picture(cluster, health)), class_="box picture", tabindex=0, role="region",
                aria_label="Picture of the cluster")  # fmt: skip
    body = tag("body", top, tag("main", drawn, *(part.body for part in parts)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _known(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _probed(cluster: Cluster) -> str:
    return f"Probed {cluster.probed or 'at an unknown time'} by muster {cluster.muster}".strip()


def _sections(cluster: Cluster, health: Health | None) -> list[Section | None]:
    groups = kinds(cluster.nodes) if len(cluster.nodes) > FEW else []
    shown = _subjects(cluster, groups)
    judgements = Judgements(health)
    told = [(f"node-{number}", title, nodes) for number, (title, nodes) in enumerate(shown)]
    return [
        _findings(cluster, health, judgements),
        section("kinds", "Kinds of nodes", *(tag("p", line) for line in summary(groups))) if groups else None,
        _between(cluster),
        *(section(name, title, *_node(nodes)) for name, title, nodes in told),
    ]


def _subjects(cluster: Cluster, groups: Sequence[Kind]) -> list[tuple[str, Sequence[Node]]]:
    if not groups:
        return [(node.name, (node,)) for node in cluster.nodes]
    by_name = {node.name: node for node in cluster.nodes}
    return [
        (f"{compressed(kind.nodes)}: {len(kind.nodes):,} alike" if len(kind.nodes) > 1 else kind.nodes[0],
         (kind.sample, *(by_name[name] for name in kind.nodes if name != kind.sample.name)))
        for kind in groups[:MOST_KINDS]
    ]  # fmt: skip


def _findings(cluster: Cluster, health: Health | None, judgements: Judgements) -> Section | None:
    """What is wrong, why it matters, what to do; then what no rule could judge."""
    problems = [tag("p", problem, class_="notice") for problem in cluster.problems]
    if health is None:
        return section("problems", "Problems", *problems) if problems else None
    lines = [
        (compressed(whose) if one.node == "" else one.node, one.level, one.what, one.why, one.remedy)
        for one, whose in judgements.everything()
    ]
    heads = [
        ("Node", ""),
        ("Verdict", ""),
        ("What was seen", "words"),
        ("Why it matters", "words"),
        ("What to do", "words"),
    ]
    unjudged = [(one.node, one.rule, one.what) for one in health.unjudged]
    columns = [("Node", ""), ("Rule", ""), ("What is missing", "words")]
    exclude = exclude_line(health)
    return section(
        "health",
        "Health",
        _tally(cluster, judgements),
        tag("p", "For Slurm, without the nodes that failed: ", tag("code", exclude)) if exclude else None,
        table(heads, lines, name="Health", tall=len(lines) > 20) if lines else None,
        *problems,
        fold(f"What no rule could judge ({len(unjudged):,})", table(columns, unjudged, name="Not judged", tall=True))
        if unjudged else None,
    )  # fmt: skip


def _tally(cluster: Cluster, judgements: Judgements) -> Html:
    return tag("p", ", ".join(f"{count:,} {said(verdict)}" for verdict, count in tally(cluster, judgements)))


def _between(cluster: Cluster) -> Section | None:
    parts = [_table(rows.sizes(curve)) for curve in cluster.curves]
    parts += [_table(rows.slowest_pairs(cluster, SLOWEST))] if cluster.pairs else []
    return section("between", "Between nodes", *parts) if parts else None


def _node(nodes: Sequence[Node]) -> list[Html | None]:
    node = nodes[0]
    known = [(name.capitalize() if name.islower() else name, words) for name, words in rows.facts(node)]
    tables = (rows.measured(nodes), rows.gpus(node), rows.ports(node), rows.numa(node), rows.folders(node))
    unknowns = [[why or "not asked", names] for _, why, names in rows.unknowns(node)]
    reasons = table([("Because", "words"), ("Not known", "words")], unknowns, name="Not known") if unknowns else None
    return [
        listed(known),
        *(tag("p", f"Problem while measuring: {problem}", class_="notice") for problem in node.problems),
        *(_table(part) for part in tables if part.lines),
        fold("What is not known, and why", reasons) if reasons else None,
    ]


def _table(part: Rows) -> Html:
    heads = [
        (head[:1].upper() + head[1:], "n" if index in part.right else "words" if index else "")
        for index, head in enumerate(part.heads)
    ]
    return tag(
        "div", tag("h3", part.title), table(heads, part.lines, name=part.title, narrow=True, tall=len(part.lines) > 40)
    )
