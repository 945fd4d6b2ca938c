"""Windows of long contexts: every token is read, with its question; numbers lead back to the words."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.data.windows import (
    BEGIN,
    CONTEXT,
    FLAG_BITS,
    MAY_END,
    MAY_START,
    NOWHERE,
    QUESTION,
    Flat,
    Shape,
    Windows,
    cut,
    windows_of,
)

OWN = (1, 1, 0)
ROBERTA = (1, 2, 1)
"""Marks before the question, between it and the context, and behind that."""


def flat_of(*documents, marks=OWN):
    """Documents (tokens of the question, tokens of the context), every token a number of its own."""
    before, between, after = marks
    lengths = np.array([asked + context + sum(marks) for asked, context in documents], dtype=np.uint32)
    contexts = np.array([asked + before + between for asked, _ in documents], dtype=np.uint32)
    ends = [BEGIN] * before, [BEGIN] * between, [BEGIN] * after
    beside = [[*ends[0], *[QUESTION] * asked, *ends[1], *[CONTEXT] * context, *ends[2]] for asked, context in documents]
    may = MAY_START | MAY_END
    flags = [
        [NOWHERE, *[0] * (before - 1 + asked + between), *[may] * context, *[0] * after] for asked, context in documents
    ]
    tokens = np.arange(1, int(lengths.sum()) + 1, dtype=np.uint32)
    return Flat(tokens, lengths, np.array(sum(beside, []), np.uint8), contexts, np.array(sum(flags, []), np.uint16))


@pytest.mark.parametrize(
    "document, asked, windows, width",
    [
        ((3, 5), 3, 1, 10),  # it fits
        ((3, 7), 3, 1, 12),  # just
        ((3, 8), 3, 2, 12),  # one token more
        ((3, 11), 3, 2, 12),  # the second begins 4 later, and ends with the context
        ((3, 12), 3, 3, 12),
        ((9, 5), 4, 1, 11),  # the question is cut to 4
        ((0, 1), 0, 1, 3),
    ],
)
def test_what_a_question_becomes(document, asked, windows, width):
    flat = flat_of(document)
    found = cut(flat.lengths_B, flat.contexts_B, Shape(window=12, stride=4, question=4))
    assert (found.asked_B[0], found.windows_B[0], found.widths_B[0]) == (asked, windows, width)


def test_marks_stand_around_question_and_piece_in_every_window():
    flat = flat_of((1, 2), (3, 7), marks=ROBERTA)
    made = windows_of(flat, Shape(9, 3, 2, *ROBERTA))
    # the first document is tokens 1 to 7, the second 8 to 21: 8, 9-11, 12-13, 14-20, 21
    assert made["tokens"].tolist() == [
        [1, 2, 3, 4, 5, 6, 7, 0, 0],
        [8, 9, 10, 12, 13, 14, 15, 16, 21],
        [8, 9, 10, 12, 13, 17, 18, 19, 21],
        [8, 9, 10, 12, 13, 20, 21, 0, 0],
    ]
    assert made["lengths"].tolist() == [7, 9, 9, 7]
    assert (made["labels"][1:3, 5:8] >> FLAG_BITS).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not (made["labels"] & (MAY_START | MAY_END))[[0, 1, 2, 3], [6, 8, 8, 6]].any()


def test_windows_hold_question_and_pieces_of_the_context():
    made = windows_of(flat_of((1, 2), (2, 7)), Shape(window=8, stride=3, question=4))
    # the first document is tokens 1 to 5, the second 6 to 16
    assert made["tokens"].tolist() == [
        [1, 2, 3, 4, 5, 0, 0, 0],
        [6, 7, 8, 9, 10, 11, 12, 13],
        [6, 7, 8, 9, 13, 14, 15, 16],
    ]
    assert made["lengths"].tolist() == [5, 8, 8]
    assert (made["labels"][:, 0] >> FLAG_BITS).tolist() == [0, 1, 1]  # whose window it is
    assert (made["labels"][1:, 4:] >> FLAG_BITS).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]  # words of the context
    assert made["labels"][0, 0] == NOWHERE and made["labels"][0, 1] == 0 and made["labels"][0, 5:].tolist() == [0] * 3


DOCUMENTS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 60)), min_size=1, max_size=6)


@given(DOCUMENTS, st.integers(1, 6), st.integers(1, 8), st.integers(0, 10), st.sampled_from([OWN, ROBERTA]))
def test_every_token_of_every_context_is_read_in_its_place(documents, question, stride, more, marks):
    shape = Shape(sum(marks) + question + stride + more, stride, question, *marks)
    flat = flat_of(*documents, marks=marks)
    _, between, after = marks
    made, counts = windows_of(flat, shape), cut(flat.lengths_B, flat.contexts_B, shape)
    reader = SimpleNamespace(lengths=flat.lengths_B, labels=flat.contexts_B, documents=len(documents))
    reader.manifest = SimpleNamespace(folder=Path("."))
    assert Windows(reader, shape, "train").sizes.sum() == made["lengths"].sum()
    starts = np.cumsum(flat.lengths_B) - flat.lengths_B
    assert made["tokens"].shape[1] <= shape.window and len(made["tokens"]) == counts.windows_B.sum()
    for number, (asked, context) in enumerate(documents):
        mine = np.flatnonzero(made["labels"][:, 0] >> FLAG_BITS == number)
        assert len(mine) == counts.windows_B[number]
        read = set()
        for row in mine.tolist():
            tokens = made["tokens"][row, : made["lengths"][row]]
            kept = min(asked, question)
            assert tokens[: kept + 1].tolist() == [starts[number] + 1 + i for i in range(kept + 1)]
            assert tokens[kept + 1] == starts[number] + asked + 2  # the mark between
            piece = slice(kept + 1 + between, made["lengths"][row] - after)
            words = made["labels"][row, piece] >> FLAG_BITS
            assert (tokens[piece] - (starts[number] + asked + 2 + between) == words).all()
            assert after == 0 or tokens[-1] == starts[number] + flat.lengths_B[number]
            assert made["lengths"][row] <= counts.widths_B[number]
            read |= set(words.tolist())
        assert read == set(range(context))
