import functools
import json
import subprocess
import sys

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.schema import Text
from cluster.errors import DataError, RecipeError
from cluster.text import catalogue, pipeline
from cluster.text.pipeline import Encoder, Tokenizer

# What special cases and affixes are made of, glued and spaced in every way.
PIECES = st.sampled_from(
    """foo bar: (:bar (: :) :-) 8) 8D x) >:( <3 (ಠ_ಠ) o.O don't C'mon cannot a.m. p.m. 10a.m. Mr. Mr U.S. e.g. 's ’tis .
    ... … — - -- ' " “hi” ( ) [ ] , ; 10km $5 €7.50 5% http://a.b/c?d=(e) me@x.org a/b a-b Über façade 中文。 😀 👍🏽
    \\n \\t _""".split()  # noqa: SIM905
)
SPACES = st.sampled_from(["", "", " ", " ", "  ", "\n", "\t", " \n ", "\u00a0", "\u2003", "\u200b", "\x1c", "\x85"])
MIXED = st.lists(st.tuples(PIECES, SPACES), max_size=9).map(lambda pairs: "".join(a + b for a, b in pairs))


@functools.cache
def tools(language):
    return Tokenizer(language, lower=True), spacy.blank(language).tokenizer


def expected(reference, text):
    return [token.text.lower() for token in reference(text) if not token.text.isspace()]


@pytest.mark.parametrize("language", ["en", "de", "es", "ru", "xx"])  # es and ru: special cases with spaces in them
@given(text=st.one_of(MIXED, st.text(max_size=40)))
def test_tokens_are_those_of_spacy(language, text):
    tokenizer, reference = tools(language)
    assert tokenizer(text) == expected(reference, text.encode("utf-8", "replace").decode())


def test_a_false_match_across_chunks_hides_a_special_case():
    """Split chunk by chunk, the second would hold the emoticon "(:"; spaCy, which sees ":" and "(" first, has none."""
    tokenizer, reference = tools("en")
    assert tokenizer("foo: (:bar") == expected(reference, "foo: (:bar") == ["foo", ":", "(", ":", "bar"]
    assert tokenizer("(:bar") == expected(reference, "(:bar") == ["(:", "bar"]


def test_a_special_case_with_a_space():
    tokenizer, reference = tools("es")
    text = "los EE. UU. y los EE.  UU. de (EE. UU.)"
    assert tokenizer(text) == expected(reference, text)
    assert "ee. uu." in tokenizer(text)


@pytest.mark.parametrize("name", ["movie-sentences", "reuters-r8"])
def test_tokens_are_those_of_spacy_over_a_whole_corpus(name):
    if not catalogue.is_fetched(name):
        pytest.skip(f"{name} is not fetched")
    tokenizer, reference = Tokenizer("en", lower=True), spacy.blank("en").tokenizer
    for slot in catalogue.find(name).splits:
        with open(catalogue.split_files(name, slot)[0], encoding="utf-8") as file:
            for line in file:
                text = json.loads(line)["text"]
                assert tokenizer(text) == expected(reference, text)


def test_the_memory_of_chunks_is_bounded(monkeypatch):
    monkeypatch.setattr(pipeline, "MOST_CHUNKS", 50)
    tokenizer, reference = Tokenizer("en", lower=False), spacy.blank("en").tokenizer
    for number in range(120):
        text = f"word{number} (:x{number} foo: (:bar"
        assert tokenizer(text) == [token.text for token in reference(text)]
        assert len(tokenizer._chunks) <= 50


def test_half_a_surrogate_pair_does_no_harm():
    assert tools("en")[0]("a \ud800b") == ["a", "?", "b"]


def test_a_tokenizer_of_another_kind():
    tokenizer = Tokenizer("zh", lower=True)
    assert tokenizer("我们 A") == ["我", "们", "a"]


def test_an_unknown_language_is_named():
    with pytest.raises(RecipeError, match=r"text\.language = 'qq'.*en, de"):
        Tokenizer("qq", lower=True)


def test_sequences_keep_unknown_words_and_are_cut():
    encoder = Encoder(Text(weights="none", max_tokens=3), ["the", "film"], None)
    found = encoder.encode(["The film bores", "the the the film", "quux"])
    assert encoder.rows == 4 and found.weights is None
    assert found.tokens.tolist() == [2, 3, 1, 2, 2, 2, 1] and found.lengths.tolist() == [3, 3, 1]
    assert (found.cut, found.read, found.unknown, found.without_known_word) == (1, 7, 2, 1)


def test_bags_of_no_text_at_all():
    found = Encoder(Text(weights="count"), ["a"], None).encode([])
    assert found.tokens.size == found.lengths.size == found.weights.size == 0


def test_an_encoder_comes_back_as_it_was(tmp_path):
    encoder = Encoder(Text(weights="tfidf", lower=False), ["naïve", "中", '"'], np.array([1.0, 1 / 3, 2.5]))
    encoder.save(tmp_path)
    again = Encoder.load(tmp_path)
    assert (again.text, again.words, again.idf.tolist()) == (encoder.text, encoder.words, encoder.idf.tolist())
    assert again.spacy_version == encoder.spacy_version


@pytest.mark.parametrize("contents", ["", "[]", "{}", '{"format": 9}', '{"format": 1, "words": [1], "idf": null}'])
def test_a_damaged_encoder_is_refused(tmp_path, contents):
    (tmp_path / "encoder.json").write_text(contents)
    with pytest.raises(DataError, match=r"encoder\.json"):
        Encoder.load(tmp_path)


def test_loading_an_encoder_is_light(tmp_path):
    Encoder(Text(weights="none"), ["a"], None).save(tmp_path)
    code = (
        "import sys, pathlib; from cluster.text.pipeline import Encoder; Encoder.load(pathlib.Path(sys.argv[1]));"
        "print(sorted({'torch', 'spacy', 'pyarrow', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
