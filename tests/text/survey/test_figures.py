import numpy as np
import pytest

from cluster.text.survey import figures


@pytest.mark.parametrize(
    "lengths, expected",
    [
        ([], []),
        ([3], [(1, 1, 0), (2, 2, 0), (3, 3, 1)]),
        ([0, 1], [(0, 0, 1), (1, 1, 1)]),
        ([5] * 99 + [1000], [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 4, 0), (5, None, 100)]),  # one is far longer
        (list(range(1, 25)), [(n, n + 1, 2) for n in range(1, 25, 2)]),
    ],
)
def test_lengths_in_ranges(lengths, expected):
    found = figures.length_histogram(np.array(lengths, dtype=np.uint32))
    assert [(row["from"], row["to"], row["documents"]) for row in found] == expected


def test_every_document_is_in_one_range():
    lengths = np.random.default_rng(1).lognormal(4, 1.5, 10_000).astype(np.uint32)
    rows = figures.length_histogram(lengths)
    assert sum(row["documents"] for row in rows) == 10_000 and len(rows) <= figures.BARS + 1
    for row in rows:
        inside = (lengths >= row["from"]) & ((lengths <= row["to"]) if row["to"] is not None else True)
        assert row["documents"] == np.count_nonzero(inside)


def test_numbers_in_ranges():
    rows = figures.number_histogram(np.array([0.0, 0.5, 12.0]))
    assert [row["documents"] for row in rows] == [2, *[0] * 10, 1] and rows[-1]["to"] == 12
    assert [row["documents"] for row in figures.number_histogram(np.array([2.0, 2.0]))] == [2]
    assert figures.number_histogram(np.array([])) == []
    neighbours = figures.number_histogram(np.array([0.3, 0.1 + 0.2]))  # no number lies between them
    assert [row["documents"] for row in neighbours] == [2]


def test_quantiles_are_values_that_occur():
    told = figures.described(np.array([1, 2, 3, 100]))
    assert (told["min"], told["median"], told["99%"], told["max"], told["mean"]) == (1, 2, 100, 100, 26.5)
    assert figures.described(np.array([]))["max"] == 0


def test_coverage_grows_with_the_vocabulary():
    counts = {"train": np.array([6, 3, 1]), "test": np.array([2, 0, 1])}
    rows = figures.growth(counts, {"train": 0, "test": 1}, kept=2, distinct=3)
    assert [(row["words"], row["kept"], row["train"], row["test"]) for row in rows] == [
        (2, True, 0.9, 0.5),
        (3, False, 1.0, 0.75),
    ]
    assert figures.coverage(np.array([], dtype=np.int64), 0, 5) == 1.0  # nothing is unknown where nothing is


@pytest.mark.parametrize("size, min_count, kept", [(10, 1, 4), (2, 1, 2), (10, 2, 3), (10, 9, 0)])
def test_words_kept(size, min_count, kept):
    assert figures.kept_words(np.array([8, 4, 2, 1]), size, min_count) == kept


@pytest.mark.parametrize(
    "count, wanted, places", [(0, 3, []), (1, 3, [0]), (2, 3, [0, 1]), (3, 3, [0, 1, 2]), (9, 3, [0, 4, 8])]
)
def test_spread(count, wanted, places):
    assert figures.spread(count, wanted) == places


def test_labels_per_document():
    assert figures.labels_per_document(np.array([[1, 0], [0, 0], [1, 1], [0, 1]])) == {"0": 1, "1": 2, "2": 1}
