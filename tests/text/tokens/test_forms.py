import importlib.util
import json
import subprocess
import sys

import pytest
import spacy
from spacy.lang.de.examples import sentences as german
from spacy.lang.en.examples import sentences as english
from spacy.lang.es.examples import sentences as spanish
from spacy.lang.zh.examples import sentences as chinese

from cluster.config.schema import Text
from cluster.errors import RecipeError
from cluster.text.sets import catalogue
from cluster.text.tokens import forms
from cluster.text.tokens.numbering import splits_of

EXAMPLES = {"en": english, "de": german, "es": spanish, "zh": chinese}
# What the examples lack: special cases (in Spanish with spaces in them), emoticons, numbers, mixed scripts.
MORE = {
    "en": ["I can't, won't & didn't: U.S. prices (e.g. $5.50) rose 3% :) http://a.b/c", "Nobody's mice\n\n were THERE"],
    "de": ["Z. B. kostet's „etwa“ 3,50 € (d. h. mehr als am 1. Mai); s'ist S'il u.s.w. Müßte Straßen!", "Die Häuser"],
    "es": ["los EE. UU. y los EE.  UU. de (EE. UU.): ¿qué tal, Sr. García?", "a.C. 3 p.m. dímelo ¡ya!"],
    "zh": ["我们 在 北京, 2024年! OK？", "中文。  English words\u3000很好\n"],
}


def tokens(text, texts):
    return [list(found) for found, _ in splits_of(text).each(texts)]


def corpora(name):
    if not catalogue.is_fetched(name):
        pytest.skip(f"{name} is not fetched")
    slot = "train" if "train" in catalogue.find(name).splits else catalogue.find(name).splits[0]
    with open(catalogue.split_files(name, slot)[0], encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file][:4000]


@pytest.mark.parametrize("language", sorted(EXAMPLES))
@pytest.mark.parametrize("stop_words", ["keep", "drop"])
@pytest.mark.parametrize("punctuation", ["keep", "drop"])
def test_what_is_left_is_what_spacy_marks(language, stop_words, punctuation):
    reference = spacy.blank(language)
    text = Text(language=language, stop_words=stop_words, punctuation=punctuation)
    texts = [*EXAMPLES[language], *MORE[language]] * 2
    expected = [
        [
            token.lower_
            for token in reference(example)
            if not token.is_space
            and not (stop_words == "drop" and token.is_stop)
            and not (punctuation == "drop" and token.is_punct)
        ]
        for example in texts
    ]
    assert tokens(text, texts) == expected


def test_english_over_a_whole_corpus_with_lemmas_as_spacy_looks_them_up():
    texts = corpora("movie-sentences")
    reference = spacy.blank("en")
    reference.add_pipe("lemmatizer", config={"mode": "lookup"})
    reference.initialize()
    text = Text(stop_words="drop", punctuation="drop", lemmas="table")
    for document, found in zip(reference.pipe(texts), tokens(text, texts), strict=True):
        left = [token for token in document if not (token.is_space or token.is_stop or token.is_punct)]
        assert found == [token.lemma_.lower() for token in left]


@pytest.mark.parametrize("language", ["de", "es", "fr", "nl"])  # nl looks words up in lower case
def test_lemmas_of_other_languages(language):
    reference = spacy.blank(language)
    reference.add_pipe("lemmatizer", config={"mode": "lookup"})
    reference.initialize()
    examples = importlib.import_module(f"spacy.lang.{language}.examples").sentences + MORE.get(language, [])
    text = Text(language=language, lemmas="table", lower=False)
    expected = [[token.lemma_ or token.text for token in reference(e) if not token.is_space] for e in examples]
    assert tokens(text, examples) == expected


def test_stop_words_are_dropped_before_lemmas_are_put_in_their_place():
    assert tokens(Text(stop_words="drop", lemmas="table"), ["The mice were HERE"]) == [["mouse"]]


def test_a_language_without_a_table_is_named():
    with pytest.raises(RecipeError, match=r"no table of lemmas for text\.language = 'zh'"):
        splits_of(Text(language="zh", lemmas="table"))


def test_a_language_without_stop_words_has_none_to_drop():
    with pytest.raises(RecipeError, match="spaCy lists no stop words for text.language = 'xx'"):
        tokens(Text(language="xx", stop_words="drop"), ["a film"])


def test_a_missing_package_of_tables_is_named(monkeypatch):
    monkeypatch.setattr(forms, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="pip install spacy-lookups-data"):
        splits_of(Text(lemmas="table"))


def test_chinese_by_character_and_by_word():
    reference = spacy.blank("zh", config={"nlp": {"tokenizer": {"segmenter": "jieba"}}})
    texts = chinese + MORE["zh"]
    expected = [[token.lower_ for token in reference(example) if not token.is_space] for example in texts]
    assert tokens(Text(language="zh", tokens="jieba"), texts) == expected
    assert tokens(Text(language="zh"), ["我们 A"]) == tokens(Text(language="zh", tokens="characters"), ["我们 A"])
    assert any(len(word) > 1 for found in expected for word in found)


def test_chinese_reviews():
    """All ways to split, over real text: as spaCy does with each of its segmenters."""
    if "reviews-zh" not in catalogue.names():
        pytest.skip("the catalogue has no reviews-zh")
    texts = corpora("reviews-zh")[:1000]
    for way, segmenter in (("words", "char"), ("jieba", "jieba")):
        reference = spacy.blank("zh", config={"nlp": {"tokenizer": {"segmenter": segmenter}}})
        expected = [[token.text for token in reference(text) if not token.text.isspace()] for text in texts]
        assert tokens(Text(language="zh", tokens=way, lower=False), texts) == expected


def test_characters_of_a_language_that_spacy_lacks():
    assert tokens(Text(language="qq", tokens="characters"), ["A b\u00a0ß\n中"]) == [["a", "b", "ß", "中"]]


def test_a_missing_jieba_is_named():
    code = (
        "import sys; sys.modules['jieba'] = None\n"
        "from cluster.config.schema import Text; from cluster.text.tokens.numbering import splits_of\n"
        "splits_of(Text(language='zh', tokens='jieba'))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "RecipeError" in found.stderr and "pip install jieba" in found.stderr
