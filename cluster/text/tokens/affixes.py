"""What the letters of a word tell of it: its first letter, its ending, its shape, each hashed to a row of a table.

The same three, beside the word itself, are what spaCy's taggers read (explosion.ai, "Multi Hash Embeddings in spaCy",
arxiv.org/abs/2212.09255): a word that training never met still ends in "-ing" or begins with a capital.
"""

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.data.manifest import AFFIX_ROWS

LANE_BITS = 16
"""Four numbers in 64 bits, the lowest first: the row of a tag or mark (or 0), first letter, ending, shape."""
ENDING_LETTERS = 3
WIDE_FROM = "⺀"  # U+2E80: Han, kana and the like, where a single sign says as much as an ending
LONGEST_RUN = 4  # of a shape: "internationalisation" looks as "word" does


def affixes_of(word: str) -> int:
    """First letter, ending and shape in their lanes, the lowest lane left free."""
    ending = word[-1] if word[-1] >= WIDE_FROM else word[-ENDING_LETTERS:].lower()
    rows = (_row("first", word[0]), _row("ending", ending), _row("shape", shape(word)))
    return sum(row << (LANE_BITS * lane) for lane, row in enumerate(rows, start=1))


def apart(beside: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The four numbers that stand in one of 64 bits, side by side in an axis of their own; others as they are."""
    return beside if beside.dtype != np.uint64 else beside[..., None].view("<u2")


def shape(word: str) -> str:
    """`Xxxx-dd` for `Boeing-74`: letters as x or X, digits as d, all else itself, runs cut short."""
    letters: list[str] = []
    for letter in word:
        kind = ("X" if letter.isupper() else "x") if letter.isalpha() else "d" if letter.isdigit() else letter
        if letters[-LONGEST_RUN:] != [kind] * LONGEST_RUN:
            letters.append(kind)
    return "".join(letters)


def _row(which: str, letters: str) -> int:
    """The same on every machine; never 0."""
    return 1 + zlib.crc32(f"{which} {letters}".encode("utf-8", "surrogatepass")) % (AFFIX_ROWS - 1)
