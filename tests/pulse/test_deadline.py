"""How long a rank may be at what it is at."""

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.pulse.deadline import FLOOR_SECONDS, WINDOW, Deadline, Durations
from cluster.pulse.phase import Phase

SECONDS = st.floats(0.0, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    "phase, lasted, allowed",
    [
        (Phase.STEP, [], 10.0),
        (Phase.STEP, [0.1] * 1000, 10.0),
        (Phase.STEP, [3.0], 15.0),
        (Phase.STEP, [0.1] * 99 + [4.0], 10.0),  # one of a hundred is no measure ...
        (Phase.STEP, [0.1] * 98 + [4.0] * 2, 20.0),  # ... two are
        (Phase.STEP, [4.0] * 9 + [0.1] * WINDOW, 10.0),  # long ago
        (Phase.START, [1.0], 600.0),
        (Phase.FIRST_STEP, [], 600.0),
        (Phase.VALIDATE, [0.5] * 10, 60.0),
        (Phase.VALIDATE, [20.0], 100.0),
        (Phase.SCORE, [], 60.0),
        (Phase.SAVE, [10.0], 300.0),
        (Phase.SAVE, [100.0], 500.0),
        (Phase.LEAVE, [], 300.0),
    ],
)
def test_allowed_seconds(phase, lasted, allowed):
    deadline = Deadline()
    for seconds in lasted:
        deadline.lasted(phase, seconds)
    assert deadline.allowed_seconds(phase) == pytest.approx(allowed)
    others = [other for other in Phase if other is not phase]
    assert [deadline.allowed_seconds(other) for other in others] == [FLOOR_SECONDS[other] for other in others]


def test_a_step_of_a_compiled_model_may_compile_again():
    deadline = Deadline()
    deadline.lasted(Phase.FIRST_STEP, 40.0)
    deadline.lasted(Phase.STEP, 0.1)
    assert deadline.allowed_seconds(Phase.STEP) == 10.0
    deadline.compiles = True
    assert deadline.allowed_seconds(Phase.STEP) == 80.0
    assert deadline.allowed_seconds(Phase.VALIDATE) == 80.0
    assert deadline.allowed_seconds(Phase.SAVE) == 300.0


@given(st.lists(SECONDS, max_size=3 * WINDOW))
def test_p99_is_that_of_the_last_ones(lasted):
    durations, window = Durations(), deque(maxlen=WINDOW)
    for seconds in lasted:
        durations.add(seconds)
        window.append(seconds)
    expected = sorted(window)[math.ceil(0.99 * len(window)) - 1] if window else 0.0
    assert durations.p99 == expected
    assert sum(seconds <= durations.p99 for seconds in window) >= 0.99 * len(window)


@given(st.sampled_from(Phase), st.lists(SECONDS, max_size=50))
def test_never_below_the_floor_nor_what_was_usual(phase, lasted):
    deadline = Deadline()
    for seconds in lasted:
        deadline.lasted(phase, seconds)
    assert deadline.allowed_seconds(phase) >= FLOOR_SECONDS[phase]
    assert all(deadline.allowed_seconds(phase) >= 5 * seconds for seconds in sorted(lasted)[: int(0.99 * len(lasted))])
