"""Whole corpora, token by token beside spaCy: Debian's packages in five languages (`bench/corpora.py`)."""

import os

import numpy as np
import pytest
import spacy

from bench.corpora import CORPORA, Unavailable, corpus
from cluster.config.schema import Text
from cluster.text.tokens.numbering import number
from cluster.text.tokens.words.tokenizer import Tokenizer

SOAK = bool(os.environ.get("MUSTER_SOAK"))
QUICK = ("faq", "help-de", "help-fr")
TEXTS_AT_ONCE = 8192


@pytest.mark.parametrize("name", CORPORA if SOAK else QUICK)
def test_tokens_are_those_of_spacy_over_a_whole_corpus(name: str) -> None:
    try:
        texts = corpus(name)
    except Unavailable as reason:
        pytest.skip(str(reason))
    text = Text(language=CORPORA[name].language, lower=False, max_tokens=1_000_000)
    tokenizer, plain = Tokenizer(text), spacy.blank(text.language).tokenizer
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        some = texts[first : first + TEXTS_AT_ONCE]
        numbered, words = number(some, tokenizer, text)
        found = np.split(np.array(words, dtype=object)[numbered.tokens_N], np.cumsum(numbered.lengths_B)[:-1])
        for one, tokens in zip(some, found, strict=True):
            assert tokens.tolist() == [token.text for token in plain(one) if not token.text.isspace()], one
