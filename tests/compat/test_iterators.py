"""Iterators on one rank: what is in a batch, and in which order."""

import copy

import pytest
import torch

from cluster.compat.torchtext import (
    Batch,
    BucketIterator,
    Dataset,
    Example,
    Field,
    Iterator,
    LabelField,
    data,
    interleave_keys,
)
from cluster.errors import DataError, InputError, PlanError


def length(example):
    return len(example.text)


@pytest.fixture
def corpus():
    """Texts of 1 to 10 words, in a mixed order, each with its number."""
    fields = [("text", Field(include_lengths=True)), ("number", LabelField(use_vocab=False))]
    texts = [["word"] * (number * 7 % 10 + 1) for number in range(50)]
    made = Dataset([Example.fromlist([text, number], fields) for number, text in enumerate(texts)], fields)
    made.fields["text"].build_vocab(made)
    return made


def numbers(iterator):
    return [batch.number.tolist() for batch in iterator]


def lengths(iterator):
    return [batch.text[1].tolist() for batch in iterator]


def test_the_order_of_the_data(corpus):
    iterator = Iterator(corpus, 20, train=False, sort=False)
    assert numbers(iterator) == [list(range(20)), list(range(20, 40)), list(range(40, 50))]
    assert len(iterator) == 3


def test_sorted_batches_ascend_and_each_descends(corpus):
    found = lengths(Iterator(corpus, 20, sort_key=length, train=False))
    assert found == [[4] * 5 + [3] * 5 + [2] * 5 + [1] * 5, [8] * 5 + [7] * 5 + [6] * 5 + [5] * 5, [10] * 5 + [9] * 5]
    ascending = lengths(Iterator(corpus, 20, sort_key=length, train=False, sort_within_batch=False))
    assert ascending[0] == found[0][::-1]


def test_training_shuffles_anew_in_each_epoch_and_follows_torchs_seed(corpus):
    torch.manual_seed(3)
    iterator = Iterator(corpus, 20)
    first, second = numbers(iterator), numbers(iterator)
    assert first != second and sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(50))
    torch.manual_seed(3)
    again = Iterator(corpus, 20)
    assert [numbers(again), numbers(again)] == [first, second]
    torch.manual_seed(4)
    assert numbers(Iterator(corpus, 20)) != first


def test_a_bucket_holds_texts_of_about_one_length(corpus):
    found = lengths(BucketIterator(corpus, 5, sort_key=length))
    assert all(max(one) - min(one) <= 1 for one in found) and found != sorted(found)
    packed = lengths(BucketIterator(corpus, 7, sort_key=length, sort_within_batch=True))
    assert all(one == sorted(one, reverse=True) for one in packed)


def test_without_a_key_a_bucket_iterator_shuffles_alone(corpus):
    assert sorted(sum(numbers(BucketIterator(corpus, 20)), [])) == list(range(50))


def test_splits_train_on_the_first_and_keep_the_others_in_order(corpus):
    corpus.sort_key = length
    train, test = BucketIterator.splits((corpus, corpus), batch_sizes=(10, 25), sort=False)
    assert (len(train), len(test)) == (5, 2) and train.train and not test.train
    assert numbers(test) == [list(range(25)), list(range(25, 50))]
    assert numbers(train) != numbers(train)


def test_a_batch_is_a_pair_of_inputs_and_targets(corpus):
    batch = next(iter(Iterator(corpus, 20, train=False, sort=False, device=torch.device("cpu"))))
    (text, text_lengths), number = batch
    assert text is batch.text[0] and number is batch.number and text_lengths.device.type == "cpu"
    assert batch.batch_size == len(batch) == 20 and batch.fields == ["text", "number"]
    assert batch.input_fields == ["text"] and batch.target_fields == ["number"]
    assert repr(batch) == "Batch of 20: text, number"
    with pytest.raises(AttributeError, match="no attribute 'texts'; its columns are 'text', 'number'"):
        _ = batch.texts
    assert copy.copy(batch).number is number
    assert Batch(corpus.examples[:2], corpus).number.tolist() == [0, 1]


def test_batches_of_so_many_words(corpus):
    def words(new, count, so_far):
        return max(so_far / (count - 1) if count > 1 else 0, length(new)) * count

    iterator = BucketIterator(corpus, 30, sort_key=length, batch_size_fn=words)
    found = lengths(iterator)
    assert all(max(one) * len(one) <= 30 for one in found) and sum(map(len, found)) == 50
    assert len(iterator) == len(found)


def test_repeating_goes_on_with_the_next_epoch(corpus):
    iterator = Iterator(corpus, 20, repeat=True)
    places = []
    for _, batch in zip(range(7), iterator, strict=False):
        places.append((iterator.epoch, iterator.iterations, len(batch)))
    assert places == [(0, 1, 20), (0, 2, 20), (0, 3, 10), (1, 4, 20), (1, 5, 20), (1, 6, 10), (2, 7, 20)]


def test_a_loop_that_was_left_does_not_come_again(corpus):
    iterator, whole = Iterator(corpus, 20), Iterator(corpus, 20)
    for _ in iterator:
        break
    numbers(whole)
    assert numbers(iterator) == numbers(whole)


@pytest.mark.parametrize("after", [0, 2, 3, 4])
def test_a_state_goes_on_where_it_was(corpus, after):
    whole = Iterator(corpus, 20)
    expected = sum((numbers(whole) for _ in range(3)), [])
    begun = Iterator(corpus, 20)
    found = []
    while len(found) < after:
        for batch in begun:
            found.append(batch.number.tolist())
            if len(found) == after:
                break
    torch.manual_seed(99)
    resumed = Iterator(corpus, 20)
    resumed.load_state_dict(begun.state_dict())
    while len(found) < 9:
        found += numbers(resumed)
    assert found == expected


def test_states_that_do_not_fit_are_refused(corpus):
    iterator = Iterator(corpus, 20)
    with pytest.raises(InputError, match="of an iterator on 2 ranks"):
        iterator.load_state_dict(iterator.state_dict() | {"ranks": 2})
    with pytest.raises(InputError, match="random_state_this_epoch"):
        iterator.load_state_dict({"iterations": 1, "random_state_this_epoch": None})
    iterator.load_state_dict(iterator.state_dict())
    iterator.init_epoch()
    assert len(numbers(iterator)) == 3


def test_lists_of_neighbours():
    assert list(data.batch("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(data.batch(["aa", "b", "cccc"], 3, lambda new, count, so_far: so_far + len(new))) == [
        ["aa", "b"],
        ["cccc"],
    ]
    assert interleave_keys(0b11, 0b01) == 0b1011 and interleave_keys(1 << 20, 0) == 1 << 41


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"batch_size": 20, "train": False}, "sort needs sort_key"),
        ({"batch_size": 20, "sort_within_batch": True}, "sort_within_batch needs sort_key"),
        ({"batch_size": 20, "device": 0}, 'device="cuda:0"'),
        ({"batch_size": 20, "device": "gpu"}, "none of torch's"),
    ],
)
def test_wrong_arguments_are_refused(corpus, settings, words):
    with pytest.raises(InputError, match=words):
        BucketIterator(corpus, **settings)


def test_splits_need_a_size_for_each(corpus):
    with pytest.raises(InputError, match="needs batch_size"):
        Iterator.splits((corpus,))
    with pytest.raises(InputError, match="as many as the data sets"):
        Iterator.splits((corpus, corpus), batch_sizes=(1,))


def test_minus_one_is_the_cpu_and_no_example_is_no_data(corpus):
    assert Iterator(corpus, 20, device=-1).device == torch.device("cpu")
    with pytest.raises(DataError, match="holds no examples"):
        Iterator(Dataset([], corpus.fields), 20)


def test_a_class_that_would_plan_batches_itself_is_refused():
    with pytest.raises(InputError, match="Own has a create_batches of its own"):

        class Own(Iterator):
            def create_batches(self):
                pass


def test_ranks_without_a_process_group_are_refused_with_the_lines_to_add(corpus, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(PlanError, match=r"(?s)no process group.*init_process_group.*DistributedDataParallel\(model\)"):
        Iterator(corpus, 20)
