"""Data sets: how they are parted, and examples made by hand."""

import random

import pytest

from cluster.compat.torchtext import Dataset, Example, Field, LabelField
from cluster.errors import DataError, InputError

FIELDS = [("number", Field(sequential=False, use_vocab=False)), ("label", LabelField())]


@pytest.fixture
def data():
    return Dataset([Example.fromlist([number, "ab"[number % 4 == 0]], FIELDS) for number in range(20)], FIELDS)


def numbers(part):
    return [example.number for example in part]


def test_a_split_follows_random_and_leaves_it_as_it_is(data):
    random.seed(7)
    train, test = data.split(0.7)
    drawn = random.sample(range(20), 20)  # as if the split had drawn nothing
    assert numbers(train) == drawn[:14] and numbers(test) == drawn[14:]
    random.seed(7)
    assert numbers(data.split(0.7, random_state=random.getstate())[0]) == drawn[:14]
    assert train.fields == data.fields


def test_three_parts_come_as_train_validation_and_test(data):
    train, validation, test = data.split([6, 3, 1])  # the shares of train, test, validation
    assert [len(train), len(validation), len(test)] == [12, 2, 6]
    assert sorted(numbers(train) + numbers(validation) + numbers(test)) == list(range(20))


def test_strata_keep_their_shares(data):
    data.sort_key = len
    train, test = data.split(0.6, stratified=True)
    assert sorted(train.label) == ["a"] * 9 + ["b"] * 3 and sorted(test.label) == ["a"] * 6 + ["b"] * 2
    assert train.sort_key is len
    with pytest.raises(InputError, match="strata_field='class' is no column; there are 'number', 'label'"):
        data.split(stratified=True, strata_field="class")


@pytest.mark.parametrize("ratio", [0, 1.0, [0.5], [1, -1], [0, 0], [1, 1, 1, 1]])
def test_shares_that_are_none(data, ratio):
    with pytest.raises(InputError, match="split_ratio"):
        data.split(ratio)


def test_a_seed_is_no_state(data):
    with pytest.raises(InputError, match="random.seed"):
        data.split(random_state=5)


def test_columns_under_two_names(data):
    upper, lower = Field(preprocessing=lambda words: [word.upper() for word in words]), Field()
    fields = [(("loud", "low"), (upper, lower)), ("left", None)]
    one = Example.fromlist(["a b\n", "x"], fields)
    assert vars(one) == {"loud": ["A", "B"], "low": ["a", "b"]}
    made = Dataset([one], fields)
    assert made.fields == {"loud": upper, "low": lower}
    lower.build_vocab(made)
    assert lower.vocab.itos == ["<unk>", "<pad>", "a", "b"]
    lower.build_vocab(made.low, max_size=1)
    made.filter_examples(["low"])
    assert one.low == ["a"]
    with pytest.raises(AttributeError, match="no column"):
        _ = made.left


def test_examples_that_cannot_be_made():
    with pytest.raises(DataError, match="no key 'text'"):
        Example.fromdict({"a": 1}, {"text": ("text", Field())})
    with pytest.raises(InputError, match="fromtree"):
        Example.fromtree("(a b)", FIELDS)
    with pytest.raises(InputError, match="TabularDataset.splits"):
        Dataset.splits(path=".", train="a")
