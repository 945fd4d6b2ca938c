import gzip
import tracemalloc

import numpy as np
import pytest
import zstandard

from cluster.errors import DataError
from cluster.text.tokens.vectors import all_vectors, exact_vectors, load_vectors

WORDS = ["film", "paris", "the", ". . .", "unheard"]


def rows(found):
    """By row of the embedding table: row 2 is the first word."""
    return dict(zip(found[0].tolist(), found[1].tolist(), strict=True))


@pytest.mark.parametrize("header", ["", "4 2\n"], ids=["glove", "word2vec"])
@pytest.mark.parametrize("pack", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", ["glove.6B.2d.txt", "wiki.vec", "vectors"])
def test_words_of_every_format_are_found(tmp_path, header, pack, name):
    text = (header + "the 1 2\nParis 0.5 -5e-1\n. . . 7 8\nother 0 0 \n").encode()
    packed = {"": text, ".gz": gzip.compress(text), ".zst": zstandard.compress(text)}[pack]
    (tmp_path / (name + pack)).write_bytes(packed)
    found = load_vectors(tmp_path / (name + pack), WORDS, 2)
    assert rows(found) == {3: [0.5, -0.5], 4: [1.0, 2.0], 5: [7.0, 8.0]}
    assert found[0].dtype == np.int64 and found[1].dtype == np.float32 and found[1].shape == (3, 2)


def test_a_word_as_it_stands_comes_before_one_in_another_case(tmp_path):
    (tmp_path / "v.txt").write_text("PARIS 1\nparis 2\nParis 3\nparis 4\n")
    assert rows(load_vectors(tmp_path / "v.txt", ["paris", "Paris", "pariS"], 1)) == {2: [2.0], 3: [3.0], 4: [1.0]}


def test_words_as_they_are_spelled_or_all_of_them(tmp_path):
    (tmp_path / "v.txt").write_text("PARIS 1\nparis 2\n. . . 3\nparis 4\n")
    found, width = exact_vectors(tmp_path / "v.txt", ["paris", ". . .", "Paris"])
    assert {word: vector.tolist() for word, vector in found.items()} == {"paris": [2.0], ". . .": [3.0]} and width == 1
    words, vectors = all_vectors(tmp_path / "v.txt", most=2)
    assert words == ["PARIS", "paris"] and vectors.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("2 300\nfilm 1 2\n", r"vectors of 300 numbers, .* have 2.*model\.embedding = 300"),
        ("film 1 2 3\nthe 1 2 3\n", "vectors of 3 numbers"),
        ("film 1\nthe 1\n", "vectors of 1 numbers"),
        ("film 1 2\nthe 1 2\nparis 1\n", r"v\.txt:3: the line has 2 fields"),
        ("film 1 2\nthe 1 x\n", r"v\.txt:2: could not convert"),
        ("film 1 2\nthe 1 nan\n", r"v\.txt:2: .*not finite"),
        ("Wort 1 2\nSatz 3 4\n", "none of its 2 words"),
        ("", "none of its 0 words"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, text, message):
    (tmp_path / "v.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        load_vectors(tmp_path / "v.txt", WORDS, 2)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"missing\.txt"):
        load_vectors(tmp_path / "missing.txt", WORDS, 2)


def test_a_large_file_needs_memory_for_the_words_asked_for_alone(tmp_path):
    with gzip.open(tmp_path / "large.vec.gz", "wt", compresslevel=1) as file:
        file.write("200000 20\n")
        for number in range(200_000):
            file.write(f"word{number} " + " ".join(["0.125"] * 20) + "\n")
    words = [f"word{number}" for number in range(0, 200_000, 2000)]
    tracemalloc.start()
    found = load_vectors(tmp_path / "large.vec.gz", words, 20)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found[0]) == 100 and peak_bytes < 8 << 20
