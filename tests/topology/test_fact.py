"""A fact has a value or a reason."""

import errno

import pytest

from cluster.topology.fact import Fact, Unread, first_known, reading, unknown, value_of


def raises(error):
    def read():
        raise error

    return read


@pytest.mark.parametrize(
    "error, status, why",
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "/sys/x"), "absent", "No such file: /sys/x"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "denied", "Permission denied: /x"),
        (OSError(errno.EPERM, "Operation not permitted"), "denied", "Operation not permitted"),
        (OSError(errno.EINVAL, "Invalid argument", "/sys/class/net/lo/speed"), "unsupported", "Invalid argument"),
        (OSError(errno.EOPNOTSUPP, "Operation not supported", "/proc/pressure/cpu"), "unsupported", "not supported"),
        (OSError(errno.EIO, "Input/output error", "/data"), "error", "Input/output error: /data"),
        (OSError("nothing"), "error", "nothing"),
        (Unread("denied", "only root may ask"), "denied", "only root may ask"),
        (ValueError("invalid literal: 'x'"), "error", "not understood: ValueError: invalid literal: 'x'"),
        (IndexError("list index out of range"), "error", "not understood: IndexError"),
        (KeyError("size_bytes"), "error", "not understood: KeyError"),
        (TypeError("no number"), "error", "not understood: TypeError"),
    ],
)
def test_what_could_not_be_read_says_why(error, status, why):
    fact = reading("/sys/x", raises(error), "bytes")
    assert (fact.value, fact.unit, fact.source, fact.status) == (None, "bytes", "/sys/x", status)
    assert why in fact.why
    assert not fact.known


def test_a_mistake_in_our_own_code_is_no_fact_about_the_machine():
    with pytest.raises(AttributeError):
        reading("/sys/x", raises(AttributeError("typo")))


@pytest.mark.parametrize("value", [0, 0.0, "", (), False])
def test_zero_and_nothing_are_values(value):
    fact = reading("/x", lambda: value)
    assert fact.known
    assert fact.or_else("else") == value
    assert value_of(fact) == value


def test_a_fact_that_follows_from_an_unknown_one_has_its_reason():
    first = unknown("denied", "only root may ask", "/x")
    assert first.or_else(7) == 7
    second = reading("/x", lambda: value_of(first) + 1)
    assert (second.status, second.why) == ("denied", "only root may ask")


def test_the_first_way_that_tells_it_counts():
    hidden, known, late = unknown("absent", "hidden", "/sys"), Fact(2, source="/proc"), Fact(3)
    assert first_known(hidden, lambda: known, lambda: late) == known
    assert first_known(known, lambda: pytest.fail("asked in vain")) == known
    assert first_known(hidden, lambda: unknown("error", "odd", "/proc")) == hidden
