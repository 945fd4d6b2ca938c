"""Scores as tables of plain text: a run beside its baseline, and each class."""

from collections.abc import Sequence
from typing import Any

BASELINE = "TF-IDF + logistic regression"
LONGEST_LABEL = 32  # characters shown; a longer one is cut

Scores = dict[str, Any]


def comparison(evaluation: Scores, baseline: Scores | None) -> str:
    """The main figures of a run, with scikit-learn's beside them if they are known.

    `evaluation` is what `muster evaluate --json` prints; `baseline` holds `accuracy` and `f1_macro`.
    """
    rows = [
        ["accuracy", _share(evaluation["accuracy"]), _share((baseline or {}).get("accuracy"))],
        ["F1 macro", _share(evaluation["f1"]["macro"]), _share((baseline or {}).get("f1_macro"))],
        ["F1 weighted", _share(evaluation["f1"]["weighted"]), _share((baseline or {}).get("f1_weighted"))],
        ["loss", _share(evaluation["loss"]), ""],
    ]
    heads = ["", "model", BASELINE]
    if baseline is None:
        heads, rows = heads[:2], [row[:2] for row in rows]
    return "\n".join([_table(heads, rows), f"{evaluation['examples']:,} examples{_unknown(evaluation)}"])


def per_class(evaluation: Scores) -> str:
    """Precision, recall and F1 of each class, its examples, and what it is most often mistaken for."""
    labels: list[str] = evaluation["labels"]
    rows = []
    for index, label in enumerate(labels):
        counts = evaluation["confusion"][index]
        figures = [_share(evaluation[name]["per_class"][label]) for name in ("precision", "recall", "f1")]
        rows.append([_cut(label), *figures, f"{sum(counts):,}", _most_confused(counts, index, labels)])
    return _table(["class", "precision", "recall", "F1", "examples", "most often taken for"], rows, words_last=True)


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
    rows = [
        [name, _share(figures[key])]
        for name, key in (("accuracy", "accuracy"), ("F1 macro", "f1_macro"), ("F1 weighted", "f1_weighted"))
        if key in figures
    ]
    took = f"fitted in {figures['seconds']:.1f} s" if "seconds" in figures else ""
    return "\n".join(filter(None, [_table(["", BASELINE], rows), took]))
