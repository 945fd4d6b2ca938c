"""Many texts to numbers by arrays: split on white space, look up each distinct chunk once, gather.

B texts, C chunks of all of them, D distinct chunks, N tokens, T tokens known, W words.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cluster.text.tokens.numbering import Numbered

Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]


class ChunkTokens(Protocol):
    """What knows the tokens of chunks, and of texts that chunks do not tell all about."""

    def numbers(self, chunks: Sequence[str]) -> Ints:
        """A number for each chunk."""

    def words(self, numbers: Ints) -> tuple[Words, Ints]:
        """The words of the tokens of these chunks, one chunk after the other, as numbers in `names`, 0 for one that is
        left out; and how many each chunk has."""

    @property
    def names(self) -> Sequence[str]:
        """All words."""

    @property
    def hiding(self) -> Mapping[int, object]:
        """The numbers of chunks that may have other tokens than they have alone."""

    def depends(self, before: int | None, number: int, behind: int | None) -> bool:
        """May that be so between these two chunks, of which one is missing at a text's end?"""

    def needs_whole(self, texts: Sequence[str]) -> Sequence[bool] | None:
        """Which texts must be seen whole, whatever their chunks are; None for none."""

    def whole(self, text: str) -> int:
        """A number as of a chunk for the tokens of a text seen whole, whose chunks have been asked for."""


def number_chunks(texts: Sequence[str], known: ChunkTokens, limit: int) -> tuple[Numbered, list[str]]:
    """The texts (which UTF-8 can encode), cut to `limit` tokens, and the distinct words in the order of their first
    appearance. Python touches each distinct chunk, never each token."""
    distinct, chunks_C, counts_B = _chunked(texts)
    numbers = known.numbers(distinct)
    whole_B = _seen_whole(texts, known, numbers, chunks_C, counts_B)
    if whole_B.any():  # a text seen whole becomes one chunk of its own
        first = len(numbers)
        numbers = np.append(numbers, [known.whole(texts[i]) for i in np.flatnonzero(whole_B).tolist()])
        chunks_C = chunks_C[np.repeat(~whole_B, counts_B)]
        counts_B = np.where(whole_B, 0, counts_B)
        where = (np.cumsum(counts_B) - counts_B)[whole_B]
        chunks_C = np.insert(chunks_C, where, np.arange(first, len(numbers), dtype=chunks_C.dtype))
        counts_B = np.where(whole_B, 1, counts_B)
    tokens_D, words, counts_D = _words(known, numbers)
    tokens_N, ends_C = _gathered(tokens_D, counts_D, chunks_C)
    ends_B = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(counts_B, out=ends_B[1:])
    lengths_B = np.diff(ends_C[ends_B])
    cut_B = lengths_B > limit
    if cut_B.any():
        starts_B = np.cumsum(lengths_B) - lengths_B
        tokens_N = tokens_N[np.arange(tokens_N.size) - np.repeat(starts_B, lengths_B) < limit]
    if cut_B.any() or whole_B.any():  # else words appear as their chunks do, which are in order
        tokens_N, words = _by_appearance(tokens_N, words)
    return Numbered(tokens_N, np.minimum(lengths_B, limit).astype(np.uint32), cut_B, None), words


def _chunked(texts: Sequence[str]) -> tuple[list[str], Places, Ints]:
    """The distinct chunks; the chunks of all texts as numbers of these; and how many chunks each text has.

    White space is that of `str.split`, which is spaCy's too. Arrow splits at ASCII's twice as fast as at all of it, so
    other white space becomes ASCII's first.
    """
    import pyarrow as pa
    from pyarrow import compute

    strings: Any = pa.array(texts, type=pa.large_string())
    _, offsets, data = strings.buffers()
    if data is not None and (plain := with_plain_space(np.frombuffer(data, dtype=np.uint8))) is not None:
        strings = pa.LargeStringArray.from_buffers(len(strings), offsets, pa.py_buffer(plain))
    lists: Any = compute.ascii_split_whitespace(strings)
    encoded = lists.flatten().dictionary_encode()
    distinct: list[str] = encoded.dictionary.to_pylist()
    counts_B = np.diff(lists.offsets.to_numpy()).astype(np.int64)
    # A text's ends may be white space, next to which Arrow has an empty chunk: it holds no token.
    return distinct, encoded.indices.to_numpy(), counts_B


def with_plain_space(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """This UTF-8 with spaces, one for each byte, where it has white space that Arrow's splitting of ASCII does not
    know; None if it has none."""
    one_byte = np.flatnonzero(data - np.uint8(0x1C) < 4)  # four of ASCII are white space to Python alone
    first = np.flatnonzero(data >= 0xC2)  # where a character of several bytes begins
    one, two = data[first], data[first + 1]
    three = data[np.minimum(first + 2, data.size - 1)]
    two_bytes = (one == 0xC2) & ((two == 0x85) | (two == 0xA0))
    punctuation = (two == 0x80) & ((three <= 0x8A) | (three == 0xA8) | (three == 0xA9) | (three == 0xAF))
    three_bytes = (one == 0xE2) & (punctuation | ((two == 0x81) & (three == 0x9F)))
    three_bytes |= ((one == 0xE1) & (two == 0x9A) | (one == 0xE3) & (two == 0x80)) & (three == 0x80)
    wide = first[two_bytes | three_bytes]
    if not one_byte.size and not wide.size:
        return None
    plain = data.copy()
    plain[np.concatenate([one_byte, wide, wide + 1, first[three_bytes] + 2])] = ord(" ")
    return plain


def _seen_whole(
    texts: Sequence[str], known: ChunkTokens, numbers: Ints, chunks_C: Places, counts_B: Ints
) -> npt.NDArray[np.bool_]:
    """Which texts must be seen whole."""
    whole_B = np.zeros(len(texts), dtype=np.bool_)
    hiding_D = np.isin(numbers, list(known.hiding))
    if hiding_D.any():
        ends_B = np.cumsum(counts_B)
        places = np.flatnonzero(hiding_D[chunks_C])
        of_place = np.searchsorted(ends_B, places, side="right")
        at_start, at_end = places == (ends_B - counts_B)[of_place], places == ends_B[of_place] - 1
        asked: dict[tuple[int | None, int, int | None], bool] = {}
        for place, text, first, last in zip(
            *(one.tolist() for one in (places, of_place, at_start, at_end)), strict=True
        ):
            before = None if first else int(numbers[chunks_C[place - 1]])
            behind = None if last else int(numbers[chunks_C[place + 1]])
            case = before, int(numbers[chunks_C[place]]), behind
            if case not in asked:
                asked[case] = known.depends(*case)
            whole_B[text] |= asked[case]
    spaced = known.needs_whole(texts)
    return whole_B if spaced is None else whole_B | np.array(spaced, dtype=np.bool_)


def _words(known: ChunkTokens, numbers: Ints) -> tuple[Words, list[str], Ints]:
    """The words of all distinct chunks as numbers, one chunk after the other; the words in the order of their
    appearance there; and how many each chunk has."""
    words, counts_D = known.words(numbers)
    kept = words != 0
    if not kept.all():
        of_chunk = np.repeat(np.arange(len(numbers)), counts_D)[kept]
        counts_D = np.bincount(of_chunk, minlength=len(numbers)).astype(np.int64)
        words = words[kept]
    return *_by_appearance(words, known.names), counts_D


def _gathered(tokens_D: Words, counts_D: Ints, chunks_C: Places) -> tuple[Words, Ints]:
    """The words of all chunks, one after the other, and where each chunk ends, with a 0 before."""
    counts_C = counts_D.astype(np.int32)[chunks_C]
    ends_C = np.zeros(chunks_C.size + 1, dtype=np.int64)
    np.cumsum(counts_C, out=ends_C[1:])
    size = int(ends_C[-1])
    narrow = np.int32 if size < 1 << 31 else np.int64  # half the memory to go through
    starts_D = (np.cumsum(counts_D) - counts_D).astype(narrow)
    places = np.repeat(starts_D[chunks_C] - ends_C[:-1].astype(narrow), counts_C)
    places += np.arange(size, dtype=narrow)
    return tokens_D[places], ends_C


def _by_appearance(tokens_N: Words, words: Sequence[str]) -> tuple[Words, list[str]]:
    """The same tokens, with words numbered as they appear, those that do not appear left out."""
    first_W = np.full(len(words), tokens_N.size, dtype=np.int64)
    first_W[tokens_N[::-1]] = np.arange(tokens_N.size - 1, -1, -1)  # the last to be written stays: the first place
    appear = np.flatnonzero(first_W < tokens_N.size)
    order = appear[np.argsort(first_W[appear])]
    renumbered = np.zeros(len(words), dtype=np.uint32)
    renumbered[order] = np.arange(order.size, dtype=np.uint32)
    return renumbered[tokens_N], list(map(words.__getitem__, order.tolist()))
