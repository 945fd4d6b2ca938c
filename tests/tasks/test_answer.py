"""Loss and best span of questions over their windows, beside plain loops over every place and every span."""

import numpy as np
import pytest
import torch

from cluster.data.windows import FIRST, LAST, MAY_END, MAY_START, NOWHERE, Flat, Shape, golden, windows_of
from cluster.tasks.answer import LOSS, Answer
from cluster.tasks.build import build_for_inference

SHAPE = Shape(window=10, stride=3, question=3)
# tokens of question and context, and the answers: first and last word
DOCUMENTS = [((2, 14), [(4, 5)]), ((3, 3), []), ((1, 6), [(0, 0), (2, 4)]), ((5, 20), [(19, 19)])]


def batch(documents=DOCUMENTS):
    sizes, answers = zip(*documents, strict=True)
    lengths = np.array([asked + context + SHAPE.marks for asked, context in sizes], dtype=np.uint32)
    contexts = np.array([asked + SHAPE.marks for asked, _ in sizes], dtype=np.uint32)
    each = [[NOWHERE, *[0] * (asked + 1), *[MAY_START | MAY_END] * context] for asked, context in sizes]
    flags = golden(np.array(sum(each, []), np.uint16), len(sizes), answers, np.array([c for _, c in sizes]))
    tokens = np.arange(int(lengths.sum()), dtype=np.uint32)
    made = windows_of(Flat(tokens, lengths, np.zeros(len(tokens), np.uint8), contexts, flags), SHAPE)
    labels = torch.from_numpy(made["labels"])
    torch.manual_seed(3)
    return torch.randn(*labels.shape, 2, dtype=torch.float64), labels


def places(outputs, labels, question, which):
    """Score, and whether it is right, of each place of a question where an answer may begin (0) or end (1)."""
    golden_flag, may = ((FIRST, MAY_START), (LAST, MAY_END))[which]
    rows = [row for row in range(len(labels)) if labels[row, 0] >> 5 == question]
    for row in rows:
        for column, label in enumerate(labels[row].tolist()):
            if label & (may | NOWHERE):
                yield float(outputs[row, column, which]), bool(label & golden_flag), row, column


def plain_loss(outputs, labels, question):
    total = 0.0
    for which in (0, 1):
        found = list(places(outputs, labels, question, which))
        whole = np.logaddexp.reduce([score for score, *_ in found])
        total += (whole - np.logaddexp.reduce([score for score, right, *_ in found if right])) / 2
    return total


def test_the_loss_is_that_of_all_windows_together():
    outputs, labels = batch()
    task = Answer(SHAPE, 3, unanswerable=True)
    expected = sum(plain_loss(outputs, labels, question) for question in range(4))
    assert float(task.loss_sum(outputs, labels)) == pytest.approx(expected)
    # rows of other questions, and padding, change nothing
    alone, own = batch(DOCUMENTS[:1])
    wide = torch.zeros(len(own), labels.shape[1], 2, dtype=torch.float64)
    wide[:, : alone.shape[1]] = outputs[: len(own), : alone.shape[1]]
    labels_wide = torch.zeros(len(own), labels.shape[1], dtype=torch.int64)
    labels_wide[:, : own.shape[1]] = own
    assert float(task.loss_sum(wide, labels_wide)) == pytest.approx(plain_loss(outputs, labels, 0))


def test_gradients_are_finite_and_lie_on_places_that_count():
    outputs, labels = batch()
    outputs = outputs.float().requires_grad_()
    Answer(SHAPE, 3, unanswerable=True).loss_sum(outputs, labels).backward()
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad[(labels & (MAY_START | NOWHERE)) == 0].abs().max() == 0


def test_a_question_that_training_could_not_answer_has_no_loss():
    outputs, labels = batch()
    never = Answer(SHAPE, 3, unanswerable=False)
    sums = never.empty_sums(np.zeros(4), keep=False)
    never.add(sums, outputs, labels, np.arange(4))
    assert sums["questions"][1, LOSS] == 0 and (sums["questions"][[0, 2, 3], LOSS] > 0).all()


@pytest.mark.parametrize("unanswerable", [True, False])
@pytest.mark.parametrize("longest", [1, 3, 50])
def test_the_best_span_is_the_best_of_all(longest, unanswerable):
    outputs, labels = batch()
    task = Answer(SHAPE, longest, unanswerable)
    best = task.best(outputs, labels, 4)
    for question in range(4):
        spans = {}
        for start, _, row, column in places(outputs, labels, question, 0):
            for end, _, other, behind in places(outputs, labels, question, 1):
                inside = row == other and column <= behind < column + longest
                if inside and not int(labels[row, column]) & NOWHERE and not int(labels[other, behind]) & NOWHERE:
                    words = int(labels[row, column]) >> 5, int(labels[row, behind]) >> 5
                    spans[words] = max(spans.get(words, -np.inf), start + end)
        assert (int(best.first_B[question]), int(best.last_B[question])) == max(spans, key=spans.__getitem__)
    shares = (best.span_B - best.valid_B).exp() + (best.none_B - best.valid_B).exp()
    assert ((shares > 0) & (shares <= 1)).all()
    assert bool(((best.none_B - best.valid_B).exp() > 0).all()) == unanswerable


def test_a_threshold_is_kept():
    task = Answer(SHAPE, 4, True, "zh", 0.25)
    again = build_for_inference({"labels": [], "task": task.describe()})
    assert again.describe() == task.describe() and again.shape == SHAPE
    assert task.gives_none(np.array([0.2, 0.3])).tolist() == [False, True]
    assert not Answer(SHAPE, 4, unanswerable=False).gives_none(np.array([1e9])).any()
