from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokenizer import Tokenizer as SpacyTokenizer

from cluster.config.schema import Text
from cluster.text.tokens.numbering import number, number_each
from cluster.text.tokens.words import rules
from cluster.text.tokens.words.chunks import with_plain_space
from cluster.text.tokens.words.tokenizer import TEXTS_FOR_COLUMNS, Tokenizer

LANGUAGES = ("en", "de", "es", "fr", "it", "hu", "tr")
PIECES = (
    "word", "Words", "don't", "U.S.", "e.g.", "a.m.", "(:", ":)", "foo: (:bar", "...", "http://a.org/b?c=d", "x@y.org",
    "well-known", "12km", "$12.50", "C++", "1990s", "«", "»", "l'eau", "p. m.", "z.B.", "\u00a0", "\u2003", "\u3000",
    "\x00", "\x1c", "\x85", "\u200b", "😀", "𝔘nicode", "\ud800", "a" * 300, "'", '"', "-", "--", "/", ".", ",", "!",
)  # fmt: skip
pieces = st.sampled_from(PIECES) | st.text(max_size=6) | st.sampled_from([" ", "\t", "\n", ""])
documents = st.lists(pieces, max_size=12).map("".join)
SPARING = Text(stop_words="drop", punctuation="drop", lower=False)


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {language: Tokenizer(Text(language=language)) for language in LANGUAGES}


@pytest.fixture(scope="module")
def references() -> dict[str, SpacyTokenizer]:
    return {language: spacy.blank(language).tokenizer for language in LANGUAGES}


@pytest.fixture(scope="module")
def sparing() -> Tokenizer:
    """Leaves out stop words and punctuation."""
    return Tokenizer(SPARING)


def padded_to_arrays(texts: list[str]) -> list[str]:
    return texts + ["the same again."] * max(0, TEXTS_FOR_COLUMNS - len(texts))


@pytest.mark.parametrize("language", LANGUAGES)
@given(texts=st.lists(documents, min_size=1, max_size=8), limit=st.sampled_from([1, 3, 1000]))
@settings(max_examples=60, deadline=None)
def test_arrays_give_the_very_tokens_of_spacy(
    tokenizers: dict[str, Tokenizer],
    references: dict[str, SpacyTokenizer],
    language: str,
    texts: list[str],
    limit: int,
) -> None:
    texts = padded_to_arrays(texts)
    numbered, words = number(texts, tokenizers[language], Text(language=language, max_tokens=limit))
    found = []
    for text in texts:
        tokens = references[language](text.encode("utf-8", "replace").decode())
        found.append(([token.text.lower() for token in tokens if not token.text.isspace()], b""))
    expected, expected_words = number_each(found, limit)
    assert words == expected_words
    assert np.array_equal(numbered.tokens_N, expected.tokens_N)
    assert np.array_equal(numbered.lengths_B, expected.lengths_B)
    assert np.array_equal(numbered.cut_B, expected.cut_B)


@given(texts=st.lists(documents, min_size=1, max_size=8), limit=st.sampled_from([2, 1000]))
@settings(max_examples=30, deadline=None)
def test_stop_words_and_punctuation_are_left_out_alike(sparing: Tokenizer, texts: list[str], limit: int) -> None:
    texts = padded_to_arrays([*texts, "The cat, and the dog!"])
    numbered, words = number(texts, sparing, replace(SPARING, max_tokens=limit))
    expected, expected_words = number_each(sparing.each(texts), limit)
    assert words == expected_words
    assert np.array_equal(numbered.tokens_N, expected.tokens_N)
    assert np.array_equal(numbered.lengths_B, expected.lengths_B)


def test_a_full_memory_of_chunks_is_dropped_and_changes_nothing() -> None:
    texts = [f"number {i}, and (:face{i} a.m. {i}km" for i in range(200)]
    expected, expected_words = number(texts, Tokenizer(Text()), Text())
    numbered, words = number(texts, Tokenizer(Text(), 50), Text())
    assert words == expected_words
    assert np.array_equal(numbered.tokens_N, expected.tokens_N)


def test_a_chunk_of_100_000_characters_is_split_as_spacy_does() -> None:
    long = "ab-" * 33_334
    texts = [f"before {long} after"] * TEXTS_FOR_COLUMNS
    numbered, words = number(texts, Tokenizer(Text()), Text(max_tokens=1_000_000))
    expected = [token.text for token in spacy.blank("en").tokenizer(texts[0])]
    assert [words[i] for i in numbered.tokens_N[: numbered.lengths_B[0]]] == expected


def test_a_spacy_that_splits_otherwise_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules.ChunkSplitter, "__call__", lambda self, chunk, affixes=None: (chunk,))
    with pytest.warns(UserWarning, match="its own tokenizer is used"):
        tokenizer = Tokenizer(Text())
    assert tokenizer("Don't go.") == ["do", "n't", "go", "."]


def test_white_space_that_is_not_plain_is_seen_wherever_it_stands() -> None:
    for code in range(0x3100):
        letter = chr(code)
        plain = not letter.isspace() or letter in " \t\n\v\f\r"
        for text in (letter, f"a{letter}", f"{letter}é“"):
            spaced = with_plain_space(utf_8(text))
            assert (spaced is None) == plain, (text, code)
            if spaced is not None:
                assert bytes(spaced) == b"".join(
                    b" " * len(utf_8(one)) if one == letter else one.encode() for one in text
                )


def test_no_letter_is_taken_for_white_space() -> None:
    """All behind the last that is white space, many at once."""
    for first in (*range(0x3100, 0xD800, 0x100), *range(0xE000, 0x30000, 0x100)):
        letters = "".join(map(chr, range(first, first + 0x100)))
        assert not any(map(str.isspace, letters))
        for between in ("", "a", "é“"):
            assert with_plain_space(utf_8(between.join(letters))) is None, (first, between)


def utf_8(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def test_plain_white_space_is_split_as_the_other_kinds_are() -> None:
    texts = ["", " ", "a", " a  b\t\nc\v\fd\re ", "“é” –\n😀"] * TEXTS_FOR_COLUMNS
    plain, plain_words = number(texts, Tokenizer(Text()), Text())
    other, other_words = number([*texts, "\u2003"], Tokenizer(Text()), Text())
    assert plain_words == other_words
    assert plain.tokens_N.tolist() == other.tokens_N.tolist()
    assert plain.lengths_B.tolist() == other.lengths_B.tolist()[:-1]
