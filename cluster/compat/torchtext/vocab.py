"""The words of a field and their numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from cluster.compat.torchtext.refused import refusal
from cluster.compat.torchtext.vectors import FastText, GloVe, Init, Vectors, vectors_for
from cluster.errors import DataError, InputError

__all__ = ["FastText", "GloVe", "Vectors", "Vocab"]

UNKNOWN = "<unk>"


class Indices(dict[Any, int]):
    """Indices of words. An unknown word has that of `unknown`, and is not remembered; without it, it is a KeyError."""

    unknown: int | None = None

    def __missing__(self, word: Any) -> int:
        if self.unknown is None:
            raise KeyError(word)
        return self.unknown


class Vocab:
    """`freqs` (how often each word was counted), `itos` (the words, by number), `stoi` (their numbers) and `vectors`.

    The most frequent words first, among equals in alphabetical order. Special words stand before them (behind, without
    `specials_first`), however often they were counted. `max_size` words at most are kept besides, each counted
    `min_freq` times or more. `vectors`: see `load_vectors`. An unknown word has the number of `unk_token`, if that is
    among the specials. Raises InputError, DataError.
    """

    UNK = UNKNOWN

    def __init__(
        self,
        counter: "Counter[Any]",
        max_size: int | None = None,
        min_freq: int = 1,
        specials: Sequence[Any] = (UNKNOWN, "<pad>"),
        vectors: Any = None,
        unk_init: Init | None = None,
        vectors_cache: str | None = None,
        specials_first: bool = True,
        unk_token: Any = UNKNOWN,
    ) -> None:
        if max_size is not None and max_size < 0:
            raise InputError(f"max_size must be 0 or more, or None for all words, but is {max_size}.")
        self.freqs = counter
        words = _most_frequent(counter, set(specials), max(min_freq, 1))[:max_size]
        self.itos = [*specials, *words] if specials_first else [*words, *specials]
        self.stoi = Indices()
        self._number()
        if unk_token in specials:
            self.stoi.unknown = self.stoi[unk_token]
        self.vectors: Tensor | None = None
        if vectors is not None:
            self.load_vectors(vectors, unk_init=unk_init, cache=vectors_cache)
        elif unk_init is not None or vectors_cache is not None:
            raise InputError("unk_init and vectors_cache say how vectors are loaded, but no vectors are given.")

    def __len__(self) -> int:
        return len(self.itos)

    def __getitem__(self, token: Any) -> int:
        """The number of a word. Raises KeyError for an unknown one, if there is no special word for these."""
        return self.stoi[token]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocab):
            return NotImplemented
        same_vectors = (self.vectors is None) == (other.vectors is None)
        if self.vectors is not None and other.vectors is not None:
            same_vectors = torch.equal(self.vectors, other.vectors)
        return self.freqs == other.freqs and self.itos == other.itos and self.stoi == other.stoi and same_vectors

    def lookup_indices(self, tokens: Iterable[Any]) -> list[int]:
        """The numbers of several words."""
        return [self[token] for token in tokens]

    def extend(self, v: "Vocab", sort: bool = False) -> None:
        """Appends the words of another vocabulary that this one lacks, in their order, or with `sort` in alphabetical
        one. Raises InputError if vectors are loaded: load them afterwards."""
        if self.vectors is not None:
            raise InputError("a vocabulary that has vectors cannot be extended: extend it first, then load_vectors.")
        known = set(self.itos)
        self.itos += [word for word in (sorted(v.itos) if sort else v.itos) if word not in known]
        self._number()

    def load_vectors(self, vectors: Any, unk_init: Init | None = None, cache: str | None = None) -> None:
        """Sets `vectors` (float32, words x numbers) from the path of a text file of word2vec, GloVe or fastText, from
        an object with `stoi`, `vectors` and `dim`, or from a list of these, whose vectors are put side by side.

        A word gets the vector of the word spelled exactly so; others what `unk_init` makes of an empty one, or zeros.
        A name that is no path is looked for in the folder `cache` (".vector_cache"). Raises InputError, DataError.
        """
        sources = vectors if isinstance(vectors, list | tuple) else [vectors]
        self.vectors = torch.cat([vectors_for(self.itos, source, cache, unk_init) for source in sources], dim=1)

    def set_vectors(self, stoi: Any, vectors: Any, dim: int, unk_init: Init | None = None) -> None:
        """As `load_vectors`, from the parts of such an object."""
        self.vectors = vectors_for(self.itos, _Source(stoi, vectors, dim), None, unk_init)

    def _number(self) -> None:
        self.stoi.clear()
        self.stoi.update((word, number) for number, word in enumerate(self.itos))


class _Source:
    def __init__(self, stoi: Any, vectors: Any, dim: int) -> None:
        self.stoi, self.vectors, self.dim = stoi, vectors, dim


def _most_frequent(counter: "Counter[Any]", specials: set[Any], least: int) -> list[Any]:
    kept = [(-times, word) for word, times in counter.items() if times >= least and word not in specials]
    try:
        return [word for _, word in sorted(kept)]
    except TypeError:
        kinds = sorted({type(word).__name__ for _, word in kept})
        raise DataError(
            f"the words of a vocabulary must be of one type, but are {', '.join(kinds)}: they have no order. Turn them "
            "into one in the data, or with Field(preprocessing=str)."
        ) from None


def __getattr__(name: str) -> Any:
    raise refusal(__name__, name)
