"""Spans by the rules of conlleval (clips.uantwerpen.be/conll2000/chunking/output.html; with E and S:
github.com/mayhewsw/conlleval.py). The expected figures are conlleval's."""

import numpy as np
import pytest

from cluster.data.manifest import FIRST_TARGET, UNSEEN_TARGET
from cluster.errors import DataError
from cluster.spans import SpanRules

LABELS = ["O", *(f"{letter}-{kind}" for kind in ("LOC", "PER") for letter in "BIES")]
RULES = SpanRules(LABELS)


def codes(labels):
    known = {label: code for code, label in enumerate(LABELS, start=FIRST_TARGET)} | {"?": UNSEEN_TARGET, "_": 0}
    return np.array([known[label] for label in labels.split()], dtype=np.int64)


def counts(*documents):
    """[found, predicted, true] over pairs of labels, true ones first."""
    width = max(len(true.split()) for true, _ in documents)
    padded = [np.pad(codes(labels), (0, width - len(labels.split()))) for pair in documents for labels in pair]
    return RULES.count(np.stack(padded[::2]), np.stack(padded[1::2])).sum(axis=1).tolist()


@pytest.mark.parametrize(
    "labels, spans",
    [
        ("O O", []),
        ("B-PER I-PER O B-LOC", [(0, 2, "PER"), (3, 4, "LOC")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("I-PER I-PER O I-LOC", [(0, 2, "PER"), (3, 4, "LOC")]),  # an I may begin a span: IOB1
        ("I-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")]),  # another type is another span
        ("B-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")]),
        ("S-PER S-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("B-LOC I-LOC E-LOC S-LOC", [(0, 3, "LOC"), (3, 4, "LOC")]),
        ("B-LOC E-LOC I-LOC", [(0, 2, "LOC"), (2, 3, "LOC")]),  # what follows an end is new
        ("E-PER E-PER O", [(0, 1, "PER"), (1, 2, "PER")]),
    ],
)
def test_where_spans_are(labels, spans):
    found = zip(*(column.tolist() for column in RULES.of(codes(labels))), strict=True)
    assert [(start, end, RULES.types[kind]) for start, end, kind in found] == spans


@pytest.mark.parametrize(
    "documents, expected",
    [
        ([("B-PER I-PER O", "B-PER I-PER O")], [1, 1, 1]),
        ([("B-PER I-PER O", "B-PER O O")], [0, 1, 1]),  # half a span is none
        ([("B-PER I-PER O", "B-LOC I-LOC O")], [0, 1, 1]),
        ([("B-PER I-PER O", "I-PER I-PER O")], [1, 1, 1]),  # the same span, spelled otherwise
        ([("B-PER I-PER I-PER", "B-PER I-PER B-PER")], [0, 2, 1]),
        ([("O O", "B-PER B-LOC")], [0, 2, 0]),
        ([("O O B-PER", "O O B-PER"), ("I-PER O", "I-PER O")], [2, 2, 2]),  # no span from one document into the next
        ([("B-PER ? O", "B-PER O O")], [1, 1, 2]),  # a label that training never saw is a span of its own, missed
    ],
)
def test_what_is_found(documents, expected):
    assert counts(*documents) == expected


def test_words_without_a_label_are_not_looked_at():
    true, predicted = codes("B-PER _ I-PER _ O"), codes("B-PER B-LOC I-PER S-LOC O")
    assert RULES.count(true[None], predicted[None]).sum(axis=1).tolist() == [1, 1, 1]


def test_figures_of_a_longer_text():
    """By conlleval.py: 8 phrases; found: 7 phrases; correct: 5; precision 71.43 %, recall 62.50 %, FB1 66.67."""
    true = "B-PER I-PER O B-LOC O O S-PER O B-LOC I-LOC E-LOC O B-PER O S-LOC S-LOC"
    said = "B-PER I-PER O B-LOC O O S-PER O B-LOC I-LOC O O O O S-LOC B-PER"
    with_one_more = (true + " O B-PER I-PER I-PER", said + " O B-PER I-PER I-PER")
    found = RULES.scores(RULES.count(codes(with_one_more[0])[None], codes(with_one_more[1])[None]))
    assert found["spans"] | {"per_type": None} == {
        "found": 5, "predicted": 7, "true": 8, "never_taught": 0, "per_type": None,
    }  # fmt: skip
    assert [found[f"span_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx([5 / 7, 5 / 8, 2 / 3])
    assert {kind: one["f1"] for kind, one in found["spans"]["per_type"].items()} == pytest.approx(
        {"LOC": 4 / 7, "PER": 6 / 8}
    )


def test_nothing_to_find_is_no_division_by_zero():
    found = RULES.scores(RULES.count(codes("O O")[None], codes("O O")[None]))
    assert (found["span_f1"], found["spans"]["per_type"]["PER"]["f1"]) == (0.0, 0.0)


@pytest.mark.parametrize("label", ["NN", "X-PER", "b-per", "-PER", "B_PER"])
def test_labels_that_spell_no_spans_are_refused(label):
    with pytest.raises(DataError, match=f"task.spans = true, but the label '{label}'"):
        SpanRules(["O", label])
