"""The score to beat: a linear model of scikit-learn's over TF-IDF, or the most frequent label of each word, on exactly
the rows that the model has; for questions a sliding window (`sliding.py`); for language models counts of five tokens in
a row (`ngrams.py`), on the same tokens; for pairs the text that is read as it is, or its first sentence, in place of
what is to be written.

python -m cluster.baseline RECIPE [key=value ...]
"""

import argparse
import json
import re
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster import squad
from cluster.config.load import load
from cluster.config.models import Skipgram
from cluster.config.schema import Recipe
from cluster.config.tasks import Answer, Embed, Rewrite, Tag, prepared_for
from cluster.config.traits import keeps_whole_text, objective
from cluster.data.durable import write_atomically
from cluster.data.manifest import FIRST_TARGET, UNSEEN_TARGET
from cluster.data.marks import mark_of
from cluster.data.questions import EVALUATION
from cluster.data.shards import ShardReader
from cluster.data.surroundings import Surroundings, kept_shares
from cluster.errors import DataError, exit_code_of
from cluster.metrics import label_scores, number_scores, scores, token_scores
from cluster.ngrams import log_probabilities
from cluster.overlap import Overlap
from cluster.prepare import prepare, source_paths, to_stderr
from cluster.sliding import SlidingWindow
from cluster.spans import SpanRules
from cluster.text.raw.read import Row, read_rows

RESULT = "baseline.json"
BASELINE_VERSION = 3
MODELS = {
    "classify": "TF-IDF + logistic regression (scikit-learn)",
    "multilabel": "TF-IDF + logistic regression for each label (scikit-learn)",
    "regress": "TF-IDF + ridge regression (scikit-learn)",
    "tag": "most frequent label of each word",
    "answer": "sliding window",
    "language": "5-gram, interpolated Kneser-Ney",
    "embed": "frequency of each word",
    "rewrite": "the text itself",
}
CHOSEN_ON = 2000
FIRST_SENTENCE = "first sentence of the text"
"""The baseline of a summary."""
NEVER_ASKED = 2
"""Rows that are no token of a text: padding, and the mask."""
MASKED = "frequency of each token"
"""The baseline of a masked model."""
MOST_COUNTED = 20_000_000
"""Tokens of the training split that are counted, from its beginning on: about 4 GB of memory."""
SEQUENCES_AT_ONCE = 1024
"""Of those that word vectors are learned from."""
SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？]|(?<=\S)\n")
# Written without spaces between words: scikit-learn's words would be whole clauses.
UNSPACED_LANGUAGES = ("zh", "ja", "th")

Array = npt.NDArray[Any]


def baseline(recipe: Recipe, prepared: Path, say: Callable[[str], None] = to_stderr) -> dict[str, Any]:
    """Scores on the test split (validation if there is none) of TfidfVectorizer with LogisticRegression(C=10), or with
    Ridge() for numbers; of words the label that each has most often in training, and for unknown words the most
    frequent one of all; for language models of counts.

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
    name = _name(recipe)
    say(f"baseline: {name.removesuffix(' (scikit-learn)')} on {train.documents:,} documents")
    began = time.perf_counter()
    scored = ShardReader(prepared, split)
    result = {
        "version": BASELINE_VERSION,
        "model": name,
        "scikit_learn": version("scikit-learn"),
        "split": split,
        **_figures(recipe, train, scored, say),
        "seconds": round(time.perf_counter() - began, 3),
    }
    write_atomically(prepared / RESULT, json.dumps(result, indent=1).encode() + b"\n")
    return result


def _name(recipe: Recipe) -> str:
    if isinstance(recipe.task, Rewrite) and recipe.task.scores == "rouge":
        return FIRST_SENTENCE
    masked = recipe.task.kind == "language" and objective(recipe.model) == "masked"
    return MASKED if masked else MODELS[recipe.task.kind]


def _figures(recipe: Recipe, train: ShardReader, scored: ShardReader, say: Callable[[str], None]) -> dict[str, Any]:
    """What the baseline of the task scores on the same examples."""
    if isinstance(recipe.task, Embed):
        return _pairs(recipe, scored)
    if recipe.task.kind == "language":
        masked = objective(recipe.model) == "masked"
        return _missing_tokens(train, scored) if masked else _next_tokens(recipe, train, scored)
    paths = [path for _, path in source_paths(recipe.data, say)]
    if isinstance(recipe.task, Answer):
        return _of_questions(recipe, paths, train, scored) | {"converged": True}
    if isinstance(recipe.task, Rewrite):
        return _as_it_is(recipe, recipe.task, paths, scored)
    if isinstance(recipe.task, Tag):
        return _of_words(recipe, recipe.task, paths, train, scored) | {"converged": True}
    model, score = {"classify": _one_label, "multilabel": _labels, "regress": _numbers}[recipe.task.kind](train)
    predicted, converged = _fit_and_predict(model, recipe, paths, train, scored)
    figures = score(predicted, np.asarray(scored.labels))
    return figures | {"examples": scored.documents, "converged": converged}


def _as_it_is(recipe: Recipe, task: Rewrite, paths: Sequence[Path], scored: ShardReader) -> dict[str, Any]:
    """The texts themselves, or their first sentences, scored as those are that a model writes."""
    said, wanted = [], []
    for row in _rows(recipe, paths, scored):
        said.append(first_sentence(row.text) if task.scores == "rouge" else row.text)
        wanted.append(row.written)
    found = Overlap(task.scores, task.score_tokens, recipe.text.lower).of(said, wanted)
    return found | {"examples": len(said)}


def first_sentence(text: str) -> str:
    """Up to the first full stop, question or exclamation mark before white space, or a Chinese one, or the end of the
    line."""
    found = SENTENCE_END.search(text)
    return text[: found.end()].strip() if found else text


def _next_tokens(recipe: Recipe, train: ShardReader, scored: ShardReader) -> dict[str, Any]:
    """Of every token and every end of a document, given the four tokens before."""
    rows = train.manifest.vocabulary_rows
    counted = max(1, int(np.searchsorted(np.cumsum(train.lengths, dtype=np.int64), MOST_COUNTED, side="right")))
    first, lengths, _ = train.flat(np.arange(counted))
    tokens, scored_lengths, _ = scored.flat(np.arange(scored.documents))
    found = log_probabilities(first, lengths, tokens, scored_lengths, mark_of(rows), choices=rows - NEVER_ASKED)
    text_bytes = int(scored.labels.sum(dtype=np.int64)) if keeps_whole_text(recipe.text) else 0
    figures = token_scores(-float(found.sum()), 0, found.size, text_bytes)
    del figures["accuracy"]  # nobody asked which token is the most probable
    return figures | {"counted_tokens": int(lengths.sum())}


def _missing_tokens(train: ShardReader, scored: ShardReader) -> dict[str, Any]:
    """Of every token, whatever stands beside it: how frequent it is in the training split, one added to each count."""
    rows = train.manifest.vocabulary_rows
    counts_of = {
        reader: np.bincount(reader.flat(np.arange(reader.documents))[0], minlength=rows)[1 : mark_of(rows)]
        for reader in (train, scored)
    }
    counts, wanted = counts_of[train] + 1.0, counts_of[scored]
    loss_sum = -float((wanted * np.log(counts / counts.sum())).sum())
    return token_scores(loss_sum, int(wanted[counts.argmax()]), int(wanted.sum()), 0)


def _pairs(recipe: Recipe, scored: ShardReader) -> dict[str, Any]:
    """Of the same pairs, and the same words drawn by chance, told apart by how frequent a word is, whatever it stands
    beside: the best that one number for each word can do."""
    assert isinstance(recipe.model, Skipgram)  # `muster check` has seen to it
    negatives, subsample = recipe.model.negatives, recipe.model.subsample
    reader = Surroundings(scored, recipe.model.window, subsample, recipe.train.seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = kept_shares(reader.frequencies, subsample) * reader.frequencies
        odds = shares / shares.sum() / (negatives * reader.noise)  # of being a neighbour
        near, drawn = np.log1p(1 / odds), np.log1p(odds)  # losses of saying so, and of saying no
    loss, pairs = 0.0, 0
    for first in range(0, reader.documents, SEQUENCES_AT_ONCE):
        ids = np.arange(first, min(first + SEQUENCES_AT_ONCE, reader.documents))
        for batch in reader.asked(ids, [len(ids)], EVALUATION):
            reach = batch["beside"].astype(np.int64)
            before = np.arange(batch["tokens"].shape[1]) - reach[..., 0]
            behind = before + reach.sum(2)
            sums = np.cumsum(
                np.pad(np.where(batch["tokens"] > 0, near[batch["tokens"]], 0.0), ((0, 0), (1, 0))), axis=1
            )
            own = np.where(batch["tokens"] > 0, near[batch["tokens"]], 0.0)
            around = np.take_along_axis(sums, behind + 1, 1) - np.take_along_axis(sums, before, 1) - own
            each = drawn[batch["labels"]].mean(axis=1)
            inside = np.arange(own.shape[1]) < batch["lengths"][:, None]
            loss += float((around * inside).sum()) + negatives * float((reach.sum(2).sum(1) * each).sum())
            pairs += int(reach.sum())
    tokens = scored.tokens
    return {"loss": loss / tokens, "pair_loss": loss / max(pairs, 1), "pairs": pairs, "examples": tokens}


def _kept(prepared: Path) -> dict[str, Any] | None:
    """What an earlier call left there, unless it was cut off or made in another way."""
    try:
        result: dict[str, Any] = json.loads((prepared / RESULT).read_bytes())
        current = (result["version"], result["scikit_learn"]) == (BASELINE_VERSION, version("scikit-learn"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if current else None


Fitted = tuple[Any, Callable[[Array, Array], dict[str, float]]]
"""A model of scikit-learn's that is yet to be fitted, and what makes figures of what it predicted and of the truth."""


def _one_label(train: ShardReader) -> Fitted:
    from sklearn.linear_model import LogisticRegression

    names = list(train.manifest.labels)

    def score(predicted: Array, wanted: Array) -> dict[str, float]:
        truth = np.where(wanted < 0, len(names), wanted)  # the last row: labels that training lacks
        confusion = np.zeros((len(names) + 1, len(names)), dtype=np.int64)
        np.add.at(confusion, (truth, predicted), 1)
        return _headline(scores(confusion, 0.0, names))

    return LogisticRegression(C=10, max_iter=1000), score


def _labels(train: ShardReader) -> Fitted:
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    class EachLabel:
        """A model for each label. One that every document has, or none, cannot be fitted; it can be repeated."""

        def fit(self, features: Any, wanted: Array) -> None:
            self._models = [
                (LogisticRegression(C=10, max_iter=1000) if np.ptp(column) else DummyClassifier()).fit(features, column)
                for column in wanted.T
            ]

        def predict(self, features: Any) -> Array:
            return np.stack([model.predict(features) for model in self._models], axis=1)

    names = list(train.manifest.labels)

    def score(predicted: Array, wanted: Array) -> dict[str, float]:
        exact = int((predicted == wanted).all(axis=1).sum())
        counts = [(predicted & wanted).sum(axis=0), predicted.sum(axis=0), wanted.sum(axis=0)]
        hits, given, support = (count.astype(np.int64) for count in counts)
        return _headline(label_scores(hits, given, support, exact, len(wanted), 0.0, names))

    return EachLabel(), score


def _numbers(train: ShardReader) -> Fitted:
    from sklearn.linear_model import Ridge

    def score(predicted: Array, wanted: Array) -> dict[str, float]:
        full = number_scores(np.asarray(wanted, dtype=np.float64), np.asarray(predicted, dtype=np.float64))
        return {name: full[name] for name in ("mse", "mae", "r2", "spearman")}

    return Ridge(), score


def _of_words(
    recipe: Recipe, task: Tag, paths: Sequence[Path], train: ShardReader, scored: ShardReader
) -> dict[str, Any]:
    """Words are taken as they are written, marked ones apart."""
    names = list(train.manifest.labels)
    code_of = {name: code for code, name in enumerate(names, start=FIRST_TARGET)}
    met: dict[tuple[str, bool], Counter[int]] = defaultdict(Counter)
    for row in _rows(recipe, paths, train):
        for word, label in _words(row, recipe):
            met[word][code_of[label]] += 1
    known = {word: codes.most_common(1)[0][0] for word, codes in met.items()}
    usual = sum(met.values(), Counter[int]()).most_common(1)[0][0]
    confusion = np.zeros((len(names) + 1, len(names)), dtype=np.int64)
    rules = SpanRules(names) if task.spans else None
    spans = np.zeros((3, len(rules.types) + 1 if rules else 0), dtype=np.int64)
    unknown = 0
    for row in _rows(recipe, paths, scored):
        words = _words(row, recipe)
        true = np.array([code_of.get(label, UNSEEN_TARGET) for _, label in words])
        said = np.array([known.get(word, usual) for word, _ in words])
        unknown += sum(word not in known for word, _ in words)
        np.add.at(confusion, (np.where(true < FIRST_TARGET, len(names), true - FIRST_TARGET), said - FIRST_TARGET), 1)
        if rules:
            spans += rules.count(true[None], said[None])
    found = _headline(scores(confusion, 0.0, names)) | {"examples": int(confusion.sum()), "unknown_words": unknown}
    if rules:
        told = rules.scores(spans)
        found |= {name: told[name] for name in ("span_f1", "span_precision", "span_recall")}
    return found


def _of_questions(recipe: Recipe, paths: Sequence[Path], train: ShardReader, scored: ShardReader) -> dict[str, Any]:
    """By the same rules as the model's; when none is given was chosen on the first `CHOSEN_ON` training questions."""
    window = SlidingWindow(row.question for row in _rows(recipe, paths, train) if row.question)
    split = squad.splitter(recipe.text.language)

    def judged(reader: ShardReader, most: int) -> tuple[Array, Array]:
        asked = [row.question for row in islice(_rows(recipe, paths, reader), most) if row.question]
        right = [[text for text, _ in one.references] for one in asked]
        found = [window.find(one) for one in asked]
        rows = [
            (*squad.judge(one.text, references, not all(right), split), -one.share)
            for one, references in zip(found, right, strict=True)
        ]
        return np.array(rows).reshape(-1, 3), np.array(list(map(bool, right)), dtype=np.bool_)

    threshold = np.inf
    if train.manifest.report["splits"]["train"]["unanswerable"]:
        rows, there = judged(train, CHOSEN_ON)
        threshold = squad.best_threshold(rows[:, 1], rows[:, 2], there)
    rows, there = judged(scored, scored.documents)
    return squad.figures(rows[:, 0], rows[:, 1], there, rows[:, 2] <= threshold)


def _words(row: Row, recipe: Recipe) -> list[tuple[tuple[str, bool], str]]:
    """The words that the model has, whether each is marked, and their labels."""
    pairs = enumerate(zip(row.words, row.labels, strict=True))
    return [((word, place == row.predicate), label) for place, (word, label) in pairs][: recipe.text.max_tokens]


def _headline(full: dict[str, Any]) -> dict[str, float]:
    return {
        "accuracy": full["accuracy"],
        "f1_macro": full["f1"]["macro"],
        "f1_micro": full["f1"]["micro"],
        "f1_weighted": full["f1"]["weighted"],
    }


def _fit_and_predict(
    model: Any, recipe: Recipe, paths: Sequence[Path], train: ShardReader, scored: ShardReader
) -> tuple[Array, bool]:
    """What the fitted model says of the scored split, and whether the fit converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer

    unspaced = recipe.text.language in UNSPACED_LANGUAGES or recipe.text.tokens == "characters"
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3)) if unspaced else TfidfVectorizer()
    try:
        features = vectorizer.fit_transform(_texts(recipe, paths, train))
    except ValueError as error:  # scikit-learn's words have two letters or more
        raise DataError(f"scikit-learn finds no word in the training texts ({error}): no baseline.") from error
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(features, np.asarray(train.labels))
    predicted = model.predict(vectorizer.transform(_texts(recipe, paths, scored)))
    return predicted, not any(issubclass(one.category, ConvergenceWarning) for one in caught)


def _texts(recipe: Recipe, paths: Sequence[Path], reader: ShardReader) -> Iterator[str]:
    """The texts of a split in the order of its documents."""
    return (row.text for row in _rows(recipe, paths, reader))


def _rows(recipe: Recipe, paths: Sequence[Path], reader: ShardReader) -> Iterator[Row]:
    """The rows of a split in the order of its documents, read again from the sources: their `source` column rises."""
    files = (reader.sources >> np.uint64(40)).astype(np.int64)
    lines = (reader.sources & np.uint64((1 << 40) - 1)).astype(np.int64)
    for number, path in enumerate(paths):
        wanted = lines[files == number].tolist()
        found = 0
        for row in read_rows(path, recipe.data, prepared_for(recipe.task)) if wanted else ():
            if found == len(wanted):
                break
            if row.line == wanted[found] and isinstance(row, Row):
                found += 1
                yield row
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

    def command() -> None:
        recipe = load(options.recipe, options.overrides)
        print(json.dumps(baseline(recipe, prepare(recipe, to_stderr))))

    return exit_code_of(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
