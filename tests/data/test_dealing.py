import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.data.order import costs, deal, fuse


@pytest.mark.parametrize(
    ("costs_", "ranks", "expected"),
    [
        ([4, 3, 2, 1], 1, [[0, 1, 2, 3]]),
        ([4, 3, 2, 1], 2, [[0, 3], [1, 2]]),  # the same four, whoever runs them
        ([4, 3], 3, [[0], [1], []]),  # a rank may be idle: it still joins the reduction
        ([1, 1, 1, 1], 2, [[0, 2], [1, 3]]),  # equals: by index, by rank
        ([0, 0, 0], 3, [[0], [1], [2]]),
        ([], 2, [[], []]),
    ],
)
def test_deal(costs_, ranks, expected):
    assert deal(costs_, ranks) == expected


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(1, 16))
def test_each_micro_batch_goes_to_one_rank_and_no_rank_waits_long(numbers, ranks):
    shares = deal(numbers, ranks)
    assert sorted(index for share in shares for index in share) == list(range(len(numbers)))
    if numbers:
        loads = [sum(numbers[i] for i in share) for share in shares]
        assert max(loads) <= sum(numbers) / ranks + max(numbers)  # a bound of list scheduling
    if len(numbers) >= ranks:
        assert all(shares)


LENGTHS = np.array([10, 8, 3, 3, 0, 7], dtype=np.uint32)
BATCHES = [np.array([0, 1]), np.array([2, 3, 4]), np.array([5])]


def test_costs():
    assert costs(BATCHES, LENGTHS, True) == [20, 9, 7]
    assert costs(BATCHES, LENGTHS, False) == [18, 7, 7]  # the empty document counts as one token
    assert costs([], LENGTHS, True) == []


@pytest.mark.parametrize(
    ("padded", "limit", "expected"),
    [
        (True, 60, [[0, 2, 1]]),  # 6 rows x 10
        (True, 59, [[0, 2], [1]]),  # 3 x 10, 3 x 3
        (True, 28, [[0], [2, 1]]),  # 4 x 7
        (True, 1, [[0], [2], [1]]),  # each over the limit: each alone
        (False, 32, [[0, 1, 2]]),
        (False, 25, [[0, 1], [2]]),
        (False, 14, [[0], [1, 2]]),
    ],
)
def test_fuse(padded, limit, expected):
    assert fuse([0, 1, 2], BATCHES, LENGTHS, limit, padded) == expected


@given(st.data(), st.booleans(), st.integers(1, 400))
def test_fused_groups_keep_the_limit_and_hold_the_share(data, padded, limit):
    rows = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    lengths = np.array(data.draw(st.lists(st.integers(0, 50), min_size=sum(rows), max_size=sum(rows))), dtype=np.uint32)
    batches = np.split(np.arange(sum(rows)), np.cumsum(rows)[:-1])
    share = data.draw(st.lists(st.sampled_from(range(len(rows))), unique=True, max_size=len(rows)))
    groups = fuse(share, batches, lengths, limit, padded)
    assert sorted(i for group in groups for i in group) == sorted(share)
    for group in groups:
        together = costs([np.concatenate([batches[i] for i in group])], lengths, padded)[0]
        assert len(group) == 1 or together <= limit
    assert groups == fuse(share[::-1], batches, lengths, limit, padded)  # whatever the order of the share
