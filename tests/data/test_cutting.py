import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.data.cutting import Documents, chunk_rows, halve_to, sizes_of

sizes_lists = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def documents(sizes, padded):
    return Documents(np.array(sorted(sizes, reverse=True) if padded else sizes, dtype=np.int64), padded)


def pieces(bounds):
    return list(zip(bounds, bounds[1:], strict=False))


def cost(sizes, padded):
    return len(sizes) * max(sizes) if padded else sum(sizes)


@pytest.mark.parametrize(
    ("sizes", "padded", "budget", "expected"),
    [
        ([5, 4, 3, 2, 1], True, 10, [0, 2, 5]),  # 2 x 5, 3 x 3
        ([5, 4, 3, 2, 1], False, 9, [0, 2, 5]),
        ([50, 4, 4], True, 10, [0, 1, 3]),  # longer than the budget: alone
        ([4, 50, 4], False, 10, [0, 1, 2, 3]),
        ([1], True, 1, [0, 1]),
    ],
)
def test_cut(sizes, padded, budget, expected):
    assert Documents(np.array(sizes), padded).cut(0, len(sizes), budget) == expected


def test_cut_evenly_leaves_no_crumb():
    assert Documents(np.ones(11, dtype=np.int64), True).cut(0, 11, 10) == [0, 10, 11]
    assert Documents(np.ones(11, dtype=np.int64), True).cut_evenly(0, 11, 10) == [0, 6, 11]


@given(sizes_lists, st.booleans(), st.integers(1, 200), st.data())
def test_pieces_keep_the_budget_and_cover_all(sizes, padded, budget, data):
    cut = documents(sizes, padded)
    ordered = sorted(sizes, reverse=True) if padded else sizes
    first = data.draw(st.integers(0, len(sizes) - 1))
    last = data.draw(st.integers(first + 1, len(sizes)))
    parts = data.draw(st.integers(1, 16))
    greedy, even = cut.cut(first, last, budget), cut.cut_evenly(first, last, budget)
    split = cut.split(first, last, parts, budget)
    for bounds in (greedy, even, split):
        assert bounds[0] == first
        assert bounds[-1] == last
        for start, end in pieces(bounds):
            assert start < end
            assert end - start == 1 or cost(ordered[start:end], padded) <= budget
    assert len(even) == len(greedy)
    assert len(split) - 1 >= min(parts, last - first)
    largest = [max(cost(ordered[a:b], padded) for a, b in pieces(bounds)) for bounds in (even, greedy)]
    assert largest[0] <= largest[1]


def test_split_makes_parts_of_about_equal_cost():
    rng = np.random.default_rng(1)
    sizes = np.sort(rng.integers(90, 110, 64))[::-1].copy()
    bounds = Documents(sizes, True).split(0, 64, 16, 10**6)
    found = [cost(sizes[a:b].tolist(), True) for a, b in pieces(bounds)]
    assert len(found) == 16
    assert max(found) <= 1.35 * sum(found) / 16


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.data())
def test_halving_reaches_the_number_asked_for(rows, data):
    bounds = np.cumsum([0, *rows]).tolist()
    wanted = data.draw(st.integers(len(rows), sum(rows)))
    halved = halve_to(bounds, wanted)
    assert len(halved) == wanted + 1
    assert set(bounds) <= set(halved)
    assert halved == sorted(set(halved))


def test_halving_takes_those_with_most_rows():
    assert halve_to([0, 2, 10, 13], 4) == [0, 2, 6, 10, 13]
    assert halve_to([0, 2, 10, 13], 3) == [0, 2, 10, 13]


@given(st.integers(1, 500), st.integers(1, 40), st.integers(0, 20))
def test_chunks_make_exact_steps(per_step, chunks, steps):
    chunks = min(chunks, per_step)
    rows = chunk_rows(per_step, chunks, steps)
    assert len(rows) == chunks * steps
    small, larger = divmod(per_step, chunks)
    assert np.count_nonzero(rows == small + 1) == larger * steps
    assert np.count_nonzero(rows == small) == (chunks - larger) * steps


def test_an_empty_document_takes_a_row():
    assert sizes_of(np.array([0, 3], dtype=np.uint32)).tolist() == [1, 3]
