"""What a run got most wrong, with the texts, and how long the documents of its training set are: for `muster report`.

    python -m cluster.mistakes RUN [--count 50]

Prints one JSON document. It needs neither torch nor spaCy. What cannot be known (prepared data cleared away, sources
that changed) is said in `missing`, and is no reason to fail.
"""

import argparse
import hashlib
import json
import math
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.load import from_toml_with
from cluster.config.schema import Recipe
from cluster.config.tasks import Multilabel, prepared_for
from cluster.data.manifest import FIRST_TARGET, NO_TARGET
from cluster.data.shards import ShardReader
from cluster.errors import DataError, RunError, exit_code_of
from cluster.runs import RunFolder, open_run, read_json
from cluster.text.raw.read import Row, read_rows

LONGEST_TEXT = 1000  # characters of a document that are shown
LINE_BITS = 40  # a source is the number of its file << 40 | its line: cluster/prepare.py
BARS = 40  # of a histogram
SHOWN_WORDS = 12
"""Words of a sentence whose labels are told, if they are wrong."""
NEEDED = {
    "classify": ("predicted", "probability"),
    "multilabel": ("probabilities",),
    "regress": ("predicted",),
    "tag": ("wrong",),
    "answer": ("start", "end", "none", "exact", "answerable"),
    "rewrite": ("written_ends",),
}
"""What predictions.npz holds beside the loss."""

Array = npt.NDArray[Any]
Predictions = Mapping[str, Array]


@dataclass(frozen=True)
class Place:
    """Where a document came from: the number of its file, and its line."""

    file: int
    line: int


def mistakes(run: RunFolder, count: int = 50) -> dict[str, Any]:
    """The worst predictions of the scored split, highest loss first, with their texts; and the lengths of documents.

    "mistakes": dictionaries of "file", "line", "text" (cut at 1,000 characters; None if it cannot be had), "true",
    "predicted", "loss" and, for classes, "probability". "lengths" and "plane" (numbers predicted and true, of a
    regression) are histograms, or None. "missing": sentences, each on something that is not there. Raises RunError if
    the run's own files are not whole.
    """
    recipe = from_toml_with(_read(run.recipe), [], str(run.recipe))
    prepared = Path(str(read_json(run.record)["prepared"]))
    found: dict[str, Any] = {"split": None, "documents": 0, "wrong": None, "mistakes": [], "missing": []}
    found |= {"lengths": None, "plane": None}
    missing: list[str] = found["missing"]
    if not prepared.is_dir():
        missing.append(
            f"The prepared data is gone ({prepared}): no lengths, no texts. `muster prepare` makes it again."
        )
        return found
    try:
        found["lengths"] = lengths(ShardReader(prepared, "train"))
    except DataError as error:
        missing.append(f"No lengths of documents: {error}")
    if prepared_for(recipe.task) == "language":  # what was scored are sequences of tokens, not documents
        return found
    predictions = _predictions(run, missing)
    if predictions is None:
        return found
    try:
        split = _scored_split(run)
        reader = ShardReader(prepared, split)
        _check_fit(predictions, reader)
        found |= {"split": split, **_worst(predictions, reader, recipe, count, missing)}
    except DataError as error:
        missing.append(f"No mistakes: {error}")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def _predictions(run: RunFolder, missing: list[str]) -> Predictions | None:
    path = run.predictions
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        why = f"there is no {path.name} in its folder" if run.evaluation.exists() else "it has not been scored yet"
        missing.append(f"The predictions of the run are not there ({why}): its mistakes cannot be shown.")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        missing.append(f"{path} cannot be read ({error}): its mistakes cannot be shown.")
    return None


def _scored_split(run: RunFolder) -> str:
    return str(read_json(run.evaluation).get("split", "test")) if run.evaluation.exists() else "test"


def _check_fit(predictions: Predictions, reader: ShardReader) -> None:
    sizes = {name: len(column) for name, column in predictions.items() if column.ndim}
    needed = {"loss", *NEEDED[reader.manifest.task]}
    if lacking := needed - set(sizes):
        raise DataError(f"predictions.npz holds no {', '.join(sorted(lacking))}.")
    if {sizes[name] for name in needed} != {reader.documents}:
        raise DataError(f"predictions.npz has rows {sizes}, the scored split has {reader.documents} documents.")


def _worst(
    predictions: Predictions, reader: ShardReader, recipe: Recipe, count: int, missing: list[str]
) -> dict[str, Any]:
    task, report = reader.manifest.task, reader.manifest.report
    threshold = recipe.task.threshold if isinstance(recipe.task, Multilabel) else 0.5
    wrong = _wrong(predictions, reader, threshold)
    ids = np.flatnonzero(wrong)
    # NaN counts as the worst; a stable sort keeps the order of the split where losses are equal
    loss = np.nan_to_num(predictions["loss"][ids], nan=np.inf)
    ids = ids[np.argsort(-loss, kind="stable")[:count]]
    sources: list[int] = reader.sources[ids].tolist()
    places = [Place(source >> LINE_BITS, source & ((1 << LINE_BITS) - 1)) for source in sources]
    rows = _rows(places, report, recipe, missing)
    shown = []
    for document, place in zip(ids.tolist(), places, strict=True):
        row = rows.get(place)
        told = _told(predictions, reader, document, threshold, row)
        if (
            row is not None and not told["true"] and task not in ("tag", "answer", "rewrite")
        ):  # a label that training never saw has no name in the manifest
            told["true"] = ", ".join(row.labels)
        file = {"file": _path(place.file, report), "line": place.line}
        shown.append({**file, **_text(row), **told, "loss": _finite(predictions["loss"][document])})
    return {
        "documents": reader.documents,
        "wrong": int(wrong.sum()) if task not in ("regress", "rewrite") else None,
        "mistakes": shown,
        "plane": plane(reader.labels, predictions["predicted"]) if task == "regress" else None,
    }


def _wrong(predictions: Predictions, reader: ShardReader, threshold: float) -> npt.NDArray[np.bool_]:
    """Which documents are mistakes; of numbers, and of texts that are written, all are, more or less."""
    match reader.manifest.task:
        case "classify":
            return np.asarray(predictions["predicted"] != reader.labels)
        case "multilabel":
            return np.asarray(((predictions["probabilities"] >= threshold) != (reader.labels > 0)).any(axis=1))
        case "tag":
            return np.asarray(predictions["wrong"] > 0)
        case "answer":
            # of what has no answer, an answer; of the others none, or one that shares not all words with a reference
            given, unanswerable = ~predictions["none"].astype(np.bool_), ~predictions["answerable"].astype(np.bool_)
            return np.asarray(np.where(unanswerable, given, ~given | (predictions["exact"] < 1)))
        case _:
            return np.ones(reader.documents, dtype=np.bool_)


def _told(
    predictions: Predictions, reader: ShardReader, document: int, threshold: float, row: Row | None
) -> dict[str, Any]:
    """What is true, what was predicted, and how probable that was held to be."""
    names = reader.manifest.labels
    match reader.manifest.task:
        case "classify":
            true, predicted = int(reader.labels[document]), int(predictions["predicted"][document])
            return {
                "true": names[true] if true >= 0 else "",
                "predicted": names[predicted],
                "probability": _finite(predictions["probability"][document]),
            }
        case "multilabel":
            held = predictions["probabilities"][document]
            return {
                "true": ", ".join(name for name, one in zip(names, reader.labels[document], strict=True) if one),
                "predicted": ", ".join(name for name, one in zip(names, held, strict=True) if one >= threshold),
            }
        case "tag":
            return _told_of_words(predictions, reader, document, row)
        case "answer":
            return _told_of_answer(predictions, document, row)
        case "rewrite":
            first, last = (int(predictions["written_ends"][one]) if one >= 0 else 0 for one in (document - 1, document))
            said = predictions["written"][first:last].tobytes().decode("utf-8", "replace")
            return {"true": "" if row is None else row.written[:LONGEST_TEXT], "predicted": said[:LONGEST_TEXT]}
        case _:
            return {
                "true": f"{float(reader.labels[document]):.6g}",
                "predicted": f"{float(predictions['predicted'][document]):.6g}",
            }


def _told_of_words(predictions: Predictions, reader: ShardReader, document: int, row: Row | None) -> dict[str, Any]:
    """The words of a sentence that got another label than theirs, with both."""
    true = reader.targets(np.array([document])).astype(np.int64)
    start = int(reader.lengths[:document].sum(dtype=np.int64))
    said = predictions["predicted"][start : start + true.size]
    true, said = true[true != NO_TARGET], said[true != NO_TARGET]
    wrong = np.flatnonzero(true != said)

    def label(code: int, place: int) -> str:
        if code >= FIRST_TARGET:
            return reader.manifest.labels[code - FIRST_TARGET]
        return "?" if row is None else row.labels[place]

    def listed(codes: Array) -> str:
        words = ["" if row is None else f"{row.words[place]} " for place in wrong[:SHOWN_WORDS].tolist()]
        labels = [label(int(codes[place]), place) for place in wrong[:SHOWN_WORDS].tolist()]
        more = f", and {wrong.size - SHOWN_WORDS} more" if wrong.size > SHOWN_WORDS else ""
        return ", ".join(map("".join, zip(words, labels, strict=True))) + more

    return {"true": listed(true), "predicted": listed(said)}


def _told_of_answer(predictions: Predictions, document: int, row: Row | None) -> dict[str, Any]:
    """The answers that are right, and the one that was given: with the text of its row, which has its characters."""
    if row is None or row.question is None:
        return {"true": "", "predicted": ""}
    right = dict.fromkeys(text for text, _ in row.question.references)
    start, end = (int(predictions[name][document]) for name in ("start", "end"))
    given = "" if predictions["none"][document] else row.question.context[start:end]
    return {"true": " | ".join(right), "predicted": given}


def _text(row: Row | None) -> dict[str, Any]:
    if row is None:
        return {"text": None, "cut": False}
    return {"text": row.text[:LONGEST_TEXT], "cut": len(row.text) > LONGEST_TEXT}


def _rows(places: Sequence[Place], report: Mapping[str, Any], recipe: Recipe, missing: list[str]) -> dict[Place, Row]:
    """The rows at some places, read again from the sources; those of a source that is not what it was are left out."""
    found: dict[Place, Row] = {}
    for file in sorted({place.file for place in places}):
        wanted = {place.line for place in places if place.file == file}
        try:
            path = _unchanged(file, report)
            for row in read_rows(path, recipe.data, prepared_for(recipe.task)):
                if row.line in wanted and isinstance(row, Row):
                    found[Place(file, row.line)] = row
                    wanted.discard(row.line)
                if not wanted:
                    break
        except DataError as error:
            missing.append(f"Texts are left out: {error}")
    return found


def _path(file: int, report: Mapping[str, Any]) -> str:
    sources = report.get("sources", [])
    return str(sources[file]["path"]) if file < len(sources) else f"source {file + 1}"


def _unchanged(file: int, report: Mapping[str, Any]) -> Path:
    """A source that still holds what was prepared. Raises DataError if it does not."""
    path = Path(_path(file, report))
    try:
        source = report["sources"][file]
        with open(path, "rb") as opened:
            same = hashlib.file_digest(opened, "sha256").hexdigest() == source["sha256"]
    except OSError as error:
        raise DataError(f"the source {path} cannot be read ({error.strerror or error}).") from error
    except (KeyError, IndexError, TypeError) as error:
        raise DataError(f"the manifest does not say what source {file + 1} held.") from error
    if not same:
        raise DataError(f"the source {path} was changed since it was prepared.")
    return path


def lengths(reader: ShardReader) -> dict[str, Any]:
    """How long the documents of a split are, in tokens (in a bag: distinct words): figures and a histogram.

    `counts[i]` documents have from `edges[i]` up to, not including, `edges[i + 1]` tokens; the last bar holds the
    longest hundredth too, so that one very long document does not squeeze all others into one bar.
    """
    found: dict[str, Any] = {"documents": reader.documents, "unit": "words" if reader.weighted else "tokens"}
    if not reader.documents:
        return {**found, "edges": [], "counts": []}
    low, median, ninth, most = (float(np.quantile(reader.lengths, q)) for q in (0.0, 0.5, 0.9, 0.99))
    width = max(1, math.ceil((most - low + 1) / BARS))
    bars = max(1, math.ceil((most - low + 1) / width))
    which = np.minimum((reader.lengths.astype(np.int64) - int(low)) // width, bars - 1)
    return {
        **found,
        "mean": float(reader.lengths.mean()),
        "median": median,
        "p90": ninth,
        "p99": most,
        "longest": int(reader.lengths.max()),
        "edges": [int(low) + width * index for index in range(bars + 1)],
        "counts": np.bincount(which, minlength=bars).tolist(),
    }


def plane(true: Array, predicted: Array) -> dict[str, Any] | None:
    """How often a true number (across) and a predicted one (upward) come together; None without two finite numbers.

    True numbers that take few values (ratings) have a column each.
    """
    sound = np.isfinite(predicted) & np.isfinite(true)
    true, predicted = np.asarray(true)[sound], np.asarray(predicted)[sound]
    if not len(true):
        return None
    values = np.unique(true)
    if 1 < len(values) <= BARS:
        middles = (values[1:] + values[:-1]) / 2
        across = np.array([2 * values[0] - middles[0], *middles, 2 * values[-1] - middles[-1]])
    else:
        across = np.histogram_bin_edges(true, BARS)
    upward = np.histogram_bin_edges(predicted, BARS)
    counts, _, _ = np.histogram2d(true, predicted, bins=(across, upward))
    return {"across": across.tolist(), "upward": upward.tolist(), "counts": counts.astype(np.int64).tolist()}


def _finite(value: Any) -> float | None:
    """A number as JSON can hold it."""
    return float(value) if math.isfinite(value) else None


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code. Standard output is one JSON document."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.mistakes", description="Show what a run got most wrong, as JSON."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a run")
    parser.add_argument("--count", type=int, default=50, metavar="N", help="how many mistakes (default: 50)")
    options = parser.parse_args(arguments)

    def command() -> None:
        print(json.dumps(mistakes(open_run(options.run), max(0, options.count)), allow_nan=False))

    return exit_code_of(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
