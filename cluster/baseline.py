"""The score to beat: scikit-learn's TF-IDF with logistic regression, on exactly the rows that the model has.

python -m cluster.baseline RECIPE [key=value ...]
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cluster.config.load import load
from cluster.config.schema import Recipe
from cluster.data.durable import write_atomically
from cluster.data.shards import ShardReader
from cluster.errors import DataError, MusterError
from cluster.metrics import scores
from cluster.prepare import prepare, source_paths, to_stderr
from cluster.text.read import Row, read_rows

RESULT = "baseline.json"
BASELINE_VERSION = 1


def baseline(recipe: Recipe, prepared: Path, say: Callable[[str], None] = to_stderr) -> dict[str, Any]:
    """Scores on the test split (validation if there is none) of TfidfVectorizer + LogisticRegression(C=10).

    Fitted on the train split alone; the texts are found again in the sources. The result is kept in the folder.
    Raises DataError if sources and prepared data do not belong together.
    """
    kept = _kept(prepared)
    if kept is not None:
        return kept
    train = ShardReader(prepared, "train")
    split = next((name for name in ("test", "validation") if name in train.manifest.splits), None)
    if split is None:
        raise DataError(
            f"{prepared} has neither a test nor a validation split: there is nothing to score a baseline on."
        )
    say(f"baseline: TF-IDF with logistic regression on {train.documents:,} documents")
    began = time.perf_counter()
    scored = ShardReader(prepared, split)
    paths = [path for _, path in source_paths(recipe.data, say)]
    confusion, converged = _fit_and_score(recipe, paths, train, scored)
    full = scores(confusion, 0.0, list(train.manifest.labels))
    result = {
        "version": BASELINE_VERSION,
        "model": "TF-IDF + logistic regression (scikit-learn)",
        "scikit_learn": version("scikit-learn"),
        "split": split,
        "examples": full["examples"],
        "accuracy": full["accuracy"],
        "f1_macro": full["f1"]["macro"],
        "f1_weighted": full["f1"]["weighted"],
        "converged": converged,
        "seconds": round(time.perf_counter() - began, 3),
    }
    write_atomically(prepared / RESULT, json.dumps(result, indent=1).encode() + b"\n")
    return result


def _kept(prepared: Path) -> dict[str, Any] | None:
    """What an earlier call left there, unless it was cut off or made in another way."""
    try:
        result: dict[str, Any] = json.loads((prepared / RESULT).read_bytes())
        current = (result["version"], result["scikit_learn"]) == (BASELINE_VERSION, version("scikit-learn"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if current else None


def _fit_and_score(
    recipe: Recipe, paths: Sequence[Path], train: ShardReader, scored: ShardReader
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], bool]:
    """The confusion matrix that `metrics.scores` takes, and whether the fit converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer, regression = TfidfVectorizer(), LogisticRegression(C=10, max_iter=1000)
    features = vectorizer.fit_transform(_texts(recipe, paths, train))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        regression.fit(features, np.asarray(train.labels))
    predicted = regression.predict(vectorizer.transform(_texts(recipe, paths, scored)))
    classes = len(train.manifest.labels)
    truth = np.where(scored.labels < 0, classes, scored.labels)  # the last row: labels that training lacks
    confusion = np.zeros((classes + 1, classes), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    return confusion, not any(issubclass(one.category, ConvergenceWarning) for one in caught)


def _texts(recipe: Recipe, paths: Sequence[Path], reader: ShardReader) -> Iterator[str]:
    """The texts of a split in the order of its documents, read again from the sources: their `source` column rises."""
    files = (reader.sources >> np.uint64(40)).astype(np.int64)
    lines = (reader.sources & np.uint64((1 << 40) - 1)).astype(np.int64)
    for number, path in enumerate(paths):
        wanted = lines[files == number].tolist()
        found = 0
        for row in read_rows(path, recipe.data) if wanted else ():
            if found == len(wanted):
                break
            if row.line == wanted[found] and isinstance(row, Row):
                found += 1
                yield row.text
        if found != len(wanted):
            raise DataError(f"{path} was changed since it was prepared: prepare the recipe again.")


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code. Standard output is one JSON document."""
    parser = argparse.ArgumentParser(
        prog="muster baseline", description="Score a simple, strong model on the same split."
    )
    parser.add_argument("recipe", metavar="RECIPE", help="name of a shipped recipe, or a path")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="settings that beat the recipe's")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: standard output is JSON anyway")
    options = parser.parse_intermixed_args(arguments)
    try:
        recipe = load(options.recipe, options.overrides)
        print(json.dumps(baseline(recipe, prepare(recipe, to_stderr))))
    except MusterError as error:
        print(f"muster: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
