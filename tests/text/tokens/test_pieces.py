import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cluster.config.schema import Text
from cluster.text.sets import catalogue
from cluster.text.tokens import pieces
from cluster.text.tokens.found import encodable
from cluster.text.tokens.pieces import Stretches, learn
from cluster.text.tokens.pipeline import Encoder

TEXT = Text(tokens="bpe", vocabulary_size=400, weights="none")
SENTENCES = [
    "The film, it's quick!  Don't miss\n\nit 2024…",
    "naïve Über façade 中文。 😀👍🏽",
    "the films, the filming",
]


def counts_of(texts, text=TEXT):
    counts = {}
    for stretches, _ in Stretches(text).each(texts):
        for stretch in stretches:
            counts[stretch] = counts.get(stretch, 0) + 1
    return counts


def encoder_of(texts, text=TEXT):
    learned = learn(counts_of(texts, text), text)
    return Encoder(text, learned.words, None, learned)


def by_the_library(encoder):
    return Tokenizer.from_str(json.dumps(encoder.pieces.contents))


def by_document(documents):
    return np.split(documents.tokens.astype(int) - 2, np.cumsum(documents.lengths)[:-1])


ENCODERS = {lower: encoder_of(SENTENCES * 20, Text(**{**vars(TEXT), "lower": lower})) for lower in (True, False)}
WHITE = [" ", "  ", "\n", "\t", "\r\n", " \n ", "\u00a0", "\u2003", "\u200b", "\x1c", "\x85", "\u3000", ""]
MIXED = st.lists(
    st.tuples(st.sampled_from("don't It's film , ... 2024 3.5 Ǆ İ ΣΑΣ 中文 😀 'LL -".split()), st.sampled_from(WHITE))  # noqa: SIM905
)


@pytest.mark.parametrize("lower", [True, False])
@given(text=st.one_of(st.text(max_size=40), MIXED.map(lambda pairs: "".join(a + b for a, b in pairs))))
def test_pieces_are_those_of_the_whole_text(lower, text):
    encoder = ENCODERS[lower]
    expected = by_the_library(encoder).encode(encodable(text)).ids
    assert (encoder.encode([text]).tokens.astype(int) - 2).tolist() == (expected or [-1])  # `<unk>` for no text at all


def test_every_character_there_is_may_stand_at_a_border():
    cut = Stretches(TEXT)
    for code in range(0x3100):  # all white space and most letters of Unicode are below
        text = f"a{chr(code)}b {chr(code) * 2} {chr(code)}c"
        assert next(cut.each([text]))[0] == cut._look_at(text), hex(code)


def test_pieces_are_those_of_the_library_over_a_whole_corpus():
    if not catalogue.is_fetched("movie-sentences"):
        pytest.skip("movie-sentences is not fetched")
    with open(catalogue.split_files("movie-sentences", "train")[0], encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    encoder = encoder_of(texts, Text(tokens="bpe", vocabulary_size=3000, weights="none"))
    library = by_the_library(encoder)
    expected = [encoding.ids for encoding in library.encode_batch(texts)]
    assert [ids.tolist() for ids in by_document(encoder.encode(texts))] == expected
    assert library.decode(expected[0]) == texts[0].lower()


def test_pieces_are_cut_not_the_stretches_they_make():
    encoder = ENCODERS[True]
    whole = encoder.encode(["unfathomable films"]).tokens.tolist()
    short = Encoder(Text(**{**vars(TEXT), "max_tokens": 3}), encoder.words, None, encoder.pieces)
    found = short.encode(["unfathomable films", "the"])
    assert found.tokens.tolist()[:3] == whole[:3] and found.lengths[0] == 3 and found.cut == 1
    assert len(whole) > 3 and found.read == 3 + found.lengths[1]


SCRIPT = """
import json, sys
from cluster.config.schema import Text
from cluster.text.tokens.pieces import learn
counts = json.loads(sys.argv[1])
if sys.argv[2] == "backwards":
    counts = dict(reversed(counts.items()))
print(json.dumps(learn(counts, Text(tokens="bpe", vocabulary_size=400)).contents))
"""


def test_learning_gives_the_same_in_another_process_and_order():
    counts = json.dumps(counts_of(SENTENCES * 20))
    found = {
        subprocess.run([sys.executable, "-c", SCRIPT, counts, way], capture_output=True, text=True, check=True).stdout
        for way in ("forwards", "backwards")
    }
    assert len(found) == 1 and json.loads(found.pop()) == ENCODERS[True].pieces.contents


def test_frequent_words_become_one_piece_and_rare_ones_only_with_min_count():
    assert "Ġfilms" in learn(counts_of(["the films"] * 9), TEXT).words
    assert len(learn(counts_of(["the films"] * 9), Text(**{**vars(TEXT), "min_count": 10})).words) == 256


def test_what_is_known_is_bounded(monkeypatch):
    monkeypatch.setattr(pieces, "MOST_CHUNKS", 20)
    cut = Stretches(TEXT)
    for number in range(100):
        assert next(cut.each([f"word{number} x"]))[0] == cut._look_at(f"word{number} x") and len(cut._known) <= 20


def test_an_encoder_of_pieces_comes_back_as_it_was(tmp_path):
    ENCODERS[True].save(tmp_path)
    again = Encoder.load(tmp_path)
    assert again.words == ENCODERS[True].words and again.tools["tokenizers"]
    assert again.encode(SENTENCES).tokens.tolist() == ENCODERS[True].encode(SENTENCES).tokens.tolist()
