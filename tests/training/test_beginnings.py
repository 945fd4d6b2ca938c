"""What a run's weights begin with: pretrained vectors, or the weights of another run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cluster.config.load import load
from cluster.config.models import Embeds
from cluster.config.settings import kinds_of
from cluster.data.manifest import open_prepared
from cluster.errors import DataError
from cluster.models.build import build_model
from cluster.prepare import prepare
from cluster.text.tokens.pipeline import FIRST_WORD, Encoder
from cluster.text.tokens.vectors import load_vectors
from cluster.training.beginning import begin
from cluster.training.parallel import World
from tests.conftest import MODELS, TASKS, write_corpus
from tests.models.test_family import bits, resume_here, stop_in_the_middle, train_here
from tests.told_here import train_and_tell

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
    model = {"embedding": WIDTH, "vectors": str(vectors), "freeze_vectors": freeze}
    base = {"steps": 4, "step_size": "32 examples", "checkpoint_steps": 4}
    return str(recipe_of(kind, model=MODELS[kind] | model, train=base | train))


def embeddings(run):
    """The embedding table of a run's model, the rows that the file has vectors for, and what it has for them."""
    encoder = Encoder.load(run / "model")
    weights = load_file(run / "model/weights.safetensors")
    [table] = [value for value in weights.values() if value.shape == (len(encoder.words) + FIRST_WORD, WIDTH)]
    return table.numpy(), encoder


@pytest.fixture(
    scope="module", params=[kind for kind, settings in kinds_of("model").items() if issubclass(settings, Embeds)]
)
def embedding_kind(request):
    """Each kind of model with word embeddings."""
    return request.param


def begun(recipe):
    """The model of a recipe as training begins with it, as chance alone has made it, its encoder, and what was said."""
    settings, notes = load(recipe), []
    manifest = open_prepared(prepare(settings, notes.append))
    models = []
    for _ in range(2):
        torch.manual_seed(1)
        models.append(build_model(settings.model, manifest.vocabulary_rows, len(manifest.labels) or 1))
    begin(models[0], settings.model, manifest, World(0, 1, torch.device("cpu")), notes.append)
    return *models, Encoder.load(manifest.folder), notes[-1]


def test_any_kind_with_word_embeddings_begins_with_vectors(embedding_kind, recipe_of, vectors):
    model, by_chance, encoder, said = begun(with_vectors(recipe_of, embedding_kind, vectors, freeze=False))
    fresh = by_chance.state_dict()
    [name] = [name for name, value in model.state_dict().items() if not torch.equal(value, fresh[name])]
    table, before = (one.state_dict()[name].numpy() for one in (model, by_chance))
    rows, wanted = load_vectors(vectors, encoder.words, WIDTH)
    others = np.setdiff1d(np.arange(len(table)), rows)
    np.testing.assert_array_equal(table[others], before[others])
    assert said.startswith(f"6 of {len(encoder.words)} words begin with a vector of {vectors}")
    if TASKS.get(embedding_kind) not in ("language", "rewrite"):
        np.testing.assert_array_equal(table[rows], wanted)
        return
    # The output has the same weights: directions and proportions are the file's, the length is the model's.
    factor = np.linalg.norm(before[rows]) / np.linalg.norm(wanted)
    assert f"times {factor:.3g}" in said
    np.testing.assert_allclose(table[rows], wanted * factor, rtol=1e-5)


def test_vectors_of_another_width_are_refused_by_any_kind(embedding_kind, recipe_of, vectors):
    recipe = with_vectors(recipe_of, embedding_kind, vectors, freeze=False)
    Path(recipe).write_text(Path(recipe).read_text().replace(f"embedding = {WIDTH}", "embedding = 16"))
    with pytest.raises(DataError, match=r"has vectors of 8 numbers, the model's embeddings have 16"):
        begun(recipe)


def test_vectors_of_zeros_are_no_reason_to_begin_with_nonsense(recipe_of, tmp_path):
    (tmp_path / "zeros.txt").write_text("film" + " 0" * WIDTH + "\n")
    model, *_ = begun(with_vectors(recipe_of, "gpt", tmp_path / "zeros.txt", freeze=False))
    assert model.words.weight.isfinite().all()


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


@pytest.mark.parametrize(
    "kind, freeze, ranks", [("gru", True, 1), ("gru", True, 3), ("gru", False, 1), ("gru", False, 3), ("gpt", False, 2)]
)
def test_with_vectors_stopped_and_resumed_is_the_same_to_the_bit(
    pool, recipe_of, vectors, tmp_path, kind, freeze, ranks
):
    recipe = with_vectors(recipe_of, kind, vectors, freeze)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert pool.run(ranks, train_here, recipe=recipe, run=str(whole)) == [0] * ranks
    assert pool.run(ranks, stop_in_the_middle, recipe=recipe, run=str(halves)) == [85] * ranks
    hidden = vectors.rename(vectors.with_suffix(".away"))  # a resume has no need of them
    try:
        assert pool.run(ranks, resume_here, run=str(halves)) == [0] * ranks
    finally:
        hidden.rename(vectors)
    assert bits(halves, 4) == bits(whole, 4)


def test_vectors_of_another_width_stop_the_training_before_any_step(pool, recipe_of, vectors, tmp_path):
    recipe = recipe_of("lstm", model={"kind": "lstm", "embedding": 12, "hidden": 8, "vectors": str(vectors)})
    [(code, told)] = pool.run(1, train_and_tell, recipe=str(recipe), run=str(tmp_path / "run"))
    assert code == 2
    assert "12" in told and "8" in told and str(vectors) in told and "Traceback" not in told
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


def test_other_labels_have_a_last_layer_of_their_own(pool, recipe_of, first, tmp_path):
    data = {}
    for seed, split in enumerate(("train", "validation", "test")):
        # Two labels again: that the shapes are the same must not make the last layer stay.
        data[split] = str(write_corpus(tmp_path / f"{split}.jsonl", 90, seed, classes=("good", "poor")))
    recipe = beginning_with(first, recipe_of, data=data, optim={"learning_rate": 1e-12})
    [(code, told)] = pool.run(1, train_and_tell, recipe=str(recipe), run=str(tmp_path / "run"))
    assert code == 0, told
    assert "anew: output.weight, output.bias" in told
    before, after = (load_file(run / "model/weights.safetensors") for run in (first, tmp_path / "run"))
    stayed = {name for name in before if torch.allclose(before[name], after[name], rtol=0, atol=1e-9)}
    assert set(before) - stayed == {"output.weight", "output.bias"}


def test_another_text_setting_is_refused_with_both_values(muster, recipe_of, first, tmp_path):
    recipe = beginning_with(first, recipe_of, text={"lower": False})
    ended = muster("train", recipe, "--run", tmp_path / "run")
    assert ended.code == 2
    assert "text.lower = False, there True" in ended.err and "Traceback" not in ended.err
    assert not (tmp_path / "run").exists()


def test_a_model_of_which_nothing_fits_is_refused(pool, recipe_of, first, tmp_path):
    recipe = beginning_with(first, recipe_of, "transformer")
    text = recipe.read_text().replace("embedding = 8", "embedding = 12")
    recipe.write_text(text)
    [(code, told)] = pool.run(1, train_and_tell, recipe=str(recipe), run=str(tmp_path / "run"))
    assert code == 2, told
    assert "no tensor below the last layer of its model has the name and shape" in told and "Traceback" not in told


@pytest.mark.parametrize("what", ["a folder that is not there", "a run that has not finished"])
def test_a_run_without_a_model_is_refused(muster, recipe_of, tmp_path, what):
    if what == "a run that has not finished":
        (tmp_path / "other/checkpoints").mkdir(parents=True)
    ended = muster("train", beginning_with(tmp_path / "other", recipe_of), "--run", tmp_path / "run")
    assert ended.code == 2
    assert "Name the folder of a run that has finished" in ended.err
    assert not (tmp_path / "run").exists()
