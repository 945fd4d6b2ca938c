"""How big things will be, before anything is allocated."""

from itertools import pairwise
from typing import assert_never

from cluster.config.models import (
    Bert,
    Cnn,
    Custom,
    Gpt,
    Gru,
    Linear,
    Lstm,
    Mlp,
    Model,
    Pretrained,
    Recurrent,
    Seq2Seq,
    Seq2SeqLstm,
    Skipgram,
    Transformer,
)
from cluster.config.own import called, sizes
from cluster.config.pretrained import known
from cluster.errors import RecipeError
from cluster.plan.pretrained import pretrained_count

AFFIXES = 3
"""First letter, ending and shape, an embedding for each."""
Beside = tuple[int, int]
"""Rows of embeddings of tags and of affixes."""


def parameter_count(
    model: Model, vocabulary_rows: int, outputs: int, tag_rows: int = 0, affix_rows: int = 0, each_token: bool = False
) -> int | None:
    """Number of trained parameters of a model with so many embedding rows and outputs (`each_token`: it speaks of each
    token, so nothing is pooled); None for a custom model that does not say. Raises RecipeError if what says it
    fails."""
    beside = tag_rows, affix_rows
    match model:
        case Linear():
            return vocabulary_rows * outputs + outputs
        case Mlp():
            return _mlp(model, vocabulary_rows, outputs)
        case Cnn():
            inputs = _token_width(model, beside)
            convolutions = sum(model.filters * (inputs * width + 1) for width in model.widths)
            return (
                _embeddings(model, vocabulary_rows, beside)
                + convolutions
                + _linear(model.filters * len(model.widths), outputs)
            )
        case Lstm():
            return _recurrent(model, 4, vocabulary_rows, outputs, beside, each_token)
        case Gru():
            return _recurrent(model, 3, vocabulary_rows, outputs, beside, each_token)
        case Transformer():
            return _transformer(model, vocabulary_rows, outputs, beside, each_token)
        case Gpt():
            return _gpt(model, vocabulary_rows)
        case Bert():
            return _bert(model, vocabulary_rows)
        case Pretrained():
            return pretrained_count(known(model.kept), outputs, each_token)
        case Seq2Seq():
            return _seq2seq(model, vocabulary_rows)
        case Seq2SeqLstm():
            return _seq2seq_lstm(model, vocabulary_rows)
        case Skipgram():
            return 2 * vocabulary_rows * model.embedding
        case Custom():
            return _custom(model, vocabulary_rows, outputs, beside)
        case _:
            assert_never(model)


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _mlp(model: Mlp, vocabulary_rows: int, outputs: int) -> int:
    hidden = model.hidden[0]
    if model.embedding == "none":
        first = vocabulary_rows * hidden + hidden
    else:
        first = vocabulary_rows * model.embedding + _linear(model.embedding, hidden)
    return first + sum(_linear(a, b) for a, b in pairwise((*model.hidden, outputs)))


def _token_width(model: Cnn | Recurrent | Transformer, beside: Beside) -> int:
    tag_rows, affix_rows = beside
    affixes = AFFIXES * model.affix_embedding if affix_rows else 0
    return model.embedding + (model.tag_embedding if tag_rows else 0) + affixes


def _embeddings(model: Cnn | Recurrent | Transformer, vocabulary_rows: int, beside: Beside) -> int:
    tag_rows, affix_rows = beside
    affixes = AFFIXES * affix_rows * model.affix_embedding
    return vocabulary_rows * model.embedding + tag_rows * model.tag_embedding + affixes


def _attention_pool(pooling: str, width: int) -> int:
    return _linear(width, width) + width if pooling == "attention" else 0


def _recurrent(
    model: Lstm | Gru, gates: int, vocabulary_rows: int, outputs: int, beside: Beside, each_token: bool
) -> int:
    directions = 2 if model.bidirectional else 1
    width = directions * model.hidden
    inputs = (_token_width(model, beside), *[width] * (model.layers - 1))
    # Each gate has input weights, recurrent weights and two biases (torch keeps both).
    layers = directions * sum(gates * model.hidden * (size + model.hidden + 2) for size in inputs)
    embeddings = _embeddings(model, vocabulary_rows, beside)
    pool = 0 if each_token else _attention_pool(model.pooling, width)
    return embeddings + layers + pool + _linear(width, outputs)


def _transformer(model: Transformer, vocabulary_rows: int, outputs: int, beside: Beside, each_token: bool) -> int:
    width, norm = model.embedding, 2 * model.embedding
    attention = _linear(width, 3 * width) + _linear(width, width)
    feed_forward = _linear(width, model.feed_forward) + _linear(model.feed_forward, width)
    join = _linear(_token_width(model, beside), width) if any(beside) else 0
    blocks = model.layers * (attention + feed_forward + 2 * norm)
    pool = 0 if each_token else _attention_pool(model.pooling, width)
    return _embeddings(model, vocabulary_rows, beside) + join + blocks + norm + pool + _linear(width, outputs)


def _gpt(model: Gpt, vocabulary_rows: int) -> int:
    """No biases; the output is the embedding."""
    width = model.embedding
    keys = width if model.key_heads == "heads" else width // model.heads * model.key_heads
    attention = width * (width + 2 * keys) + width * width
    feed_forward = 3 * width * model.feed_forward
    return vocabulary_rows * width + model.layers * (attention + feed_forward + 2 * width) + width


def _bert(model: Bert, vocabulary_rows: int) -> int:
    """The output is the embedding, and a bias for each row."""
    width, norm = model.embedding, 2 * model.embedding
    embeddings = (vocabulary_rows + model.context) * width + norm
    attention = _linear(width, 3 * width) + _linear(width, width)
    feed_forward = _linear(width, model.feed_forward) + _linear(model.feed_forward, width)
    return (
        embeddings
        + model.layers * (attention + feed_forward + 2 * norm)
        + _linear(width, width)
        + norm
        + vocabulary_rows
    )


def _seq2seq(model: Seq2Seq, vocabulary_rows: int) -> int:
    """The output is the embedding."""
    width, norm = model.embedding, 2 * model.embedding
    attention = _linear(width, 3 * width) + _linear(width, width)
    reads = attention + _linear(width, model.feed_forward) + _linear(model.feed_forward, width) + 2 * norm
    writes = reads + attention + norm
    return vocabulary_rows * width + model.encoder_layers * reads + model.decoder_layers * writes + 2 * norm


def _seq2seq_lstm(model: Seq2SeqLstm, vocabulary_rows: int) -> int:
    """The output is the embedding."""
    width, half = model.hidden, model.hidden // 2
    inputs = (model.embedding, *[width] * (model.layers - 1))
    reads = sum(2 * 4 * half * (size + half + 2) for size in inputs)
    writes = sum(4 * width * (size + width + 2) for size in inputs)
    begin, join = _linear(width, 2 * model.layers * width), _linear(2 * width, model.embedding)
    return vocabulary_rows * model.embedding + reads + writes + begin + width * width + join


def _custom(model: Custom, vocabulary_rows: int, outputs: int, beside: Beside) -> int | None:
    if not model.size:
        return None
    count = called("model.size", model.size, model.options, sizes(vocabulary_rows, outputs, *beside))
    if not isinstance(count, int):
        raise RecipeError(f"model.size = {model.size!r} gave {count!r}, not a whole number (docs/custom.md).")
    return count
