"""Iterators on several ranks: who reads what, and what the ranks must agree on."""

import pytest

KEPT = []
"""What must outlive a call on a rank: see `_ended` in cluster/training/parallel.py."""


def corpus(examples, odd=None):
    from cluster.compat.torchtext import Dataset, Example, Field, LabelField

    fields = [("text", Field(include_lengths=True)), ("number", LabelField(use_vocab=False))]
    texts = [["word"] * (number * 7 % 10 + 1 + (number == odd)) for number in range(examples)]
    made = Dataset([Example.fromlist([text, number], fields) for number, text in enumerate(texts)], fields)
    made.fields["text"].build_vocab(made)
    return made


def joined():
    import torch.distributed as dist

    dist.init_process_group("gloo")
    KEPT.append(dist.group.WORLD)
    return dist


def read_here(examples, train):
    """On each rank of the pool: the numbers of the examples in its batches, for two epochs, and what it was told."""
    import warnings

    import torch

    from cluster.compat.torchtext import BucketIterator

    dist = joined()
    torch.manual_seed(10 + dist.get_rank())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        iterator = BucketIterator(corpus(examples), 8, sort_key=lambda one: len(one.text), train=train)
    epochs = [[batch.number.tolist() for batch in iterator] for _ in range(2)]
    dist.destroy_process_group()
    return {"epochs": epochs, "batches": len(iterator), "told": [str(one.message) for one in told]}


@pytest.mark.parametrize("ranks", [2, 3])
def test_training_shares_a_new_order_in_each_epoch(pool, ranks):
    found = pool.run(ranks, read_here, examples=101, train=True)
    out = 101 % ranks
    for epoch in range(2):
        steps = list(zip(*[rank["epochs"][epoch] for rank in found], strict=True))  # as many batches on each
        assert all(len({len(batch) for batch in step}) == 1 for step in steps)
        read = [number for step in steps for batch in step for number in batch]
        assert len(read) == len(set(read)) == 101 - out
        assert len(steps) == found[0]["batches"] == -(-(101 - out) // (8 * ranks))
    assert found[0]["epochs"][0] != found[0]["epochs"][1]
    assert f"in each epoch of training {out} will not be read (others each time)" in found[0]["told"][0]
    assert not found[1]["told"]


@pytest.mark.parametrize("ranks, examples", [(2, 101), (3, 101), (3, 97)])
def test_evaluation_reads_every_example_once(pool, ranks, examples):
    found = pool.run(ranks, read_here, examples=examples, train=False)
    read = [number for rank in found for batch in rank["epochs"][0] for number in batch]
    assert sorted(read) == list(range(examples))
    assert len({len(rank["epochs"][0]) for rank in found}) == 1
    assert all(all(rank["epochs"][0]) and not rank["told"] for rank in found)


def refused_here(examples, batch_size):
    from cluster.compat.torchtext import Iterator
    from cluster.errors import InputError

    dist = joined()
    try:
        told = str(Iterator(corpus(examples), batch_size, train=False, sort=False))
    except InputError as error:
        told = str(error)
    dist.destroy_process_group()
    return told


def test_what_cannot_be_evaluated_exactly_is_refused_before_training(pool):
    for told in pool.run(2, refused_here, examples=5, batch_size=1):
        assert "5 examples in batches of 1 cannot be shared by 2 ranks" in told


def disagree_here(odd, draws):
    """What a rank is told if rank 1 holds one longer text, or another split."""
    import random

    from cluster.compat.torchtext import Iterator
    from cluster.errors import DataError

    dist = joined()
    random.seed(1 + draws * dist.get_rank())
    made = corpus(20, odd=odd if dist.get_rank() else None)
    told = ""
    try:
        Iterator(made.split()[0] if draws else made, 2)
    except DataError as error:
        told = str(error)
    dist.destroy_process_group()
    return told


def test_ranks_with_other_data_are_refused(pool):
    for arguments in ({"odd": 3, "draws": 0}, {"odd": None, "draws": 1}):
        for told in pool.run(2, disagree_here, **arguments):
            assert "rank 1 has other examples than rank 0" in told and "random.seed(1234)" in told
    assert pool.run(2, disagree_here, odd=None, draws=0) == ["", ""]


def run_ahead_here():
    """Rank 1 alone has loaded a place in an epoch."""
    from cluster.compat.torchtext import Iterator
    from cluster.errors import InputError

    dist = joined()
    iterator, told = Iterator(corpus(20), 2), ""
    if dist.get_rank() == 1:
        iterator.load_state_dict(iterator.state_dict() | {"epoch": 0, "iterations_this_epoch": 3})
    try:
        next(iter(iterator))
    except InputError as error:
        told = str(error)
    dist.destroy_process_group()
    return told


def test_ranks_at_other_places_are_refused(pool):
    for told in pool.run(2, run_ahead_here):
        assert "rank 0 begins at epoch 0, batch 0 of an iterator, rank 1 at epoch 0, batch 3" in told
