"""What is in a data set, before anything is trained on it.

    python -m cluster.survey DATA [key=value ...] [--json]

DATA is a recipe, or a source as `data.train` takes it: then a share of it is looked at as a test set, unless the
catalogue has one. The data is prepared for this once, as whole sequences with every word of the training set, whatever
the recipe's model reads and its vocabulary keeps, so that all figures can be had; rows that cannot be read are counted,
however many they are.
"""

import argparse
import glob
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from cluster.config.load import open_recipe, parse_overrides, shipped
from cluster.config.models import Pretrained, Transformer
from cluster.config.schema import Recipe
from cluster.config.settings import nearest
from cluster.data.manifest import open_prepared
from cluster.data.marks import end_of
from cluster.data.shards import ShardReader
from cluster.errors import DataError, RecipeError, exit_code_of
from cluster.prepare import prepare, source_paths
from cluster.text.raw.read import Row
from cluster.text.raw.sources import to_stderr
from cluster.text.sets import catalogue
from cluster.text.survey import figures, revisit
from cluster.text.survey.portrait import portrait
from cluster.text.survey.revisit import LINE_BITS, Keys
from cluster.text.tokens.pipeline import FIRST_WORD, UNKNOWN, Encoder

EVERY_WORD = 1 << 31
NEARLY_ALL_BAD = 0.999999
DOCUMENTS_AT_ONCE = 2048
SHOWN_EXAMPLES, SHOWN_UNKNOWN, SHOWN_TWINS = 3, 30, 5
LONGEST_LABELS = 100
"""Labels of one document that are told."""
LONGEST_TEXT = 1000
"""Characters of a text that are told."""

Say = Callable[[str], None]


def survey(data: str, overrides: Sequence[str] = (), say: Say = to_stderr) -> dict[str, Any]:
    """All figures as one JSON document. Raises DataError, RecipeError."""
    recipe, name = recipe_of(data, overrides)
    if isinstance(recipe.model, Pretrained):  # whose pieces say less of the data than its words
        recipe = replace(recipe, model=Transformer(), text=replace(recipe.text, tokens="words"))
    if recipe.model.start_from:
        say(f"model.start_from = {recipe.model.start_from!r} is left out: the vocabulary shown is that of this data")
    try:
        prepared = prepare(_whole(recipe), say)
    except DataError:
        if name or recipe.data.test != "auto":
            raise
        # Too few for a test set of their own? If that is not what is wrong, the second refusal says what is.
        recipe = replace(recipe, data=replace(recipe.data, test="none"))
        prepared = _prepared_alone(recipe, say)
    return Survey(recipe, prepared).told() | {"data": data, "recipe": name}


def _prepared_alone(recipe: Recipe, say: Say) -> Path:
    try:
        return prepare(_whole(recipe), say)
    except DataError as error:
        raise DataError(
            f"{error}\nSettings say how a source is read: data.text=FIELD data.label=FIELD, task.kind=regress for "
            "numbers, task.kind=multilabel for several labels."
        ) from None


def recipe_of(data: str, overrides: Sequence[str]) -> tuple[Recipe, str]:
    """The recipe, and its name; one made up for a source, and no name. Raises RecipeError, DataError."""
    if data in shipped() or data.lower().endswith(".toml"):
        opened = open_recipe(data, overrides)
        return opened.recipe, opened.name
    _refuse_unknown(data)
    given, _ = parse_overrides(overrides)
    table: dict[str, Any] = {
        "data": {"train": data, "validation": "none", "test": "auto"},
        "model": {"kind": given.get("model.kind", "lstm")},
    }
    if data in catalogue.names():
        known = catalogue.find(data)
        table["data"] |= {"label": known.field, "test": data if "test" in known.splits else "auto"}
        table["task"] = {"kind": given.get("task.kind", known.task)}
        writes = {"language": "gpt", "rewrite": "seq2seq"}
        if table["task"]["kind"] in writes:
            table["model"] = {"kind": given.get("model.kind", writes[table["task"]["kind"]])}
        table["data"] |= {"text": known.text, "predicate": known.predicate, "target": known.target}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.toml"
        path.write_text(tomli_w.dumps(table), encoding="utf-8")
        try:
            return open_recipe(str(path), overrides).recipe, ""
        except RecipeError as error:
            raise type(error)(str(error).replace(str(path), f"what is asked of {data}")) from None


def _refuse_unknown(data: str) -> None:
    """A source that is not there may have been meant as a recipe. Raises DataError."""
    if data in catalogue.names() or os.path.exists(os.path.expanduser(data)) or glob.has_magic(data):
        return
    close = nearest(data, [*shipped(), *catalogue.names()])
    raise DataError(
        f"{data!r} is neither a file, a glob, a set of the catalogue nor a shipped recipe"
        + (f"; did you mean {close}?" if close else ".")
        + f" (Looked from {Path.cwd()}.)\nSets: {', '.join(catalogue.names())}.\nRecipes: {', '.join(shipped())}."
    )


def _whole(recipe: Recipe) -> Recipe:
    """The recipe with sequences of every word, and bad rows accepted unless nearly all are bad."""
    text = replace(recipe.text, weights="none")
    if text.tokens != "bpe":
        text = replace(text, vocabulary_size=max(EVERY_WORD, text.vocabulary_size), min_count=1)
    return replace(
        recipe,
        text=text,
        data=replace(recipe.data, bad_rows=NEARLY_ALL_BAD),
        model=replace(recipe.model, start_from=""),
    )


@dataclass(frozen=True)
class _Split:
    """One split: its shards, and how often each word stands in it."""

    reader: ShardReader
    counts_W: figures.Array
    unseen: int
    """Tokens of no word of the training set."""
    with_unseen: Keys
    """Sources of the documents that hold such a token."""


class Survey:
    """The figures of prepared data, with its sources at hand."""

    def __init__(self, recipe: Recipe, prepared: Path) -> None:
        self._recipe, self._prepared = recipe, prepared
        self._manifest = open_prepared(prepared)
        self._encoder = Encoder.load(prepared)
        self._files = [path for _, path in source_paths(recipe.data, to_stderr)]
        self._splits = {name: self._counted(name) for name in self._manifest.splits}
        train = self._splits["train"].counts_W
        text, is_bpe = recipe.text, recipe.text.tokens == "bpe"
        self._kept = train.size if is_bpe else figures.kept_words(train, text.vocabulary_size, text.min_count)

    def told(self) -> dict[str, Any]:
        """Everything."""
        again = self._read_again()
        return {
            "task": self._manifest.task,
            "prepared": str(self._prepared),
            # The paths of now: the same bytes may have been prepared under other names.
            "sources": [
                {**source, "path": str(path)}
                for source, path in zip(self._manifest.report["sources"], self._files, strict=True)
            ],
            "rows": self._manifest.report["rows"],
            "labels": list(self._manifest.labels),
            "splits": {name: self._figures(name) for name in self._splits},
            "vocabulary": self._vocabulary(again["unknown"]),
            **again["told"],
        }

    def _counted(self, name: str) -> _Split:
        reader = ShardReader(self._prepared, name)
        counts = np.zeros(self._encoder.rows, dtype=np.int64)
        with_unseen = []
        for first in range(0, reader.documents, DOCUMENTS_AT_ONCE):
            ids = np.arange(first, min(first + DOCUMENTS_AT_ONCE, reader.documents))
            tokens, lengths, _ = reader.flat(ids)
            counts += np.bincount(tokens, minlength=counts.size)
            hit = np.unique(np.repeat(ids, lengths)[tokens == UNKNOWN])
            with_unseen.append(reader.sources[hit])
        words = counts[FIRST_WORD : FIRST_WORD + len(self._encoder.words)]
        return _Split(reader, words, int(counts[UNKNOWN]), np.concatenate(with_unseen))

    def _figures(self, name: str) -> dict[str, Any]:
        reader, report = self._splits[name].reader, self._manifest.report["splits"][name]
        told: dict[str, Any] = {
            "documents": reader.documents,
            "tokens": reader.tokens,
            "cut": report["cut"],
            "lengths": {**figures.described(reader.lengths), "histogram": figures.length_histogram(reader.lengths)},
        }
        match self._manifest.task:
            case "answer":
                told |= {"unanswerable": report["unanswerable"], "widened": report["widened"]}
            case "regress":
                targets = np.asarray(reader.labels, dtype=np.float64)
                told["targets"] = {**figures.described(targets), "histogram": figures.number_histogram(targets)}
            case "multilabel":
                told["labels_per_document"] = figures.labels_per_document(np.asarray(reader.labels))
            case "language":
                told["bytes"] = report["bytes"]
            case "rewrite":
                written = np.asarray(reader.labels)
                told["written"] = {**figures.described(written), "histogram": figures.length_histogram(written)}
        if self._manifest.task not in ("regress", "answer", "language", "rewrite"):
            told |= {"labels": report["labels"], "unknown_labels": report["unknown_labels"]}
        return told

    def _vocabulary(self, unknown: Mapping[str, Any]) -> dict[str, Any]:
        text, distinct = self._recipe.text, self._splits["train"].counts_W.size
        counts = {name: split.counts_W for name, split in self._splits.items()}
        unseen = {name: split.unseen for name, split in self._splits.items()}
        return {
            "tokens": text.tokens,
            "distinct": distinct,
            "vocabulary_size": text.vocabulary_size,
            "min_count": text.min_count,
            "kept": self._kept,
            "once": int(np.count_nonzero(counts["train"] == 1)),
            "coverage": {name: figures.coverage(counts[name], unseen[name], self._kept) for name in counts},
            "growth": [] if text.tokens == "bpe" else figures.growth(counts, unseen, self._kept, distinct),
            "frequent": [self._shown(word) for word in self._encoder.words[:SHOWN_UNKNOWN]],
            "unknown": unknown,
        }

    def _read_again(self) -> dict[str, Any]:
        """What only the sources know: twins of training texts, examples, unknown words, rejected rows."""
        data, task = self._recipe.data, self._manifest.task
        sources, keys, reasons = revisit.keys_of(self._files, data, task)
        own = {name: np.asarray(split.reader.sources) for name, split in self._splits.items()}
        own_keys = {name: revisit.key_of(own[name], sources, keys) for name in own}
        others = [name for name in own if name != "train"]
        twins = {name: revisit.twins(own_keys[name], own[name], own_keys["train"], own["train"]) for name in others}
        examples = {name: figures.spread(own[name].size, SHOWN_EXAMPLES) for name in own}
        wanted = {int(own[name][place]) for name, places in examples.items() for place in places}
        for name in others:
            wanted.update(source for pair in twins[name][:SHOWN_TWINS] for source in pair)
        with_unseen = {name: self._splits[name].with_unseen for name in others if self._recipe.text.tokens != "bpe"}
        known = frozenset(self._encoder.words)
        found = revisit.read_again(self._files, data, task, self._recipe.text, wanted, with_unseen, known)
        rows, shown = found.rows, {name: twins[name][:SHOWN_TWINS] for name in others}
        duplicates = dict(self._manifest.report["duplicates"])
        duplicates["shown"] = {name: [self._twin(pair, rows) for pair in pairs] for name, pairs in shown.items()}
        return {
            "unknown": {name: self._unknown(name, found.unknown) for name in others},
            "told": {
                "examples": {
                    name: [self._example(name, place, rows) for place in places] for name, places in examples.items()
                },
                "duplicates": duplicates,
                "rejected": {"rows": reasons.rows.total(), "reasons": reasons.told()},
            },
        }

    def _unknown(self, name: str, unseen: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The most frequent words of a split that the vocabulary lacks; `in_train` is how often training met them."""
        rare, train = self._splits[name].counts_W[self._kept :], self._splits["train"].counts_W[self._kept :]
        order = np.argsort(-rare, kind="stable")[:SHOWN_UNKNOWN]
        found = [
            (int(rare[place]), self._encoder.words[self._kept + int(place)], int(train[place]))
            for place in order
            if rare[place]
        ]
        if name in unseen:
            found += [(count, word, 0) for word, count in unseen[name].most_common(SHOWN_UNKNOWN)]
        found.sort(key=lambda one: (-one[0], one[1]))
        return [{"word": word, "count": count, "in_train": met} for count, word, met in found[:SHOWN_UNKNOWN]]

    def _example(self, name: str, place: int, rows: Mapping[int, Row]) -> dict[str, Any]:
        reader = self._splits[name].reader
        tokens, _, _ = reader.flat(np.array([place]))
        first_unknown, end = FIRST_WORD + self._kept, end_of(self._encoder.rows)
        mark = {"pairs": "<end>", "question": "->"}.get(self._encoder.takes, "<unk>")
        words = [
            self._shown(self._encoder.words[row - FIRST_WORD])
            if FIRST_WORD <= row < first_unknown
            else mark
            if row == end
            else "<unk>"
            for row in tokens[1 if self._encoder.takes in ("language", "question") else 0 :].tolist()
        ]
        decoded = ("|" if self._recipe.text.tokens == "bpe" else " ").join(words)
        return self._place(int(reader.sources[place]), rows) | {"decoded": decoded[:LONGEST_TEXT], "tokens": len(words)}

    def _twin(self, pair: tuple[int, int], rows: Mapping[int, Row]) -> dict[str, Any]:
        here, there = (self._place(source, rows) for source in pair)
        return here | {"train": there}

    def _place(self, source: int, rows: Mapping[int, Row]) -> dict[str, Any]:
        row = rows[source]
        told: dict[str, Any] = {"file": str(self._files[source >> LINE_BITS]), "line": row.line}
        match self._manifest.task:
            case "language":
                pass
            case "answer":
                assert row.question is not None
                told["labels"] = list(dict.fromkeys(text for text, _ in row.question.references))
            case "rewrite":
                told["written"] = row.written[:LONGEST_TEXT]
            case "regress":
                told["target"] = row.target
            case "multilabel" | "tag":
                told["labels"] = list(row.labels[:LONGEST_LABELS])
            case _:
                told["label"] = row.labels[0]
        return told | {"text": row.text[:LONGEST_TEXT]}

    def _shown(self, word: str) -> str:
        """A piece of byte-pair encoding is written as letters for bytes."""
        if self._recipe.text.tokens != "bpe":
            return word
        from tokenizers import decoders

        decoded: str = decoders.ByteLevel().decode([word])
        return decoded


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="muster inspect data", description="What is in a data set.")
    parser.add_argument("data", metavar="DATA", help="a recipe, a file, a glob, or a set of `muster data list`")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="settings, as in text.vocabulary_size=5000")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_intermixed_args(arguments)

    def command() -> None:
        found = survey(options.data, options.overrides)
        print(json.dumps(found, indent=2) if options.json else portrait(found, shutil.get_terminal_size().columns))

    return exit_code_of(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
