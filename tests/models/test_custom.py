"""What a user's own model may not do is refused in the recipe's own words."""

import os
import re
import tomllib

import pytest
import torch
from torch import nn

from cluster.config.models import Custom
from cluster.errors import RecipeError
from cluster.models.build import build_model
from cluster.plan.memory import parameter_count
from tests.conftest import ROOT
from tests.told_here import train_and_tell

ROWS, OUTPUTS = 20, 2
TOKENS, LENGTHS = torch.ones(4, 3, dtype=torch.int64), torch.full((4,), 3)


class Wrong(nn.Module):
    """Its forward gives so many columns, or none."""

    def __init__(self, rows, columns):
        super().__init__()
        self.words = nn.Embedding(rows, columns or 1)
        self.flat = columns is None

    def forward(self, tokens, lengths, tags=None):
        said = self.words(tokens).sum(dim=1)
        return said[:, 0] if self.flat else said


def wide(options, vocabulary_rows, outputs):
    return Wrong(vocabulary_rows, outputs + 1)


def narrow(options, vocabulary_rows, outputs):
    return Wrong(vocabulary_rows, 1)


def flat(options, vocabulary_rows, outputs):
    return Wrong(vocabulary_rows, None)


def tied(options, vocabulary_rows, outputs):
    model = nn.Sequential(nn.Embedding(ROWS, 4), nn.Linear(4, ROWS, bias=False))
    model[1].weight = model[0].weight
    return model


def no_module(options, vocabulary_rows, outputs):
    return len(options)


def failing(options, vocabulary_rows, outputs):
    return options["there is none"]


def build(function):
    return build_model(Custom(factory=f"tests.models.test_custom:{function.__name__}"), ROWS, OUTPUTS)


@pytest.mark.parametrize("function, gave", [(wide, "(4, 3)"), (narrow, "(4, 1)"), (flat, "(4,)")])
def test_outputs_of_another_shape_are_refused_at_the_first_forward(function, gave):
    model = build(function)
    with pytest.raises(RecipeError, match=re.escape(f"its forward gave {gave}, not (documents, outputs) = (4, 2)")):
        model(TOKENS, LENGTHS, None)


@pytest.mark.parametrize(
    "function, says",
    [
        (tied, "0.weight and 1.weight share their memory"),
        (no_module, "gave int, not a torch.nn.Module"),
        (failing, "failed with options {}: KeyError: 'there is none'"),
    ],
)
def test_what_cannot_be_trained_is_refused_when_it_is_built(function, says):
    with pytest.raises(RecipeError, match=re.escape(says)):
        build(function)


@pytest.mark.parametrize(
    "path, says",
    [
        ("nowhere:nothing", "model.size = 'nowhere:nothing' cannot be imported"),
        ("tests.models.test_custom:ROWS", "is int, not a function"),
        ("tests.models.test_custom:failing", "model.size = 'tests.models.test_custom:failing' failed"),
        ("tests.models.test_custom:tied", "not a whole number"),
    ],
)
def test_a_size_that_cannot_be_told_is_refused(path, says):
    with pytest.raises(RecipeError, match=re.escape(says)):
        parameter_count(Custom(factory="unused:unused", size=path), ROWS, OUTPUTS)


def test_a_size_that_is_not_the_models_stops_the_run(pool, recipe_of, tmp_path):
    model = {"options": {"width": 8}, "size": "tests.models.test_custom:too_few"}
    recipe = str(recipe_of("custom", model=model))
    [(code, told)] = pool.run(1, train_and_tell, recipe=recipe, run=str(tmp_path / "run"))
    assert code == 2, told
    assert "model.size says 7 parameters, but the model has" in told and "Traceback" not in told


def too_few(options, vocabulary_rows, outputs):
    return 7


def test_a_wrong_shape_stops_the_run_in_one_message(muster, recipe_of, tmp_path):
    model = {"factory": "tests.models.test_custom:wide", "size": ""}
    ended = muster("train", recipe_of("custom", model=model), "launch.ranks=2", "--run", tmp_path / "run")
    assert ended.code == 2, ended.err
    assert "its forward gave" in ended.err and "Traceback" not in ended.err


def test_the_example_of_the_docs_trains(muster, recipe_of, tmp_path):
    docs = (ROOT / "docs/custom.md").read_text()
    code, settings = (re.search(rf"```{kind}\n(.*?)```", docs, re.DOTALL)[1] for kind in ("python", "toml"))
    (tmp_path / "own.py").write_text(code)
    recipe = recipe_of("custom", **tomllib.loads(settings))
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    ended = muster("train", recipe, "--run", tmp_path / "run", "--json", PYTHONPATH=path)
    assert ended.code == 0, ended.err
    assert ended.json["evaluation"]["accuracy"] > 0.5
    answered = muster("predict", tmp_path / "run", "a warm and witty film", PYTHONPATH=path)
    assert answered.code == 0 and '"label"' in answered.out
