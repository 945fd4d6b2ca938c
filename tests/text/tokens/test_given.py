"""Words that are given: their numbers, what their letters tell, their marks, and pieces of which the first stands for
the word."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.schema import Data, Text
from cluster.data.manifest import AFFIX_ROWS
from cluster.text.preparation.truth import Truth
from cluster.text.tokens.affixes import affixes_of, shape
from cluster.text.tokens.given import GivenWords, Words, input_of
from cluster.text.tokens.pieces import learn, stretch_of
from cluster.text.tokens.pipeline import Encoder

SENTENCES = [Words(["The", "cat", "sat"]), Words(["the", "Cat"], 1)]


def lanes(found):
    return found[..., None].view("<u2")


def test_words_are_numbered_in_their_form():
    numbered, forms = GivenWords(Text(), marked=False).number(SENTENCES)
    assert forms == ["the", "cat", "sat"]
    assert numbered.tokens_N.tolist() == [0, 1, 2, 0, 1] and numbered.lengths_B.tolist() == [3, 2]
    assert numbered.tags_N is None and not numbered.cut_B.any()
    _, forms = GivenWords(Text(lower=False), marked=False).number(SENTENCES)
    assert forms == ["The", "cat", "sat", "the", "Cat"]


def test_long_sentences_are_cut():
    numbered, _ = GivenWords(Text(max_tokens=2), marked=True).number(SENTENCES)
    assert numbered.lengths_B.tolist() == [2, 2] and numbered.cut_B.tolist() == [True, False]
    assert numbered.tags_N.tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize("marked", [True, False])
def test_affixes_are_of_the_word_as_it_was_written(marked):
    numbered, forms = GivenWords(Text(affixes=True), marked).number(SENTENCES)
    mark, first, ending, looks = lanes(numbered.tags_N).T
    assert mark.tolist() == ([1, 1, 1, 1, 2] if marked else [0] * 5)
    assert first[0] != first[3] and first[1] != first[4]  # The, the; cat, Cat
    assert ending[0] == ending[3] and ending[1] == ending[4]
    assert looks[0] != looks[3] and looks[1] == looks[2] == looks[3]
    assert forms == ["the", "cat", "sat"]


@given(st.text(min_size=1).filter(str.strip))
def test_affixes_are_rows_of_their_tables(word):
    mark, *rows = lanes(np.array([affixes_of(word)], dtype=np.uint64))[0].tolist()
    assert mark == 0 and all(1 <= row < AFFIX_ROWS for row in rows)


@pytest.mark.parametrize(
    "word, looks",
    [
        ("Boeing-747", "Xxxxx-ddd"),
        ("internationalisation", "xxxx"),
        ("U.S.", "X.X."),
        ("3,000", "d,ddd"),
        ("中国", "xx"),
    ],
)
def test_shapes(word, looks):
    assert shape(word) == looks


def test_a_chinese_word_ends_with_its_last_character():
    same, other = affixes_of("电视台") >> 32 & 0xFFFF, affixes_of("电台") >> 32 & 0xFFFF
    assert same == other
    assert affixes_of("talking") >> 32 & 0xFFFF == affixes_of("BRING") >> 32 & 0xFFFF  # three letters of others


def bpe_encoder(takes="words", **settings):
    text = Text(tokens="bpe", vocabulary_size=300, weights="none", **settings)
    form = stretch_of(text)
    words = ["the", "cats", "sat", "the", "rats", "can't"] * 9
    counts = {form(word): words.count(word) for word in words}
    pieces = learn(counts, text)
    return Encoder(text, pieces.words, None, pieces, takes)


@pytest.mark.parametrize("affixes", [False, True])
def test_the_first_piece_of_a_word_carries_its_label(affixes):
    encoder = bpe_encoder("predicate", affixes=affixes)
    found = encoder.encode([Words(["the", "unseen", "cats"], 2), Words(["can't"], 0)])
    assert found.tokens.size > 4 and found.lengths.sum() == found.tokens.size
    assert found.begins_word.sum() == 4 and found.begins_word[0]
    truth = Truth(np.array([0, 1, 2, 0]), np.array([3, 1], dtype=np.uint32), np.zeros(2))
    counts, targets = truth.of_tokens(np.array([5, -1, 7]), found)
    assert counts.tolist() == [3, 1]
    assert targets[found.begins_word].tolist() == [7, 1, 9, 7]  # label c is c + 2, one that training never saw is 1
    assert not targets[~found.begins_word].any()
    marks = lanes(found.beside)[:, 0] if affixes else found.beside
    assert [marks[found.words == word].tolist() for word in range(4)] == [
        [mark] * int((found.words == word).sum()) for word, mark in enumerate([1, 1, 2, 2])
    ]


def test_pieces_beyond_the_limit_take_their_words_along():
    encoder = bpe_encoder(max_tokens=3)
    found = encoder.encode([Words(["unseen", "the", "cats"])])
    assert found.lengths.tolist() == [3] and found.cut == 1
    counts, _ = Truth(np.array([0, 0, 0]), np.array([3], dtype=np.uint32), np.zeros(1)).of_tokens(np.array([0]), found)
    assert counts.tolist() == [found.begins_word.sum()]


def test_raw_text_is_split_as_the_recipe_says():
    encoder = Encoder(Text(weights="none"), ["the", "cat", "'s"], None, takes="words")
    found = encoder.encode(["The cat's", Words(["The", "cat's"]), "\u200b"])
    assert [list(words) for words in found.given] == [["The", "cat", "'s"], ["The", "cat's"], ["\u200b"]]
    assert found.tokens.tolist() == [2, 3, 4, 2, 1, 1]


def test_an_encoder_remembers_what_it_takes(tmp_path):
    encoder = bpe_encoder("predicate")
    encoder.save(tmp_path)
    again = Encoder.load(tmp_path)
    assert (again.takes, again.tags, again.tagged) == ("predicate", ["word", "predicate"], True)
    words = [Words(["the", "cats"], 1)]
    assert again.encode(words).tokens.tolist() == encoder.encode(words).tokens.tolist()


def test_words_are_no_text():
    encoder = Encoder(Text(weights="none"), ["the"], None)
    with pytest.raises(TypeError, match="trained on texts"):
        encoder.encode([Words(["the"])])


@pytest.mark.parametrize(
    "settings, task, takes",
    [
        ({}, "classify", "text"),
        ({}, "tag", "words"),
        ({"predicate": "verb"}, "tag", "predicate"),
        ({"roles": "6:"}, "tag", "predicate"),
    ],
)
def test_what_a_recipe_takes(settings, task, takes):
    assert input_of(Data(train="unused", **settings), task) == takes
