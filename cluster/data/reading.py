"""What a recipe's model reads of a prepared split."""

from pathlib import Path

from cluster.config.schema import Bert, Gpt, Recipe, Skipgram
from cluster.data.pairs import Pairs
from cluster.data.questions import MissingTokens, NextTokens
from cluster.data.sequences import Sequences
from cluster.data.shards import ShardReader
from cluster.data.surroundings import Surroundings


def reader_of(folder: Path, split: str, recipe: Recipe) -> ShardReader | Sequences | Pairs:
    """Its documents, questions about its text, surroundings of its words, or pairs of texts. Raises DataError."""
    reader = ShardReader(folder, split)
    match recipe.model:
        case Gpt(context=context):
            return NextTokens(reader, context)
        case Bert(context=context, masked=share):
            return MissingTokens(reader, context, share, recipe.train.seed)
        case Skipgram(window=window, subsample=subsample):
            return Surroundings(reader, window, subsample, recipe.train.seed)
        case _:
            return Pairs(reader) if recipe.task.kind == "rewrite" else reader
