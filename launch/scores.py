"""Scores as tables of plain text: a run beside its baseline, and each class."""

from collections.abc import Sequence
from typing import Any

BASELINE = "baseline"
LONGEST_LABEL = 32  # characters shown; a longer one is cut

Scores = dict[str, Any]


def comparison(evaluation: Scores, baseline: Scores | None) -> str:
    """The main figures of a run, with scikit-learn's beside them if they are known.

    `evaluation` is what `muster evaluate --json` prints; `baseline` what `muster baseline --json` does.
    """
    task = evaluation.get("task", "classify")
    rows = [
        [words, _share(_figure(evaluation, name)), _share((baseline or {}).get(name))]
        for words, name in FIGURES[task]
        if name in evaluation or not name.startswith(("span_", "bleu", "chrf", "rouge"))
    ]
    if task == "language" and evaluation.get("bits_per_byte") is None:
        rows = rows[1:]
    if task == "answer":
        rows += _parts(evaluation, baseline or {})
    heads = ["", "model", (baseline or {}).get("model", BASELINE).removesuffix(" (scikit-learn)")]
    if baseline is None:
        heads, rows = heads[:2], [row[:2] for row in rows]
    units = {"language": "tokens", "embed": "tokens", "rewrite": "tokens of what was asked for", "answer": "questions"}
    unit = units.get(task, "examples")
    if "documents" in evaluation:
        unit = f"words in {evaluation['documents']:,} documents"
    counted = [evaluation[name] for name in evaluation if name.endswith("_signature")]
    return "\n".join([_table(heads, rows), f"{evaluation['examples']:,} {unit}{_unknown(evaluation)}", *counted])


def _parts(evaluation: Scores, baseline: Scores) -> list[list[str]]:
    """Questions with an answer and those without, where a split has both."""
    return [
        [f"{words}, {count:,} {which}", _share(evaluation[part][name]), _share(baseline.get(part, {}).get(name))]
        for part, which, figures in PARTS
        if part in evaluation
        for words, name in figures
        for count in (evaluation[part]["examples"],)
    ]


PARTS = (
    ("has_answer", "with an answer", (("F1", "answer_f1"), ("exact match", "exact_match"))),
    ("no_answer", "without one", (("right", "exact_match"),)),
)

FIGURES = {
    "classify": [("accuracy", "accuracy"), ("F1 macro", "f1_macro"), ("F1 weighted", "f1_weighted"), ("loss", "loss")],
    "multilabel": [
        ("F1 micro", "f1_micro"), ("F1 macro", "f1_macro"), ("F1 weighted", "f1_weighted"), ("exact sets", "accuracy"),
        ("loss", "loss"),
    ],
    "regress": [("MSE", "mse"), ("MAE", "mae"), ("R2", "r2"), ("Spearman", "spearman")],
    "tag": [
        ("accuracy", "accuracy"), ("span F1", "span_f1"), ("span precision", "span_precision"),
        ("span recall", "span_recall"), ("F1 macro", "f1_macro"), ("loss", "loss"),
    ],
    "answer": [("F1", "answer_f1"), ("exact match", "exact_match"), ("loss", "loss")],
    "language": [
        ("bits per byte", "bits_per_byte"), ("perplexity", "perplexity"), ("loss", "loss"), ("accuracy", "accuracy"),
    ],
    "embed": [("loss of a token", "loss"), ("loss of a pair", "pair_loss")],
    "rewrite": [
        ("BLEU", "bleu"), ("chrF", "chrf"), ("ROUGE-1", "rouge1"), ("ROUGE-2", "rouge2"), ("ROUGE-L", "rougeL"),
        ("perplexity", "perplexity"), ("loss", "loss"), ("accuracy", "accuracy"),
    ],
}  # fmt: skip
"""What is shown of each task: in words, and as the baseline calls it."""


SIMILARITY = {"wordsim353": "WordSim-353", "simlex999": "SimLex-999", "analogies": "analogies"}
"""Sets that word vectors are compared with."""


def similarity(evaluation: Scores) -> str:
    """Word vectors beside what people said: correlation of ranks, share of analogies, and of how many; else empty."""
    rows = []
    for name, found in (evaluation.get("similarity") or {}).items():
        figure = found["spearman"] if "spearman" in found else found["accuracy"]
        asked = found.get("pairs", found.get("questions"))
        rows.append([SIMILARITY[name], _share(figure), f"{found['known']:,} of {asked:,}"])
    return _table(["", "rho, or share right", "known"], rows) if rows else ""


def _figure(evaluation: Scores, name: str) -> float | None:
    if name in evaluation:
        return evaluation[name]  # type: ignore[no-any-return]
    figure, _, average = name.partition("_")
    return evaluation[figure][average] if average and figure in evaluation else None


def headline(evaluation: Scores) -> str:
    """The first figure in words: `accuracy 0.7822`."""
    shown = [(words, _figure(evaluation, name)) for words, name in FIGURES[evaluation.get("task", "classify")]]
    if "span_f1" in evaluation:
        shown = [("span F1", evaluation["span_f1"])]
    words, value = next((one for one in shown if one[1] is not None), shown[0])
    return f"{words} {_share(value)}"


def per_class(evaluation: Scores) -> str:
    """Precision, recall and F1 of each class, its examples, and what it is most often mistaken for; of spans those of
    each type; empty for numbers."""
    if "spans" in evaluation:
        return _per_type(evaluation["spans"]["per_type"])
    labels: list[str] = evaluation.get("labels", [])
    rows = []
    for index, label in enumerate(labels):
        figures = [_share(evaluation[name]["per_class"][label]) for name in ("precision", "recall", "f1")]
        rows.append([_cut(label), *figures, f"{evaluation['support'][label]:,}"])
        if "confusion" in evaluation:
            rows[-1].append(_most_confused(evaluation["confusion"][index], index, labels))
    examples = "words" if evaluation.get("task") == "tag" else "examples"
    heads = ["class", "precision", "recall", "F1", examples, "most often taken for"]
    if not rows:
        return ""
    return _table(heads[: len(rows[0])], rows, words_last=len(rows[0]) == len(heads))


def _per_type(types: dict[str, Scores]) -> str:
    rows = [
        [_cut(kind), *(_share(found[name]) for name in ("precision", "recall", "f1")), f"{found['true']:,}"]
        for kind, found in types.items()
    ]
    return _table(["spans of", "precision", "recall", "F1", "spans"], rows)


def _most_confused(counts: Sequence[int], index: int, labels: Sequence[str]) -> str:
    others = [(count, -other) for other, count in enumerate(counts) if other != index and count]
    if not others:
        return ""
    count, other = max(others)
    return f"{_cut(labels[-other])} ({count:,})"


def _unknown(evaluation: Scores) -> str:
    labels: dict[str, int] = evaluation.get("unknown_labels") or {}
    if not labels:
        return ""
    named = ", ".join(f"{_cut(label)} ({count:,})" for label, count in labels.items())
    return f", of which {sum(labels.values()):,} have labels that training never saw and count as wrong: {named}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], words_last: bool = False) -> str:
    """Words to the left, figures to the right. `words_last`: the last column holds words."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    left = {0, len(heads) - 1} if words_last else {0}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def baseline(figures: Scores) -> str:
    """The baseline alone."""
    shown = {name: words for task in FIGURES.values() for words, name in task}
    rows = [[words, _share(figures[name])] for name, words in shown.items() if name in figures]
    took = f"fitted in {figures['seconds']:.1f} s" if "seconds" in figures else ""
    head = str(figures.get("model", BASELINE)).removesuffix(" (scikit-learn)")
    return "\n".join(filter(None, [_table(["", head], rows), took]))
