"""Answers compared as SQuAD compares them: expected values written by hand, from the published rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.squad import best_threshold, characters_of, figures, judge, words_of


@pytest.mark.parametrize(
    "text, words",
    [
        ("The Cat", ["cat"]),
        ("a cat, an owl; the dog.", ["cat", "owl", "dog"]),
        ("  two\t words\n", ["two", "words"]),
        ("U.S.A.", ["usa"]),  # punctuation goes before white space is looked at
        ("well-known", ["wellknown"]),
        ("theatre an-other", ["theatre", "another"]),  # no article inside a word; "an-" is one word by then
        ("the a an", []),
        ("“quoted” — dash", ["“quoted”", "—", "dash"]),  # ASCII punctuation alone
        ("$1,000", ["1000"]),
        ("Zürich", ["zürich"]),
    ],
)
def test_words_are_normalised(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    "answer, references, v2, exact, f1",
    [
        ("the Denver Broncos", ["Denver Broncos"], False, 1, 1),
        ("Denver", ["Denver Broncos"], False, 0, 2 / 3),  # precision 1, recall 1/2
        ("Denver Broncos team", ["Broncos Denver"], False, 0, 4 / 5),  # order does not count in F1
        ("a b b", ["b b c"], False, 0, 4 / 5),  # "a" is an article: b b against b b c
        ("cat", ["dog", "The cat!"], False, 1, 1),  # the best reference
        ("cat", ["dog"], False, 0, 0),
        ("Denver Denver", ["Denver"], False, 0, 2 / 3),  # each word as often as it stands there
        ("", [], True, 1, 1),  # rightly none
        ("cat", [], True, 0, 0),
        ("", ["cat"], True, 0, 0),
        ("the", [], True, 1, 1),  # v2.0: nothing is left of it
        ("the", ["cat"], True, 0, 0),
        ("", ["The", "cat"], True, 0, 0),  # v2.0: a reference of which nothing is left is none
        ("", ["The"], True, 1, 1),
        ("a", ["The"], False, 1, 0),  # v1.1: equal, yet no word in common
        ("a", ["The", "cat"], False, 1, 0),
    ],
)
def test_exact_match_and_f1(answer, references, v2, exact, f1):
    found = judge(answer, references, v2)
    assert found.exact == exact and found.f1 == pytest.approx(f1)


@pytest.mark.parametrize(
    "text, characters",
    [
        ("《红楼梦》", ["红", "楼", "梦"]),
        ("1998年，北京。", ["1998", "年", "北", "京"]),
        ("Apple 公司", ["apple", "公", "司"]),
    ],
)
def test_chinese_is_compared_by_characters(text, characters):
    assert characters_of(text) == characters


def test_f1_of_chinese_counts_characters():
    found = judge("北京市", ["北京"], False, characters_of)
    assert found.exact == 0 and found.f1 == pytest.approx(4 / 5)
    assert judge("北京。", ["北京"], False, characters_of) == (1, 1)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from([-2.0, 0.0, 0.5, 3.0]), st.booleans())))
def test_no_threshold_is_better_than_the_best(rows):
    gains, margins, there = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 3
    there = there.astype(bool)

    def score(threshold):
        answered = margins <= threshold
        return float(np.where(answered, np.where(there, gains, 0.0), np.where(there, 0.0, 1.0)).sum())

    best = best_threshold(gains, margins, there)
    assert np.isfinite(best)
    assert score(best) == pytest.approx(max(score(t) for t in (-10.0, -2.0, -1.0, 0.0, 0.2, 0.5, 1.0, 3.0)))


def test_figures_of_questions_with_and_without_an_answer():
    exact, f1 = np.array([1.0, 0.0, 0.0, 0.0]), np.array([1.0, 0.5, 0.0, 0.0])
    there, answered = np.array([True, True, False, False]), np.array([True, False, True, False])
    found = figures(exact, f1, there, answered)
    assert (found["exact_match"], found["answer_f1"], found["examples"]) == (0.5, 0.5, 4)
    assert found["has_answer"] == {"exact_match": 0.5, "answer_f1": 0.5, "examples": 2}
    assert found["no_answer"] == {"exact_match": 0.5, "answer_f1": 0.5, "examples": 2}
    assert "no_answer" not in figures(exact[:2], f1[:2], there[:2], answered[:2])  # v1.1 has one kind
