"""All rows of all parts as columns: who goes where, with what to predict; about 50 bytes a row, never a text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Data, TaskKind
from cluster.errors import DataError
from cluster.text.preparation.parts import Part
from cluster.text.preparation.splits import SPLITS, TEST, TRAIN, VALIDATION, Assignment, assign, in_order
from cluster.text.preparation.tell import SHOWN_REJECTED
from cluster.text.preparation.truth import Truth
from cluster.text.tokens.numbering import Numbers

Rejection = tuple[str, int, str]
"""File, line, reason."""


@dataclass(frozen=True)
class Columns:
    """All rows of all parts, in the order of the sources: N rows, P parts."""

    slots_N: npt.NDArray[np.int8]
    truth: Truth
    """Labels are numbers into `label_names`."""
    keys_N: npt.NDArray[np.uint64]
    groups_N: npt.NDArray[np.uint64]
    ends_P: list[int]
    """Rows of the parts up to and with each."""
    label_names: list[str]
    rejected: list[Rejection]

    def of_part(self, part: int) -> slice:
        """The rows of a part."""
        return slice(self.ends_P[part - 1] if part else 0, self.ends_P[part])


def gather(parts: Iterable[Path], slots: Sequence[int]) -> Columns:
    """The columns of all parts; `slots` is the split (index of `SPLITS`) that each source file was given for."""
    names = Numbers()
    slot_of = np.array(slots, dtype=np.int8)
    plain = ("label_counts", "targets", "keys", "groups")
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ("slots", "labels", *plain)}
    rejected: list[Rejection] = []
    for path in parts:
        part = Part(path, "sources", "labels", "label_names", "rejected", *plain)
        renumbered = np.array([names[name] for name in part.items("label_names")], dtype=np.int64)
        columns["slots"].append(slot_of[(part["sources"] >> np.uint64(40)).astype(np.int64)])
        columns["labels"].append(renumbered[part["labels"]])
        for name in plain:
            columns[name].append(part[name])
        rejected += [(file, line, reason) for file, line, reason in part.items("rejected")]
    joined = {name: np.concatenate(arrays) for name, arrays in columns.items()}
    return Columns(
        slots_N=joined["slots"],
        truth=Truth(joined["labels"], joined["label_counts"], joined["targets"]),
        keys_N=joined["keys"],
        groups_N=joined["groups"],
        ends_P=list(accumulate(len(array) for array in columns["slots"])),
        label_names=list(names),
        rejected=rejected,
    )


def refuse_bad_rows(rejected: Sequence[Rejection], rows: int, accepted_share: float) -> None:
    """Raises DataError with the list if more than the accepted share of all `rows` was rejected."""
    if not rejected or len(rejected) / rows <= accepted_share:
        return
    lines = [f"  {file}:{line}: {reason}" for file, line, reason in rejected[:SHOWN_REJECTED]]
    if len(rejected) > SHOWN_REJECTED:
        lines.append(f"  and {len(rejected) - SHOWN_REJECTED:,} more")
    accepted = _most(accepted_share, rows)
    raise DataError(
        f"{len(rejected):,} of {rows:,} rows cannot be used, and data.bad_rows = {accepted_share:g} accepts "
        f"{accepted:,}. Mend them, or set data.bad_rows to the share you accept.\n" + "\n".join(lines)
    )


def _most(share: float, rows: int) -> int:
    """How many of the rows are no more than this share (29 of 100 are 0.29, though 0.29 * 100 is less than 29)."""
    nearest = round(share * rows)
    return nearest if nearest / rows <= share else nearest - 1


def place(columns: Columns, data: Data, task: TaskKind) -> tuple[Assignment, list[str]]:
    """Where each row goes, and the labels of the training split in order (none for regress).

    Raises DataError if a split is left empty, or if there is nothing to learn: one label only (for multilabel none),
    one number only.
    """
    assignment = assign(
        columns.slots_N,
        columns.keys_N,
        columns.groups_N,
        columns.truth.same(task),
        validation_share=data.validation_share if data.validation == "auto" else None,
        test_share=data.test_share if data.test == "auto" else None,
    )
    _refuse_empty(assignment, data)
    train = columns.truth.chosen(assignment.places_N == TRAIN)
    labels = in_order(columns.label_names[number] for number in np.unique(train.labels_M))
    if task == "classify" and len(labels) < 2:
        raise DataError(
            f"the training split has one label only, {labels[0]!r} (field {data.label!r}): "
            "a classifier needs two or more."
        )
    if task == "multilabel" and not labels:
        raise DataError(
            f"no document of the training split has a label (field {data.label!r}, data.label_separator = "
            f"{data.label_separator!r}): name the field that holds them."
        )
    if task == "regress" and train.targets_B.min() == train.targets_B.max():
        raise DataError(
            f"every document of the training split has the same number, {train.targets_B[0]:g} (field {data.label!r}): "
            "there is nothing to learn. Name the field that holds what is to be predicted."
        )
    return assignment, labels


def _refuse_empty(assignment: Assignment, data: Data) -> None:
    documents = np.bincount(assignment.places_N[assignment.places_N >= 0], minlength=len(SPLITS))
    shares = {VALIDATION: data.validation_share, TEST: data.test_share}
    for index, source in ((TRAIN, data.train), (VALIDATION, data.validation), (TEST, data.test)):
        if documents[index] or source == "none":
            continue
        if source == "auto":
            raise DataError(
                f'data.{SPLITS[index]} = "auto" took no document: a share of {shares[index]:g} of so few. Give more '
                f'data, a larger data.{SPLITS[index]}_share, a file of its own, or data.{SPLITS[index]} = "none".'
            )
        raise DataError(
            f"the {SPLITS[index]} split is empty: data.{SPLITS[index]} = {source!r} leaves no document"
            + (" to train on. Give more data, or smaller shares to validation and test." if index == TRAIN else ".")
        )
