import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.data.permutation import RUN, SORTED_SIZE, mix, permutation, run_permutation


@given(size=st.integers(1, 5000), key=st.lists(st.integers(0, 2**64 - 1), max_size=3))
@example(size=1, key=[0])
@example(size=SORTED_SIZE, key=[1])
@example(size=SORTED_SIZE + 1, key=[1])
@example(size=2048, key=[1])
@example(size=2049, key=[1])
def test_every_item_stands_at_exactly_one_position(size, key):
    assert np.array_equal(np.sort(permutation(np.arange(size), size, *key)), np.arange(size))


@given(size=st.integers(1, 5000), key=st.lists(st.integers(0, 2**64 - 1), max_size=3))
@example(size=RUN, key=[1])
@example(size=RUN + 1, key=[1])
@example(size=RUN - 1, key=[1])
def test_runs_hold_every_item_once_and_stay_together(size, key):
    items = run_permutation(np.arange(size), size, *key)
    assert np.array_equal(np.sort(items), np.arange(size))
    assert np.count_nonzero(np.diff(items) != 1) <= size // RUN + 1
    positions = np.arange(size)[::7]
    assert np.array_equal(run_permutation(positions, size, *key), items[positions])


@given(st.data(), st.sampled_from([10, 1500, 10**6, 2**33 + 5, 2**40]))
def test_a_position_says_the_same_whoever_asks(data, size):
    positions = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=50)))
    together = permutation(positions, size, 7, 3)
    assert together.tolist() == [permutation(np.array([p]), size, 7, 3)[0] for p in positions]
    assert together.min() >= 0
    assert together.max() < size


def test_keys_differ_by_value_and_by_order():
    positions, size = np.arange(200), 10**6
    seen = {tuple(permutation(positions, size, *key).tolist()) for key in [(), (0,), (1,), (0, 1), (1, 0), (0, 0)]}
    assert len(seen) == 6
    assert len({mix(a, b) for a in range(100) for b in range(100)}) == 10_000


def test_known_values():
    """The order of every run hangs on these: they change only together with order.PLAN_VERSION."""
    assert mix(1, 2, 3) == 1056641952069490843
    assert permutation(np.arange(8), 8, 1).tolist() == [7, 2, 0, 4, 6, 1, 5, 3]
    assert permutation(np.arange(6), 10**9, 1).tolist() == [
        345708769,
        624419805,
        117473510,
        479492085,
        215592018,
        999224061,
    ]


@pytest.mark.parametrize("position", [-1, 10, 2**40])
def test_a_position_outside_is_refused(position):
    with pytest.raises(IndexError, match=r"0\.\.9"):
        permutation(np.array([position]), 10, 1)
    assert permutation(np.array([], dtype=np.int64), 10, 1).size == 0


def domains_chi_square(items, size):
    """Chi-square per degree of freedom of 64 sorted domains in batches of 512: 1 for a true shuffle."""
    batches = (items.reshape(-1, 512) * 64 // size).astype(np.int64)
    counts = np.array([np.bincount(batch, minlength=64) for batch in batches])
    return float(((counts - 8) ** 2 / 8).sum() / (63 * len(counts)))


def neighbours_correlation(items):
    items = items.astype(np.float64)
    return abs(float(np.corrcoef(items[:-1], items[1:])[0, 1]))


@pytest.mark.parametrize("size", [53_000_000, 2**26])
def test_it_shuffles_as_chance_would(size):
    items = permutation(np.arange(512 * 800), size, 1, 0, size)
    assert domains_chi_square(items, size) == pytest.approx(1, abs=0.03)
    assert neighbours_correlation(items) < 0.01


def test_the_test_above_would_catch_a_linear_congruence():
    size = 53_000_000
    items = np.arange(512 * 800, dtype=np.int64) * 2_718_281 % size
    assert abs(domains_chi_square(items, size) - 1) > 0.3


@pytest.mark.parametrize("size", [2, 3, 5, 8, 20, 1100])
def test_small_sizes_are_shuffled_evenly_too(size):
    keys = 3000
    rows = np.array([permutation(np.arange(size), size, key) for key in range(keys)])
    expected = keys / size
    for position in (0, size // 2, size - 1):
        counts = np.bincount(rows[:, position], minlength=size)
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert chi_square < (size - 1) + 5 * (2 * (size - 1)) ** 0.5 + 3
