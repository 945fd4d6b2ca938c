"""What a recipe's model reads of a prepared split."""

from pathlib import Path

from cluster.config.contradictions import objective
from cluster.config.schema import Bert, Gpt, Pretrained, Recipe, Skipgram
from cluster.data.pairs import Pairs
from cluster.data.questions import MissingTokens, NextTokens
from cluster.data.sequences import Sequences
from cluster.data.shards import ShardReader
from cluster.data.surroundings import Surroundings


def reader_of(folder: Path, split: str, recipe: Recipe) -> ShardReader | Sequences | Pairs:
    """Its documents, questions about its text, surroundings of its words, or pairs of texts. Raises DataError."""
    reader = ShardReader(folder, split)
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
