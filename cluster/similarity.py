"""How well word vectors agree with people: pairs of words that people rated, and analogies.

python -m cluster.similarity RUN [--vectors FILE]

Sets of the catalogue, fetched by `muster data fetch wordsim353`, `simlex999`, `analogies`; one that is not fetched is
left out. Pairs of which a word is unknown are left out, as is usual, and how many were not is said beside the score.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cluster.errors import exit_code_of
from cluster.metrics import spearman
from cluster.text.sets import catalogue
from cluster.wordvectors import WordVectors

RATED = ("wordsim353", "simlex999")
ANALOGIES = "analogies"
ASKED_AMONG = 30_000
"""Analogies are asked of so many most frequent words, as arxiv.org/abs/1301.3781 did (section 4.2)."""


def similarities(vectors: WordVectors) -> dict[str, Any]:
    """By the names of the sets that are fetched: `spearman` of cosines with people's ratings, `known` of `pairs`; for
    analogies `accuracy`, `known` of `questions`."""
    found: dict[str, Any] = {}
    for name in RATED:
        if catalogue.is_fetched(name):
            found[name] = _rated(vectors, _rows(name))
    if catalogue.is_fetched(ANALOGIES):
        questions = [tuple(row["words"]) for row in _rows(ANALOGIES)]
        right, known = vectors.analogies(questions, ASKED_AMONG)
        found[ANALOGIES] = {"accuracy": right / known if known else 0.0, "known": known, "questions": len(questions)}
    return found


def _rated(vectors: WordVectors, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    known = [row for row in rows if all(word in vectors for word in row["words"])]
    cosines = np.array([vectors.similarity(*row["words"]) for row in known])
    ratings = np.array([row["rating"] for row in known], dtype=np.float64)
    return {"spearman": spearman(cosines, ratings) if known else 0.0, "known": len(known), "pairs": len(rows)}


def _rows(name: str) -> list[dict[str, Any]]:
    (path,) = catalogue.split_files(name, "test")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code. Standard output is one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m cluster.similarity", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, nargs="?", help="folder of a finished run")
    parser.add_argument("--vectors", metavar="FILE", type=Path, help="a file of vectors instead")
    options = parser.parse_args(arguments)
    if (options.run is None) == (options.vectors is None):
        parser.error("name a run, or a file with --vectors")

    def command() -> None:
        vectors = WordVectors.of_file(options.vectors) if options.vectors else WordVectors.of_run(options.run)
        print(json.dumps(similarities(vectors)))

    return exit_code_of(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
