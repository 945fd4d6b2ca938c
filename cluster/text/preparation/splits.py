"""Who goes where: splits by hash, duplicates, labels, vocabulary. Numbers in, numbers out: no file, no clock.

N rows of all sources together, in the order of the sources.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cluster.text.keys import share_of
from cluster.text.preparation.counts import Counted

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = 0, 1, 2
DROPPED = -1
ROWS_AT_ONCE = 1 << 22
SCANNED_AT_ONCE = 1 << 20

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Assignment:
    """Where each row goes: an index of `SPLITS`, or `DROPPED`; and the duplicates that were met."""

    places_N: Places
    dropped: int
    """Rows dropped because an earlier one of the training source has the same text (if `test` is cut from it)."""
    repeated_in_train: int
    """Rows of the training source with the text of an earlier one."""
    repeated_with_other_label: int
    """Those of them whose label is not that of the first."""
    in_train_too: Mapping[str, int]
    """For validation and test: how many of their documents have the text of a training document."""


def assign(
    slots_N: Places,
    keys_N: Keys,
    groups_N: Keys,
    same_N: npt.NDArray[np.int64],
    *,
    validation_share: float | None,
    test_share: float | None,
    rows_at_once: int = ROWS_AT_ONCE,
) -> Assignment:
    """Where each row goes, given the source it came from (`slots_N`), the hash of its text and of its group, and a
    number that is the same for rows of which the same is to be predicted.

    A share that is None leaves that split to its own source. With `test_share` repeated texts of the training source
    are dropped first, so that no text is on both sides; a published test split stays as it is, repeats are counted.

    Takes one byte of memory a row, and about 50 for each of `rows_at_once`.
    """
    places = np.array(slots_N)
    repeated = other_label = 0
    for rows in _by_key(keys_N, rows_at_once):
        train = rows[places[rows] == TRAIN]
        first = first_of(keys_N[train])
        again = np.flatnonzero(first != np.arange(train.size))
        repeated += again.size
        other_label += int(np.count_nonzero(same_N[train[again]] != same_N[train[first[again]]]))
        if test_share is not None:
            places[train[again]] = DROPPED
    if test_share is not None:
        _take(places, groups_N, test_share, TEST)
    if validation_share is not None:
        _take(places, groups_N, validation_share, VALIDATION)
    in_train_too = {VALIDATION: 0, TEST: 0}
    for rows in _by_key(keys_N, rows_at_once):
        keys, here = keys_N[rows], places[rows]
        trained = np.unique(keys[here == TRAIN])
        for place in in_train_too:
            in_train_too[place] += int(np.count_nonzero(np.isin(keys[here == place], trained)))
    return Assignment(
        places_N=places,
        dropped=int(np.count_nonzero(places == DROPPED)),
        repeated_in_train=repeated,
        repeated_with_other_label=other_label,
        in_train_too={SPLITS[place]: count for place, count in in_train_too.items()},
    )


def _by_key(keys: Keys, rows_at_once: int) -> Iterator[npt.NDArray[np.int64]]:
    """All rows in groups of about so many, ascending in each; those of one key are in one group."""
    bits = max(-(-keys.size // rows_at_once) - 1, 0).bit_length()
    if bits == 0:
        yield np.arange(keys.size)
        return
    for group in range(1 << bits):
        yield np.concatenate(
            [
                np.flatnonzero(keys[first : first + SCANNED_AT_ONCE] >> np.uint64(64 - bits) == group) + first
                for first in range(0, keys.size, SCANNED_AT_ONCE)
            ]
        )


def _take(places: Places, groups: Keys, share: float, place: int) -> None:
    """Moves a share of what is in train to another split."""
    for first in range(0, places.size, SCANNED_AT_ONCE):
        train = np.flatnonzero(places[first : first + SCANNED_AT_ONCE] == TRAIN) + first
        places[train[shares(groups[train], SPLITS[place]) < share]] = place


def first_of(keys: Keys) -> npt.NDArray[np.int64]:
    """For each row the position of the first row with its key."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    found: npt.NDArray[np.int64] = first[which].astype(np.int64)
    return found


def shares(keys: Keys, purpose: str) -> npt.NDArray[np.float64]:
    """Where in [0, 1) each key falls, for this purpose; for another purpose it falls elsewhere."""
    return np.fromiter((share_of(key, purpose) for key in keys.tolist()), dtype=np.float64, count=keys.size)


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels sorted: as numbers if all are whole numbers, else as text."""
    names = list(labels)
    if all(name.removeprefix("-").isdecimal() and name.isascii() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def vocabulary(counted: Iterable[Counted], size: int, min_count: int) -> list[Counted]:
    """The most frequent words first; among equals, in alphabetical order."""
    kept = (one for one in counted if one.times >= min_count)
    return heapq.nsmallest(size, kept, key=lambda one: (-one.times, one.word))
