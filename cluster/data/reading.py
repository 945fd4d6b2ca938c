"""What a recipe's model reads of a prepared split."""

from pathlib import Path

from cluster.config.models import Bert, Gpt, Model, Pretrained, Skipgram
from cluster.config.pretrained import known
from cluster.config.schema import Recipe
from cluster.config.tasks import Answer
from cluster.config.traits import objective
from cluster.data.pairs import Pairs
from cluster.data.questions import MissingTokens, NextTokens
from cluster.data.sequences import Sequences
from cluster.data.shards import ShardReader
from cluster.data.surroundings import Surroundings
from cluster.data.windows import Shape, Windows


def reader_of(folder: Path, split: str, recipe: Recipe) -> ShardReader | Sequences | Pairs | Windows:
    """Its documents, questions about its text, surroundings of its words, pairs of texts, or windows of
    contexts. Raises DataError."""
    reader = ShardReader(folder, split)
    if isinstance(recipe.task, Answer):
        return Windows(reader, shape_of(recipe.task, recipe.model), split)
    match recipe.task.kind, recipe.model:
        case "rewrite", _:
            return Pairs(reader)
        case "language", (Gpt() | Pretrained()) as model if objective(model) == "causal":
            return NextTokens(reader, model.context)
        case "language", (Bert() | Pretrained()) as model:
            return MissingTokens(reader, model.context, model.masked, recipe.train.seed)
        case "embed", Skipgram(window=window, subsample=subsample):
            return Surroundings(reader, window, subsample, recipe.train.seed)
        case _:
            return reader


def said_of(reader: object) -> list[str]:
    """What a person should know of how the training split is read."""
    if not isinstance(reader, Windows):
        return []
    notes = [f"{reader.documents:,} questions are read in {reader.windows:,} windows"]
    if reader.cut_questions:
        limit = reader.shape.question
        notes.append(f"{reader.cut_questions:,} questions are cut to task.question_tokens = {limit}")
    return notes


def shape_of(task: Answer, model: Model) -> Shape:
    """How a recipe's questions are cut into windows."""
    windows = task.window_tokens, task.stride_tokens, task.question_tokens
    pair = known(model.kept).pair if isinstance(model, Pretrained) else None
    return Shape(*windows, *pair.marks) if pair else Shape(*windows)
