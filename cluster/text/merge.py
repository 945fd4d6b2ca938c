"""The second half of preparation: from the parts to labels, splits, vocabulary and shards.

Holds columns of the rows (about 40 bytes each) and the distinct words, never the texts.
"""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Data, Text
from cluster.data.shards import SplitWriter
from cluster.errors import DataError
from cluster.text.parts import Numbers, Part
from cluster.text.pipeline import Documents, Encoder, encodable
from cluster.text.read import blocks, parse
from cluster.text.splits import SPLITS, TEST, TRAIN, VALIDATION, Assignment, assign, in_order, vocabulary
from cluster.text.tell import SHOWN_REJECTED
from cluster.text.weights import inverse_document_frequency

RECORDED_REJECTED = 1000

Ids = npt.NDArray[np.int64]
Rejection = tuple[str, int, str]
"""File, line, reason."""


@dataclass(frozen=True)
class Columns:
    """All rows of all parts, in the order of the sources: N rows, P parts."""

    slots_N: npt.NDArray[np.int8]
    labels_N: Ids
    keys_N: npt.NDArray[np.uint64]
    groups_N: npt.NDArray[np.uint64]
    ends_P: list[int]
    """Rows of the parts up to and with each."""
    label_names: list[str]
    rejected: list[Rejection]

    def of_part(self, part: int) -> slice:
        return slice(self.ends_P[part - 1] if part else 0, self.ends_P[part])


def gather(parts: Sequence[Path], slots: Sequence[int]) -> Columns:
    """The columns of all parts; `slots` is the split (index of `SPLITS`) that each source file was given for."""
    names = Numbers()
    slot_of = np.array(slots, dtype=np.int8)
    columns: dict[str, list[npt.NDArray[Any]]] = {"slots": [], "labels": [], "keys": [], "groups": []}
    rejected: list[Rejection] = []
    for path in parts:
        part = Part(path, "sources", "labels", "keys", "groups", "label_names", "rejected")
        renumbered = np.array([names[name] for name in part.items("label_names")], dtype=np.int64)
        columns["slots"].append(slot_of[(part["sources"] >> np.uint64(40)).astype(np.int64)])
        columns["labels"].append(renumbered[part["labels"]])
        columns["keys"].append(part["keys"])
        columns["groups"].append(part["groups"])
        rejected += [(file, line, reason) for file, line, reason in part.items("rejected")]
    joined = {name: np.concatenate(arrays) for name, arrays in columns.items()}
    return Columns(
        slots_N=joined["slots"],
        labels_N=joined["labels"],
        keys_N=joined["keys"],
        groups_N=joined["groups"],
        ends_P=list(accumulate(len(array) for array in columns["labels"])),
        label_names=list(names),
        rejected=rejected,
    )


def refuse_bad_rows(rejected: Sequence[Rejection], rows: int, accepted_share: float) -> None:
    """Raises DataError with the list if more than the accepted share of all `rows` was rejected."""
    if not rejected or len(rejected) <= accepted_share * rows:
        return
    lines = [f"  {file}:{line}: {reason}" for file, line, reason in rejected[:SHOWN_REJECTED]]
    if len(rejected) > SHOWN_REJECTED:
        lines.append(f"  and {len(rejected) - SHOWN_REJECTED:,} more")
    raise DataError(
        f"{len(rejected):,} of {rows:,} rows cannot be used, and data.bad_rows = {accepted_share:g} accepts "
        f"{int(accepted_share * rows):,}. Mend them, or set data.bad_rows to the share you accept.\n" + "\n".join(lines)
    )


def place(columns: Columns, data: Data) -> tuple[Assignment, list[str]]:
    """Where each row goes, and the labels of the training split in order.

    Raises DataError if a split is left empty, or training with a single label.
    """
    assignment = assign(
        columns.slots_N,
        columns.keys_N,
        columns.groups_N,
        columns.labels_N,
        validation_share=data.validation_share if data.validation == "auto" else None,
        test_share=data.test_share if data.test == "auto" else None,
    )
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
    seen = np.unique(columns.labels_N[assignment.places_N == TRAIN])
    labels = in_order(columns.label_names[number] for number in seen)
    if len(labels) < 2:
        raise DataError(
            f"the training split has one label only, {labels[0]!r} (field {data.label!r}): "
            "a classifier needs two or more."
        )
    return assignment, labels


def fit_encoder(
    parts: Sequence[Path], columns: Columns, places_N: npt.NDArray[np.int8], text: Text
) -> tuple[Encoder, int]:
    """Vocabulary and idf of the training split, and how many distinct words it has."""
    numbers = Numbers()
    counts, frequencies = np.zeros(1 << 16, dtype=np.int64), np.zeros(1 << 16, dtype=np.int64)
    for index, path in enumerate(parts):
        part = Part(path, "tokens", "lengths", "words")
        words = part.items("words")
        train = places_N[columns.of_part(index)] == TRAIN
        documents, tokens = _of_documents(part, train)
        local = np.bincount(tokens, minlength=len(words))
        seen = np.flatnonzero(local)
        where = np.fromiter((numbers[words[word]] for word in seen.tolist()), dtype=np.int64, count=seen.size)
        while len(numbers) > counts.size:
            counts, frequencies = np.pad(counts, (0, counts.size)), np.pad(frequencies, (0, frequencies.size))
        counts[where] += local[seen]
        pairs = np.unique(documents.astype(np.uint64) << np.uint64(32) | tokens)
        once = np.bincount((pairs & np.uint64(0xFFFFFFFF)).astype(np.int64), minlength=len(words))
        frequencies[where] += once[seen]
    kept = vocabulary(dict(zip(numbers, counts.tolist(), strict=False)), text.vocabulary_size, text.min_count)
    if not kept:
        raise DataError(f"no word stands in the training split text.min_count = {text.min_count} times: lower it.")
    idf = None
    if text.weights == "tfidf":
        found = frequencies[[numbers[word] for word in kept]]
        idf = inverse_document_frequency(found, int(np.count_nonzero(places_N == TRAIN)))
    return Encoder(text, kept, idf), len(numbers)


def write_splits(
    parts: Sequence[Path],
    columns: Columns,
    places_N: npt.NDArray[np.int8],
    labels: Sequence[str],
    encoder: Encoder,
    folder: Path,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Shards of every split that has documents: manifest entries, and what there is to report, by split."""
    label_ids = {name: number for number, name in enumerate(labels)}
    ids = np.array([label_ids.get(name, -1) for name in columns.label_names], dtype=np.int32)
    tallies = {index: _Tally() for index in np.unique(places_N[places_N >= 0]).tolist()}
    with contextlib.ExitStack() as stack:
        writers = {
            index: stack.enter_context(
                SplitWriter(folder, SPLITS[index], vocabulary_rows=encoder.rows, weighted=encoder.weighted)
            )
            for index in tallies
        }
        for number, path in enumerate(parts):
            part = Part(path)
            rows = encoder.rows_of(part.items("words"))
            here = columns.of_part(number)
            for index, writer in writers.items():
                chosen = places_N[here] == index
                if not chosen.any():
                    continue
                _, tokens = _of_documents(part, chosen)
                encoded = encoder.weigh(rows[tokens], part["lengths"][chosen], int(part["cut"][chosen].sum()))
                named = columns.labels_N[here][chosen]
                writer.append(encoded.tokens, encoded.lengths, ids[named], part["sources"][chosen], encoded.weights)
                tallies[index].add([columns.label_names[label] for label in named.tolist()], encoded)
        entries = {SPLITS[index]: writer.close() for index, writer in writers.items()}
    return entries, {SPLITS[index]: tally.report(label_ids) for index, tally in tallies.items()}


class _Tally:
    """What is counted of one split while it is written."""

    def __init__(self) -> None:
        self.labels: Counter[str] = Counter()
        self.tokens = self.unknown_tokens = self.cut = self.without_known_word = 0

    def add(self, labels: Sequence[str], encoded: Documents) -> None:
        self.labels.update(labels)
        self.tokens += encoded.read
        self.unknown_tokens += encoded.unknown
        self.cut += encoded.cut
        self.without_known_word += encoded.without_known_word

    def report(self, known: dict[str, int]) -> dict[str, Any]:
        return {
            "documents": self.labels.total(),
            "tokens": self.tokens,
            "unknown_tokens": self.unknown_tokens,
            "cut": self.cut,
            "without_known_word": self.without_known_word,
            "labels": {name: self.labels[name] for name in known if name in self.labels},
            "unknown_labels": {name: self.labels[name] for name in in_order(set(self.labels) - set(known))},
        }


def encode_files(
    files: Sequence[Path], data: Data, encoder: Encoder, labels: Sequence[str], folder: Path
) -> dict[str, Any]:
    """Foreign files as the split "test", block by block: what the manifest is to say. Raises DataError."""
    ids = {name: number for number, name in enumerate(labels)}
    tally, rejected, rows_read = _Tally(), [], 0
    with SplitWriter(folder, "test", vocabulary_rows=encoder.rows, weighted=encoder.weighted) as writer:
        for number, path in enumerate(files):
            for block in blocks(path, data):
                rows, bad = parse(block, data)
                rows_read += len(rows) + len(bad)
                rejected += [(row.file, row.line, row.reason) for row in bad]
                encoded = encoder.encode([row.text for row in rows])
                names = [encodable(row.label) for row in rows]
                sources = np.array([number << 40 | row.line for row in rows], dtype=np.uint64)
                numbers = np.array([ids.get(name, -1) for name in names], dtype=np.int32)
                writer.append(encoded.tokens, encoded.lengths, numbers, sources, encoded.weights)
                tally.add(names, encoded)
        refuse_bad_rows(rejected, rows_read, data.bad_rows)
        if not tally.labels:
            raise DataError(f"there is no row to evaluate in {', '.join(map(str, files))}.")
        entry = writer.close()
    split = tally.report(ids)
    return {
        "layout": entry["layout"],
        "vocabulary_rows": encoder.rows,
        "labels": list(labels),
        "splits": {"test": entry},
        "report": {
            "rows": rows_read,
            "documents": split["documents"],
            "rejected": len(rejected),
            "rejected_rows": [list(rejection) for rejection in rejected[:RECORDED_REJECTED]],
            "duplicates": {},
            "splits": {"test": split},
            "unknown_labels": {"test": split["unknown_labels"]} if split["unknown_labels"] else {},
            "max_tokens": encoder.text.max_tokens,
        },
    }


def _of_documents(part: Part, chosen: npt.NDArray[np.bool_]) -> tuple[Ids, npt.NDArray[np.uint32]]:
    """The tokens of the chosen documents, and beside each the row of its document in the part."""
    documents = np.repeat(np.arange(chosen.size, dtype=np.int64), part["lengths"])
    kept = chosen[documents]
    return documents[kept], part["tokens"][kept]
