"""Exported ONNX graphs, run by onnxruntime: the answers that `muster predict` gives."""

import json
from pathlib import Path

import numpy as np
import pytest

from cluster.feeds import feeds
from cluster.predictor import Predictor
from cluster.text.tokens.given import Words
from cluster.text.tokens.pipeline import Encoder
from tests.conftest import TASKS, sampled

TOLERANCE = 1e-4
TEXTS = ["a bright and warm film", "dull", "the witty story of a clever actor is a tender and graceful one " * 3, "zzz"]
KINDS = ["linear", "mlp", "averaged", "cnn", "lstm", "gru", "transformer", "pretrained", "custom"]
TAGGERS = ["lstm", "gru", "cnn", "transformer"]


@pytest.fixture(scope="module")
def onnxruntime():
    pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx)")


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


def exported(pool, here, recipe, folder):
    """The run's folder and that of the graph, which `muster export` has compared."""
    assert pool.run(1, train_here, recipe=str(recipe), run=str(folder / "run")) == [0]
    ended = here("export", folder / "run", "--format", "onnx", "--output", folder / "onnx")
    assert ended.code == 0, ended.err
    assert "from the model's (onnxruntime" in ended.out
    return folder / "run", folder / "onnx"


def answered(onnxruntime, folder, texts):
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    given = feeds(Encoder.load(folder), texts)
    about = json.loads((folder / "inputs.json").read_text())
    assert [(one["name"], one["type"]) for one in about["inputs"]] == [(k, str(v.dtype)) for k, v in given.items()]
    assert [one.name for one in session.get_outputs()] == ["outputs", "answers"]
    return session.run(None, given)[1]


@pytest.mark.parametrize("kind", sampled(KINDS, "averaged", "cnn", "gru", "transformer"))
def test_a_classifier_answers_the_same(pool, here, recipe_of, onnxruntime, tmp_path, kind):
    model = {"embedding": 8} if kind == "averaged" else {}
    recipe = recipe_of("mlp" if kind == "averaged" else kind, model=model, train={"steps": 6})
    run, folder = exported(pool, here, recipe, tmp_path)
    found = answered(onnxruntime, folder, TEXTS)
    assert found.shape == (4, 2)
    assert np.abs(found - Predictor(run)(TEXTS)).max() < TOLERANCE
    rows = json.loads((folder / "vocabulary.json").read_text())
    assert rows[:2] == ["<pad>", "<unk>"] and len(rows) == Encoder.load(folder).rows


@pytest.mark.parametrize("kind", sampled(TAGGERS, "lstm", "transformer"))
def test_a_tagger_answers_the_same(pool, here, tagging_recipe_of, onnxruntime, tmp_path, kind):
    recipe = tagging_recipe_of(kind, text={"affixes": kind == "lstm"}, train={"steps": 6})
    run, folder = exported(pool, here, recipe, tmp_path)
    texts = [Words(["the", "witty", "film", "of", "the", "day"], 1), Words(["dull"], 0)]
    found = answered(onnxruntime, folder, texts)
    labels = json.loads((folder / "inputs.json").read_text())["labels"]
    for row, answer in zip(found, Predictor(run).predict(texts), strict=True):
        words = len(answer["tokens"])
        assert [labels[number] for number in row[:words].argmax(axis=1)] == answer["tags"]
        assert np.abs(row[:words].max(axis=1) - answer["probabilities"]).max() < TOLERANCE


def test_numbers_and_sets_of_labels(pool, here, recipe_of, onnxruntime, tmp_path):
    rows = [{"text": text, "label": place} for place, text in enumerate(TEXTS * 5)]
    (tmp_path / "numbers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = [row | {"label": ["short"] if len(row["text"]) < 10 else ["long", "text"]} for row in rows]
    (tmp_path / "sets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sets))
    for task, name in (("regress", "numbers"), ("multilabel", "sets")):
        data = dict.fromkeys(("train", "validation", "test"), str(tmp_path / f"{name}.jsonl"))
        recipe = recipe_of("gru", data=data, task={"kind": task}, train={"steps": 6, "step_size": "8 examples"})
        run, folder = exported(pool, here, recipe, tmp_path / task)
        found, wanted = answered(onnxruntime, folder, TEXTS), Predictor(run)(TEXTS)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() < TOLERANCE * max(1.0, np.abs(wanted).max())


def test_what_has_no_graph_is_refused_and_leaves_nothing(pool, muster, recipe_of, tmp_path):
    assert TASKS["gpt"] == "language"
    assert pool.run(1, train_here, recipe=str(recipe_of("gpt", train={"steps": 2})), run=str(tmp_path / "run")) == [0]
    ended = muster("export", tmp_path / "run", "--format", "onnx", "--output", tmp_path / "onnx")
    assert ended.code == 2 and 'task.kind = "language" has no form in ONNX' in ended.err
    assert "Traceback" not in ended.err and [path.name for path in Path(tmp_path).iterdir()] == ["run"]
