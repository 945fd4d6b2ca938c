"""Losses and figures of each task, against torch's and scikit-learn's own."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torch.nn import functional as F

from cluster.tasks.build import build_for_inference
from cluster.tasks.classify import Classify
from cluster.tasks.multilabel import Multilabel
from cluster.tasks.regress import Regress

DOCUMENTS, CLASSES = 60, 4


def outputs(columns=CLASSES, seed=0):
    return torch.randn(DOCUMENTS, columns, generator=torch.Generator().manual_seed(seed))


def labels(task):
    rng = np.random.default_rng(1)
    match task:
        case Classify():
            return rng.integers(0, CLASSES, DOCUMENTS)
        case Multilabel():
            return rng.integers(0, 2, (DOCUMENTS, CLASSES))
        case Regress():
            return rng.normal(50, 9, DOCUMENTS)


TASKS = {
    "classify": Classify(list("abcd")),
    "class weights": Classify(list("abcd"), np.array([0.5, 1.0, 2.0, 4.0])),
    "smoothed": Classify(list("abcd"), np.array([0.5, 1.0, 2.0, 4.0]), label_smoothing=0.1),
    "multilabel": Multilabel(list("abcd"), threshold=0.4),
    "regress": Regress(mean=48.0, deviation=9.5),
}


def expected_loss(task, said, wanted):
    match task:
        case Classify():
            weights = None if task.class_weights is None else torch.from_numpy(task.class_weights).float()
            return F.cross_entropy(said, wanted, weight=weights, label_smoothing=task.label_smoothing)
        case Multilabel():
            return F.binary_cross_entropy_with_logits(said, wanted.float())
        case Regress():
            return F.mse_loss(said[:, 0], ((wanted - 48.0) / 9.5).float())


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_sums_over_pieces_are_torchs_mean_over_the_whole(task):
    said = outputs(1 if isinstance(task, Regress) else CLASSES)
    stored = labels(task)
    wanted = torch.from_numpy(stored)
    parts = [slice(0, 7), slice(7, 8), slice(8, DOCUMENTS)]
    total = sum(task.loss_sum(said[part], wanted[part]) for part in parts) / task.weight(stored)
    assert total.item() == pytest.approx(expected_loss(task, said, wanted).item(), rel=1e-5)
    assert task.weight(stored) == pytest.approx(sum(task.weight(stored[part]) for part in parts))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_two_ranks_add_up_to_one(task):
    said = outputs(1 if isinstance(task, Regress) else CLASSES)
    wanted = torch.from_numpy(labels(task))

    def sums(shares):
        found = task.empty_sums(np.ones(DOCUMENTS), keep=True)
        for share in shares:
            task.add(found, said[share], wanted[share], share)
        return found

    everything = np.arange(DOCUMENTS)
    one = sums([everything])
    first, second, idle = sums([everything[1::2], everything[:4:2]]), sums([everything[4::2]]), sums([])
    together = {name: first[name] + second[name] + idle[name] for name in one}
    mine, theirs = task.scores(one), task.scores(together)
    assert mine.pop("loss") == pytest.approx(theirs.pop("loss"), rel=1e-6)
    assert mine == theirs
    for name, rows in task.documents(one).items():
        assert len(rows) == DOCUMENTS
        np.testing.assert_allclose(rows, task.documents(together)[name], rtol=1e-6)
    again = build_for_inference({"labels": list("abcd"), "task": task.describe()})
    assert np.array_equal(again.answers(said), task.answers(said))


def scored(task, said, wanted):
    sums = task.empty_sums(np.ones(DOCUMENTS), keep=False)
    task.add(sums, said, torch.from_numpy(wanted), np.arange(DOCUMENTS))
    return task.scores(sums)


def test_sets_of_labels_are_scored_as_scikit_learn_does():
    task = TASKS["multilabel"]
    said, wanted = outputs(), labels(task)
    given = (said.sigmoid() >= 0.4).numpy().astype(int)
    figures = scored(task, said, wanted)
    assert figures["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(wanted, given))
    for average in ("macro", "micro", "weighted"):
        expected = sklearn_metrics.precision_recall_fscore_support(wanted, given, average=average)
        assert [figures[name][average] for name in ("precision", "recall", "f1")] == pytest.approx(expected[:3])
    assert list(figures["support"].values()) == wanted.sum(axis=0).tolist()
    assert figures["loss"] == pytest.approx(expected_loss(task, said, torch.from_numpy(wanted)).item(), rel=1e-6)


def test_numbers_are_scored_as_scikit_learn_and_scipy_do():
    from scipy.stats import spearmanr

    task = TASKS["regress"]
    said, wanted = outputs(1), np.round(labels(task))  # rounded: equal ranks
    given = task.answers(said)
    figures = scored(task, said, wanted)
    assert figures["mse"] == pytest.approx(sklearn_metrics.mean_squared_error(wanted, given))
    assert figures["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(wanted, given))
    assert figures["r2"] == pytest.approx(sklearn_metrics.r2_score(wanted, given))
    assert figures["spearman"] == pytest.approx(spearmanr(wanted, given).statistic)


@pytest.mark.parametrize("number", [2.0, 0.1])  # the mean of many 0.1 is not 0.1
def test_numbers_without_variance_have_no_correlation(number):
    task = Regress(mean=number, deviation=0.0)  # a deviation of nothing counts as 1
    figures = scored(task, torch.zeros(DOCUMENTS, 1), np.full(DOCUMENTS, number))
    assert (figures["mse"], figures["r2"], figures["spearman"], figures["loss"]) == (0.0, 0.0, 0.0, 0.0)
    figures = scored(task, outputs(1), np.full(DOCUMENTS, number))
    assert figures["mse"] > 0 and (figures["r2"], figures["spearman"]) == (0.0, 0.0)


def test_one_answer_for_all_numbers_explains_nothing():
    task = TASKS["regress"]
    figures = scored(task, torch.zeros(DOCUMENTS, 1), labels(task))
    assert figures["spearman"] == 0.0 and figures["r2"] <= 0.0


def test_labels_that_nobody_gives_or_has_score_zero():
    task = Multilabel(list("abcd"), threshold=0.5)
    wanted = np.zeros((DOCUMENTS, CLASSES), dtype=int)
    wanted[:, 0] = 1
    figures = scored(task, torch.full((DOCUMENTS, CLASSES), -9.0), wanted)
    for name in ("precision", "recall", "f1"):
        assert figures[name]["macro"] == figures[name]["micro"] == figures[name]["weighted"] == 0.0
    assert figures["support"] == {"a": DOCUMENTS, "b": 0, "c": 0, "d": 0}


def test_a_label_that_training_never_saw_is_wrong_and_has_no_loss():
    task = TASKS["classify"]
    wanted = labels(task)
    wanted[:10] = -1
    figures = scored(task, outputs(), wanted)
    assert figures["unknown_label_examples"] == 10
    assert figures["accuracy"] <= 50 / 60
    known = F.cross_entropy(outputs()[10:], torch.from_numpy(wanted[10:]))
    assert figures["loss"] == pytest.approx(known.item(), rel=1e-6)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_bfloat16_outputs_are_summed_in_float32(task):
    said = outputs(1 if isinstance(task, Regress) else CLASSES).bfloat16()
    assert task.loss_sum(said, torch.from_numpy(labels(task))).dtype == torch.float32
