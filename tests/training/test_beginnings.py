"""What a run's weights begin with: pretrained vectors, or the weights of another run."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cluster.text.tokens.pipeline import FIRST_WORD, Encoder
from cluster.text.tokens.vectors import load_vectors
from tests.conftest import MODELS, write_corpus
from tests.models.test_family import bits, resume_here, stop_in_the_middle, train_here

WIDTH = 8
KNOWN = ["bright", "warm", "dull", "film", "the", "Story", "elsewhere"]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """A file as GloVe's are, with vectors of six words of the corpus and one that it lacks."""
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("vectors") / "vectors.txt"
    rows = [" ".join([word, *(f"{number:.4f}" for number in rng.normal(0, 0.3, WIDTH))]) for word in KNOWN]
    path.write_text("\n".join(rows) + "\n")
    return path


def with_vectors(recipe_of, kind, vectors, freeze, **train):
    model = {"vectors": str(vectors), "freeze_vectors": freeze}
    if kind == "mlp":
        model["embedding"] = WIDTH
    base = {"steps": 4, "step_size": "32 examples", "checkpoint_steps": 4}
    return str(recipe_of(kind, model=MODELS[kind] | model, train=base | train))


def embeddings(run):
    """The embedding table of a run's model, the rows that the file has vectors for, and what it has for them."""
    encoder = Encoder.load(run / "model")
    weights = load_file(run / "model/weights.safetensors")
    [table] = [value for value in weights.values() if value.shape == (len(encoder.words) + FIRST_WORD, WIDTH)]
    return table.numpy(), encoder


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_frozen_vectors_stay_as_they_are_and_other_words_learn(pool, recipe_of, vectors, tmp_path, kind, ranks):
    run = tmp_path / "run"
    recipe = with_vectors(recipe_of, kind, vectors, freeze=True)
    assert pool.run(ranks, train_here, recipe=recipe, run=str(run)) == [0] * ranks
    table, encoder = embeddings(run)
    rows, wanted = load_vectors(vectors, encoder.words, WIDTH)
    assert len(rows) == 6
    np.testing.assert_array_equal(table[rows], wanted)
    anew = tmp_path / "anew"
    one_step = with_vectors(recipe_of, kind, vectors, freeze=True, steps=1)
    assert pool.run(ranks, train_here, recipe=one_step, run=str(anew)) == [0] * ranks
    before, _ = embeddings(anew)
    others = np.setdiff1d(np.arange(FIRST_WORD, len(table)), rows)
    assert (before[others] != table[others]).any(axis=1).mean() > 0.9


def test_vectors_that_are_not_frozen_are_where_training_begins(pool, recipe_of, vectors, tmp_path):
    run = tmp_path / "run"
    recipe = with_vectors(recipe_of, "cnn", vectors, freeze=False)
    assert pool.run(1, train_here, recipe=recipe, run=str(run)) == [0]
    table, encoder = embeddings(run)
    rows, wanted = load_vectors(vectors, encoder.words, WIDTH)
    moved = np.abs(table[rows] - wanted)
    assert 0 < moved.max() < 0.02  # four steps of Adam move a value by 0.001 each


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("freeze", [True, False])
def test_with_vectors_stopped_and_resumed_is_the_same_to_the_bit(pool, recipe_of, vectors, tmp_path, freeze, ranks):
    recipe = with_vectors(recipe_of, "gru", vectors, freeze)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert pool.run(ranks, train_here, recipe=recipe, run=str(whole)) == [0] * ranks
    assert pool.run(ranks, stop_in_the_middle, recipe=recipe, run=str(halves)) == [85] * ranks
    hidden = vectors.rename(vectors.with_suffix(".away"))  # a resume has no need of them
    try:
        assert pool.run(ranks, resume_here, run=str(halves)) == [0] * ranks
    finally:
        hidden.rename(vectors)
    assert bits(halves, 4) == bits(whole, 4)


def test_vectors_of_another_width_stop_the_command_before_any_step(muster, recipe_of, vectors, tmp_path):
    recipe = recipe_of("lstm", model={"kind": "lstm", "embedding": 12, "hidden": 8, "vectors": str(vectors)})
    ended = muster("train", recipe, "--run", tmp_path / "run")
    assert ended.code == 2
    assert "12" in ended.err and "8" in ended.err and str(vectors) in ended.err and "Traceback" not in ended.err
    assert not (tmp_path / "run/checkpoints").exists()


@pytest.fixture(scope="module")
def first(pool, recipe_of, tmp_path_factory):
    """A finished run of an LSTM that tells good from bad."""
    run = tmp_path_factory.mktemp("first") / "run"
    assert pool.run(1, train_here, recipe=str(recipe_of("lstm")), run=str(run)) == [0]
    return run


def beginning_with(run, recipe_of, kind="lstm", **sections):
    sections.setdefault("train", {"steps": 1, "step_size": "32 examples"})
    return recipe_of(kind, model=MODELS[kind] | {"start_from": str(run)}, **sections)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_begins_with_the_weights_of_another(pool, recipe_of, metrics_of, first, tmp_path, ranks):
    recipe = beginning_with(first, recipe_of, optim={"learning_rate": 1e-12})
    assert pool.run(ranks, train_here, recipe=str(recipe), run=str(tmp_path / "run")) == [0] * ranks
    before, after = (load_file(run / "model/weights.safetensors") for run in (first, tmp_path / "run"))
    assert before.keys() == after.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-9)
    [begun, anew] = [json.loads((run / "evaluation.json").read_text()) for run in (first, tmp_path / "run")]
    assert anew["accuracy"] == begun["accuracy"]
    assert (tmp_path / "run/model/encoder.json").read_bytes() == (first / "model/encoder.json").read_bytes()


def test_other_labels_have_a_last_layer_of_their_own(muster, recipe_of, first, tmp_path):
    data = {}
    for seed, split in enumerate(("train", "validation", "test")):
        # Two labels again: that the shapes are the same must not make the last layer stay.
        data[split] = str(write_corpus(tmp_path / f"{split}.jsonl", 90, seed, classes=("good", "poor")))
    recipe = beginning_with(first, recipe_of, data=data, optim={"learning_rate": 1e-12})
    ended = muster("train", recipe, "--run", tmp_path / "run")
    assert ended.code == 0, ended.err
    assert "anew: output.weight, output.bias" in (tmp_path / "run/logs/attempt-000/rank-0.log").read_text()
    before, after = (load_file(run / "model/weights.safetensors") for run in (first, tmp_path / "run"))
    stayed = {name for name in before if torch.allclose(before[name], after[name], rtol=0, atol=1e-9)}
    assert set(before) - stayed == {"output.weight", "output.bias"}


def test_another_text_setting_is_refused_with_both_values(muster, recipe_of, first, tmp_path):
    recipe = beginning_with(first, recipe_of, text={"lower": False})
    ended = muster("train", recipe, "--run", tmp_path / "run")
    assert ended.code == 2
    assert "text.lower = False, there True" in ended.err and "Traceback" not in ended.err
    assert not (tmp_path / "run").exists()


def test_a_model_of_which_nothing_fits_is_refused(muster, recipe_of, first, tmp_path):
    recipe = beginning_with(first, recipe_of, "transformer")
    text = recipe.read_text().replace("embedding = 8", "embedding = 12")
    recipe.write_text(text)
    ended = muster("train", recipe, "--run", tmp_path / "run")
    assert ended.code == 2, ended.err
    assert (
        "no tensor below the last layer of its model has the name and shape" in ended.err
        and "Traceback" not in ended.err
    )


@pytest.mark.parametrize("what", ["a folder that is not there", "a run that has not finished"])
def test_a_run_without_a_model_is_refused(muster, recipe_of, tmp_path, what):
    if what == "a run that has not finished":
        (tmp_path / "other/checkpoints").mkdir(parents=True)
    ended = muster("train", beginning_with(tmp_path / "other", recipe_of), "--run", tmp_path / "run")
    assert ended.code == 2
    assert "Name the folder of a run that has finished" in ended.err
    assert not (tmp_path / "run").exists()
