"""The Collaborative International Dictionary of English as its Debian package holds it: entries, each a text.

An entry begins with its word at the start of a line; what follows is indented (dictd's form).
"""

import gzip
import re
import zlib
from collections import Counter
from typing import Any

from cluster.errors import DataError
from cluster.text.keys import share_of, text_key

TEST_SHARE = VALIDATION_SHARE = 0.02
"""Shares of the words that are held out, with all of their entries."""
LEAST_WORDS = 3
"""A text shorter than this says no more than that a word exists."""
_ENTRY = re.compile(r"^(?=\S)", re.MULTILINE)
_PRONOUNCED = re.compile(r"\\[^\\]*\\")
_REFERENCE = re.compile(r"[{}]")
_BRACKETS = re.compile(r"\[[^\[\]]*\]")
"""Sources, remarks on usage, and letters with marks: [1913 Webster], [Obs.], ["e]."""


def entries(content: bytes, dropped: Counter[str]) -> dict[str, list[dict[str, Any]]]:
    """From the bytes of `gcide.dict.dz`. Raises DataError if they are damaged."""
    try:
        text = gzip.decompress(content).decode("utf-8", errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"the dictionary is damaged: {error}") from error
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    for entry in _ENTRY.split(text):
        head, _, said = entry.partition("\n")
        word = head.partition("\\")[0].strip()
        if not word or "\\" not in head:
            dropped["no entry of a word"] += bool(entry.strip())
            continue
        said = _without_brackets(_REFERENCE.sub("", _PRONOUNCED.sub(" ", f"{word}: {said}")))
        if len(said.split()) < LEAST_WORDS + len(word.split()):
            dropped["shorter than three words"] += 1
            continue
        splits[_split_of(word)].append({"title": word, "text": said})
    if not any(splits.values()):
        raise DataError("the dictionary is damaged: it holds no entry")
    return splits


def _without_brackets(text: str) -> str:
    while (inner := _BRACKETS.sub("", text)) != text:  # some stand in others
        text = inner
    return " ".join(text.split())


def _split_of(word: str) -> str:
    share = share_of(text_key(word), "dictionary")
    if share < TEST_SHARE:
        return "test"
    return "validation" if share < TEST_SHARE + VALIDATION_SHARE else "train"
