"""The parts of a report on what came out: what is taken for what, each class, the worst mistakes; and on the data."""

from collections.abc import Mapping, Sequence

from cluster.markup import Html, tag
from launch.report import charts, figures
from launch.report.course import figure_of
from launch.report.facts import Facts, Record
from launch.report.tables import Section, fold, listed, section, table

MOST_CLASSES = 120  # of a confusion matrix that is drawn whole
SHOWN_AT_ONCE = 10  # mistakes
PAIRS = 15


def errors(facts: Facts) -> Section | None:
    """Confusion, numbers against numbers, or labels, by the task; None if nothing was scored."""
    if not facts.evaluation:
        return None
    match facts.task:
        case "regress":
            return _regression(facts)
        case "multilabel":
            return section("classes", "Labels", _classes(facts))
        case "tag":
            return section("classes", "Labels", _spans(facts), *_confusion(facts), _classes(facts))
        case "answer":
            return _answers(facts)
        case "language" | "rewrite" | "embed":
            return None
        case _:
            return section("classes", "Classes", *_confusion(facts), _classes(facts))


def _answers(facts: Facts) -> Section | None:
    """Questions with an answer and those without; None where a split has one kind only."""
    parts = {"has_answer": "Questions with an answer", "no_answer": "Questions without one"}
    rows = [
        [words, figures.count(found.get("examples")), figures.share(found.get("answer_f1")),
         figures.share(found.get("exact_match"))]
        for part, words in parts.items()
        if (found := _of(facts.evaluation, part))
    ]  # fmt: skip
    if not rows:
        return None
    columns = [("", "words"), ("Questions", "n"), ("F1", "n"), ("Exact match", "n")]
    threshold = facts.evaluation.get("threshold")
    said = None
    if figures.is_number(threshold):
        said = "No answer is given where having none beats the best span by more than "
        said = tag("p", f"{said}{threshold:.4g} (log-probability), chosen on the validation split.", class_="quiet")
    return section("classes", "With and without an answer", table(columns, rows, name="Answers"), said)


def _spans(facts: Facts) -> Html | None:
    """Each type of span; None if there are none."""
    types = _of(facts.evaluation, "spans", "per_type")
    rows = [
        [kind, *(figures.share(found.get(name)) for name in ("precision", "recall", "f1")),
         *(figures.count(found.get(name)) for name in ("true", "predicted"))]
        for kind, found in types.items()
    ]  # fmt: skip
    if not rows:
        return None
    columns = [("Span", "words"), *((title, "n") for title in ("Precision", "Recall", "F1", "True", "Predicted"))]
    return tag("div", tag("h3", "Spans"), table(columns, rows, name="Spans", sortable=True))


def _confusion(facts: Facts) -> list[Html]:
    labels = [str(label) for label in facts.evaluation.get("labels", [])]
    counts: Sequence[Sequence[int]] = facts.evaluation.get("confusion", [])
    if not labels or len(counts) < len(labels):
        return []
    named, drawn, said = labels, counts[: len(labels)], None
    if len(labels) > MOST_CLASSES:
        taken = [sum(column) for column in zip(*drawn, strict=True)]
        wrong = {row: sum(found) + taken[row] - 2 * found[row] for row, found in enumerate(drawn)}
        kept = sorted(sorted(wrong, key=lambda row: -wrong[row])[:60])
        named, drawn = [labels[row] for row in kept], [[counts[row][column] for column in kept] for row in kept]
        which = f"The 60 of {len(labels)} classes with the most mistakes, as what is or what is said"
        said = tag("p", f"{which}; shares are of what is shown.")
    box = tag(
        "div", charts.confusion(named, drawn), class_="box", tabindex=0, role="region", aria_label="Confusion matrix"
    )
    parts = [tag("h3", "What is taken for what"), said, charts.scale(), box, _pairs(labels, counts[: len(labels)])]
    return [part for part in parts if part is not None]


def _pairs(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Html | None:
    found = sorted(
        ((number, row, column) for row, line in enumerate(counts) for column, number in enumerate(line)
         if number and row != column),
        key=lambda one: (-one[0], one[1], one[2]),
    )[:PAIRS]  # fmt: skip
    if not found or len(labels) < 3:
        return None
    rows = [
        [labels[row], labels[column], figures.count(number), figures.percent(number / sum(counts[row]))]
        for number, row, column in found
    ]
    columns = [("True", "words"), ("Predicted", "words"), ("How often", "n"), ("Of its class", "n")]
    return fold("The most frequent confusions", table(columns, rows, name="The most frequent confusions"))


def _classes(facts: Facts) -> Html:
    scores = facts.evaluation
    labels = [str(label) for label in scores.get("labels", [])]
    trained = _of(facts.manifest, "report", "splits", "train", "labels")
    measured = {name: _of(scores, name, "per_class") for name in ("precision", "recall", "f1")}
    confusion = scores.get("confusion") if facts.task in ("classify", "tag") else None
    rows = []
    for index, label in enumerate(labels):
        row = [label, *(figures.share(measured[name].get(label)) for name in measured)]
        row += [figures.count(_of(scores, "support").get(label)), figures.count(trained.get(label))]
        rows.append(row + ([_taken_for(confusion[index], index, labels)] if confusion else []))
    of_labels = facts.task in ("multilabel", "tag")
    columns = [("Label" if of_labels else "Class", "words")]
    unit = "Words" if facts.task == "tag" else "Documents"
    columns += [(title, "n") for title in ("Precision", "Recall", "F1", unit, "In training")]
    columns += [("Most often taken for", "words")] if confusion else []
    title = "Each label" if of_labels else "Each class"
    return tag("div", tag("h3", title), table(columns, rows, name=title, sortable=True, tall=len(rows) > 20))


def _taken_for(counts: Sequence[int], index: int, labels: Sequence[str]) -> str:
    others = [(number, -other) for other, number in enumerate(counts) if other != index and number]
    if not others:
        return ""
    number, other = max(others)
    return f"{labels[-other]} ({number:,})"


def _of(found: Mapping[str, object], *path: str) -> Record:
    """A table inside tables; empty if it is not there."""
    for name in path:
        inner = found.get(name)
        if not isinstance(inner, dict):
            return {}
        found = inner
    return found


def _regression(facts: Facts) -> Section:
    plane = facts.mistakes.get("plane")
    names = ("mse", "mae", "r2", "spearman", "mean_target")
    titles = ("Mean squared error", "Mean absolute error", "R²", "Spearman's ρ", "Mean of the true numbers")
    said = [
        (title, figures.share(figure_of(facts.evaluation, name))) for name, title in zip(names, titles, strict=True)
    ]
    drawn = None
    if plane:
        drawn = charts.plane(
            "Predicted against true numbers", plane["across"], plane["upward"], plane["counts"], ("true", "predicted")
        )
    return section("numbers", "Predicted against true", tag("div", drawn, tag("div", listed(said)), class_="grid"))


def mistakes(facts: Facts) -> Section | None:
    """The documents with the highest loss, with their texts."""
    shown: Sequence[Record] = facts.mistakes.get("mistakes", [])
    if not shown:
        return None
    wrong, documents = facts.mistakes.get("wrong"), facts.mistakes.get("documents", 0)
    split = f"the {facts.mistakes.get('split')} split"
    if wrong is None:
        said = f"The {len(shown)} documents of {split} with the highest loss."
    else:
        part = figures.percent(wrong / documents) if documents else figures.MISSING
        said = f"{wrong:,} of {documents:,} documents of {split} are wrong ({part}); here those with the highest loss."
    items = [_mistake(one) for one in shown]
    rest = items[SHOWN_AT_ONCE:]
    return section(
        "mistakes",
        "Worst mistakes",
        tag("p", said, class_="quiet"),
        tag("ol", *items[:SHOWN_AT_ONCE], class_="mistakes"),
        fold(f"{len(rest)} more", tag("ol", *rest, class_="mistakes")) if rest else None,
    )


def _mistake(one: Record) -> Html:
    probability, loss = one.get("probability"), one.get("loss")
    told = [
        tag("span", "true ", tag("b", str(one.get("true")) or "none", class_="was")),
        tag("span", "predicted ", tag("b", str(one.get("predicted")) or "none", class_="said")),
        tag("span", f"probability {probability:.4f}", class_="quiet") if figures.is_number(probability) else None,
        tag("span", f"loss {loss:.4f}" if figures.is_number(loss) else "loss not finite", class_="quiet"),
        tag("span", f"{one.get('file')}:{one.get('line')}", class_="quiet"),
    ]
    words = one.get("text")
    if words is None:
        text = tag("p", "The text cannot be had.", class_="quiet")
    else:
        text = tag("p", str(words) + (" …" if one.get("cut") else ""), class_="document", dir="auto")
    return tag("li", tag("div", *told, class_="verdicts"), text)


def data(facts: Facts) -> Section:
    """What it was trained on: counts, lengths, sources with their hashes."""
    manifest, report = facts.manifest, _of(facts.manifest, "report")
    folder = str(facts.record.get("prepared", ""))
    said = [
        ("Fingerprint", tag("span", str(manifest.get("fingerprint") or folder.rpartition("/")[2]), class_="hash")),
        ("Labels", figures.count(len(manifest["labels"])) if manifest.get("labels") else None),
        ("Vocabulary", f"{figures.count(report['words'])} words" if "words" in report else None),
        ("Rejected rows", figures.count(report["rejected"]) if "rejected" in report else None),
        (
            "Duplicates left out",
            figures.count(dropped) if (dropped := _of(report, "duplicates").get("dropped")) is not None else None,
        ),
        ("Prepared with", f"spaCy {report['spacy']}" if report.get("spacy") else None),
        ("Prepared in", folder),
    ]
    return section(
        "data", "Data", listed(said), _splits(report), _lengths(facts.mistakes.get("lengths"), report), _sources(report)
    )


def _splits(report: Record) -> Html | None:
    splits = _of(report, "splits")
    rows = []
    for name in splits:
        split = _of(splits, name)
        tokens, unknown = split.get("tokens"), split.get("unknown_tokens")
        known = figures.percent(1 - unknown / tokens) if tokens and figures.is_number(unknown) else figures.MISSING
        rows.append([name, *(figures.count(split.get(key)) for key in ("documents", "tokens")), known,
                     *(figures.count(split.get(key)) for key in ("cut", "without_known_word"))])  # fmt: skip
    columns = [("Split", "")]
    columns += [(t, "n") for t in ("Documents", "Tokens", "Known tokens", "Cut", "Without a known word")]
    return table(columns, rows, name="Splits") if rows else None


def _lengths(found: Record | None, report: Record) -> Html | None:
    if not found or not found.get("counts"):
        return None
    edges, counts, unit = found["edges"], found["counts"], "tokens"
    title = "Tokens a document, training split"
    if found.get("unit") == "words":
        title, unit = "Distinct known words a document, training split", "words"
    last = len(counts) - 1
    drawn = []
    for index, number in enumerate(counts):
        low, high = edges[index], edges[index + 1] - 1
        upto = "or more" if index == last and found["longest"] > high else f"to {high:,}" if high > low else ""
        drawn.append((float(number), " ".join(filter(None, [f"{low:,}", upto, unit])) + f"\n{number:,} documents"))
    low, span = edges[0], edges[-1] - edges[0]
    below = [
        ((mark - low) / span * 100, f"{mark:,.0f}")
        for mark in figures.ticks(low, edges[-1])
        if low <= mark <= edges[-1]
    ]
    about = f"median {found['median']:.0f}, mean {found['mean']:.1f}, longest {found['longest']:,} {unit}"
    figures_ = [
        ("Median", f"{found['median']:,.0f}"),
        ("Mean", f"{found['mean']:,.1f}"),
        ("Nine in ten have at most", f"{found['p90']:,.0f}"),
        ("99 in 100 have at most", f"{found['p99']:,.0f}"),
        ("Longest", f"{found['longest']:,}"),
        ("Cut at", f"{figures.count(report['max_tokens'])} tokens" if "max_tokens" in report else None),
    ]
    return tag("div", charts.bars(title, drawn, below, about), tag("div", listed(figures_)), class_="grid")


def _sources(report: Record) -> Html | None:
    sources = report.get("sources")
    if not isinstance(sources, list) or not sources:
        return None
    rows = [
        [
            str(one.get("split", "")),
            str(one.get("path", "")),
            figures.size(one.get("bytes")),
            str(one.get("sha256", "")),
        ]
        for one in sources
        if isinstance(one, dict)
    ]
    columns = [("For", ""), ("Source", "path"), ("Size", "n"), ("SHA-256", "hash")]
    listing = table(columns, rows, name="Sources", tall=len(rows) > 20)
    return tag("div", tag("h3", "Sources"), listing)
