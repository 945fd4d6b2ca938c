"""What language models promise: nothing from outside a document or from its future, and nothing lost by keeping."""

import pytest
import torch

from cluster.config.models import Bert, Gpt
from cluster.models.build import build_model
from cluster.models.gpt import turned
from cluster.plan.memory import parameter_count

ROWS, MARK = 50, 48
GPTS = [
    Gpt(context=32, embedding=16, heads=4, layers=2, feed_forward=24),
    Gpt(context=32, embedding=16, heads=4, key_heads=1, layers=2, feed_forward=24),
    Gpt(context=32, embedding=16, heads=4, key_heads=2, layers=3, feed_forward=24, activation="geglu"),
]
BERT = Bert(context=32, embedding=16, heads=2, layers=2, feed_forward=24)
ALL = [*GPTS, BERT]


def built(config):
    torch.manual_seed(3)
    model = build_model(config, ROWS, ROWS).eval()
    with torch.no_grad():  # weights that make a difference, so that a leak would show
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(15)
    return model


def documents(*lengths, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return [[MARK, *torch.randint(2, MARK, (length - 1,), generator=rng).tolist()] for length in lengths]


def scores(model, sequence):
    """Of one sequence of documents (T, V)."""
    tokens = torch.tensor([sum(sequence, [])])
    numbers = torch.tensor([sum(([number] * len(one) for number, one in enumerate(sequence)), [])])
    with torch.no_grad():
        return model(tokens, torch.tensor([tokens.shape[1]]), numbers if len(sequence) > 1 else None).scores()[0]


@pytest.mark.parametrize("config", ALL, ids=repr)
def test_no_document_sees_another(config):
    model, (first, second, third) = built(config), documents(7, 12, 9)
    before = scores(model, [first, second, third])
    (other,) = documents(12, seed=2)
    after = scores(model, [first, other, third])
    assert torch.equal(before[:7], after[:7]) and torch.equal(before[19:], after[19:])
    assert not torch.allclose(before[8:19], after[8:19], atol=1e-2)


@pytest.mark.parametrize("config", ALL, ids=repr)
def test_a_document_is_the_same_alone_in_company_and_padded(config):
    model, parts = built(config), documents(7, 12, 9)
    together = scores(model, parts)
    for part, place in zip(parts, (0, 7, 19), strict=True):
        torch.testing.assert_close(scores(model, [part]), together[place : place + len(part)], atol=1e-4, rtol=1e-4)
        padded = torch.tensor([part + [0] * 5, parts[1] + [0] * (len(part) - 7)])
        with torch.no_grad():
            said = model(padded, torch.tensor([len(part), 12]), None).scores()[0, : len(part)]
        torch.testing.assert_close(said, together[place : place + len(part)], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("config", GPTS, ids=repr)
def test_no_token_sees_what_comes_after_it(config):
    model, (one,), (other,) = built(config), documents(20), documents(20, seed=2)
    before, after = scores(model, [one]), scores(model, [one[:12] + other[12:]])
    assert torch.equal(before[:12], after[:12]) and not torch.allclose(before[12:], after[12:], atol=1e-2)


def test_a_masked_model_sees_both_sides():
    model, (one,), (other,) = built(BERT), documents(20), documents(20, seed=2)
    before, after = scores(model, [one]), scores(model, [one[:12] + other[12:]])
    assert not torch.allclose(before[:12], after[:12], atol=1e-2)


@pytest.mark.parametrize("config", GPTS, ids=repr)
@pytest.mark.parametrize("pieces", [[20], [1] * 20, [5, 1, 1, 7, 6]])
def test_what_is_kept_is_as_good_as_read_anew(config, pieces):
    model, (one,) = built(config), documents(20)
    kept, said, place = model.keep(1), [], 0
    with torch.no_grad():
        for size in pieces:
            said.append(model.read_on(torch.tensor([one[place : place + size]]), kept).scores()[0])
            place += size
    torch.testing.assert_close(torch.cat(said), scores(model, [one]), atol=1e-4, rtol=1e-4)


def test_rotary_positions_depend_on_how_far_apart_two_places_are():
    """A product of two turned vectors is that of the places' distance (RoFormer, section 3.2)."""
    rng = torch.Generator().manual_seed(1)
    query, key = torch.randn(2, 1, 1, 1, 8, generator=rng, dtype=torch.float64)
    rates = 10_000.0 ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)

    def at(vector, place):
        return turned(vector, torch.stack([(place * rates).cos(), (place * rates).sin()])[:, None])

    near = (at(query, 9) * at(key, 4)).sum()
    torch.testing.assert_close((at(query, 105) * at(key, 100)).sum(), near)
    assert (at(query, 9) * at(key, 5)).sum() != pytest.approx(near.item())


@pytest.mark.parametrize("config", ALL, ids=repr)
def test_first_weights(config):
    torch.manual_seed(3)
    model = build_model(config, 500, 500)
    named = dict(model.named_parameters())
    assert named["words.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    narrow = named["blocks.0.narrow.weight"].std().item()
    assert narrow == pytest.approx(0.02 / (2 * config.layers) ** 0.5 if config.kind == "gpt" else 0.02, rel=0.15)
    assert all((value == 1).all() for name, value in named.items() if "norm" in name and name.endswith("weight"))
    assert not any(value.any() for name, value in named.items() if name.endswith("bias"))


@pytest.mark.parametrize("config", ALL, ids=repr)
def test_size_is_predicted(config):
    assert parameter_count(config, ROWS, ROWS) == sum(p.numel() for p in built(config).parameters())


@pytest.mark.parametrize("config", ALL, ids=repr)
def test_bfloat16_trains(config):
    """Under autocast, as on a GPU: the loss is in float32 and near the full one."""
    from cluster.tasks.language import Language

    model, task, (one,) = built(config), Language("causal", False), documents(20)
    labels = torch.tensor([one[1:] + [MARK]])
    whole = task.loss_sum(model(torch.tensor([one]), torch.tensor([20]), None), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        halved = task.loss_sum(model(torch.tensor([one]), torch.tensor([20]), None), labels)
    halved.backward()
    assert halved.dtype == torch.float32
    assert halved.item() == pytest.approx(whole.item(), rel=0.1)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
