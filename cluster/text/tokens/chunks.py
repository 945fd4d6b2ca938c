"""Many texts to numbers by arrays: split on white space, look up each distinct chunk once, gather.

B texts, C chunks of all of them, D distinct chunks, N tokens, W words.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cluster.text.tokens.found import Tokens
from cluster.text.tokens.numbering import Numbered, Numbers

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]


class ChunkTokens(Protocol):
    """What knows the tokens of chunks, and of texts that chunks do not tell all about."""

    def of_chunks(self, chunks: Iterable[str]) -> list[Tokens | None]:
        """The tokens of each chunk; None where the text around it matters."""

    def needs_whole(self, texts: Sequence[str]) -> Sequence[bool] | None:
        """Which texts must be seen whole, whatever their chunks are; None for none."""

    def whole(self, text: str) -> Tokens:
        """The tokens of a text seen whole."""

    def form(self, token: str) -> str:
        """What becomes of a token; empty if it is left out."""


def number_chunks(texts: Sequence[str], known: ChunkTokens, limit: int) -> tuple[Numbered, list[str]]:
    """The texts (which UTF-8 can encode), cut to `limit` tokens, and the distinct words in the order of their first
    appearance. Python touches each distinct chunk, never each token."""
    distinct, chunks_C, counts_B = _chunked(texts)
    found = known.of_chunks(distinct)
    whole_B = _seen_whole(texts, known, found, chunks_C, counts_B)
    if whole_B.any():  # a text seen whole becomes one chunk of its own
        first = len(found)
        found += [known.whole(texts[i]) for i in np.flatnonzero(whole_B).tolist()]
        chunks_C = chunks_C[np.repeat(~whole_B, counts_B)]
        counts_B = np.where(whole_B, 0, counts_B)
        where = (np.cumsum(counts_B) - counts_B)[whole_B]
        chunks_C = np.insert(chunks_C, where, np.arange(first, len(found)))
        counts_B = np.where(whole_B, 1, counts_B)
    table, counts_D, words = _table(known, [tokens or () for tokens in found])
    tokens_N, ends_C = _gathered(table, counts_D, chunks_C)
    ends_B = np.cumsum(counts_B)
    lengths_B = np.diff(ends_C[np.concatenate([[0], ends_B])])
    cut_B = lengths_B > limit
    if cut_B.any():
        starts_B = np.cumsum(lengths_B) - lengths_B
        tokens_N = tokens_N[np.arange(tokens_N.size) - np.repeat(starts_B, lengths_B) < limit]
    if cut_B.any() or whole_B.any() or "" in words:  # else words appear as their chunks do, which are in order
        tokens_N, words = _by_appearance(tokens_N, words)
    return Numbered(tokens_N, np.minimum(lengths_B, limit).astype(np.uint32), cut_B, None), words


def _chunked(texts: Sequence[str]) -> tuple[list[str], Ints, Ints]:
    """The distinct chunks; the chunks of all texts as numbers of these; and how many chunks each text has.

    Arrow's white space is that of `str.split`, which is spaCy's too.
    """
    import pyarrow as pa
    from pyarrow import compute

    lists: Any = compute.utf8_split_whitespace(pa.array(texts, type=pa.large_string()))
    encoded = lists.flatten().dictionary_encode()
    distinct: list[str] = encoded.dictionary.to_pylist()
    counts_B = np.diff(lists.offsets.to_numpy()).astype(np.int64)
    # A text's ends may be white space, next to which Arrow has an empty chunk: it holds no token.
    return distinct, encoded.indices.to_numpy(), counts_B


def _seen_whole(
    texts: Sequence[str], known: ChunkTokens, found: Sequence[Tokens | None], chunks_C: Ints, counts_B: Ints
) -> npt.NDArray[np.bool_]:
    hidden_D = np.fromiter((tokens is None for tokens in found), dtype=np.bool_, count=len(found))
    whole_B = np.zeros(len(texts), dtype=np.bool_)
    if hidden_D.any():
        of_chunk = np.searchsorted(np.cumsum(counts_B), np.flatnonzero(hidden_D[chunks_C]), side="right")
        whole_B[of_chunk] = True
    spaced = known.needs_whole(texts)
    return whole_B if spaced is None else whole_B | np.array(spaced, dtype=np.bool_)


def _table(known: ChunkTokens, found: Sequence[Tokens]) -> tuple[Words, Ints, list[str]]:
    """Numbers of the words of all distinct chunks, one chunk after the other; how many each has; and the words."""
    raw, words = Numbers(), Numbers()
    counts_D = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
    numbers = np.fromiter(map(raw.__getitem__, chain.from_iterable(found)), dtype=np.int64, count=int(counts_D.sum()))
    forms = [known.form(token) for token in raw]
    word_of = np.fromiter((words[form] for form in forms), dtype=np.uint32, count=len(forms))
    kept = np.fromiter(map(bool, forms), dtype=np.bool_, count=len(forms))[numbers]
    if not kept.all():
        of_chunk = np.repeat(np.arange(len(found)), counts_D)[kept]
        counts_D = np.bincount(of_chunk, minlength=len(found)).astype(np.int64)
        numbers = numbers[kept]
    return word_of[numbers], counts_D, list(words)


def _gathered(table: Words, counts_D: Ints, chunks_C: Ints) -> tuple[Words, Ints]:
    """The words of all chunks, one after the other, and where each chunk ends, with a 0 before."""
    counts_C = counts_D.astype(np.int32)[chunks_C]
    ends_C = np.zeros(chunks_C.size + 1, dtype=np.int64)
    np.cumsum(counts_C, out=ends_C[1:])
    size = int(ends_C[-1])
    narrow = np.int32 if size < 1 << 31 else np.int64  # half the memory to go through
    starts_D = (np.cumsum(counts_D) - counts_D).astype(narrow)
    places = np.repeat(starts_D[chunks_C] - ends_C[:-1].astype(narrow), counts_C)
    places += np.arange(size, dtype=narrow)
    return table[places], ends_C


def _by_appearance(tokens_N: Words, words: Sequence[str]) -> tuple[Words, list[str]]:
    """The same tokens, with words numbered as they appear, those that do not appear left out."""
    first_W = np.full(len(words), tokens_N.size, dtype=np.int64)
    first_W[tokens_N[::-1]] = np.arange(tokens_N.size - 1, -1, -1)  # the last to be written stays: the first place
    order = np.argsort(first_W, kind="stable")[: np.count_nonzero(first_W < tokens_N.size)]
    renumbered = np.zeros(len(words), dtype=np.uint32)
    renumbered[order] = np.arange(order.size, dtype=np.uint32)
    return renumbered[tokens_N], [words[number] for number in order.tolist()]
