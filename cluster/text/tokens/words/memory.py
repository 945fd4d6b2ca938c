"""What is known of chunks: the tokens of each, as numbers."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, repeat

import numpy as np
import numpy.typing as npt

from cluster.text.tokens.found import Tokens
from cluster.text.tokens.words.splitting import Split

Chunks = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]
UNKNOWN = -1
"""In a chunk's number's place."""


class Names:
    """Numbers for names, in the order of their first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.names: list[str] = []

    def of(self, names: Iterable[str]) -> list[int]:
        """The number of each name."""
        numbers = self._numbers
        find = numbers.setdefault
        found = [find(name, len(numbers)) for name in names]
        new = len(numbers) - len(self.names)
        if new:
            self.names += list(islice(reversed(numbers), new))[::-1]
        return found


class Memory:
    """The tokens of chunks, one chunk after the other, and the word that each token becomes.

    `become`: the word for each token; one that is left out becomes the empty word, which has the number 0. `marks`:
    pairs of tokens that are looked for (`marked`). The chunk of nothing is known from the beginning.
    """

    def __init__(self, become: Callable[[Sequence[str]], Sequence[str]], marks: Sequence[tuple[str, str]]) -> None:
        self._become = become
        self._chunks: dict[str, int] = {}
        self._starts, self._counts, self._tokens, self._words_of = array("I"), array("I"), array("I"), array("I")
        self._names, self._words = Names(), Names()
        self._words.of([""])
        self.keep([""], Split.of([()]))
        tokens = sorted({token for mark in marks for token in mark if token})
        self.keep_text(tokens)  # so that they have the first numbers
        self._unmarked = len(tokens)
        self._marks = np.zeros((len(tokens) + 1, len(tokens) + 1), dtype=np.bool_)
        for one, other in marks:
            self._marks[tokens.index(one), tokens.index(other) if other else len(tokens)] = True

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, chunks: Sequence[str]) -> Chunks:
        """The number of each chunk; `UNKNOWN` for one that was never kept."""
        return np.fromiter(map(self._chunks.get, chunks, repeat(UNKNOWN)), dtype=np.int64, count=len(chunks))

    def keep(self, chunks: Sequence[str], split: Split) -> int:
        """Distinct chunks that are not known yet; the number of the first, from which the others count on."""
        first = len(self)
        starts = np.cumsum(split.counts) - split.counts + len(self._tokens)
        for kept, values in ((self._starts, starts), (self._counts, split.counts)):
            as_given = np.empty(len(values), dtype=np.uint32)
            as_given[split.places] = values
            kept.frombytes(as_given.tobytes())
        tokens = np.array(self._named(split.tokens), dtype=np.uint32)
        self._tokens.frombytes(tokens[split.which].tobytes())  # as they were split
        self._chunks.update(zip(chunks, range(first, len(self)), strict=True))
        return first

    def keep_other(self, chunk: str, tokens: Sequence[str]) -> int:
        """Other tokens for a chunk that is known; its new number."""
        number = self.keep_text(tokens)
        self._chunks[chunk] = number
        return number

    def keep_text(self, tokens: Sequence[str]) -> int:
        """The tokens of a whole text, as of a chunk that nobody will look up; its number."""
        self._starts.append(len(self._tokens))
        self._counts.append(len(tokens))
        self._tokens.extend(self._named(tokens))
        return len(self) - 1

    def marked(self, first: int) -> list[int]:
        """The chunks from number `first` on in which one of the pairs of tokens stands that were named as marks."""
        starts, counts = (np.array(one[first:], dtype=np.int64) for one in (self._starts, self._counts))
        start = int(starts.min(initial=len(self._tokens)))
        tokens = np.minimum(np.array(self._tokens[start:], dtype=np.int64), self._unmarked)
        found = self._marks[tokens, self._unmarked]  # by itself
        found[:-1] |= self._marks[tokens[:-1], tokens[1:]]
        places = np.flatnonzero(found) + start
        some = np.flatnonzero(counts)
        by_start = some[np.argsort(starts[some])]
        within = np.searchsorted(starts[by_start], places, side="right") - 1
        chunks: list[int] = (np.unique(by_start[within]) + first).tolist()
        return chunks

    def tokens(self, number: int) -> Tokens:
        """Those of the chunk of that number."""
        start = self._starts[number]
        names = self._names.names
        return tuple([names[token] for token in self._tokens[start : start + self._counts[number]]])

    def words(self, numbers: Chunks) -> tuple[Words, Chunks]:
        """The words that the tokens of these chunks become, one chunk after the other, as numbers in `names`, those
        left out as 0; and how many each chunk has."""
        counts, starts = (_seen(one)[numbers].astype(np.int64) for one in (self._counts, self._starts))
        ends = np.cumsum(counts)
        places = np.repeat(starts - (ends - counts), counts) + np.arange(ends[-1] if ends.size else 0)
        return _seen(self._words_of)[_seen(self._tokens)[places]], counts

    @property
    def names(self) -> Sequence[str]:
        """All words."""
        return self._words.names

    def _named(self, tokens: Sequence[str]) -> list[int]:
        """The numbers of tokens; new ones get their words."""
        known = len(self._names.names)
        numbers = self._names.of(tokens)
        if known < len(self._names.names):
            self._words_of.extend(self._words.of(self._become(self._names.names[known:])))
        return numbers


def _seen(numbers: "array[int]") -> Words:
    """Without a copy; they cannot grow as long as someone holds this."""
    return np.frombuffer(numbers, dtype=np.uint32)
