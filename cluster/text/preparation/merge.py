"""The second half of preparation: from the parts and their columns to vocabulary and shards.

Holds the vocabulary, and of the other words and of the columns as much as the budget has room for; never the texts.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Data, Text
from cluster.config.tasks import TaskKind
from cluster.data.writing import SplitWriter
from cluster.errors import DataError
from cluster.text.preparation import asked
from cluster.text.preparation.columns import RECORDED_REJECTED, Columns, Rejection, refuse_bad_rows
from cluster.text.preparation.counts import WordCounts
from cluster.text.preparation.parts import Part
from cluster.text.preparation.references import References
from cluster.text.preparation.splits import SPLITS, TRAIN, vocabulary
from cluster.text.preparation.truth import MOST_LABELS, Truth, TruthTally, class_numbers, truth_of
from cluster.text.raw.read import Row, blocks, parse
from cluster.text.tokens import pieces
from cluster.text.tokens.given import Input, Words
from cluster.text.tokens.pipeline import Documents, Encoder
from cluster.text.tokens.weights import inverse_document_frequency

Counts = npt.NDArray[np.int64]
Places = npt.NDArray[np.int8]


def fit_encoder(
    parts: Iterable[Path],
    columns: Columns,
    places_N: Places,
    text: Text,
    folder: Path,
    words_at_once: int,
    takes: Input = "text",
) -> tuple[Encoder, int]:
    """Vocabulary and idf of the training split, and how many distinct words it has. Raises DataError, RecipeError.

    What `words_at_once` leaves no room for goes to `folder`; of byte-pair encoding all distinct stretches are held.
    """
    counted = _count(parts, columns, places_N, WordCounts(folder, words_at_once))
    if text.tokens == "bpe":
        learned = pieces.learn({one.word: one.times for one in counted}, text)
        encoder = Encoder(text, learned.words, np.zeros(len(learned.words)) if _idf(text) else None, learned, takes)
        if _idf(text):
            encoder = Encoder(text, learned.words, _idf_of_pieces(parts, columns, places_N, encoder), learned)
        return encoder, counted.distinct
    kept = vocabulary(counted.frequent(text.vocabulary_size), text.vocabulary_size, text.min_count)
    if not kept:
        raise DataError(
            f"no word stands in the training split text.min_count = {text.min_count} times: lower it"
            + (", or keep more of the tokens." if not counted.distinct else ".")
        )
    idf = None
    if _idf(text):
        found = np.array([one.documents for one in kept], dtype=np.int64)
        idf = inverse_document_frequency(found, int(np.count_nonzero(places_N == TRAIN)))
    return Encoder(text, [one.word for one in kept], idf, takes=takes), counted.distinct


def _idf(text: Text) -> bool:
    return text.weights == "tfidf"


def _count(parts: Iterable[Path], columns: Columns, places_N: Places, counted: WordCounts) -> WordCounts:
    """The words of the training split, how often each stands there, and in how many documents."""
    for index, path in enumerate(parts):
        part = Part(path, "tokens", "lengths", "cut", "words")
        words = part.items("words")
        train = part.numbered.chosen(places_N[columns.of_part(index)] == TRAIN)
        local = np.bincount(train.tokens_N, minlength=len(words))
        seen = np.flatnonzero(local)
        documents = _documents_with(train.tokens_N, train.lengths_B, len(words))
        counted.add([words[word] for word in seen.tolist()], local[seen], documents[seen])
    return counted


def _documents_with(tokens_N: npt.NDArray[np.uint32], lengths_B: npt.NDArray[np.uint32], size: int) -> Counts:
    """In how many documents each of `size` tokens stands."""
    documents = np.repeat(np.arange(lengths_B.size, dtype=np.uint64), lengths_B)
    pairs = np.unique(documents << np.uint64(32) | tokens_N)
    return np.bincount((pairs & np.uint64(0xFFFFFFFF)).astype(np.int64), minlength=size)


def _idf_of_pieces(
    parts: Iterable[Path], columns: Columns, places_N: Places, encoder: Encoder
) -> npt.NDArray[np.float64]:
    """A stretch's pieces are known only once they are learned: so the parts are read another time."""
    frequencies = np.zeros(encoder.rows, dtype=np.int64)
    for index, path in enumerate(parts):
        part = Part(path, "tokens", "lengths", "cut", "words")
        train = part.numbered.chosen(places_N[columns.of_part(index)] == TRAIN)
        tokens, lengths, _, _ = encoder.looked_up(train, encoder.table(part.items("words")))
        frequencies += _documents_with(tokens, lengths, encoder.rows)
    return inverse_document_frequency(frequencies[-len(encoder.words) :], int(np.count_nonzero(places_N == TRAIN)))


def write_splits(
    parts: Iterable[Path],
    columns: Columns,
    places_N: Places,
    labels: Sequence[str],
    encoder: Encoder,
    task: TaskKind,
    folder: Path,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Shards of every split that has documents: manifest entries, and what there is to report, by split."""
    classes = class_numbers(columns.label_names, labels)
    tallies = {index: _Tally(task) for index in np.unique(places_N[places_N >= 0]).tolist()}
    with contextlib.ExitStack() as stack:
        open_writer = _writer(folder, encoder, task, len(labels))
        writers = {index: stack.enter_context(open_writer(SPLITS[index])) for index in tallies}
        told = [index for index in writers if task == "answer" and index != TRAIN]
        files = {index: stack.enter_context(asked.open_questions(folder, SPLITS[index])) for index in told}
        references = stack.enter_context(References(folder))
        for number, path in enumerate(parts):
            part = Part(path)
            table, numbered = encoder.table(part.items("words")), part.numbered
            here = columns.of_part(number)
            truth = columns.truth_of(number)
            questions = part.items("questions") if task == "answer" and part["lengths"].size else []
            for index, writer in writers.items():
                chosen = places_N[here] == index
                if not chosen.any():
                    continue
                encoded, wanted = encoder.documents(numbered.chosen(chosen), table), truth.chosen(chosen)
                if task == "answer":
                    these = [questions[row] for row in np.flatnonzero(chosen).tolist()]
                    asked.append_questions(writer, files.get(index), encoded, these, part["sources"][chosen])
                    tallies[index].widened += sum(one[asked.WIDENED] for one in these)
                else:
                    _append(writer, encoded, wanted, classes, len(labels), task, part["sources"][chosen])
                tallies[index].truth.add(wanted, columns.label_names)
                tallies[index].add(encoded)
                if task == "rewrite" and index != TRAIN:
                    texts = part.items("written")
                    references.add(SPLITS[index], (texts[row] for row in np.flatnonzero(chosen).tolist()))
        for file in files.values():
            asked.finish(file)
        entries = {SPLITS[index]: writer.close() for index, writer in writers.items()}
    return entries, {SPLITS[index]: tally.report(labels) for index, tally in tallies.items()}


def _append(
    writer: SplitWriter,
    encoded: Documents,
    wanted: Truth,
    classes: npt.NDArray[np.int64],
    count: int,
    task: TaskKind,
    sources: npt.NDArray[np.uint64],
) -> None:
    """Some documents with what is to be predicted of them; name i is class `classes[i]` of `count`."""
    if encoded.written is not None:
        writer.append(encoded.tokens, encoded.lengths, encoded.written, sources)
    elif task == "tag":
        column, targets = wanted.of_tokens(classes, encoded)
        writer.append(encoded.tokens, encoded.lengths, column, sources, encoded.beside, targets)
    else:
        column = wanted.column(task, classes, count)
        writer.append(encoded.tokens, encoded.lengths, column, sources, encoded.beside)


def _writer(folder: Path, encoder: Encoder, task: TaskKind, classes: int) -> Callable[[str], SplitWriter]:
    def open_writer(split: str) -> SplitWriter:
        return SplitWriter(
            folder,
            split,
            vocabulary_rows=encoder.rows,
            layout="bag" if encoder.weighted else "sequence",
            tag_rows=len(encoder.tags) + 1 if encoder.tagged else 0,
            affixes=encoder.text.affixes,
            task=task,
            classes=classes,
        )

    return open_writer


class _Tally:
    """What is counted of one split while it is written."""

    def __init__(self, task: TaskKind) -> None:
        self.truth, self._task = TruthTally(task), task
        self.widened = 0
        self.tokens = self.unknown_tokens = self.cut = self.without_known_word = 0
        self.written: int | None = None
        """Tokens to be written, ends among them, of pairs."""

    def add(self, encoded: Documents) -> None:
        self.tokens += encoded.read
        self.unknown_tokens += encoded.unknown
        self.cut += encoded.cut
        self.without_known_word += encoded.without_known_word
        if encoded.written is not None:
            self.written = (self.written or 0) + int(encoded.written.sum(dtype=np.int64))

    def report(self, labels: Sequence[str]) -> dict[str, Any]:
        return {
            "documents": self.truth.documents,
            "tokens": self.tokens,
            "unknown_tokens": self.unknown_tokens,
            "cut": self.cut,
            "without_known_word": self.without_known_word,
            **({"widened": self.widened} if self._task == "answer" else {}),
            **({} if self.written is None else {"written_tokens": self.written}),
            **self.truth.report(labels),
        }


def what_it_is(encoder: Encoder, labels: Sequence[str], task: TaskKind) -> dict[str, Any]:
    """What a manifest says of the layout, the vocabulary and the task."""
    return {
        "layout": "bag" if encoder.weighted else "sequence",
        "vocabulary_rows": encoder.rows,
        "task": task,
        "labels": list(labels),
        "tags": encoder.tags,
        "affixes": encoder.text.affixes,
    }


def _encoded(encoder: Encoder, rows: Sequence[Row], task: TaskKind) -> Documents:
    match task:
        case "rewrite":
            return encoder.encode_pairs([(row.text, row.written) for row in rows])
        case "tag":
            return encoder.encode([Words(row.words, row.predicate) for row in rows])
        case "answer":
            return encoder.encode([row.question for row in rows if row.question])
        case _:
            return encoder.encode([row.text for row in rows])


def encode_files(
    files: Sequence[Path], data: Data, encoder: Encoder, labels: Sequence[str], task: TaskKind, folder: Path
) -> dict[str, Any]:
    """Foreign files as the split "test", block by block: what the manifest is to say. Raises DataError."""
    tally, rows_read = _Tally(task), 0
    rejected, first_rejected = 0, list[Rejection]()
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(_writer(folder, encoder, task, len(labels))("test"))
        references = stack.enter_context(References(folder))
        questions = stack.enter_context(asked.open_questions(folder, "test")) if task == "answer" else None
        for number, path in enumerate(files):
            for block in blocks(path, data):
                rows, bad = parse(block, data, task)
                rows_read += len(rows) + len(bad)
                rejected += len(bad)
                told = bad[: RECORDED_REJECTED - len(first_rejected)]
                first_rejected += [(row.file, row.line, row.reason) for row in told]
                tagging = task == "tag"
                encoded = _encoded(encoder, rows, task)
                if task == "rewrite":
                    references.add("test", (row.written for row in rows))
                truth, names = truth_of(rows, encoder.text.max_tokens if tagging else MOST_LABELS)
                sources = np.array([number << 40 | row.line for row in rows], dtype=np.uint64)
                if questions is not None:
                    these = [one.to_json() for one in encoded.located]
                    asked.append_questions(writer, questions, encoded, these, sources)
                    tally.widened += sum(one.widened for one in encoded.located)
                else:
                    _append(writer, encoded, truth, class_numbers(names, labels), len(labels), task, sources)
                tally.truth.add(truth, names)
                tally.add(encoded)
        refuse_bad_rows(rejected, first_rejected, rows_read, data.bad_rows)
        if not tally.truth.documents:
            raise DataError(f"there is no row to evaluate in {', '.join(map(str, files))}.")
        if questions is not None:
            asked.finish(questions)
        entry = writer.close()
    split = tally.report(labels)
    return {
        **what_it_is(encoder, labels, task),
        "splits": {"test": entry},
        "report": {
            "rows": rows_read,
            "documents": split["documents"],
            "rejected": rejected,
            "rejected_rows": [list(rejection) for rejection in first_rejected],
            "duplicates": {},
            "splits": {"test": split},
            "unknown_labels": {"test": split["unknown_labels"]} if split["unknown_labels"] else {},
            "max_tokens": encoder.text.max_tokens,
        },
    }
