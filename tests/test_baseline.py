import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from cluster import baseline as baseline_module
from cluster.baseline import baseline
from cluster.config.models import Mlp
from cluster.config.schema import Data, Recipe
from cluster.config.tasks import Multilabel
from cluster.data.shards import ShardReader
from cluster.errors import DataError
from cluster.prepare import prepare


def make(tmp_path, monkeypatch, **data):
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path / "cache"))
    chance = np.random.default_rng(0)
    words = {"a": "sun warm light day", "b": "rain cold dark night"}
    items = []
    for i in range(200):
        label = "ab"[i % 2]
        tokens = chance.choice((words[label] + " the of and " + words["ab"[chance.integers(2)]]).split(), 6)
        items.append({"text": f"{' '.join(tokens)} n{i}", "label": label})
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    recipe = Recipe(data=Data(train=str(path), **data), model=Mlp())
    return recipe, prepare(recipe, lambda line: None), items


@pytest.mark.parametrize("data, split", [({}, "test"), ({"test": "none"}, "validation")])
def test_it_is_scikit_learn_on_exactly_the_same_rows(tmp_path, monkeypatch, data, split):
    recipe, prepared, items = make(tmp_path, monkeypatch, **data)
    texts, labels = {}, {}
    for name in ("train", split):
        lines = (ShardReader(prepared, name).sources & np.uint64((1 << 40) - 1)).astype(int)
        texts[name] = [items[line - 1]["text"] for line in lines]
        labels[name] = [items[line - 1]["label"] for line in lines]
    vectorizer = TfidfVectorizer()
    reference = LogisticRegression(C=10, max_iter=1000).fit(vectorizer.fit_transform(texts["train"]), labels["train"])
    found = baseline(recipe, prepared, lambda line: None)
    assert found["split"] == split and found["examples"] == len(texts[split])
    assert found["accuracy"] == pytest.approx(reference.score(vectorizer.transform(texts[split]), labels[split]))
    assert found["converged"] and 0 < found["f1_macro"] <= 1


def test_it_is_kept_and_made_again_if_damaged(tmp_path, monkeypatch):
    recipe, prepared, _ = make(tmp_path, monkeypatch)
    first = baseline(recipe, prepared, lambda line: None)
    assert baseline(recipe, prepared, pytest.fail) == first
    (prepared / baseline_module.RESULT).write_text("{")
    again = baseline(recipe, prepared, lambda line: None)
    assert {**again, "seconds": 0} == {**first, "seconds": 0}


def test_labels_that_training_lacks_count_as_wrong(tmp_path, monkeypatch):
    test = tmp_path / "test.jsonl"
    test.write_text('{"text": "sun warm light", "label": "a"}\n{"text": "sun", "label": "odd"}\n')
    recipe, prepared, _ = make(tmp_path, monkeypatch, test=str(test))
    found = baseline(recipe, prepared, lambda line: None)
    assert (found["examples"], found["accuracy"]) == (2, 0.5)


def test_a_source_that_was_changed_is_named(tmp_path, monkeypatch):
    recipe, prepared, _ = make(tmp_path, monkeypatch)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:50]))
    with pytest.raises(DataError, match="was changed since"):
        baseline(recipe, prepared, lambda line: None)


def test_there_must_be_something_to_score_it_on(tmp_path, monkeypatch):
    recipe, prepared, _ = make(tmp_path, monkeypatch, test="none", validation="none")
    with pytest.raises(DataError, match="nothing to score"):
        baseline(recipe, prepared, lambda line: None)


def test_a_label_that_all_have_and_one_that_none_has_are_repeated(tmp_path, monkeypatch):
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path / "cache"))
    for split, documents in (("train", 60), ("test", 20)):
        lines = [{"text": f"{'ab'[i % 2]}{'ab'[i % 2]} n{i}", "label": ["all", "ab"[i % 2]]} for i in range(documents)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = Data(train=str(tmp_path / "train.jsonl"), test=str(tmp_path / "test.jsonl"), validation="none")
    recipe = Recipe(data=data, model=Mlp(), task=Multilabel())
    found = baseline(recipe, prepare(recipe, lambda line: None), lambda line: None)
    assert (found["examples"], found["accuracy"], found["f1_macro"]) == (20, 1.0, 1.0)


def test_texts_without_a_word_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": " ".join(f"{i:07b}"), "label": "ab"[i % 2]}) + "\n" for i in range(80)))
    recipe = Recipe(data=Data(train=str(path)), model=Mlp())
    with pytest.raises(DataError, match="finds no word"):
        baseline(recipe, prepare(recipe, lambda line: None), lambda line: None)
