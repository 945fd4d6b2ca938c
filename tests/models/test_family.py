"""Every model kind is tested the moment it joins the union: built, trained on ranks, saved, asked to predict."""

import json
from typing import get_args

import pytest
import torch

from cluster.config.schema import Model
from cluster.models.build import build_model, load_for_inference

KINDS = [member.__dataclass_fields__["kind"].default for member in get_args(get_args(Model)[0])]


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


def test_the_tests_know_every_kind(recipe_of):
    for kind in KINDS:
        assert recipe_of(kind).exists()


@pytest.mark.parametrize("kind", KINDS)
def test_two_steps_on_two_ranks_then_predict(pool, recipe_of, tmp_path, kind):
    run = tmp_path / "run"
    recipe = recipe_of(kind, train={"steps": 2, "step_size": "32 examples"})
    assert pool.run(2, train_here, recipe=str(recipe), run=str(run)) == [0, 0]
    model, description = load_for_inference(run / "model")
    assert description["labels"] == ["bad", "good"]
    assert json.loads((run / "evaluation.json").read_text())["examples"] == 101
    # A document of one unknown token, alone, and together with another: the same answer.
    one = predict(model, description, [[1]])
    two = predict(model, description, [[5, 6, 7], [1]])
    assert torch.allclose(one[0], two[1], atol=1e-6)


def predict(model, description, documents):
    lengths = torch.tensor([len(tokens) for tokens in documents])
    if description["layout"] == "bag":
        tokens = torch.tensor([token for document in documents for token in document])
        return model(tokens, lengths, torch.ones(len(tokens)))
    longest = max(map(len, documents))
    return model(torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens in documents]), lengths, None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_the_first_weights(kind, recipe_of):
    from cluster.config.load import load

    config = load(str(recipe_of(kind)), []).model

    def build(seed):
        torch.manual_seed(seed)
        return torch.cat([parameter.flatten() for parameter in build_model(config, 30, 2).parameters()])

    assert torch.equal(build(1), build(1))
    assert not torch.equal(build(1), build(2))
