import functools
import json

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.schema import Text
from cluster.errors import RecipeError
from cluster.text.sets import catalogue
from cluster.text.tokens.words.tokenizer import Tokenizer

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
    return Tokenizer(Text(language=language)), spacy.blank(language).tokenizer


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
    tokenizer, reference = Tokenizer(Text()), spacy.blank("en").tokenizer
    for slot in catalogue.find(name).splits:
        with open(catalogue.split_files(name, slot)[0], encoding="utf-8") as file:
            for line in file:
                text = json.loads(line)["text"]
                assert tokenizer(text) == expected(reference, text)


def test_the_memory_of_chunks_is_bounded():
    tokenizer, reference = Tokenizer(Text(lower=False), 50), spacy.blank("en").tokenizer
    for number in range(120):
        text = f"word{number} (:x{number} foo: (:bar"
        assert tokenizer(text) == [token.text for token in reference(text)]
        assert len(tokenizer._memory) <= 60  # what one text brings may come on top


def test_half_a_surrogate_pair_does_no_harm():
    assert tools("en")[0]("a \ud800b") == ["a", "?", "b"]


def test_a_tokenizer_of_another_kind():
    tokenizer = Tokenizer(Text(language="zh"))
    assert tokenizer("我们 A") == ["我", "们", "a"]


def test_an_unknown_language_is_named():
    with pytest.raises(RecipeError, match=r"text\.language = 'qq'.*en, de"):
        Tokenizer(Text(language="qq"))
