"""The kernel's lists of CPUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.topology import cpulist


@pytest.mark.parametrize(
    "words, numbers",
    [
        ("0-3,8", [0, 1, 2, 3, 8]),
        ("0", [0]),
        ("", []),  # a NUMA node of memory alone
        ("\n", []),
        ("8,0-1\n", [0, 1, 8]),
        ("0-2,1-3", [0, 1, 2, 3]),
    ],
)
def test_what_a_list_means(words, numbers):
    assert cpulist.parsed(words) == numbers


@pytest.mark.parametrize("words", ["3-", "-3", "5-3", "0,,1", "0 1", "max", "0x3", "1_0", "0-1-2", "٣"])
def test_anything_else_is_refused(words):
    with pytest.raises(ValueError):
        cpulist.parsed(words)


@given(st.sets(st.integers(0, 2000)))
def test_written_numbers_are_read_back(numbers):
    words = cpulist.written(numbers)
    assert cpulist.parsed(words) == sorted(numbers)
    runs = sum(number - 1 not in numbers for number in numbers)
    assert len(words.split(",")) == max(runs, 1)


@given(st.text(max_size=12))
def test_any_words_are_numbers_or_refused(words):
    try:
        numbers = cpulist.parsed(words)
    except ValueError:
        return
    assert cpulist.parsed(cpulist.written(numbers)) == numbers
