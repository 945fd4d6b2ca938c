"""All rows of all parts as columns on the disk: who goes where, with what to predict; never a text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Data
from cluster.config.tasks import TaskKind
from cluster.errors import DataError
from cluster.text.preparation.ondisk import GrowingColumns
from cluster.text.preparation.parts import Part
from cluster.text.preparation.splits import SPLITS, TEST, TRAIN, VALIDATION, Assignment, assign, in_order
from cluster.text.preparation.tell import SHOWN_REJECTED
from cluster.text.preparation.truth import Truth
from cluster.text.tokens.numbering import Numbers

RECORDED_REJECTED = 1000
MOST_TARGETS = 4096
"""Labels of words: an evaluation counts each pair of them."""
TYPES = {
    "slots": np.int8, "labels": np.int64, "label_counts": np.uint32, "targets": np.float64, "same": np.int64,
    "keys": np.uint64, "groups": np.uint64,
}  # fmt: skip

Rejection = tuple[str, int, str]
"""File, line, reason."""


@dataclass(frozen=True)
class Columns:
    """All rows of all parts, in the order of the sources: N rows, P parts."""

    slots_N: npt.NDArray[np.int8]
    truth: Truth
    """Labels are numbers into `label_names`."""
    same_N: npt.NDArray[np.int64]
    """`Truth.same`."""
    keys_N: npt.NDArray[np.uint64]
    groups_N: npt.NDArray[np.uint64]
    ends_P: list[int]
    """Rows of the parts up to and with each."""
    label_ends_P: list[int]
    """Labels of the parts up to and with each."""
    label_names: list[str]
    rejected: int
    first_rejected: list[Rejection]
    """At most `RECORDED_REJECTED`."""

    @property
    def rows(self) -> int:
        """All, rejected ones included."""
        return self.slots_N.size + self.rejected

    def of_part(self, part: int) -> slice:
        """The rows of a part."""
        return slice(self.ends_P[part - 1] if part else 0, self.ends_P[part])

    def truth_of(self, part: int) -> Truth:
        """What the rows of a part say."""
        rows = self.of_part(part)
        labels = slice(self.label_ends_P[part - 1] if part else 0, self.label_ends_P[part])
        return Truth(self.truth.labels_M[labels], self.truth.counts_B[rows], self.truth.targets_B[rows])


def gather(parts: Iterable[Path], slots: Sequence[int], task: TaskKind, folder: Path) -> Columns:
    """The columns of all parts, in files in `folder`; `slots` is the split (index of `SPLITS`) that each source file
    was given for."""
    names = Numbers()
    slot_of = np.array(slots, dtype=np.int8)
    plain = ("label_counts", "targets", "keys", "groups")
    sizes: list[tuple[int, int]] = []
    rejected, first_rejected = 0, list[Rejection]()
    with GrowingColumns(folder, TYPES) as growing:
        for path in parts:
            part = Part(path, "sources", "labels", "label_names", "rejected", *plain)
            renumbered = np.array([names[name] for name in part.items("label_names")], dtype=np.int64)
            truth = Truth(renumbered[part["labels"]], part["label_counts"], part["targets"])
            growing.append({name: part[name] for name in plain})
            growing.append({"slots": slot_of[(part["sources"] >> np.uint64(40)).astype(np.int64)]})
            growing.append({"labels": truth.labels_M, "same": truth.same(task)})
            sizes.append((truth.counts_B.size, truth.labels_M.size))
            bad = part.items("rejected")
            rejected += len(bad)
            first_rejected += [
                (file, line, reason) for file, line, reason in bad[: RECORDED_REJECTED - len(first_rejected)]
            ]
        columns = growing.mapped()
    return Columns(
        slots_N=columns["slots"],
        truth=Truth(columns["labels"], columns["label_counts"], columns["targets"]),
        same_N=columns["same"],
        keys_N=columns["keys"],
        groups_N=columns["groups"],
        ends_P=list(accumulate(rows for rows, _ in sizes)),
        label_ends_P=list(accumulate(labels for _, labels in sizes)),
        label_names=list(names),
        rejected=rejected,
        first_rejected=first_rejected,
    )


def refuse_bad_rows(rejected: int, first: Sequence[Rejection], rows: int, accepted_share: float) -> None:
    """Raises DataError with the first of them if more than the accepted share of all `rows` was rejected."""
    if not rejected or rejected / rows <= accepted_share:
        return
    lines = [f"  {file}:{line}: {reason}" for file, line, reason in first[:SHOWN_REJECTED]]
    if rejected > SHOWN_REJECTED:
        lines.append(f"  and {rejected - SHOWN_REJECTED:,} more")
    accepted = _most(accepted_share, rows)
    raise DataError(
        f"{rejected:,} of {rows:,} rows cannot be used, and data.bad_rows = {accepted_share:g} accepts "
        f"{accepted:,}. Mend them, or set data.bad_rows to the share you accept.\n" + "\n".join(lines)
    )


def _most(share: float, rows: int) -> int:
    """How many of the rows are no more than this share (29 of 100 are 0.29, though 0.29 * 100 is less than 29)."""
    nearest = round(share * rows)
    return nearest if nearest / rows <= share else nearest - 1


def place(columns: Columns, data: Data, task: TaskKind, rows_at_once: int) -> tuple[Assignment, list[str]]:
    """Where each row goes, and the labels of the training split in order (none for regress).

    Raises DataError if a split is left empty, or if there is nothing to learn: one label only (for multilabel none),
    one number only, no answer.
    """
    assignment = assign(
        columns.slots_N,
        columns.keys_N,
        columns.groups_N,
        columns.same_N,
        validation_share=data.validation_share if data.validation == "auto" else None,
        test_share=data.test_share if data.test == "auto" else None,
        rows_at_once=rows_at_once,
    )
    _refuse_empty(assignment, data)
    numbers, low, high = set[int](), float("inf"), float("-inf")
    for train in _training(columns, assignment):
        numbers.update(np.unique(train.labels_M).tolist())
        low, high = min(low, train.targets_B.min()), max(high, train.targets_B.max())
    labels = in_order(columns.label_names[number] for number in numbers)
    if task == "classify" and len(labels) < 2:
        raise DataError(
            f"the training split has one label only, {labels[0]!r} (field {data.label!r}): "
            "a classifier needs two or more."
        )
    if task == "tag" and len(labels) < 2:
        raise DataError(
            f"every word of the training split has the same label, {labels[0]!r} (field {data.label!r}): a tagger "
            "needs two or more."
        )
    if task == "tag" and len(labels) > MOST_TARGETS:
        raise DataError(
            f"the words of the training split have {len(labels):,} different labels (field {data.label!r}); there can "
            f"be {MOST_TARGETS:,}. Does the field hold labels?"
        )
    if task == "multilabel" and not labels:
        raise DataError(
            f"no document of the training split has a label (field {data.label!r}, data.label_separator = "
            f"{data.label_separator!r}): name the field that holds them."
        )
    if task == "answer" and high < 0:
        raise DataError(
            f"no question of the training split has an answer (field {data.label!r}): there is nothing to learn. Name "
            "the field that holds the answers."
        )
    if task == "regress" and low == high:
        raise DataError(
            f"every document of the training split has the same number, {low:g} (field {data.label!r}): "
            "there is nothing to learn. Name the field that holds what is to be predicted."
        )
    return assignment, labels


def _training(columns: Columns, assignment: Assignment) -> Iterator[Truth]:
    """What there is to predict of the training documents, part by part; of a part that has some."""
    for part in range(len(columns.ends_P)):
        chosen = assignment.places_N[columns.of_part(part)] == TRAIN
        if chosen.any():
            yield columns.truth_of(part).chosen(chosen)


def _refuse_empty(assignment: Assignment, data: Data) -> None:
    documents = [int(np.count_nonzero(assignment.places_N == place)) for place in range(len(SPLITS))]
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
