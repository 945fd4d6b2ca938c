"""Questions of a split as windows: a long context is read in pieces, each with the question before it.

A document is `<begin> question <between> context` (`text/tokens/asked.py`), or what a pretrained model expects around
the two (`text/tokens/asked_pieces.py`). A window is `<begin>`, the question (cut if it is long), `<between>`, a piece
of the context, and what stands behind the context, if anything does; each piece begins `stride` tokens behind the one
before, and the last ends with the context. All windows of a question stand in one batch, so its loss is that of the
question, not of its windows, and its best answer is found without talking to another rank.

B questions of a batch, W windows of them, T tokens of the longest, N tokens of all documents in a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cluster.data.asked import References
from cluster.data.shards import Array, Ids, Packed, Rows, ShardReader, boundaries_of

BEGIN, QUESTION, CONTEXT, SHARED = 1, 2, 3, 4
"""Rows of an embedding of what stands beside a token: a mark, a word of the question, of the context, of both."""
FIRST, LAST, MAY_START, MAY_END, NOWHERE = 1, 2, 4, 8, 16
"""Flags of a token: an answer begins, or ends, there; one may begin, or end, there; the place that says that there is
none. They are the `targets` of the shards."""
FLAG_BITS = 5
"""In a batch, above the flags of each token: at a window's first place the number of its question in the batch, else
how many words of the context stand before."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """How documents are cut into windows, in tokens."""

    window: int
    stride: int
    question: int
    before: int = 1
    """Marks before the question, between it and the context, and behind that."""
    between: int = 1
    after: int = 0

    @property
    def marks(self) -> int:
        return self.before + self.between + self.after


class Cut(NamedTuple):
    """What each of B questions becomes."""

    asked_B: Counts
    """Tokens of the question that are read."""
    windows_B: Counts
    widths_B: Counts
    """Tokens of its longest window."""

    @property
    def tokens_B(self) -> Counts:
        """About what it costs: windows x the longest."""
        tokens: Counts = self.windows_B * self.widths_B
        return tokens


def cut(lengths_B: Array, contexts_B: Array, shape: Shape) -> Cut:
    """`lengths_B` are tokens of documents, `contexts_B` those of them that stand before the context."""
    asked = np.minimum(contexts_B.astype(np.int64) - shape.before - shape.between, shape.question)
    context = lengths_B.astype(np.int64) - contexts_B - shape.after
    room = shape.window - shape.marks - asked
    beyond = np.maximum(context - room, 0)
    return Cut(asked, 1 + -(-beyond // shape.stride), shape.marks + asked + np.minimum(room, context))


class Flat(NamedTuple):
    """Documents one after the other: N tokens of B of them."""

    tokens_N: Array
    lengths_B: Array
    beside_N: Array
    contexts_B: Array
    flags_N: Array


def windows_of(flat: Flat, shape: Shape) -> dict[str, Array]:
    """All windows of some questions: `tokens` [W, T], `lengths` [W], what stands `beside` the tokens [W, T], and
    `labels` [W, T], i64: flags and, above them, numbers (`FLAG_BITS`); zero behind each window's end."""
    found = cut(flat.lengths_B, flat.contexts_B, shape)
    of_W = np.repeat(np.arange(flat.lengths_B.size), found.windows_B)
    number_W = np.arange(of_W.size) - np.repeat(np.cumsum(found.windows_B) - found.windows_B, found.windows_B)
    starts_B = np.cumsum(flat.lengths_B, dtype=np.int64) - flat.lengths_B
    asked_W, base_W, before_W = found.asked_B[of_W], starts_B[of_W], flat.contexts_B.astype(np.int64)[of_W]
    offset_W = number_W * shape.stride
    whole_W = flat.lengths_B.astype(np.int64)[of_W]
    left_W = whole_W - before_W - shape.after - offset_W
    lengths_W = shape.marks + asked_W + np.minimum(shape.window - shape.marks - asked_W, left_W)
    column_T = np.arange(int(lengths_W.max(initial=0)))
    # <begin> and question stand where they are, <between> right before the context, wherever the question was cut
    cut_W, context_W = shape.before + asked_W, shape.before + asked_W + shape.between
    jump_W = before_W - context_W
    places = base_W[:, None] + column_T + np.where(column_T >= cut_W[:, None], jump_W[:, None], 0)
    places += np.where(column_T >= context_W[:, None], offset_W[:, None], 0)
    if shape.after:
        behind = column_T >= (lengths_W - shape.after)[:, None]
        places = np.where(behind, (base_W + whole_W - lengths_W)[:, None] + column_T, places)
    inside = column_T < lengths_W[:, None]
    places[~inside] = 0
    labels = np.where(inside, _numbered_flags(flat)[places], 0)
    labels[:, 0] = labels[:, 0] & ((1 << FLAG_BITS) - 1) | of_W << FLAG_BITS
    return {
        "tokens": np.where(inside, flat.tokens_N[places], 0).astype(flat.tokens_N.dtype),
        "lengths": lengths_W,
        "beside": np.where(inside, flat.beside_N[places], 0).astype(flat.beside_N.dtype),
        "labels": labels,
    }


def _numbered_flags(flat: Flat) -> Counts:
    """Flags [N] with the words of its context that stand before each token."""
    flags = flat.flags_N.astype(np.int64)
    begun = np.cumsum((flags & MAY_START) > 0)
    lengths = flat.lengths_B.astype(np.int64)
    ends = np.cumsum(lengths)
    before = np.concatenate([[0], begun])[ends - lengths]
    numbers = np.maximum(begun - np.repeat(before, lengths) - 1, 0)
    found: Counts = flags | numbers << FLAG_BITS
    return found


class Windows:
    """The questions of a split, each with all its windows. The loader and `Order` take this in a `ShardReader`'s place:
    a document is a question, as long as its windows together."""

    weighted = False

    def __init__(self, reader: ShardReader, shape: Shape, split: str) -> None:
        self._reader, self.shape, self.split = reader, shape, split
        self.documents, self.manifest = reader.documents, reader.manifest
        found = cut(reader.lengths, reader.labels, shape)
        self.lengths: npt.NDArray[np.uint32] = found.tokens_B.astype(np.uint32)
        context = reader.lengths.astype(np.int64) - reader.labels - shape.after
        further = found.windows_B - 1
        read = context + further * (shape.window - shape.marks - found.asked_B - shape.stride)
        self.sizes: npt.NDArray[np.uint32] = (found.windows_B * (shape.marks + found.asked_B) + read).astype(np.uint32)
        """Tokens of all its windows, padding left aside."""
        self.labels: Array = reader.labels
        """Tokens before the context of each question, u32 [N]."""
        self.windows = int(found.windows_B.sum())
        self.cut_questions = int(np.count_nonzero(reader.labels - shape.before - shape.between > shape.question))
        """How many questions are longer than `Shape.question`."""
        self.references = References(reader.manifest.folder, split)

    @property
    def planned_tokens(self) -> int:
        """What `Order` takes as the total of the lengths."""
        return int(self.lengths.sum(dtype=np.int64))

    def settle(self) -> None:
        """As `ShardReader.settle`."""
        self._reader.settle()

    def asked(self, ids: Ids, counts: Sequence[int], step: int) -> Iterator[dict[str, Array]]:
        """Batches, one after the other in `ids`, with so many questions each: what `windows_of` gives, whatever the
        step."""
        first = 0
        for count in counts:
            here = np.asarray(ids[first : first + count], dtype=np.int64)
            tokens, lengths, beside = self._reader.flat(here)
            assert beside is not None
            yield windows_of(Flat(tokens, lengths, beside, self.labels[here], self._reader.targets(here)), self.shape)
            first += count

    def padded_each(self, ids: Ids, counts: Sequence[int]) -> Iterator[Rows]:
        """Tokens, lengths and what stands beside the tokens of all windows of several batches."""
        for batch in self.asked(ids, counts, 0):
            yield batch["tokens"], batch["lengths"].astype(np.int64), batch["beside"]

    def padded(self, ids: Ids) -> Rows:
        """The same of one batch."""
        return next(self.padded_each(ids, [len(ids)]))

    def flat(self, ids: Ids) -> Rows:
        """The same, one window after the other without padding."""
        tokens, lengths, beside = self.padded(ids)
        inside = np.arange(tokens.shape[1]) < lengths[:, None]
        return tokens[inside], lengths, None if beside is None else beside[inside]

    def packed(self, ids: Ids) -> Packed:
        """The same with the windows' boundaries."""
        tokens, lengths, beside = self.flat(ids)
        return Packed(tokens, boundaries_of(lengths), int(lengths.max(initial=0)), beside)

    def labels_each(self, ids: Ids, counts: Sequence[int], packed: bool) -> Iterator[Array]:
        """The flags and numbers of several batches, as `windows_of` gives them."""
        yield from (batch["labels"] for batch in self.asked(ids, counts, 0))


def golden(flags_M: Array, documents: int, contexts: Sequence[Sequence[tuple[int, int]]], words_B: Array) -> Any:
    """`flags_M` with the answers of each document: first and last word of each span in its context, which has so many
    words; without a span the place that says so."""
    if documents != len(contexts):
        raise ValueError(f"{documents} documents, answers of {len(contexts)}")
    flags = flags_M.copy()
    first_piece, last_piece = np.flatnonzero(flags & MAY_START), np.flatnonzero(flags & MAY_END)
    nowhere = np.flatnonzero(flags & NOWHERE)
    before = np.cumsum(words_B, dtype=np.int64) - words_B
    for document, spans in enumerate(contexts):
        base = int(before[document])
        for first, last in spans:
            flags[first_piece[base + first]] |= FIRST
            flags[last_piece[base + last]] |= LAST
        if not spans:
            flags[nowhere[document]] |= FIRST | LAST
    return flags
