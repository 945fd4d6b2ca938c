import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.text.tokens.reach import may_match

LETTERS = frozenset(map(ord, "abcXYZé"))
PATTERNS = (
    "^[a-c]+$", r"\.", r"(?<=[0-9])km$", r"(?<=[a-z])\.", "[^a-zA-Zé]", "[^a]", r"\d+", r"\w+\.", "x*", "(?:x|y|,)",
    "(a|-)b", r"\S+@\S+", "(?!a)-", "a{0,2}-", "[0-9a]",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text(alphabet="abcXYZé", max_size=8))
def test_what_cannot_match_does_not(pattern: str, text: str) -> None:
    if not may_match(re.compile(pattern), LETTERS):
        assert re.search(pattern, text) is None


def test_what_needs_another_character_is_proven_not_to_match() -> None:
    assert not may_match(re.compile(r"(?<=[0-9])(?:km|m)$|\.\.+|[^a-zA-Zé]|\d"), LETTERS)
    assert may_match(re.compile(r"\.|b$"), LETTERS)
