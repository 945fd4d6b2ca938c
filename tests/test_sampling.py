"""Which token is drawn, and where a text begins to be read."""

import collections
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cluster.sampling import Sampling, drawn, window_start
from cluster.speaker import stopped

SHARES = [0.5, 0.25, 0.125, 0.0625, 0.0625]
SCORES = torch.tensor(SHARES).log()


def counts(times=4000, **how):
    chance = torch.Generator().manual_seed(1)
    return collections.Counter(drawn(SCORES, Sampling(**how), chance) for _ in range(times))


def test_as_often_as_the_model_says():
    found = counts(temperature=1.0)
    assert [found[row] / 4000 for row in range(5)] == pytest.approx(SHARES, abs=0.03)


def test_a_low_temperature_sharpens_and_none_takes_the_best():
    assert counts(temperature=0.5)[0] / 4000 == pytest.approx(0.25 / sum(share**2 for share in SHARES), abs=0.03)
    assert counts(temperature=0.0) == {0: 4000}


@pytest.mark.parametrize(
    "how, rows",
    [
        ({"top_k": 1}, {0}),
        ({"top_k": 3}, {0, 1, 2}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.5}, {0}),  # the first alone has it
        ({"top_p": 0.51}, {0, 1}),
        ({"top_p": 0.875}, {0, 1, 2}),
        ({"top_p": 1.0}, {0, 1, 2, 3, 4}),
        ({"top_p": 1e-9}, {0}),  # never none
        ({"top_p": 0.8, "top_k": 2}, {0, 1}),
    ],
)
def test_only_the_best_are_drawn_from(how, rows):
    assert set(counts(temperature=1.0, **how)) == rows


def test_what_is_ruled_out_is_never_drawn():
    scores = SCORES.clone()
    scores[0] = -math.inf
    chance = torch.Generator().manual_seed(1)
    assert {drawn(scores, Sampling(top_p=0.5), chance) for _ in range(100)} == {1}


@given(st.integers(1, 500), st.integers(8, 64))
def test_the_last_token_is_always_in_sight_with_half_a_context_before_it(tokens, context):
    start = window_start(tokens, context)
    assert 0 < tokens - start <= context
    assert start == 0 or tokens - start > context // 2
    assert window_start(tokens + 1, context) in (start, start + context - context // 2)


@given(st.lists(st.text("abc", max_size=4), max_size=8), st.lists(st.text("abc", min_size=1, max_size=3), max_size=3))
def test_a_stop_ends_the_text_however_it_comes_in_pieces(pieces, stops):
    whole = "".join(pieces)
    places = [whole.find(stop) for stop in stops if stop in whole]
    found = list(stopped(iter(pieces), tuple(stops)))
    assert "".join(found) == whole[: min(places)] if places else "".join(found) == whole


def test_without_a_stop_nothing_waits():
    seen = []

    def pieces():
        for piece in ("a", "b"):
            yield piece
            seen.append(piece)

    given = stopped(pieces(), ())
    assert next(given) == "a" and seen == []
