import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.live.curve import BLANK, braille, cell, span

NUMBERS = st.floats(-1e6, 1e6)
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=50).map(sorted)


def dots(lines):
    return sum((ord(character) - ord(BLANK)).bit_count() for line in lines for character in line)


def drawn(points, columns, rows):
    return braille(points, columns, rows, span(x for x, _ in points), span(y for _, y in points))


@pytest.mark.parametrize(
    "points, expected",
    [
        ([], ["⠀⠀"]),
        ([(0, 0), (1, 1)], ["⡠⠊"]),
        ([(0, 1), (1, 0)], ["⠑⢄"]),
        ([(0, 5), (1, 5)], ["⠤⠤"]),  # a flat line lies in the middle
        ([(0, 0), (1, 1), (2, 0)], ["⡠⢳"]),
        ([(0, 0), (1, math.nan), (2, 1)], ["⡠⠊"]),  # what is no number is passed over
    ],
)
def test_small_curves(points, expected):
    assert drawn(points, 2, 1) == expected


@given(POINTS, st.integers(1, 40), st.integers(1, 20))
def test_a_curve_has_its_size_and_no_hole(points, columns, rows):
    lines = drawn(points, columns, rows)
    assert [len(line) for line in lines] == [columns] * rows
    assert all(ord(BLANK) <= ord(character) <= ord(BLANK) + 255 for line in lines for character in line)
    filled = [any(line[column] != BLANK for line in lines) for column in range(columns)]
    assert "".join("01"[one] for one in filled).strip("0").count("0") == 0
    assert bool(points) == (dots(lines) > 0)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(1, 40), st.integers(1, 20))
def test_a_mark_is_where_its_point_is_drawn(x, y, columns, rows):
    across, along = (-1e3, 1e3), (-1e3, 1e3)
    column, row = cell((x, y), columns, rows, across, along)
    assert 0 <= column < columns and 0 <= row < rows
    lines = braille([(x, y)], columns, rows, across, along)
    assert [(c, r) for r, line in enumerate(lines) for c, one in enumerate(line) if one != BLANK] == [(column, row)]


@pytest.mark.parametrize(
    "values, expected",
    [([], (0, 1)), ([3, 1, 2], (1, 3)), ([2, 2], (1.8, 2.2)), ([0], (-1, 1)), ([math.inf, 1, 2], (1, 2))],
)
def test_a_range_is_never_empty(values, expected):
    assert span(values) == pytest.approx(expected)
