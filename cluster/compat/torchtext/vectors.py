"""Pretrained word vectors: text files as word2vec, GloVe and fastText write them, or what is there already.

V words, D numbers each.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cluster.errors import DataError, InputError
from cluster.text.tokens.vectors import all_vectors, exact_vectors

CACHE = ".vector_cache"
"""Where torchtext kept the files that it fetched."""
_ENDINGS = ("", ".txt", ".vec", ".txt.gz", ".vec.gz")

Init = Callable[[Tensor], Tensor]


class Vectors:
    """All words of a file with their vectors: `itos`, `stoi`, `vectors` (float32, V x D) and `dim`.

    `name` is a path, or a name in the folder `cache`; `max_vectors` reads the first words alone. `unk_init` makes the
    vector of an unknown word out of an empty one; zeros without it. Raises InputError if there is no such file,
    DataError for one that cannot be read.
    """

    def __init__(
        self,
        name: str | os.PathLike[str],
        cache: str | None = None,
        url: str | None = None,
        unk_init: Init | None = None,
        max_vectors: int | None = None,
    ) -> None:
        if url is not None:
            raise InputError(f"url={url!r}: nothing is fetched here. Fetch the file, unpack it and name its path.")
        self.itos, vectors = all_vectors(file_of(name, cache), max_vectors)
        self.stoi = {word: place for place, word in enumerate(self.itos)}
        self.vectors = torch.from_numpy(vectors)
        self.dim = self.vectors.shape[1]
        self.unk_init: Init = torch.zero_ if unk_init is None else unk_init

    def __getitem__(self, token: str) -> Tensor:
        place = self.stoi.get(token)
        return self.unk_init(torch.empty(self.dim)) if place is None else self.vectors[place]

    def __len__(self) -> int:
        return len(self.itos)

    def get_vecs_by_tokens(self, tokens: str | Sequence[str], lower_case_backup: bool = False) -> Tensor:
        """The vector of a word, (D,), or of several, (words, D); with `lower_case_backup` that of the word in lower
        case where it has none itself."""
        if isinstance(tokens, str):
            known = tokens in self.stoi or not lower_case_backup
            return self[tokens if known else tokens.lower()]
        return torch.stack([self.get_vecs_by_tokens(token, lower_case_backup) for token in tokens])


class GloVe(Vectors):
    """`glove.{name}.{dim}d.txt`, which is to lie in the folder `cache`; otherwise as `Vectors`."""

    def __init__(self, name: str = "840B", dim: int = 300, cache: str | None = None, **options: Any) -> None:
        super().__init__(f"glove.{name}.{dim}d", cache, **options)


class FastText(Vectors):
    """`wiki.{language}.vec`, which is to lie in the folder `cache`; otherwise as `Vectors`."""

    def __init__(self, language: str = "en", cache: str | None = None, **options: Any) -> None:
        super().__init__(f"wiki.{language}", cache, **options)


def file_of(name: str | os.PathLike[str], cache: str | None = None) -> Path:
    """The file that is meant: a path, or a name in the folder `cache`. Raises InputError if there is none."""
    folder = CACHE if cache is None else cache
    for ending in _ENDINGS:
        for path in (Path(f"{os.fspath(name)}{ending}").expanduser(), Path(folder, f"{os.fspath(name)}{ending}")):
            if path.is_file():
                return path
    raise InputError(
        f"there are no word vectors at {os.fspath(name)!r}, nor of that name in the folder {folder!r}, and none are "
        "fetched here. Give the path of a text file of word2vec, GloVe or fastText (.gz too), or put it there."
    )


def vectors_for(words: Sequence[Any], source: Any, cache: str | None, unk_init: Init | None) -> Tensor:
    """A row for each word (float32, V x D) from a path, or from an object with `stoi`, `vectors` and `dim`.

    Words without a vector get what `unk_init` makes of an empty one, or the source's own `unk_init`, or zeros. Raises
    InputError, DataError: no such source, a file that cannot be read, no word found.
    """
    found: dict[Any, Tensor]
    if isinstance(source, str | os.PathLike):
        in_file, width = exact_vectors(file_of(source, cache), [word for word in words if isinstance(word, str)])
        found = {word: torch.from_numpy(vector) for word, vector in in_file.items()}
    elif all(hasattr(source, name) for name in ("stoi", "vectors", "dim")):
        found = {word: _row(source, word) for word in words if word in source.stoi}
        width = int(source.dim)
    else:
        raise InputError(
            "vectors must be the path of a text file, an object with stoi, vectors and dim, or a list of these, but is "
            f"{type(source).__name__}."
        )
    if not found:
        raise DataError(
            f"none of the {len(words):,} words of the vocabulary has a vector in {_name(source)}. Are they of another "
            "language, or in other case (Field(lower=True))?"
        )
    init: Init = unk_init or getattr(source, "unk_init", None) or torch.zero_
    return torch.stack([found[word] if word in found else init(torch.empty(width)) for word in words])


def _row(source: Any, word: Any) -> Tensor:
    return torch.as_tensor(np.asarray(source.vectors[source.stoi[word]]), dtype=torch.float32)


def _name(source: Any) -> str:
    return repr(os.fspath(source)) if isinstance(source, str | os.PathLike) else type(source).__name__
