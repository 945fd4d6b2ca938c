"""Prepared data as matrices for other programs: a row a document, a column a word.

B documents of a split, D their distinct known words (a word counts once for each document that has it), N tokens.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse

from cluster.data.manifest import Manifest, TaskKind, open_prepared
from cluster.data.shards import ShardReader
from cluster.errors import DataError
from cluster.runs import prepared_folder
from cluster.text.tokens.model import ModelPieces
from cluster.text.tokens.pipeline import FIRST_WORD, PAD, Encoder
from cluster.text.tokens.weights import bag, inverse_document_frequency, weighed

Weights = Literal["binary", "count", "tfidf"]
"""As `text.weights` names them."""
TRAIN = "train"
TOKENS_AT_ONCE = 1 << 22
"""Of a sequence, sorted together: about 200 MB."""
NO_BAG: dict[TaskKind, str] = {
    "tag": "each word of a document has a label, not the document",
    "answer": "each document is a question with its context",
    "rewrite": "each document is a pair of texts",
}
"""Why a task's documents are no bags of words."""


def write_matrices(source: Path, weights: Weights | Literal["auto"], work: Path) -> dict[str, Any]:
    """Writes the data of `source`, a prepared folder or a run, into the folder `work`: {"weights", "words", "labels",
    "splits": {name: {"documents", "values"}}}.

    SPLIT.npz holds a scipy CSR matrix [documents, words] of float32 in the order of the prepared documents,
    SPLIT.labels.npy what is to be predicted of each (int32 numbers of labels, -1 for one that training never saw;
    uint8 [documents, labels] of 0 and 1 for several labels; float64 numbers), but for language models;
    vocabulary.json the word of each column, labels.json the names of the labels. `weights` "auto" are those
    that the data has. TF-IDF is scikit-learn's default, idf smoothed and of the training split, rows of
    length 1.

    A split is in memory at once. Raises DataError for data that has no such weights or is damaged, RunError, OSError.
    """
    folder = prepared_folder(source)
    manifest = open_prepared(folder)
    encoder = Encoder.load(folder)
    wanted = _wanted(manifest, encoder, weights)
    idf: npt.NDArray[np.float64] | None = None
    told: dict[str, Any] = {}
    for name in sorted(manifest.splits, key=lambda one: one != TRAIN):  # its words say what a word weighs elsewhere
        reader = ShardReader(folder, name)
        words_D, distinct_B, values_D = _bags(reader, encoder)
        if encoder.text.weights != wanted:
            if wanted == "tfidf" and idf is None:
                frequency = np.bincount(words_D.astype(np.int64) - FIRST_WORD, minlength=len(encoder.words))
                idf = inverse_document_frequency(frequency, reader.documents)
            values_D = weighed(words_D, distinct_B, values_D, wanted, idf)
        ends_B = np.concatenate([[0], np.cumsum(distinct_B, dtype=np.int64)])
        columns_D = words_D.astype(np.int32) - FIRST_WORD
        shape = (reader.documents, len(encoder.words))
        scipy.sparse.save_npz(work / f"{name}.npz", scipy.sparse.csr_matrix((values_D, columns_D, ends_B), shape=shape))
        if manifest.task != "language":
            np.save(work / f"{name}.labels.npy", reader.labels, allow_pickle=False)
        told[name] = {"documents": reader.documents, "values": int(values_D.size)}
    _write(work / "vocabulary.json", encoder.words)
    if manifest.labels:
        _write(work / "labels.json", list(manifest.labels))
    return {"weights": wanted, "words": len(encoder.words), "labels": len(manifest.labels), "splits": told}


def _wanted(manifest: Manifest, encoder: Encoder, weights: Weights | Literal["auto"]) -> Weights:
    """The weights to write. Raises DataError if they cannot be had of this data."""
    folder, own = manifest.folder, encoder.text.weights
    if manifest.task in NO_BAG:
        raise DataError(
            f'{folder} is prepared for task.kind = "{manifest.task}", where {NO_BAG[manifest.task]}: a row for each '
            "document can be had of data for classify, multilabel, regress, language and embed."
        )
    wanted = own if weights == "auto" else weights
    if wanted == "auto" or wanted == "none":
        raise DataError(
            f"{folder} holds sequences of tokens, which have no weights of their own: choose some with --weights "
            "count, tfidf or binary."
        )
    if wanted not in (own, "binary") and own not in ("count", "none"):
        raise DataError(
            f'--weights {wanted}: {folder} is prepared with text.weights = "{own}", which does not tell how often a '
            f'word stands in a document. Prepare it with text.weights = "{wanted}" or "count", or leave out --weights.'
        )
    if wanted == "tfidf" != own and TRAIN not in manifest.splits:
        raise DataError(
            f"--weights tfidf: {folder} has no training split, by which words are weighed; use --weights count."
        )
    return wanted


def _bags(
    reader: ShardReader, encoder: Encoder
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """Of all documents of a split: distinct words [D], how many each has [B], and their weights [D] as they are
    stored, or of sequences how often each stands in its document. Raises DataError for damage."""
    marks = _marks(encoder)
    found = []
    for ids in _pieces(reader.lengths):
        tokens_N, lengths, beside_N = reader.flat(ids)
        lengths_B = lengths.astype(np.uint32)
        reader.settle()
        if tokens_N.size and int(tokens_N.max()) >= encoder.rows:
            raise DataError(
                f"{reader.manifest.folder} holds token {int(tokens_N.max())}, but its encoder knows {encoder.rows} "
                "rows: prepare the data again."
            )
        if beside_N is None or not reader.weighted:
            tokens_N[np.isin(tokens_N, marks)] = PAD
            found.append(bag(tokens_N, lengths_B, "count", None))
        else:
            found.append((tokens_N.astype(np.uint32), lengths_B, beside_N))
    if not found:
        return np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty(0, np.float32)
    words, distinct, values = zip(*found, strict=True)
    return np.concatenate(words), np.concatenate(distinct), np.concatenate(values)


def _pieces(lengths_B: npt.NDArray[np.uint32]) -> Iterator[npt.NDArray[np.int64]]:
    """All documents in their order, so many at once as have `TOKENS_AT_ONCE` tokens, one at least."""
    ends = np.cumsum(lengths_B, dtype=np.int64)
    first = 0
    while first < ends.size:
        before = int(ends[first - 1]) if first else 0
        behind = max(first + 1, int(np.searchsorted(ends, before + TOKENS_AT_ONCE, side="right")))
        yield np.arange(first, behind)
        first = behind


def _marks(encoder: Encoder) -> list[int]:
    """Rows that are no token of a text: where documents begin or end."""
    pieces = encoder.pieces
    around = [*pieces.before, *pieces.after] if isinstance(pieces, ModelPieces) else []
    return [*range(FIRST_WORD + len(encoder.words), encoder.rows), *around]


def _write(path: Path, names: list[str]) -> None:
    path.write_text(json.dumps(names, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
