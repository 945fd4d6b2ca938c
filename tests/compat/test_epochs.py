"""The plan of an epoch: numbers in, numbers out."""

from itertools import chain

import hypothesis
import pytest
from hypothesis import strategies

from cluster.compat.torchtext.epochs import Settings, cut, sitting_out, steps_of_epoch
from cluster.errors import InputError


def settings(batch_size=4, ranks=1, **others):
    return Settings(**{"batch_size": batch_size, "ranks": ranks, "seed": 5} | others)


@pytest.mark.parametrize(
    "examples, batch_size, ranks, train, expected",
    [
        (5, 2, 1, True, [[[0, 1]], [[2, 3]], [[4]]]),
        (8, 2, 2, True, [[[0, 2], [1, 3]], [[4, 6], [5, 7]]]),
        (7, 2, 2, True, [[[0, 2], [1, 3]], [[4], [5]]]),  # 6 sits out: each rank has as many
        (7, 2, 2, False, [[[0, 2], [1, 3]], [[4, 6], [5]]]),  # none sits out
        (5, 2, 2, False, [[[0, 2], [1]], [[3], [4]]]),  # the last step borrows, so that no rank has nothing
        (4, 1, 2, False, [[[0], [1]], [[2], [3]]]),
    ],
)
def test_shares(examples, batch_size, ranks, train, expected):
    assert steps_of_epoch(examples, settings(batch_size, ranks, train=train), 0) == expected


@hypothesis.given(
    examples=strategies.integers(1, 60),
    batch_size=strategies.integers(1, 7),
    ranks=strategies.integers(1, 4),
    train=strategies.booleans(),
    kind=strategies.sampled_from(["plain", "sort", "pooled"]),
    shuffle=strategies.booleans(),
    tokens=strategies.booleans(),
)
def test_every_rank_gets_as_many_batches_and_no_example_comes_twice(
    examples, batch_size, ranks, train, kind, shuffle, tokens
):
    keys = [number * 7 % 5 + 1 for number in range(examples)]
    plan = settings(batch_size, ranks, train=train, shuffle=shuffle, sort=kind == "sort", pooled=kind == "pooled")
    grows = (lambda index, count, so_far: so_far + keys[index]) if tokens else None
    try:
        steps = steps_of_epoch(examples, plan, 3, keys, grows)
    except InputError:
        assert examples < ranks or not train
        return
    read = [index for step in steps for batch in step for index in batch]
    assert all(len(step) == ranks and all(step) for step in steps)
    assert len(set(read)) == len(read) == examples - sitting_out(examples, plan)
    assert sitting_out(examples, plan) < ranks and (train or len(read) == examples)
    if tokens:
        assert all(len(batch) == 1 or sum(keys[i] for i in batch) <= batch_size for batch in chain.from_iterable(steps))
    else:
        assert all(len(batch) <= batch_size for batch in chain.from_iterable(steps))
        assert all(max(map(len, step)) - min(map(len, step)) <= (0 if train else 1) for step in steps)


def test_an_epoch_has_its_own_order_the_same_each_time():
    plan = settings(shuffle=True, pooled=True)
    first, again, second = (steps_of_epoch(50, plan, epoch, range(50)) for epoch in (0, 0, 1))
    assert first == again != second
    assert first != steps_of_epoch(50, settings(shuffle=True, pooled=True, seed=6), 0, range(50))


def test_others_sit_out_in_each_epoch():
    plan = settings(ranks=3, shuffle=True)
    out = [set(range(50)) - {i for step in steps_of_epoch(50, plan, epoch) for batch in step for i in batch}
           for epoch in range(4)]  # fmt: skip
    assert all(len(one) == 2 for one in out) and len(set.union(*out)) > 2


def test_pools_put_like_to_like_and_shuffle_the_batches():
    lengths = [number % 40 for number in range(4000)]
    steps = steps_of_epoch(4000, settings(batch_size=10, ranks=2, shuffle=True, pooled=True), 0, lengths)
    spans = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in chain.from_iterable(steps)]
    assert max(spans) <= 1  # of 40 lengths, in pools of 2,000 examples
    means = [lengths[step[0][0]] for step in steps]
    assert means != sorted(means)
    longest = [[max(lengths[i] for i in batch) for batch in step] for step in steps]
    assert all(max(pair) - min(pair) <= 1 for pair in longest)  # no rank waits for another's long texts


@pytest.mark.parametrize(
    "sizes, limit, expected",
    [
        ([1, 2, 3, 1], 3, [[0, 1], [2], [3]]),
        ([1, 9, 1, 1], 3, [[0], [1], [2, 3]]),  # one too large stands alone, and nothing is empty
        ([9, 9], 3, [[0], [1]]),
        ([2, 2, 2], 3, [[0], [1], [2]]),
        ([], 3, []),
    ],
)
def test_batches_of_a_size(sizes, limit, expected):
    assert cut(range(len(sizes)), limit, lambda index, count, so_far: so_far + sizes[index]) == expected


@pytest.mark.parametrize(
    "examples, batch_size, ranks, train",
    [(2, 4, 3, True), (2, 4, 3, False), (5, 1, 2, False)],
)
def test_what_cannot_be_shared_is_refused(examples, batch_size, ranks, train):
    with pytest.raises(InputError, match=f"cannot be shared by {ranks} ranks.*larger batch_size, fewer ranks"):
        steps_of_epoch(examples, settings(batch_size, ranks, train=train), 0)
