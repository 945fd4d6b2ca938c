"""How often words stand somewhere, for more words than memory holds."""

import heapq
import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cluster.text.tokens.numbering import Numbers

Counts = npt.NDArray[np.int64]


class Counted(NamedTuple):
    """A word, how often it stands in the texts, and in how many of them."""

    word: str
    times: int
    documents: int


class WordCounts:
    """Adds up the counts of words; `most` are in memory, all others in sorted runs in `folder`, merged at the end."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self.distinct = 0
        """How many words there are, once they were gone through."""
        self._runs: list[Path] = []
        self._numbers = Numbers()
        self._counts: Counts = np.zeros(1 << 16, dtype=np.int64)
        self._documents: Counts = np.zeros(1 << 16, dtype=np.int64)

    def add(self, words: Sequence[str], counts: Counts, documents: Counts) -> None:
        """Some words, each once, with what is to be added to their counts."""
        where = np.fromiter((self._numbers[word] for word in words), dtype=np.int64, count=len(words))
        while len(self._numbers) > self._counts.size:
            self._counts = np.pad(self._counts, (0, self._counts.size))
            self._documents = np.pad(self._documents, (0, self._documents.size))
        self._counts[where] += counts
        self._documents[where] += documents
        if len(self._numbers) > self._most:
            self._spill()

    def __iter__(self) -> Iterator[Counted]:
        """Every word once; in their order if some went to the disk."""
        if self._runs:
            yield from self._merged()
        else:
            self.distinct = len(self._numbers)
            yield from map(Counted, self._numbers, self._counts.tolist(), self._documents.tolist())

    def frequent(self, most: int) -> Iterator[Counted]:
        """Each of the `most` most frequent words once, with those that are as frequent as the last; others too, if some
        went to the disk."""
        self.distinct = len(self._numbers)
        if self._runs or self.distinct <= most:
            yield from self
            return
        counts = self._counts[: self.distinct]
        least = np.partition(counts, self.distinct - most)[self.distinct - most]
        names = self._numbers.names
        for number in np.flatnonzero(counts >= least).tolist():
            yield Counted(names[number], int(counts[number]), int(self._documents[number]))

    def _merged(self) -> Iterator[Counted]:
        if self._numbers:
            self._spill()
        self.distinct = 0
        merged = heapq.merge(*map(_read, self._runs))
        for word, same in groupby(merged, key=lambda one: one.word):
            found = list(same)
            self.distinct += 1
            yield Counted(word, sum(one.times for one in found), sum(one.documents for one in found))

    def _spill(self) -> None:
        path = self._folder / f"words-{len(self._runs):05d}.jsonl"
        counted = sorted(map(Counted, self._numbers, self._counts.tolist(), self._documents.tolist()))
        with open(path, "w") as file:  # ASCII: JSON escapes the rest, half surrogates too
            file.writelines(json.dumps(one) + "\n" for one in counted)
        self._runs.append(path)
        self._numbers = Numbers()
        self._counts[:] = self._documents[:] = 0


def _read(path: Path) -> Iterator[Counted]:
    with open(path) as file:
        for line in file:
            yield Counted(*json.loads(line))
