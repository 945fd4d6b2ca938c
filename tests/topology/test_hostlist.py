"""Slurm's host lists: by a table, by properties, and against Slurm's own client where it is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.topology.hostlist import MOST_HOSTS, expanded


@pytest.mark.parametrize(
    "words, names",
    [
        ("", []),
        ("login", ["login"]),
        ("a,b", ["a", "b"]),
        (" a , b,,c ", ["a", "b", "c"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[001-004,7]", ["n001", "n002", "n003", "n004", "n7"]),
        ("n[08-11]", ["n08", "n09", "n10", "n11"]),  # as wide as the first
        ("n[99-101]", ["n99", "n100", "n101"]),
        ("n[098-101]", ["n098", "n099", "n100", "n101"]),
        ("n[2,1]", ["n2", "n1"]),  # in its order
        ("n[1-2],n[2-3]", ["n1", "n2", "n2", "n3"]),
        ("gpu-[1-2]x[0-1]", ["gpu-1x0", "gpu-1x1", "gpu-2x0", "gpu-2x1"]),
        ("r[1-2][3-4]", ["r13", "r14", "r23", "r24"]),
        ("n[1,3].site", ["n1.site", "n3.site"]),
        ("n[0-0]", ["n0"]),
    ],
)
def test_names(words, names):
    assert expanded(words) == names


@pytest.mark.parametrize("words", ["n[3-1]", "n[]", "n[1", "n]1", "n[a-b]", "n[1-2", "n[[1-2]]", "n[1--2]", "n[-1]"])
def test_what_is_no_host_list_is_refused_with_itself(words):
    with pytest.raises(ValueError, match="host list|range") as refused:
        expanded(words)
    assert repr(words) in str(refused.value)


@pytest.mark.parametrize(
    "words", ["n[1-70000]", "n[1-999999999999]", "n[1-999][1-999][1-999]", "a[1-40000],b[1-40000]"]
)
def test_a_list_without_end_is_refused_at_once(words):
    with pytest.raises(ValueError, match=str(MOST_HOSTS)):
        expanded(words)


PREFIXES = st.from_regex(r"[a-z][a-z0-9-]{0,5}[a-z-]", fullmatch=True)
RANGES = st.tuples(st.integers(0, 400), st.integers(0, 30), st.integers(1, 5)).map(
    lambda part: (part[0], part[0] + part[1], part[2])
)


@st.composite
def lists(draw):
    """A host list, and the names in it, made without `hostlist.py`."""
    entries, names = [], []
    for prefix, ranges in draw(st.lists(st.tuples(PREFIXES, st.lists(RANGES, max_size=3)), max_size=4)):
        if not ranges:
            entries.append(prefix)
            names.append(prefix)
            continue
        parts = []
        for first, last, width in ranges:
            start = str(first).zfill(width)
            parts.append(start if first == last else f"{start}-{last}")
            names += [prefix + str(number).zfill(len(start)) for number in range(first, last + 1)]
        entries.append(f"{prefix}[{','.join(parts)}]")
    return ",".join(entries), names


@given(lists())
def test_any_list_gives_the_names_it_was_made_of(case):
    words, names = case
    assert expanded(words) == names


@given(st.text(alphabet="n[]-,0123 x", max_size=20))
def test_no_words_break_it(words):
    try:
        names = expanded(words)
    except ValueError:
        return
    assert all(names)


def test_slurms_own_client_gives_the_same(slurm):
    for words in ("n[001-004,7],gpu-[1-2]x[0-1]", "n[08-11]", "r[1-2][3-4]", "a,b[2,1],c", "n[099-101],n[7,008-10]"):
        assert expanded(words) == slurm.output("scontrol", "show", "hostnames", words).split()
