"""What does not fit into memory goes to the disk, and changes nothing."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import DataError
from cluster.text.preparation.budget import LEAST_MEBIBYTES, Budget
from cluster.text.preparation.counts import Counted, WordCounts
from cluster.text.preparation.ondisk import GrowingColumns
from cluster.text.preparation.splits import SPLITS, TRAIN, assign, vocabulary
from cluster.text.preparation.truth import Spread

WORD = st.text(max_size=3)
NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@given(documents=st.lists(st.lists(WORD, max_size=8), max_size=12), most=st.integers(1, 40))
def test_words_are_counted_whatever_goes_to_the_disk(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[str]], most: int
) -> None:
    counted = WordCounts(tmp_path_factory.mktemp("words"), most)
    for words in documents:
        counts = Counter(words)
        ones = np.ones(len(counts), dtype=np.int64)
        counted.add(list(counts), np.array(list(counts.values()), dtype=np.int64), ones)
    times, of_documents = (
        Counter(w for words in documents for w in words),
        Counter(w for d in documents for w in set(d)),
    )
    found = list(counted)
    assert len(found) == len(times)
    assert {one.word: (one.times, one.documents) for one in found} == {w: (times[w], of_documents[w]) for w in times}
    expected = sorted(times, key=lambda word: (-times[word], word))[:5]
    assert [one.word for one in vocabulary(counted.frequent(5), 5, 1)] == expected
    assert counted.distinct == len(times)


def test_half_a_surrogate_pair_and_line_ends_come_back_from_the_disk(tmp_path_factory: pytest.TempPathFactory) -> None:
    words = ["\ud800", "a\nb", "\u2028", "\x85", ""]
    counted = WordCounts(tmp_path_factory.mktemp("words"), 1)
    for word in words:
        counted.add([word], np.array([2]), np.array([1]))
    assert sorted(counted) == sorted(Counted(word, 2, 1) for word in words)


@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 1)), min_size=1, max_size=60),
    rows_at_once=st.integers(1, 20),
    test=st.sampled_from([None, 0.3]),
    validation=st.sampled_from([None, 0.3]),
)
def test_where_rows_go_does_not_depend_on_how_many_are_looked_at(
    rows: list[tuple[int, int, int]], rows_at_once: int, test: float | None, validation: float | None
) -> None:
    slots, keys, labels = (np.array(column) for column in zip(*rows, strict=True))
    keys = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # hashes fill all 64 bits
    columns = slots.astype(np.int8), keys, keys[::-1].copy(), labels.astype(np.int64)
    shares = {"validation_share": validation, "test_share": test}
    whole = assign(*columns, **shares)
    part = assign(*columns, **shares, rows_at_once=rows_at_once)
    assert part.places_N.tolist() == whole.places_N.tolist()
    assert (part.dropped, part.repeated_in_train, part.repeated_with_other_label, part.in_train_too) == (
        whole.dropped, whole.repeated_in_train, whole.repeated_with_other_label, whole.in_train_too,
    )  # fmt: skip
    train_keys = [key for slot, key in zip(slots.tolist(), keys.tolist(), strict=True) if slot == TRAIN]
    assert whole.repeated_in_train == len(train_keys) - len(set(train_keys))
    assert set(whole.in_train_too) == set(SPLITS[1:])


def test_columns_on_the_disk_are_what_was_appended(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("columns")
    with GrowingColumns(folder, {"a": np.int8, "b": np.float64, "none": np.uint64}) as growing:
        growing.append({"a": np.arange(3), "b": np.array([0.5])})
        growing.append({"a": np.arange(6)[::2]})
        found = growing.mapped()
    assert found["a"].tolist() == [0, 1, 2, 0, 2, 4] and found["a"].dtype == np.int8
    assert found["b"].tolist() == [0.5]
    assert found["none"].size == 0 and found["none"].dtype == np.uint64


@given(pieces=st.lists(NUMBERS, min_size=1, max_size=6))
def test_mean_and_deviation_of_pieces_are_those_of_all(pieces: list[list[float]]) -> None:
    spread, every = Spread(), np.concatenate([np.array(piece) for piece in pieces])
    for piece in pieces:
        spread.add(np.array(piece))
    try:
        found = spread.report()
    except DataError:  # so close together that their squares vanish
        assert every.std() < 1e-150
        return
    assert found["min"] == every.min() and found["max"] == every.max()
    assert found["mean"] == pytest.approx(every.mean(), rel=1e-9, abs=1e-9)
    assert found["std"] == pytest.approx(every.std(), rel=1e-6, abs=1e-6)


def test_a_larger_budget_holds_more() -> None:
    small, large = Budget(LEAST_MEBIBYTES), Budget(4096)
    for name in ("chunks", "words", "rows", "waiting_bytes"):
        assert 0 < getattr(small, name) < getattr(Budget(), name) < getattr(large, name)
