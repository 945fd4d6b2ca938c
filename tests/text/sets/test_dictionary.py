"""Entries of a dictionary in dictd's form."""

import gzip
from collections import Counter

import pytest

from cluster.errors import DataError
from cluster.text.sets.dictionary import entries

TEXT = """\
This is no entry.

River \\Riv"er\\ (r[i^]v"[~e]r), n. [OE. rivere, F. rivi[`e]re.]
   1. A large stream of water flowing in a {bed} or channel.
      [1913 Webster]

            Transparent and sparkling rivers. --Macaulay. [Obs. [and old]]

River \\Riv"er\\, v. i.
   To hawk by the side of a river. [Obs.]

Short \\Short\\, a.
   See {Long}.
"""


def test_entries_are_texts_of_words_without_marks_and_sources():
    dropped = Counter()
    found = entries(gzip.compress(TEXT.encode()), dropped)
    assert [one for its in found.values() for one in its] == [
        {
            "title": "River",
            "text": "River: 1. A large stream of water flowing in a bed or channel. Transparent and sparkling rivers. "
            "--Macaulay.",
        },
        {"title": "River", "text": "River: To hawk by the side of a river."},
    ]
    assert dropped == {"no entry of a word": 1, "shorter than three words": 1}


def test_all_entries_of_a_word_are_on_one_side():
    many = "".join(f"word{n} \\word\\\n   One two three four {k}.\n" for n in range(500) for k in range(3))
    found = entries(gzip.compress(many.encode()), Counter())
    sides = {split: {one["title"] for one in its} for split, its in found.items()}
    assert sum(map(len, sides.values())) == 500 and all(sides.values())
    assert sum(map(len, found.values())) == 1500


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"x" * 1000)[:-9]], ids=["nothing", "no gzip", "a torn end"]
)
def test_what_is_damaged_is_refused(content):
    with pytest.raises(DataError, match="the dictionary is damaged"):
        entries(content, Counter())
