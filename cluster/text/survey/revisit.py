"""The sources of prepared data read once more: keys of all texts, the texts of some documents, words nobody knows.

A document is known by its source: index of the file << 40 | line, as the `source` column of the shards has it.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Data, Text
from cluster.config.tasks import TaskKind
from cluster.errors import DataError
from cluster.text.keys import text_key
from cluster.text.raw.read import Rejected, Row, blocks, parse
from cluster.text.tokens.given import GivenWords, RawSplits
from cluster.text.tokens.numbering import splits_of

LINE_BITS = 40
# Distinct words held at once (100 MB). Beyond, those met once are forgotten: what is left is exact for frequent words.
MOST_WORDS = 1 << 20

Keys = npt.NDArray[np.uint64]


@dataclass
class Reasons:
    """Rejected rows by reason (without the numbers and values in it), each with its first place."""

    rows: Counter[str] = field(default_factory=Counter)
    first: dict[str, Rejected] = field(default_factory=dict)

    def add(self, bad: Rejected) -> None:
        reason = re.sub(r"\d+", "#", re.sub(r" is '.*'", " is '...'", bad.reason))[:200]
        if len(self.first) >= 1000 and reason not in self.first:  # reasons that quote the text are endless
            reason = "other reasons"
        self.rows[reason] += 1
        self.first.setdefault(reason, bad)

    def told(self) -> list[dict[str, Any]]:
        """The most frequent first."""
        return [
            {"reason": reason, "rows": count, "file": self.first[reason].file, "line": self.first[reason].line,
             "first": self.first[reason].reason}
            for reason, count in self.rows.most_common()
        ]  # fmt: skip


def rows_of(files: Sequence[Path], data: Data, task: TaskKind) -> Iterator[tuple[int, Row | Rejected]]:
    """The source and the row, for all rows of all files. Raises DataError."""
    for number, path in enumerate(files):
        for block in blocks(path, data):
            rows, rejected = parse(block, data, task)
            together: list[Row | Rejected] = [*rows, *rejected]
            for row in together:
                yield number << LINE_BITS | row.line, row


def keys_of(files: Sequence[Path], data: Data, task: TaskKind) -> tuple[Keys, Keys, Reasons]:
    """The source of each readable row, in ascending order; the key of its text; why the others are none."""
    sources, keys, reasons = array("Q"), array("Q"), Reasons()
    for source, row in rows_of(files, data, task):
        if isinstance(row, Rejected):
            reasons.add(row)
        else:
            sources.append(source)
            keys.append(text_key(row.identity))
    found, numbers = np.array(sources, dtype=np.uint64), np.array(keys, dtype=np.uint64)
    order = np.argsort(found, kind="stable")
    return found[order], numbers[order], reasons


def key_of(wanted: Keys, sources: Keys, keys: Keys) -> Keys:
    """The keys of these sources. Raises DataError if one is not there."""
    places = np.searchsorted(sources, wanted)
    if places.size and (places.max() >= sources.size or (sources[places] != wanted).any()):
        raise DataError("the sources were changed while they were looked at: look again once they rest.")
    return keys[places]


def twins(keys: Keys, sources: Keys, train_keys: Keys, train_sources: Keys) -> list[tuple[int, int]]:
    """Documents whose text stands in the training split too: the source of each, and the first of its twins there."""
    distinct, first = np.unique(train_keys, return_index=True)
    places = np.minimum(np.searchsorted(distinct, keys), max(0, distinct.size - 1))
    there = np.flatnonzero(distinct[places] == keys) if distinct.size else np.empty(0, dtype=np.int64)
    return list(zip(sources[there].tolist(), train_sources[first[places[there]]].tolist(), strict=True))


@dataclass
class Found:
    """What a second reading was asked for."""

    rows: dict[int, Row] = field(default_factory=dict)
    """By source."""
    unknown: dict[str, Counter[str]] = field(default_factory=dict)
    """Words outside the known ones, by split."""


def read_again(
    files: Sequence[Path],
    data: Data,
    task: TaskKind,
    text: Text,
    wanted: Iterable[int],
    with_unknown: Mapping[str, Keys],
    known: frozenset[str],
) -> Found:
    """The rows of the sources `wanted`, and the words that are not `known` of those in `with_unknown`, by split."""
    found, chosen = Found(unknown={split: Counter() for split in with_unknown}), set(wanted)
    of_split = {split: np.sort(sources) for split, sources in with_unknown.items()}
    given = task in ("tag", "answer")
    forms = GivenWords(text, marked=False) if given else None
    raw = RawSplits(text) if task == "answer" else None
    splits = None if forms else splits_of(text)
    for source, row in rows_of(files, data, task):
        if isinstance(row, Rejected):
            continue
        if source in chosen:
            found.rows[source] = row
        for split, sources in of_split.items():
            if _holds(sources, source):
                if forms is not None:
                    words = row.words[: text.max_tokens] if raw is None else raw.words(row.text)
                    tokens: Sequence[str] = [forms.form(word) for word in words]
                else:
                    assert splits is not None
                    sides = [row.text, row.written] if task == "rewrite" else [row.text]
                    tokens = [token for found_in, _ in splits.each(sides) for token in found_in[: text.max_tokens]]
                counted = found.unknown[split]
                counted.update(token for token in tokens if token not in known)
                if len(counted) > MOST_WORDS:
                    found.unknown[split] = Counter({word: count for word, count in counted.items() if count > 1})
    return found


def _holds(sources: Keys, source: int) -> bool:
    place = int(np.searchsorted(sources, np.uint64(source)))
    return place < sources.size and int(sources[place]) == source
