"""Pairings: each pair once, nobody twice in a round."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.rates.tournament import rounds


@pytest.mark.parametrize(
    "players, expected",
    [
        (0, []),
        (1, []),
        (2, [[(0, 1)]]),
        (3, [[(1, 2)], [(0, 2)], [(0, 1)]]),  # one pauses in each
        (4, [[(0, 3), (1, 2)], [(0, 2), (1, 3)], [(0, 1), (2, 3)]]),
    ],
)
def test_rounds(players, expected):
    assert [sorted(pairs) for pairs in rounds(players)] == expected


@given(st.integers(2, 130))
def test_every_pair_meets_once_and_nobody_plays_twice_in_a_round(players):
    planned = rounds(players)
    assert len(planned) == players - 1 + players % 2
    assert sorted(pair for pairs in planned for pair in pairs) == list(itertools.combinations(range(players), 2))
    for pairs in planned:
        playing = [player for pair in pairs for player in pair]
        assert len(playing) == len(set(playing)) == players - players % 2
