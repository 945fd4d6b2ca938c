import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from cluster.metrics import scores

LABELS = ["a", "b", "c"]
PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


def confusion_of(pairs):
    confusion = np.zeros((4, 3), dtype=np.int64)
    for true, predicted in pairs:
        confusion[true, predicted] += 1
    return confusion


@given(PAIRS)
def test_every_figure_equals_scikit_learn(pairs):
    true, predicted = zip(*pairs, strict=True)
    ours = scores(confusion_of(pairs), loss_sum=2.0, labels=LABELS)
    assert ours["accuracy"] == reference.accuracy_score(true, predicted)
    for name, function in [
        ("precision", reference.precision_score),
        ("recall", reference.recall_score),
        ("f1", reference.f1_score),
    ]:
        for average in ("macro", "micro", "weighted"):
            theirs = function(true, predicted, labels=[0, 1, 2], average=average, zero_division=0)
            assert ours[name][average] == pytest.approx(theirs, abs=1e-12)
        theirs = function(true, predicted, labels=[0, 1, 2], average=None, zero_division=0)
        assert list(ours[name]["per_class"].values()) == pytest.approx(theirs.tolist(), abs=1e-12)
    assert ours["confusion"] == reference.confusion_matrix(true, predicted, labels=[0, 1, 2]).tolist()
    assert ours["loss"] == 2.0 / len(pairs)


def test_unknown_labels_count_as_wrong_and_not_in_the_loss():
    confusion = confusion_of([(0, 0), (1, 1), (3, 0), (3, 2)])
    ours = scores(confusion, loss_sum=1.0, labels=LABELS)
    assert ours["accuracy"] == 0.5
    assert ours["unknown_label_examples"] == 2
    assert ours["loss"] == 0.5
    assert ours["precision"]["per_class"]["a"] == 0.5
    assert ours["recall"]["per_class"]["a"] == 1.0
    assert ours["confusion"][-1] == [1, 0, 1]


@given(PAIRS, st.integers(0, 60), st.integers(0, 60))
def test_sums_of_parts_give_the_figures_of_the_whole(pairs, first, second):
    cuts = sorted((min(first, len(pairs)), min(second, len(pairs))))
    parts = [pairs[: cuts[0]], pairs[cuts[0] : cuts[1]], pairs[cuts[1] :]]
    added = sum(confusion_of(part) for part in parts)
    assert scores(added, 1.0, LABELS) == scores(confusion_of(pairs), 1.0, LABELS)
