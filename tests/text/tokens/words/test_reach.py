import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.text.tokens.words.reach import Texts, Unclear, asked, in_a_row, may_match, of_text

LETTERS = Texts(of_text("abcXYZé"))
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
    compiled, texts = re.compile(pattern), Texts(of_text(text))
    try:
        sets = asked(compiled, texts)
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
    assert asked(pattern, Texts(of_text("abcABC."))) == {of_text("abcdefghijklmnopqrstuvwxyz"), of_text(".")}
    assert of_text("k") in asked(pattern, Texts(of_text("abckm1.")))
    with pytest.raises(Unclear):
        asked(re.compile(r"(a)\1"), Texts(of_text("a")))
    with pytest.raises(Unclear):
        asked(re.compile("a", re.IGNORECASE), Texts(of_text("a")))


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text(alphabet="aXé.,-0km", max_size=10))
def test_what_never_stands_together_is_not_asked_for(pattern: str, text: str) -> None:
    letters, numbers = of_text("aXékm"), of_text("0")
    apart = re.sub("(?<=0)(?=[aXékm])", ".", text)
    if not may_match(re.compile(pattern), Texts(of_text("aXé.,-0km"), numbers, letters)):
        assert re.search(pattern, apart) is None


def test_a_unit_is_not_asked_for_where_no_letter_follows_a_number() -> None:
    pattern = re.compile(r"(?<=[0-9])(?:km|m|%)$")
    texts = Texts(of_text("km0%"), of_text("0123456789"), of_text("km"))
    assert asked(pattern, texts) == {of_text("0123456789"), of_text("%")}
    assert of_text("k") in asked(pattern, Texts(of_text("km0%")))


ROWS = {
    r"(?<=[a-z])\.(?=[A-Z])": 1,
    r"(?<=[A-Z][A-Z])\.": 2,
    r"'s$": 1,
    r"[a-z]{2,4}-[a-z]": 4,
    r"(?:ab|c)-?de": 4,
    r"(?:ab|c)-de": 2,
    r"\.\.+": 0,
    r"-(?![0-9]{3})": 3,
    r"[a-z]+-": float("inf"),
    r"(a)\1": float("inf"),
    r"x*y": float("inf"),
}


@pytest.mark.parametrize("pattern", ROWS)
def test_how_many_letters_in_a_row_are_looked_at(pattern: str) -> None:
    letters = of_text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert in_a_row(re.compile(pattern), Texts(letters | of_text(".-'0123456789")), letters) == ROWS[pattern]


@pytest.mark.parametrize("pattern", [*PATTERNS, *ROWS])
@given(parts=st.lists(st.tuples(st.sampled_from("aX.-'0"), st.integers(1, 3)), max_size=6), more=st.integers(1, 9))
def test_longer_runs_are_matched_alike(pattern: str, parts: list[tuple[str, int]], more: int) -> None:
    compiled = re.compile(pattern)
    looked_at = in_a_row(compiled, Texts(of_text("aX.-'0")), of_text("a"))
    if looked_at == float("inf"):
        return
    run = max(2 * int(looked_at) + 1, 2)
    places, short, long = [], "", ""  # of the short text's characters in the long one
    for letter, runs in itertools.groupby(letter for letter, count in parts for _ in range(count)):
        count = run if letter == "a" else len(list(runs))
        places += range(len(long), len(long) + count)
        short += letter * count
        long += letter * (count + (more if letter == "a" else 0))
    places.append(len(long))
    spans = [match.span() for match in compiled.finditer(short)]
    if any(short[place - 1 : place + 1] == "aa" for span in spans for place in span if place):
        return  # one that begins or ends inside of a run: nothing is said of it
    assert [match.span() for match in compiled.finditer(long)] == [(places[a], places[b]) for a, b in spans]
