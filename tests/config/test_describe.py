import json
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Lt, MinLen

from cluster.config.describe import as_data, explain, json_schema
from cluster.config.load import load
from cluster.config.settings import REQUIRED, allowed, settings
from cluster.errors import RecipeError
from tests.conftest import TASKS


@pytest.mark.parametrize(
    "annotation, words",
    [
        (bool, "true or false"),
        (Annotated[int, Ge(1)], "a whole number, at least 1"),
        (Annotated[float, Gt(0.0), Lt(1.0)], "a number, above 0, below 1"),
        (Annotated[int, Ge(1)] | Literal["auto"], 'a whole number, at least 1, or "auto"'),
        (Annotated[int, Ge(1)] | Annotated[float, Ge(float("inf"))], "a whole number, at least 1, or inf"),
        (Literal["a", "b", "c"], '"a", "b" or "c"'),
        (Annotated[str, MinLen(1)], "text in quotes"),
        (
            Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)],
            "a list of 1 or more, each a whole number, at least 1",
        ),
    ],
)
def test_what_a_type_allows_in_words(annotation, words):
    assert allowed(annotation) == words


@pytest.mark.parametrize("setting", settings(), ids=lambda s: f"{s.path}-{s.kind}")
def test_every_setting_is_explained(setting):
    words = explain(setting.path)
    assert setting.description and setting.description.split()[0] in words
    assert setting.allowed in words
    assert "It must be given." in words if setting.default is REQUIRED else "Default: " in words


NOT_ON_A_COMMAND_LINE = [("pretrained", "start_from"), ("pretrained", "kept")]
"""Refused, and filled in by muster."""


@pytest.mark.parametrize(
    "setting",
    [one for one in settings() if (one.kind, one.name) not in NOT_ON_A_COMMAND_LINE],
    ids=lambda s: f"{s.path}-{s.kind}",
)
def test_the_example_on_the_command_line_works(setting):
    import shlex

    section = next(s for s in explain(setting.path).split("\n\n") if not setting.kind or f'"{setting.kind}"' in s)
    example = shlex.split(section.split("On the command line:")[1].splitlines()[0])
    # Of the sections with kinds, the setting's own has its kind, and the other one that goes with anything.
    of_words = setting.path in TAGGING or setting.kind == "tag"
    asked_for = setting.path == "data.question" or setting.kind == "answer"
    kinds = TAGGER if of_words else READER if asked_for else {"model": "mlp", "task": "classify"}
    if setting.path == "data.target" or setting.kind == "rewrite":
        kinds = {"model": "seq2seq", "task": "rewrite"}
    kinds = kinds | ({setting.section: setting.kind} if setting.kind else {})
    if kinds["model"] in TASKS:
        kinds["task"] = TASKS[kinds["model"]]
    needed = NEEDED.get((setting.path, setting.kind), [])
    needed = needed or (["model.factory=package.module:function"] if setting.kind == "custom" else [])
    needed = needed or (["model.folder=minilm"] if setting.kind == "pretrained" else [])
    needed = [*needed, "optim.kind=adagrad"] if kinds["model"] == "skipgram" else needed
    asked = [f"{section}.kind={kind}" for section, kind in kinds.items()]
    recipe = load("sentiment", [*asked, *needed, *example])
    if setting.name != "kind":
        assert (recipe.model.kind, recipe.task.kind) == (kinds["model"], kinds["task"])


TAGGER = {"model": "lstm", "task": "tag"}
READER = {"model": "lstm", "task": "answer"}
TAGGING = ("data.columns", "data.brackets", "data.roles", "data.predicate", "text.affixes")
# What must stand beside the example.
NEEDED = {("model.vectors", "mlp"): ["model.embedding=50"]}


def test_sections_models_and_bare_names():
    assert "train.epochs" in explain("train") and "optim.kind" not in explain("train")
    assert explain("[train]") == explain("train")
    assert explain("model.hidden").count("model.kind") == 4  # a list for one kind, a number for three others
    assert explain("patience") == explain("evaluate.patience")
    assert all(
        f"[{name}]" in explain() for name in ("data", "text", "task", "model", "optim", "train", "evaluate", "launch")
    )


@pytest.mark.parametrize(
    "key, said",
    [
        ("train.epoch", "did you mean train.epochs?"),
        ("trian", "did you mean train?"),
        ("steps", "train.steps, evaluate.steps"),
        ("xyzzy", "The sections are data"),
    ],
)
def test_an_unknown_key_names_the_nearest(key, said):
    with pytest.raises(RecipeError) as caught:
        explain(key)
    assert said in str(caught.value)


def test_schema_and_settings_are_whole_json():
    schema = json.loads(json.dumps(json_schema(), allow_nan=False))
    assert schema["$defs"]["Train"]["properties"]["epochs"]["default"] == 10
    assert "Default: inf" in schema["$defs"]["Optim"]["properties"]["clip_norm"]["description"]
    assert json.dumps([as_data(setting) for setting in settings()], allow_nan=False)
