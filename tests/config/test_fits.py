"""Every kind of model with every kind of task: which pairs load, and what is said of the others."""

import re

import pytest
import tomli_w

from cluster.config.load import from_toml
from cluster.config.settings import kinds_of
from cluster.errors import RecipeError
from tests.conftest import MODELS

LABELS = {"classify", "multilabel", "regress"}
FITS = {
    "linear": LABELS,
    "mlp": LABELS,
    "cnn": LABELS | {"tag"},
    "lstm": LABELS | {"tag", "answer"},
    "gru": LABELS | {"tag", "answer"},
    "transformer": LABELS | {"tag", "answer"},
    "custom": LABELS | {"tag", "answer"},
    "custom, a bag": LABELS,
    "gpt": {"language"},
    "bert": {"language"},
    "pretrained bert": LABELS | {"tag", "answer", "language"},
    "pretrained roberta": LABELS | {"tag", "answer", "language"},
    "pretrained distilbert": LABELS | {"tag", "answer", "language"},
    "pretrained gpt2": LABELS | {"tag", "language"},
    "pretrained llama": LABELS | {"tag", "language"},
    "seq2seq": {"rewrite"},
    "seq2seq-lstm": {"rewrite"},
    "skipgram": {"embed"},
}
"""The tasks of each kind of model; of a pretrained one, of each family."""
FITTING_THE_SMALL = {
    "answer": {"window_tokens": 32, "stride_tokens": 12, "question_tokens": 12, "answer_tokens": 4},
}
"""Settings for models of 40 places."""


def test_the_table_has_every_kind():
    assert {re.split("[ ,]", name)[0] for name in FITS} == set(kinds_of("model"))
    assert set().union(*FITS.values()) == set(kinds_of("task"))


@pytest.fixture
def loaded(pretrained_folder):
    """Loads a recipe of a row of the table and a task."""

    def load(name, task):
        kind, family = re.fullmatch("([^ ,]+)[ ,]*(.*)", name).groups()
        model = dict(MODELS[kind])
        if kind == "pretrained":
            model |= {"folder": str(pretrained_folder(family))} | ({"context": 16} if task == "language" else {})
        if family == "a bag":
            model |= {"reads": "bag"}
        optim = {"kind": "adagrad"} if task == "embed" else {}
        task = {"kind": task} | FITTING_THE_SMALL.get(task, {})
        return from_toml(tomli_w.dumps({"data": {"train": "a.jsonl"}, "model": model, "task": task, "optim": optim}))

    return load


def recommended(message):
    """What the first half of a way out names: (kinds of tasks, kinds of models)."""
    way_out = message.split("; use ")[1].split(". To ")[0].split(", to which")[0]
    tasks = re.findall('task.kind = "([a-z0-9-]+)"', way_out)
    models = set(re.findall('"([a-z0-9-]+)"', way_out)) - set(tasks)
    return tasks, models - {"sequence"}


@pytest.mark.parametrize("name", FITS)
def test_a_pair_loads_or_is_refused_with_the_reason_and_a_way_out_that_holds(loaded, name):
    kind = re.split("[ ,]", name)[0]
    for task in kinds_of("task"):
        if task in FITS[name]:
            assert loaded(name, task).task.kind == task
            continue
        with pytest.raises(RecipeError) as caught:
            loaded(name, task)
        message = str(caught.value)
        assert message.startswith("1 mistake "), message
        assert f'model.kind = "{kind}" with task.kind = "{task}": ' in message
        tasks, models = recommended(message)
        assert set(tasks) <= FITS[name] and models
        assert all(task in FITS[other] for other in models), message


@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_a_language_model_of_ours_is_shown_the_way_to_other_tasks(loaded, kind):
    family = {"gpt": "pretrained llama", "bert": "pretrained bert"}[kind]  # what it is exported as
    for task in set(kinds_of("task")) - {"language"}:
        with pytest.raises(RecipeError) as caught:
            loaded(kind, task)
        shown = "muster export RUN --format huggingface" in str(caught.value)
        assert shown == (task in FITS[family])
