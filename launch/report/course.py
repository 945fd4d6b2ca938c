"""The parts of a report on how the run went: score, curves, time, machine, recipe, attempts."""

from collections.abc import Mapping

from cluster.markup import Html, tag
from launch.report import charts, figures
from launch.report.facts import Facts, Record, changed_settings
from launch.report.tables import Section, fold, listed, section, table

HEADLINES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "classify": (("accuracy", "Accuracy"), ("f1_macro", "F1 macro"), ("f1_weighted", "F1 weighted"), ("loss", "Loss")),
    "multilabel": (
        ("f1_micro", "F1 micro"),
        ("f1_macro", "F1 macro"),
        ("accuracy", "Accuracy of whole sets"),
        ("loss", "Loss"),
    ),
    "regress": (
        ("mse", "Mean squared error"),
        ("mae", "Mean absolute error"),
        ("r2", "R²"),
        ("spearman", "Spearman's ρ"),
    ),
    "tag": (
        ("accuracy", "Accuracy"),
        ("span_f1", "Span F1"),
        ("span_precision", "Span precision"),
        ("span_recall", "Span recall"),
        ("f1_macro", "F1 macro"),
        ("loss", "Loss"),
    ),
    "answer": (("answer_f1", "F1"), ("exact_match", "Exact match"), ("loss", "Loss")),
    "language": (
        ("bits_per_byte", "Bits per byte"),
        ("perplexity", "Perplexity"),
        ("loss", "Loss, nats a token"),
        ("accuracy", "Right at once"),
    ),
    "embed": (("loss", "Loss, nats a token"), ("pair_loss", "Loss, nats a pair")),
    "rewrite": (
        ("bleu", "BLEU"),
        ("chrf", "chrF"),
        ("rouge1", "ROUGE-1"),
        ("rouge2", "ROUGE-2"),
        ("rougeL", "ROUGE-L"),
        ("perplexity", "Perplexity"),
        ("loss", "Loss, nats a token"),
        ("accuracy", "Right at once"),
    ),
}
WRITING = ("language", "rewrite", "embed")
"""Tasks whose examples are tokens."""
MOST_DOTS = 60  # points of a curve that are marked one by one
LESS_IS_BETTER = frozenset({"loss", "mse", "mae", "perplexity", "bits_per_byte", "pair_loss"})
OTHER_FIGURES = (("f1_micro", "F1 micro"), ("accuracy", "Accuracy"))
TIME_NAMES = {
    "data": ("Waiting for data", "c2"),
    "compute": ("Compute", "c1"),
    "communication": ("Communication", "c4"),
    "evaluation": ("Evaluation", "c3"),
    "checkpoint": ("Checkpoints", "c5"),
    "other": ("Other", "c6"),
}
MACHINE = {"device": "Device", "processor": "Processor", "ranks": "Ranks", "threads": "Threads of each rank"}


def names(task: str) -> dict[str, str]:
    """What the figures of a task are called, the most telling first."""
    return dict(HEADLINES[task]) | {key: name for key, name in OTHER_FIGURES if key not in dict(HEADLINES[task])}


def figure_of(scores: Record, name: str) -> float | None:
    """A figure of an evaluation or a baseline, where `f1_macro` may also be `macro` of `f1`."""
    value = scores.get(name)
    if value is None and "_" in name:
        outer, inner = name.split("_", 1)
        value = scores[outer].get(inner) if isinstance(scores.get(outer), dict) else None
    return float(value) if figures.is_number(value) else None


def head(facts: Facts) -> Html:
    """What this is, in three lines."""
    data, model = facts.recipe.get("data", {}), str(facts.recipe.get("model", {}).get("kind", "model"))
    trained_on = data.get("train", "")
    source = ", ".join(map(str, trained_on)) if isinstance(trained_on, list) else str(trained_on)
    labels = facts.manifest.get("labels") or []
    gives = {
        "classify": f"one of {len(labels)} labels" if labels else "one label",
        "multilabel": f"any number of {len(labels)} labels" if labels else "any number of labels",
        "regress": "a number",
        "tag": f"one of {len(labels)} labels for each word" if labels else "a label for each word",
        "answer": "an answer, as a span of its context",
    }
    documents = facts.plan.get("documents")
    units = {"language": "sequences", "embed": "sequences", "rewrite": "pairs", "answer": "questions"}
    pieces = units.get(facts.task, "documents")
    trained = f"trained on {figures.count(documents)} {pieces} of" if documents else "to be trained on"
    writes = {
        "language": "predicts tokens",
        "rewrite": "writes another text of each",
        "embed": "gives a vector for each word",
    }
    given_to = "a question" if facts.task == "answer" else "a document"
    does = writes.get(facts.task) or f"gives {given_to} {gives[facts.task]}"
    said = tag("p", "Model ", tag("b", model), f": {does}; {trained} {source}.")
    begun = str(facts.record.get("created", "")).replace("T", " ").replace("+00:00", " UTC")
    where = tag("p", f"Begun {begun} · muster {facts.record.get('version', '')}", class_="quiet")
    return tag("header", tag("h1", facts.name), said, where)


def score(facts: Facts) -> Section:
    """The headline: the final score, or the best one so far, beside the baseline's."""
    scores, against = facts.evaluation, facts.baseline
    split = str(scores.get("split", "test"))
    if not scores:
        scores, split = facts.best, "validation"
    if not scores:
        return section("score", "Score", tag("p", "Nothing has been scored yet."))
    comparable = bool(against) and str(against.get("split", split)) == split
    boxes = [_box(name, title, scores, against if comparable else {}) for name, title in HEADLINES[facts.task]]
    return section("score", "Score", tag("dl", *boxes, class_="scores"), *_remarks(facts, scores, split, comparable))


def _box(name: str, title: str, scores: Record, against: Record) -> Html | None:
    ours, theirs = figure_of(scores, name), figure_of(against, name)
    if ours is None:
        return None
    below = None
    if theirs is not None:
        better = (ours < theirs) == (name in LESS_IS_BETTER) and ours != theirs
        judged = "better" if better else "worse" if ours != theirs else "quiet"
        difference = tag("span", figures.signed(ours - theirs), class_=judged)
        below = tag("dd", f"baseline {figures.share(theirs)}  ", difference, class_="against")
    return tag("div", tag("dt", title), tag("dd", figures.share(ours)), below)


def _remarks(facts: Facts, scores: Record, split: str, comparable: bool) -> list[Html]:
    examples, said = scores.get("examples"), []
    scored = "tokens" if facts.task in WRITING else "questions" if facts.task == "answer" else "documents"
    if facts.evaluation:
        if facts.task == "tag":
            scored = f"words of {figures.count(scores.get('documents'))} documents"
        words = f"Scored once on the {split} split, {figures.count(examples)} {scored}."
        accuracy = figure_of(scores, "accuracy") if facts.task not in WRITING else None
        if accuracy is not None and figures.is_number(examples) and examples > 0 and 0 <= accuracy <= 1:
            wide = figures.half_width(accuracy, int(examples))
            words += f" So many give accuracy to within ±{figures.SPACE}{wide:.4f} (95{figures.SPACE}%):"
            words += " a smaller difference means little."
        said.append(words)
        if signatures := [str(scores[name]) for name in scores if name.endswith("_signature")]:
            said.append(f"Counted by {', '.join(signatures)}.")
        if facts.task == "language" and scores.get("bits_per_byte") is None:
            said.append(_no_bytes(scores))
    else:
        why = "not scored on a test split yet" if facts.state != "finished" else "the run has no test split"
        said.append(f"Best on the validation split, at step {figures.count(scores.get('step'))}; {why}.")
    unknown = scores.get("unknown_labels")
    if isinstance(unknown, dict) and unknown:
        named = ", ".join(f"{label} ({figures.count(number)})" for label, number in unknown.items())
        said.append(f"Labels that training never saw: {named}.")
    if comparable:
        name = facts.baseline.get("model", "TF-IDF with a linear model (scikit-learn)")
        said.append(f"Baseline: {name}, on the same documents.")
    elif facts.baseline:
        said.append(f"There is a baseline, but on the {facts.baseline.get('split')} split: it is not comparable.")
    else:
        said.append("There is no baseline; `muster baseline` with this recipe fits one.")
    return [tag("p", " ".join(said), class_="quiet")]


def _no_bytes(scores: Record) -> str:
    if scores.get("objective") == "masked":
        return "Bits per byte cannot be told of a masked model, which is asked for some tokens alone."
    return (
        'Bits per byte need tokens that are the whole text: text.tokens = "bpe" with text.lower = false. Others leave '
        "out white space, capital letters or rare words, which cost nothing then."
    )


def curves(facts: Facts) -> Section:
    """Loss, metric, learning rate and speed over the steps."""
    steps = facts.of_kind("step")
    validation = [record for record in facts.of_kind("evaluation") if record.get("split", "validation") == "validation"]
    run = [float(record["step"]) for record in [*steps, *validation]]
    if not run:
        return section("curves", "Curves", tag("p", "No step has been recorded yet."))
    across = (min(run), max(run))
    metric = names(facts.task).get(facts.metric, facts.metric)
    drawn = [
        _chart("Loss", across, [("training", "c1", steps, "loss"), ("validation", "c2", validation, "loss")]),
        _chart(f"{metric} on validation", across, [("validation", "c2", validation, facts.metric)]),
        _chart("Learning rate", across, [("learning rate", "c1", steps, "learning_rate")], ".3g", zero=True),
        _chart("Tokens per second", across, [("tokens/s", "c1", steps, "tokens_per_second")], ",.0f", zero=True),
        _chart("Gradient norm", across, [("gradient norm", "c1", steps, "gradient_norm")], ".4g"),
    ]
    found = [chart for chart in drawn if chart is not None]
    without = None if validation else tag("p", "The run has no evaluation on a validation split.", class_="quiet")
    return section("curves", "Curves over the steps", tag("div", *found, class_="grid"), without, _evaluations(facts))


def _chart(
    title: str,
    across: tuple[float, float],
    wanted: list[tuple[str, str, list[Record], str]],
    digits: str = ".4f",
    zero: bool = False,
) -> Html | None:
    """A chart of figures of some records: what each is called, its colour, the records and the figure."""
    drawn = []
    for name, colour, records, key in wanted:
        points = [(float(r["step"]), float(r[key])) for r in records if figures.is_number(r.get(key))]
        if points:
            drawn.append(charts.Curve(name, colour, points, dots=len(points) <= MOST_DOTS))
    if not drawn:
        return None
    return charts.curves(title, drawn, across, write=lambda value: format(value, digits), zero=zero)


def _evaluations(facts: Facts) -> Html | None:
    evaluations = facts.of_kind("evaluation")
    if not evaluations:
        return None
    called = names(facts.task) | {"loss": "Loss"}
    shown = [
        name for name in dict.fromkeys(("loss", *called)) if any(figures.is_number(r.get(name)) for r in evaluations)
    ]
    columns = [("Step", "n"), ("Epoch", "n"), ("Split", ""), *((called.get(n, n), "n") for n in shown), ("", "")]
    rows = [
        [
            figures.count(record["step"]),
            figures.count(record.get("epoch", 0) + 1),
            str(record.get("split", "validation")),
            *(figures.share(record.get(name)) for name in shown),
            "best so far" if record.get("best") else "",
        ]
        for record in evaluations
    ]
    return fold(f"All {len(rows)} evaluations", table(columns, rows, name="Evaluations", tall=len(rows) > 20))


def time_split(facts: Facts) -> Section:
    """Where the seconds went."""
    spent = facts.seconds()
    if not spent:
        return section("time", "Time", tag("p", "The records of this run hold no times."))
    total = sum(spent.values())
    drawn, rows = [], []
    for name, amount in spent.items():
        title, colour = TIME_NAMES[name]
        part = figures.percent(amount / total) if total else figures.MISSING
        drawn.append((title, amount, colour, f"{title}\n{figures.seconds(amount)}, {part}"))
        rows.append(
            [tag("span", tag("i", class_=f"swatch {colour}"), title, class_="key"), figures.seconds(amount), part]
        )
    rows.append([tag("b", "Together"), figures.seconds(total), figures.percent(1.0)])
    columns = [("", ""), ("Time", "n"), ("Share", "n")]
    without = not any(isinstance(record.get("seconds"), dict) for record in facts.of_kind("step"))
    notes = [
        "As rank 0 measured it, of the steps that count: work that was lost and done again is not in it, nor are start "
        "and preparation."
    ]
    if without:
        notes = ["The records of this run hold no times of steps: only evaluations and checkpoints are known."]
    said = tag("p", *notes, class_="quiet")
    return section(
        "time", "Time", charts.parts("Where the time went", drawn), table(columns, rows, name="Time", narrow=True), said
    )


def machine(facts: Facts) -> Section:
    """What the run ran on."""
    if not facts.plan:
        return section("machine", "Machine", tag("p", "No attempt has begun: nothing is planned yet."))
    known = {**MACHINE, "precision": "Precision", "torch": "torch", "total_steps": "Steps planned"}
    known["documents"] = "Documents an epoch"
    facts_ = [
        (known.get(name, name.replace("_", " ").capitalize()), _plain(value)) for name, value in facts.plan.items()
    ]
    return section("machine", "Machine", listed(facts_))


def _plain(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return figures.count(value)
    if isinstance(value, dict | list) and not value:
        return None
    return str(value)


def recipe(facts: Facts) -> Section:
    """Settings that somebody chose, and all of them behind a fold."""
    rows = [[tag("code", name), tag("code", value), tag("code", default)] for name, value, default in
            changed_settings(facts.recipe)]  # fmt: skip
    columns = [("Setting", ""), ("Here", "words"), ("Default", "words")]
    return section(
        "recipe",
        "Recipe",
        tag("p", "Settings that are not at their default:", class_="quiet"),
        table(columns, rows, name="Settings that are not at their default"),
        fold("The whole recipe", tag("pre", facts.recipe_text, tabindex=0)),
    )


def attempts(facts: Facts) -> Section:
    """How often the run was started, and how that ended."""
    verdict = facts.verdict
    step = verdict.get("step")
    said = [
        ("Attempts", figures.count(facts.attempt_count)),
        ("Last verdict", str(verdict.get("verdict")) if verdict else "none yet"),
        ("It says", str(verdict.get("message")) if verdict.get("message") else None),
        ("At step", figures.count(step) if step is not None else None),
        ("By rank", str(verdict["rank"]) if verdict.get("rank") is not None else None),
    ]
    rows = [
        [figures.count(one["attempt"] + 1), str(one["rank"]), str(one.get("kind", "")), str(one.get("message", ""))]
        for one in facts.attempts
        if not one.get("because_of_a_peer")
    ]
    columns = [("Attempt", "n"), ("Rank", "n"), ("What", ""), ("Message", "words")]
    notes = [[figures.count(r["step"]), str(r.get("message", ""))] for r in facts.of_kind("note")]
    return section(
        "attempts",
        "Attempts",
        listed(said),
        table(columns, rows, name="What ranks said of their end") if rows else None,
        table([("Step", "n"), ("Note", "words")], notes, name="Notes") if notes else None,
        fold("Traceback", tag("pre", str(verdict["traceback"]), tabindex=0)) if verdict.get("traceback") else None,
    )
