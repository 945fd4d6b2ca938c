"""What a recipe wants prepared, and the fingerprint by which it is found again."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cluster.config.load import resolve
from cluster.config.models import Pretrained
from cluster.config.schema import Data, Recipe, Text
from cluster.config.tasks import Rewrite, TaskKind, prepared_for
from cluster.errors import RecipeError
from cluster.runs import RunFolder
from cluster.text.preparation.splits import SPLITS
from cluster.text.raw.sources import told_by_place
from cluster.text.tokens.given import Input, input_of
from cluster.text.tokens.model import ModelPieces, read_model
from cluster.text.tokens.pipeline import ENCODER, Encoder, tools_of

NOTHING_CUT = 2**31 - 1
"""`text.max_tokens` where all of every text is read: no file of one text is as long."""
INPUTS: dict[Input, str] = {
    "text": "texts",
    "language": "texts behind marks, as language models do",
    "pairs": "pairs of texts",
    "words": "words that are given",
    "predicate": "words of which one is marked as the predicate",
    "question": "questions about a context",
}
PREPARE_VERSION = 3
"""Raised when the same sources and settings would be prepared differently: then nothing older is used again."""


@dataclass(frozen=True)
class Wanted:
    """All that decides what is prepared, but for the files."""

    data: Data
    text: Text
    task: TaskKind
    encoder: Encoder | None
    """That of the run that `model.start_from` names, or of a pretrained model, used in place of one fitted to the
    training split."""
    encoder_sha256: str
    objective: str = ""
    """The kind of model, of a language model; how texts are scored, of pairs: what is kept beside the data (the
    baseline) depends on it."""

    @property
    def tokenizer(self) -> str:
        """That of a pretrained model, as JSON; empty: there is none."""
        pieces = None if self.encoder is None else self.encoder.pieces
        return json.dumps(pieces.contents) if isinstance(pieces, ModelPieces) else ""


@dataclass(frozen=True)
class SourceFile:
    """One raw file: the split it was given for (index of `SPLITS`), and what it held when preparation began."""

    slot: int
    path: Path
    size_bytes: int
    changed_ns: int
    sha256: str


def wanted_by(recipe: Recipe) -> Wanted:
    """The settings that preparation goes by. Raises RecipeError for what is not there, DataError for the encoder."""
    if recipe.text.weights == "auto":  # a recipe from `load` is resolved already
        recipe = resolve(recipe)
    text, objective, task = recipe.text, "", prepared_for(recipe.task)
    if task in ("language", "answer"):
        text = replace(text, max_tokens=NOTHING_CUT)
    if task == "language":
        objective = recipe.model.kind
    if isinstance(recipe.task, Rewrite):
        objective = f"{recipe.task.scores} {recipe.task.score_tokens}"
    if isinstance(recipe.model, Pretrained):
        pieces, digest = read_model(recipe.model, task)
        own = Encoder(text, pieces.words, None, pieces, input_of(recipe.data, task))
        return Wanted(recipe.data, text, task, own, digest, objective)
    if not recipe.model.start_from:
        return Wanted(recipe.data, text, task, None, "", objective)
    folder = RunFolder(Path(recipe.model.start_from)).model
    if not (folder / ENCODER).is_file():
        raise RecipeError(
            f"model.start_from = {recipe.model.start_from!r}: there is no {folder / ENCODER}. Name the folder of a run "
            "that has finished."
        )
    before = Encoder.load(folder)
    same = replace(before.text, max_tokens=text.max_tokens)
    differing = [name for name, value in asdict(same).items() if value != getattr(text, name)]
    if differing:
        told = "".join(
            f"\n  text.{name} = {getattr(text, name)!r}, there {getattr(same, name)!r}" for name in differing
        )
        raise RecipeError(
            f"model.start_from = {recipe.model.start_from!r}: its vocabulary is used, so all of [text] but max_tokens "
            f"must be as it was there. Change these, or leave out model.start_from:{told}"
        )
    takes = input_of(recipe.data, task)
    if before.takes != takes:
        raise RecipeError(
            f"model.start_from = {recipe.model.start_from!r}: that run reads {INPUTS[before.takes]}, this recipe "
            f"{INPUTS[takes]}. Begin with a run of the same kind, or leave out model.start_from."
        )
    encoder = Encoder(text, before.words, before.idf, before.pieces, takes)
    encoder.tools = before.tools
    digest = hashlib.sha256((folder / ENCODER).read_bytes()).hexdigest()
    return Wanted(recipe.data, text, task, encoder, digest, objective)


def fingerprint_of(files: Sequence[SourceFile], wanted: Wanted) -> str:
    """64 hexadecimal digits; paths are no part of it, but for what they tell: how a file is read, and its label."""
    data = wanted.data
    own = {slot: getattr(data, slot) if getattr(data, slot) in ("auto", "none") else "files" for slot in SPLITS[1:]}
    settings = {
        "version": PREPARE_VERSION,
        "tools": tools_of(wanted.text),
        "unicode": unicodedata.unidata_version,  # of Python: lower case and normal forms
        "text": asdict(wanted.text) | {"pipeline": bool(wanted.text.pipeline)},  # which one, its hash tells
        "encoder": wanted.encoder_sha256,
        "task": [wanted.task, wanted.objective] if wanted.objective else wanted.task,
        "fields": [data.text, data.label, data.group, *((data.question,) if data.question else ())],
        "label_separator": data.label_separator if wanted.task == "multilabel" else None,
        "txt": data.txt,
        "splits": own,
        "shares": [getattr(data, f"{slot}_share") if own[slot] == "auto" else None for slot in SPLITS[1:]],
        "bad_rows": data.bad_rows,
        "tagging": [data.columns, data.brackets, data.roles, data.predicate] if wanted.task == "tag" else None,
        **({"target": data.target} if wanted.task == "rewrite" else {}),
        "files": [[file.slot, file.sha256, *told_by_place(file.path, data)] for file in files],
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
