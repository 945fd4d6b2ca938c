import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.text.tokens.words.reach import Unclear, asked, may_match, of_text

LETTERS = of_text("abcXYZé")
PATTERNS = (
    "^[a-c]+$", r"\.", r"(?<=[0-9])km$", r"(?<=[a-z])\.", "[^a-zA-Zé]", "[^a]", r"\d+", r"\w+\.", "x*", "(?:x|y|,)",
    "(a|-)b", r"\S+@\S+", "(?!a)-", "a{0,2}-", "[0-9a]",
    r"(?i:K)m", r"\bb", r"(?<![a-c])X", r"[^\W\d]\.", "(a|b)(?:c|-)",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text(alphabet="abcXYZé", max_size=8))
def test_what_cannot_match_does_not(pattern: str, text: str) -> None:
    if not may_match(re.compile(pattern), LETTERS):
        assert re.search(pattern, text) is None


def test_what_needs_another_character_is_proven_not_to_match() -> None:
    assert not may_match(re.compile(r"(?<=[0-9])(?:km|m)$|\.\.+|[^a-zA-Zé]|\d"), LETTERS)
    assert may_match(re.compile(r"\.|b$"), LETTERS)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text(alphabet="abcXYZé.,-0km@", max_size=10), data=st.data())
def test_texts_that_differ_in_no_set_that_is_asked_for_are_matched_alike(pattern: str, text: str, data: st.DataObject):
    compiled, alphabet = re.compile(pattern), of_text(text)
    try:
        sets = asked(compiled, alphabet)
    except Unclear:
        return
    alike = {
        letter: [other for other in text if all((one >> ord(letter) ^ one >> ord(other)) & 1 == 0 for one in sets)]
        for letter in text
    }
    other = "".join(data.draw(st.sampled_from(alike[letter])) for letter in text)
    assert [match.span() for match in compiled.finditer(text)] == [match.span() for match in compiled.finditer(other)]


def test_parts_that_cannot_match_ask_for_nothing() -> None:
    pattern = re.compile(r"(?<=[0-9])(?:km|m)$|'s$|(?<=[a-z])\.$")
    assert asked(pattern, of_text("abcABC.")) == {of_text("abcdefghijklmnopqrstuvwxyz"), of_text(".")}
    assert of_text("k") in asked(pattern, of_text("abckm1."))
    with pytest.raises(Unclear):
        asked(re.compile(r"(a)\1"), of_text("a"))
    with pytest.raises(Unclear):
        asked(re.compile("a", re.IGNORECASE), of_text("a"))
