"""A package that a run needs only later is missed before anything is prepared."""

import importlib.util

import pytest

from cluster import api
from cluster.config.load import load
from cluster.config.packages import require_packages
from cluster.errors import RecipeError


@pytest.mark.parametrize(
    "recipe, says",
    [
        ("translate-tiny", r'task.scores = "bleu": sacrebleu is not installed.*muster-train\[text\]'),
        ("summarise-debian", r'task.scores = "rouge": rouge-score is not installed.*muster-train\[text\]'),
        ("sentiment-minilm", r'model.kind = "pretrained": transformers is not installed.*muster-train\[hf\]'),
    ],
)
def test_what_is_absent_is_named_before_anything_is_prepared(monkeypatch, tmp_path, recipe, says):
    wanted = load(recipe, [])
    require_packages(wanted)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path / "cache"))
    with pytest.raises(RecipeError, match=says):
        api.fit(wanted, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_other_recipes_need_none_of_them(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert require_packages(load("sentiment-lstm", [])) is None
