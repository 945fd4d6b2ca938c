"""Who goes where: splits by hash, duplicates, labels, vocabulary. Numbers in, numbers out: no file, no clock.

N rows of all sources together, in the order of the sources.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cluster.text.keys import share_of

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = 0, 1, 2
DROPPED = -1

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
    labels_N: npt.NDArray[np.int64],
    *,
    validation_share: float | None,
    test_share: float | None,
) -> Assignment:
    """Where each row goes, given the source it came from (`slots_N`), the hash of its text and of its group.

    A share that is None leaves that split to its own source. With `test_share` repeated texts of the training source
    are dropped first, so that no text is on both sides; a published test split stays as it is, repeats are counted.
    """
    places = slots_N.copy()
    train = np.flatnonzero(slots_N == TRAIN)
    first = first_of(keys_N[train])
    repeated = train[first != np.arange(train.size)]
    other_label = labels_N[train] != labels_N[train[first]]
    if test_share is not None:
        places[repeated] = DROPPED
        _take(places, groups_N, test_share, TEST)
    if validation_share is not None:
        _take(places, groups_N, validation_share, VALIDATION)
    trained = np.unique(keys_N[places == TRAIN])
    return Assignment(
        places_N=places,
        dropped=int(np.count_nonzero(places == DROPPED)),
        repeated_in_train=int(repeated.size),
        repeated_with_other_label=int(np.count_nonzero(other_label)),
        in_train_too={
            SPLITS[place]: int(np.count_nonzero(np.isin(keys_N[places == place], trained)))
            for place in (VALIDATION, TEST)
        },
    )


def _take(places: Places, groups: Keys, share: float, place: int) -> None:
    """Moves a share of what is in train to another split."""
    train = np.flatnonzero(places == TRAIN)
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


def vocabulary(counts: Mapping[str, int], size: int, min_count: int) -> list[str]:
    """The most frequent words first; among equals, in alphabetical order."""
    kept = [word for word, count in counts.items() if count >= min_count]
    return sorted(kept, key=lambda word: (-counts[word], word))[:size]
