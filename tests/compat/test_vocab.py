"""Vocabularies: their order, their limits, and word vectors for them."""

import gzip
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from cluster.compat.torchtext.vocab import FastText, GloVe, Vectors, Vocab
from cluster.errors import DataError, InputError

COUNTS = Counter({"pear": 2, "fig": 5, "apple": 2, "kiwi": 1, "<unk>": 9})
GIVEN = "fig 1 2\npear 3 4\nFig 5 6\nfig 7 8\n"


@pytest.mark.parametrize(
    "settings, words",
    [
        ({}, ["<unk>", "<pad>", "fig", "apple", "pear", "kiwi"]),  # by frequency, then alphabetically
        ({"max_size": 2}, ["<unk>", "<pad>", "fig", "apple"]),  # special words do not count
        ({"min_freq": 2}, ["<unk>", "<pad>", "fig", "apple", "pear"]),
        ({"min_freq": 0, "max_size": 0}, ["<unk>", "<pad>"]),
        ({"specials": ["<pad>"], "min_freq": 2}, ["<pad>", "<unk>", "fig", "apple", "pear"]),  # <unk> is a word there
        ({"specials_first": False, "max_size": 1}, ["fig", "<unk>", "<pad>"]),
    ],
)
def test_order(settings, words):
    vocab = Vocab(COUNTS, **settings)
    assert vocab.itos == words and len(vocab) == len(words)
    assert dict(vocab.stoi) == {word: number for number, word in enumerate(words)}
    assert vocab.freqs == COUNTS


def test_unknown_words():
    vocab = Vocab(COUNTS, specials_first=False)
    assert vocab["never met"] == vocab.stoi["<unk>"] == 4
    assert vocab.lookup_indices(["fig", "never met"]) == [0, 4]
    with pytest.raises(KeyError):
        Vocab(COUNTS, specials=[])["never met"]


def test_a_vocabulary_takes_another_ones_words():
    vocab = Vocab(Counter("aab"), specials=["<unk>"])
    vocab.extend(Vocab(Counter("bdcc"), specials=[]))
    assert vocab.itos == ["<unk>", "a", "b", "c", "d"] and vocab["d"] == 4
    assert vocab["z"] == 0
    assert vocab != Vocab(Counter("aab"), specials=["<unk>"])
    assert Vocab(Counter("aab")) == Vocab(Counter("baa"))


def test_vectors_of_a_file_by_exact_spelling(tmp_path):
    (tmp_path / "own.txt").write_text(GIVEN)
    with gzip.open(tmp_path / "wide.vec.gz", "wt") as file:
        file.write("1 3\npear 1 1 1\n")
    vocab = Vocab(COUNTS, vectors=[str(tmp_path / "own.txt"), tmp_path / "wide.vec.gz"], min_freq=2)
    assert vocab.itos[2:] == ["fig", "apple", "pear"]
    assert vocab.vectors[2:].tolist() == [[1, 2, 0, 0, 0], [0, 0, 0, 0, 0], [3, 4, 1, 1, 1]]
    assert vocab.vectors.dtype == torch.float32
    vocab.load_vectors(tmp_path / "own.txt", unk_init=torch.Tensor.normal_)
    assert vocab.vectors.shape == (5, 2) and vocab.vectors[3].abs().min() > 0
    assert vocab.vectors[2].tolist() == [1, 2]


def test_vectors_of_an_object():
    given = SimpleNamespace(stoi={"pear": 1, "fig": 0}, vectors=torch.tensor([[1.0], [2.0]]), dim=1)
    assert Vocab(COUNTS, max_size=3, vectors=given).vectors[:, 0].tolist() == [0, 0, 1, 0, 2]
    vocab = Vocab(COUNTS, max_size=3)
    vocab.set_vectors(given.stoi, given.vectors.numpy(), 1, unk_init=torch.ones_like)
    assert vocab.vectors[:, 0].tolist() == [1, 1, 1, 1, 2]


def test_all_vectors_of_a_file(tmp_path):
    (tmp_path / "glove.toy.2d.txt").write_text(GIVEN)
    vectors = GloVe("toy", dim=2, cache=str(tmp_path))
    assert vectors.itos == ["fig", "pear", "Fig"] and vectors.dim == 2 and vectors["fig"].tolist() == [1, 2]
    assert vectors["Pear"].tolist() == [0, 0]
    assert vectors.get_vecs_by_tokens(["Pear", "fig"], lower_case_backup=True).tolist() == [[3, 4], [1, 2]]
    assert Vectors("glove.toy.2d", cache=str(tmp_path), max_vectors=1).itos == ["fig"]
    assert Vocab(COUNTS, vectors=vectors, max_size=1).vectors[2].tolist() == [1, 2]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Vocab(COUNTS, vectors="glove.6B.100d"), "'glove.6B.100d'.*'.vector_cache'.*none are fetched"),
        (lambda: FastText("en"), "'wiki.en'"),
        (lambda: Vectors("v.txt", url="http://localhost/v.zip"), "nothing is fetched here"),
        (lambda: Vocab(COUNTS, vectors=5), "an object with stoi, vectors and dim, .* but is int"),
        (lambda: Vocab(COUNTS, unk_init=torch.zero_), "no vectors are given"),
        (lambda: Vocab(COUNTS, max_size=-1), "max_size must be 0 or more"),
    ],
)
def test_wrong_arguments_are_refused(make, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        make()


def test_vectors_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "own.txt").write_text("Fig 1 2\n")
    with pytest.raises(DataError, match="none of the 6 words .*lower"):
        Vocab(COUNTS, vectors=tmp_path / "own.txt")
    (tmp_path / "own.txt").write_text("Fig 1 2\nfig 1 x\n")
    with pytest.raises(DataError, match="own.txt:2"):
        Vocab(COUNTS, vectors=tmp_path / "own.txt")
    (tmp_path / "own.txt").write_text(GIVEN)
    vocab = Vocab(COUNTS, vectors=tmp_path / "own.txt")
    with pytest.raises(InputError, match="extend it first"):
        vocab.extend(Vocab(COUNTS))
