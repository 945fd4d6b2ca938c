"""Word vectors: what is learned, that any ranks learn the same, and what other programs make of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cluster.config.schema import Optim
from cluster.data.manifest import open_prepared
from cluster.data.marks import mark_of
from cluster.data.questions import EVALUATION
from cluster.data.shards import ShardReader
from cluster.data.surroundings import Surroundings, kept_shares
from cluster.errors import DataError
from cluster.models.skipgram import SkipgramModel, whole_gradients
from cluster.neighbours import parsed
from cluster.tasks.embed import Embed
from cluster.training.optim import build_optimizer
from cluster.wordvectors import WordVectors


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


def train_on(pool, ranks, recipe, folder):
    run = folder / f"{Path(recipe).stem}-on-{ranks}"
    assert pool.run(ranks, train_here, recipe=str(recipe), run=str(run)) == [0] * ranks
    return run


@pytest.mark.parametrize(
    "train, tolerance", [({}, 1e-6), ({"strict": True, "precision": "float64"}, 1e-10)], ids=["float32", "float64"]
)
def test_losses_agree_on_any_number_of_ranks(pool, recipe_of, metrics_of, tmp_path, train, tolerance):
    recipe = recipe_of(
        "skipgram",
        optim={"learning_rate": 0.01, "schedule": "linear"},
        train={"steps": 20, "step_size": "11 examples", "log_steps": 1, "checkpoint_steps": 20, **train},
    )
    runs = [train_on(pool, ranks, recipe, tmp_path) for ranks in (1, 2, 3)]
    one, two, three = ([line["loss"] for line in metrics_of(run, "step")] for run in runs)
    assert one[-1] < one[0]
    assert two == pytest.approx(one, rel=tolerance) and three == pytest.approx(one, rel=tolerance)


@pytest.fixture(scope="module")
def run(pool, recipe_of, tmp_path_factory):
    """A short run on one rank."""
    recipe = recipe_of("skipgram", optim={"learning_rate": 0.02})
    return train_on(pool, 1, recipe, tmp_path_factory.mktemp("vectors"))


def reader_of(run, **settings):
    folder = Path(json.loads((run / "run.json").read_text())["prepared"])
    return Surroundings(ShardReader(folder, "test"), **({"window": 5, "subsample": 0.0, "seed": 1} | settings))


def test_surroundings_are_those_of_the_text(run):
    reader = reader_of(run)
    mark = mark_of(open_prepared(reader.manifest.folder).vocabulary_rows)
    ids = np.arange(reader.documents)
    (batch,) = reader.asked(ids, [len(ids)], step=3)
    tokens, lengths, _ = reader.padded(ids)
    windows = set()
    for row in ids:
        # By hand: the documents of the sequence, without unknown words.
        document, words = 0, []
        for token in tokens[row, : lengths[row]].tolist():
            document += token == mark
            words += [(token, document)] if 1 < token < mark else []
        assert batch["tokens"][row, : batch["lengths"][row]].tolist() == [token for token, _ in words]
        assert not batch["beside"][row, len(words) :].any()
        for place, (_, own) in enumerate(words):
            before, behind = batch["beside"][row, place].tolist()
            assert all(its == own for _, its in words[place - before : place + behind + 1])
            inside = [at for at, (_, its) in enumerate(words) if its == own]
            for reach, room in ((before, place - inside[0]), (behind, inside[-1] - place)):
                assert reach == room or 1 <= reach <= 5
            windows |= {before, behind}
    assert windows == {0, 1, 2, 3, 4, 5}


def test_chance_is_that_of_the_sequence_and_the_step(run):
    reader = reader_of(run, subsample=0.01)
    (together,) = reader.asked(np.arange(4), [4], step=3)
    for row, alone in enumerate(reader.asked(np.arange(4), [1] * 4, step=3)):
        width = alone["tokens"].shape[1]
        assert (together["labels"][row] == alone["labels"][0]).all()
        assert (together["tokens"][row, :width] == alone["tokens"][0]).all()
        assert (together["beside"][row, :width] == alone["beside"][0]).all()
    (later,) = reader.asked(np.arange(4), [4], step=4)
    assert (later["labels"] != together["labels"]).any()


def test_frequent_words_are_left_out_and_drawn_as_often_as_they_should(run):
    reader = reader_of(run, subsample=0.01)
    ids = np.arange(reader.documents)
    met, drawn = (np.zeros(reader.manifest.vocabulary_rows) for _ in range(2))
    for step in range(200):
        (batch,) = reader.asked(ids, [len(ids)], step)
        met += np.bincount(batch["tokens"].ravel(), minlength=len(met))
        drawn += np.bincount(batch["labels"].ravel(), minlength=len(met))
    words = reader.frequencies > 0
    assert not met[~words][1:].any() and not drawn[~words].any()
    expected = (kept_shares(reader.frequencies, 0.01) * reader.frequencies)[words]
    assert met[words] / met[words].sum() == pytest.approx(expected / expected.sum(), abs=0.005)
    powers = reader.frequencies[words] ** 0.75
    assert drawn[words] / drawn.sum() == pytest.approx(powers / powers.sum(), abs=0.005)


def test_the_loss_is_that_of_every_pair():
    torch.manual_seed(2)
    from cluster.config.models import Skipgram

    model = SkipgramModel(Skipgram(embedding=4, window=3, negatives=5), 12).double()
    nn.init.normal_(model.contexts.weight)
    tokens, drawn = torch.randint(2, 12, (3, 37)), torch.randint(2, 12, (3, 8))
    at = torch.arange(37)
    sides = [torch.minimum(torch.randint(0, 4, (3, 37)), room) for room in (at, at.flip(0))]
    reach = torch.stack(sides, dim=2)
    model.requires_grad_(False)
    found = float(Embed().loss_sum(model(tokens, torch.full((3,), 37), reach), drawn))

    def loss(word, other, sign):
        score = float(model.words.weight[word] @ model.contexts.weight[other])
        return math.log1p(math.exp(-sign * score))

    expected = 0.0
    for row in range(3):
        for place in range(37):
            before, behind = reach[row, place].tolist()
            for other in range(place - before, place + behind + 1):
                if other != place:
                    word = tokens[row, place]
                    expected += loss(word, tokens[row, other], 1)
                    expected += 5 / 8 * sum(loss(word, one, -1) for one in drawn[row])
    assert found == pytest.approx(expected, rel=1e-12)


def test_tables_whose_gradients_are_whole_learn_the_same():
    """As on GPUs, where NCCL adds up no others."""
    torch.manual_seed(1)
    ours, whole = (nn.Sequential(nn.Embedding(50, 6, sparse=True)) for _ in range(2))
    whole.load_state_dict(ours.state_dict())
    whole_gradients(whole)
    config = Optim(kind="adagrad", learning_rate=0.1)
    optimizers = [build_optimizer(table, config, torch.device("cpu")) for table in (ours, whole)]
    for _ in range(10):
        words, aims = torch.randint(0, 40, (20,)), torch.randn(20, 6)
        for table, optimizer in zip((ours, whole), optimizers, strict=True):
            optimizer.zero_grad()
            (table(words) - aims).square().sum().backward()
            optimizer.step()
    assert ours[0].weight.grad.is_sparse and not whole[0].weight.grad.is_sparse
    assert torch.allclose(ours[0].weight, whole[0].weight, atol=1e-6)


def test_the_baseline_counts_the_same_pairs(run, recipe_of, here):
    evaluation = json.loads((run / "evaluation.json").read_text())
    done = here("baseline", run / "recipe.toml", "--json")
    assert done.code == 0, done.err
    assert done.json["pairs"] == evaluation["pairs"] and 0 < done.json["pair_loss"] < 4.2
    (batch,) = reader_of(run, subsample=0.05).asked(np.arange(1), [1], EVALUATION)
    assert batch["labels"].shape == (1, 64)


def test_exported_vectors_are_read_by_others_and_by_us(run, here, tmp_path):
    from cluster.text.tokens.pipeline import Encoder
    from cluster.text.tokens.vectors import load_vectors

    path = tmp_path / "vectors.txt"
    done = here("export", run, "--format", "word2vec", "--output", path, "--json")
    assert done.code == 0, done.err
    ours = WordVectors.of_run(run)
    assert done.json == {"output": str(path), "words": len(ours), "width": 8, "left_out": 0}
    assert (WordVectors.of_file(path).vectors == ours.vectors).all()
    rows, vectors = load_vectors(path, Encoder.load(run / "model").words, 8)
    assert rows.tolist() == list(range(2, len(ours) + 2)) and (vectors == ours.vectors).all()
    again = here("export", run, "--format", "word2vec", "--output", path)
    assert again.code == 2 and "is there already" in again.err
    keyed = pytest.importorskip("gensim.models").KeyedVectors.load_word2vec_format(str(path))
    assert [word for word, _ in keyed.most_similar("film", topn=3)] == [word for word, _ in ours.nearest("film", 3)]


def test_neighbours_by_hand():
    words = ["king", "man", "woman", "queen", "river"]
    vectors = WordVectors(words, np.array([[3, 1], [0, 2], [1, 0], [3, -1], [-1, 0.5]], dtype=np.float32))
    assert vectors.nearest("king", 2)[1] == ("queen", pytest.approx(0.8))
    assert [word for word, _ in vectors.nearest_to(["king", "woman"], ["man"])] == ["queen", "river"]
    assert len(vectors.nearest("king", 99)) == 4
    assert vectors.analogies([("man", "king", "woman", "queen"), ("man", "king", "woman", "who")], 30) == (1, 1)
    with pytest.raises(DataError, match="Spelled like it: king"):
        vectors["kings"]


@pytest.mark.parametrize(
    "said, found",
    [
        (["king"], (["king"], [])),
        (["king", "-", "man", "+", "woman"], (["king", "woman"], ["man"])),
        (["king - man + woman"], (["king", "woman"], ["man"])),
        (["well-known"], (["well-known"], [])),
    ],
)
def test_sums_of_words(said, found):
    assert parsed(said) == found


@pytest.mark.parametrize("said", [["king", "man"], ["-", "king"], ["king", "+"], [""]])
def test_no_sum_of_words(said):
    with pytest.raises(DataError):
        parsed(said)


def test_commands_say_the_way_out(run, muster, here):
    done = here("neighbours", run, "filn")
    assert done.code == 2 and "Spelled like it: film" in done.err
    done = here("predict", run, "a film")
    assert done.code == 2 and "muster neighbours" in done.err
    done = muster("evaluate", run, "--json")
    assert done.code == 0 and done.json["pairs"] > 0 and "similarity" in done.json, done.err
    done = muster("report", run)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "override, words",
    [
        ("optim.kind=adamw", 'use "adagrad"'),
        ("optim.clip_norm=1.0", "use inf"),
        ("optim.weight_decay=0.1", "use 0.0"),
        ("task.kind=classify", 'use task.kind = "embed"'),
        ("model.kind=mlp", 'use model.kind = "skipgram"'),
        ("text.tokens=bpe", "pieces of words"),
    ],
)
def test_what_makes_no_sense_is_refused(recipe_of, override, words):
    from cluster.config.load import load
    from cluster.errors import RecipeError

    with pytest.raises(RecipeError, match=words):
        load(str(recipe_of("skipgram")), [override])
