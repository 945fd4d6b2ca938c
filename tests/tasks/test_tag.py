"""Loss and figures of labels of words, against torch's and scikit-learn's own."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torch.nn import functional as F

from cluster.data.manifest import FIRST_TARGET, UNSEEN_TARGET
from cluster.errors import DataError
from cluster.spans import SpanRules
from cluster.tasks.build import build_for_inference
from cluster.tasks.tag import Tag

LABELS = ["B-X", "I-X", "O", "B-Y"]
LENGTHS = np.array([7, 3, 1, 5, 7, 2], dtype=np.uint32)
LONGEST = 7


def split(unseen=False, seed=0):
    """Outputs, stored codes (0 behind each end, and on every later piece of a word) and words of each document."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, len(LABELS) + 1, (len(LENGTHS), LONGEST)) + 1
    codes[codes == UNSEEN_TARGET] = UNSEEN_TARGET if unseen else 0
    codes[:, 0] = FIRST_TARGET + rng.integers(0, len(LABELS), len(LENGTHS))
    codes[np.arange(LONGEST) >= LENGTHS[:, None]] = 0
    outputs = torch.from_numpy(rng.normal(size=(*codes.shape, len(LABELS)))).float()
    return outputs, codes, (codes > 0).sum(axis=1)


def summed(task, outputs, codes, shares, keep=True):
    sums = task.empty_sums(LENGTHS, keep)
    for share in shares:
        width = int(LENGTHS[share].max())
        task.add(sums, outputs[share, :width], torch.from_numpy(codes[share, :width]), np.asarray(share))
    return sums


@pytest.mark.parametrize("unseen", [False, True])
def test_the_loss_is_torchs_mean_over_real_words(unseen):
    task = Tag(LABELS)
    outputs, codes, words = split(unseen)
    total = sum(task.loss_sum(outputs[[i]], torch.from_numpy(codes[[i]])) for i in range(len(codes)))
    known = codes >= FIRST_TARGET
    expected = F.cross_entropy(outputs[known], torch.from_numpy(codes[known] - FIRST_TARGET), reduction="sum")
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert task.weight(words.astype(np.uint32)) == words.sum() == np.count_nonzero(codes)
    assert task.loss_sum(outputs.bfloat16(), torch.from_numpy(codes)).dtype == torch.float32


@pytest.mark.parametrize("spans", [False, True])
def test_two_ranks_add_up_to_one(spans):
    task = Tag(LABELS, spans)
    outputs, codes, _ = split(unseen=True)
    one = summed(task, outputs, codes, [[0, 1, 2, 3, 4, 5]])
    parts = [summed(task, outputs, codes, shares) for shares in ([[4, 0], [2]], [[5, 3, 1]], [])]
    together = {name: sum(part[name] for part in parts) for name in one}
    mine, theirs = task.scores(one), task.scores(together)
    assert mine.pop("loss") == pytest.approx(theirs.pop("loss"), rel=1e-6)
    assert mine == theirs and mine["documents"] == len(LENGTHS)
    for name, rows in task.documents(one).items():
        np.testing.assert_allclose(rows, task.documents(together)[name], rtol=1e-6)


def test_every_real_word_counts_once_as_scikit_learn_counts():
    task = Tag(LABELS)
    outputs, codes, words = split()
    figures = task.scores(summed(task, outputs, codes, [[0, 3], [1, 2, 4, 5]], keep=False))
    real = codes > 0
    true, said = codes[real] - FIRST_TARGET, outputs.argmax(dim=2).numpy()[real]
    assert figures["examples"] == words.sum()
    assert figures["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(true, said))
    macro = sklearn_metrics.f1_score(true, said, average="macro", labels=range(len(LABELS)), zero_division=0)
    assert figures["f1"]["macro"] == pytest.approx(macro)


def test_a_label_that_training_never_saw_is_wrong_and_has_no_loss():
    task = Tag(LABELS, spans=True)
    outputs, codes, _ = split(unseen=True)
    figures = task.scores(summed(task, outputs, codes, [[0, 1, 2, 3, 4, 5]]))
    unseen = np.count_nonzero(codes == UNSEEN_TARGET)
    assert unseen and figures["unknown_label_examples"] == unseen
    right = (outputs.argmax(dim=2).numpy() + FIRST_TARGET == codes)[codes > 0].sum()
    assert figures["accuracy"] == pytest.approx(right / np.count_nonzero(codes))
    assert figures["spans"]["never_taught"] > 0


def test_spans_are_counted_over_micro_batches():
    task = Tag(LABELS, spans=True)
    outputs, codes, _ = split()
    figures = task.scores(summed(task, outputs, codes, [[0, 1], [2, 3, 4, 5]]))
    said = outputs.argmax(dim=2).numpy() + FIRST_TARGET
    found, given, true = SpanRules(LABELS).count(codes, said).sum(axis=1)
    assert figures["span_f1"] == pytest.approx(2 * found / (given + true))
    assert task.headline(figures)["span_recall"] == pytest.approx(found / true)


def test_what_was_said_of_each_word_is_kept_where_it_belongs():
    task = Tag(LABELS)
    outputs, codes, words = split()
    rows = task.documents(summed(task, outputs, codes, [[5, 2], [0, 1, 3, 4]]))
    said = outputs.argmax(dim=2).numpy() + FIRST_TARGET
    flat = np.concatenate([np.where(c > 0, s, 0)[:n] for c, s, n in zip(codes, said, LENGTHS, strict=True)])
    assert rows["predicted"].tolist() == flat.tolist()
    assert rows["words"].tolist() == words.tolist()
    assert rows["wrong"].tolist() == ((codes > 0) & (said != codes)).sum(axis=1).tolist()


def test_a_finished_run_has_the_same_task_again():
    task = Tag(LABELS, spans=True)
    again = build_for_inference({"labels": LABELS, "task": task.describe()})
    assert isinstance(again, Tag) and again.spans is not None and again.spans.types == ["X", "Y"]
    outputs, _, _ = split()
    assert again.answers(outputs).shape == outputs.shape
    assert again.answers(outputs).sum(axis=2) == pytest.approx(1.0)


def test_labels_that_are_no_spans_are_refused():
    with pytest.raises(DataError, match="the label 'NN' is no part of a span"):
        Tag(["NN", "O"], spans=True)
