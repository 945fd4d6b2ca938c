"""The loss over a large vocabulary, part by part: torch's own, to rounding."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cluster.models.language import Spoken
from cluster.tasks import cross_entropy
from cluster.tasks.cross_entropy import cross_entropy_sum, losses
from cluster.tasks.language import Language


def given(places, width=7, rows=11, dtype=torch.float64):
    rng = torch.Generator().manual_seed(places)
    states = torch.randn(places, width, generator=rng, dtype=dtype, requires_grad=True)
    words = torch.randn(rows, width, generator=rng, dtype=dtype, requires_grad=True)
    bias = torch.randn(rows, generator=rng, dtype=dtype, requires_grad=True)
    return states, words, bias, torch.randint(0, rows, (places,), generator=rng)


@pytest.mark.parametrize("places", [1, 2, 9, 10, 23])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("at_once", [11, 35, 1 << 22])  # one place at a time, three, all
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_those_of_torch(monkeypatch, places, with_bias, at_once, smoothing):
    monkeypatch.setattr(cross_entropy, "SCORES_AT_ONCE", at_once)
    states, words, bias, targets = given(places)
    bias = bias if with_bias else None
    inputs = [one for one in (states, words, bias) if one is not None]
    ours = cross_entropy_sum(states, words, bias, targets, smoothing) * 0.7
    scores = F.linear(states, words, bias)
    plain = F.cross_entropy(scores, targets, reduction="sum", label_smoothing=smoothing) * 0.7
    torch.testing.assert_close(ours, plain)
    for mine, its in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(plain, inputs), strict=True):
        torch.testing.assert_close(mine, its)
    each, best = losses(states, words, bias, targets)
    torch.testing.assert_close(each, F.cross_entropy(F.linear(states, words, bias), targets, reduction="none"))
    assert torch.equal(best, F.linear(states, words, bias).argmax(1))


def test_large_scores_do_not_overflow():
    states, words, bias, targets = given(5, dtype=torch.float32)
    loss = cross_entropy_sum(states * 1e3, words * 10, bias, targets)
    (gradient,) = torch.autograd.grad(loss, [states])
    assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_no_place_at_all_has_no_loss():
    states, words, bias, targets = given(3)
    loss = cross_entropy_sum(states[:0], words, bias, targets[:0])
    loss.backward()
    assert loss.item() == 0.0 and not words.grad.any()


def test_places_where_nothing_is_asked_have_no_part():
    states, words, bias, _ = given(12)
    labels = torch.tensor([[3, -1, 4, -1, -1, 5], [-1, -1, -1, -1, -1, 1]])
    task = Language("masked", whole_text=False)
    sums = task.empty_sums(np.array([3, 1]), keep=True)
    spoken = Spoken(states.view(2, 6, -1), words, bias)
    task.add(sums, spoken, labels, torch.tensor([1, 0]).numpy())
    said = task.scores(sums)
    each = F.cross_entropy(F.linear(states, words, bias), labels.flatten(), ignore_index=-1, reduction="none")
    assert said["examples"] == 4 and said["loss"] == pytest.approx(each.sum().item() / 4)
    assert said["perplexity"] == pytest.approx(2.718281828 ** said["loss"]) and said["bits_per_byte"] is None
    rows = task.documents(sums)
    assert rows["asked"].tolist() == [1, 3]
    assert rows["loss"] == pytest.approx([each[6:].sum().item(), each[:6].sum().item() / 3])
    assert task.loss_sum(spoken, labels).item() == pytest.approx(each.sum().item())


def test_bits_per_byte_are_of_all_tokens_over_all_bytes():
    task = Language("causal", whole_text=True)
    sums = task.empty_sums(np.array([40]), keep=False)
    sums["loss"] += 100 * 0.6931471805599453
    sums["counts"] += torch.tensor([10, 40])
    said = task.scores(sums | {"bytes": torch.tensor(80)})
    assert said["bits_per_byte"] == pytest.approx(1.25) and said["accuracy"] == 0.25 and said["bytes"] == 80
