"""Settings that are each allowed, but not together."""

import re
from collections.abc import Iterator

from cluster.config.models import Bert, Custom, Embeds, Gpt, Mlp, Seq2Seq, SharesEmbeds, Skipgram, Transformer
from cluster.config.schema import Recipe
from cluster.config.settings import in_toml
from cluster.config.task_contradictions import of_task
from cluster.config.tasks import prepared_for
from cluster.config.traits import SPAN_METRICS, metrics_of, reads

BYTES = 256
"""Pieces that byte-pair encoding begins with: every text can be written in them."""


def contradictions(recipe: Recipe) -> list[str]:
    """One line for each, with the way out."""
    return [
        *_of_data(recipe),
        *_of_text(recipe),
        *_of_model(recipe),
        *_of_vectors(recipe),
        *of_task(recipe),
        *_of_training(recipe),
    ]


def _of_data(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    if data.train in ("auto", "none"):
        yield f'data.train = "{data.train}": training needs examples; give a path, a glob or a catalogue name'
    if isinstance(data.train, tuple) and {"auto", "none"} & set(data.train):
        yield f"data.train = {in_toml(data.train)}: a list of sources holds paths, globs and catalogue names alone"
    for setting in ("text", "label"):
        if data.group and data.group == getattr(data, setting):
            yield f'data.group and data.{setting} are both "{data.group}": name a field that several examples share'
    if not data.label and prepared_for(recipe.task) not in ("language", "rewrite"):
        yield f'data.label = "": name the field with the label; task.kind = "{recipe.task.kind}" learns from labels'
    if data.text == data.label:
        yield f'data.text and data.label are both "{data.text}": the text cannot be its own label'


def _of_text(recipe: Recipe) -> Iterator[str]:
    text, kind = recipe.text, recipe.model.kind
    if text.weights != "auto":
        bag = text.weights != "none"
        if reads(recipe.model) == "bag" and not bag:
            yield (f'text.weights = "none": the {kind} reads a bag of words; use "tfidf", "count", "binary" or "auto"')
        if reads(recipe.model) == "sequence" and bag:
            yield f'text.weights = "{text.weights}": the {kind} reads the sequence of tokens; use "none" or "auto"'
    if text.tokens == "jieba" and text.language != "zh":
        yield f'text.tokens = "jieba": it splits Chinese, but text.language = "{text.language}"; use "zh", or "words"'
    for setting, wanted in (("keep_tags", bool(text.keep_tags)), ("tags", text.tags)):
        if wanted and not text.pipeline:
            yield f"text.{setting}: tags are found by a trained spaCy pipeline; name one with text.pipeline"
    if text.lemmas == "pipeline" and not text.pipeline:
        yield 'text.lemmas = "pipeline": name the pipeline with text.pipeline, or use "table"'
    if text.tags and reads(recipe.model) == "bag":
        yield f"text.tags = true: the {kind} reads a bag of words; text.keep_tags can filter them, or use another model"
    if text.pipeline and text.tokens != "words":
        yield f'text.tokens = "{text.tokens}": text.pipeline finds tags of words; use "words", or no pipeline'
    if text.tokens == "bpe" and text.vocabulary_size < BYTES:
        yield (
            f'text.vocabulary_size = {text.vocabulary_size}: with text.tokens = "bpe" the first {BYTES} pieces are the '
            f"bytes, and the others are learned; use {BYTES} or more, such as 8000"
        )
    if text.tokens == "bpe":
        for setting, plain in (("stop_words", "keep"), ("punctuation", "keep"), ("lemmas", "none")):
            if getattr(text, setting) != plain:
                yield f'text.{setting}: pieces of words are neither; use text.tokens = "words", or "{plain}" here'


def _of_model(recipe: Recipe) -> Iterator[str]:
    model = recipe.model
    if isinstance(model, Transformer) and model.embedding % model.heads:
        yield f"model.embedding = {model.embedding}: must divide by model.heads ({model.heads}); change one of the two"
    if isinstance(model, Bert | Seq2Seq) and model.embedding % model.heads:
        yield f"model.embedding = {model.embedding}: must divide by model.heads ({model.heads}); change one of the two"
    if isinstance(model, Gpt) and model.embedding % (2 * model.heads):
        yield (
            f"model.embedding = {model.embedding}: must divide by twice model.heads ({model.heads}), because rotary "
            "positions turn pairs of values; change one of the two"
        )
    if isinstance(model, Gpt) and model.key_heads != "heads" and model.heads % model.key_heads:
        yield f"model.heads = {model.heads}: must divide by model.key_heads ({model.key_heads}); change one of the two"
    if isinstance(model, Custom) and model.size and not re.fullmatch(r"[\w.]+:\w+", model.size):
        yield f'model.size = "{model.size}": must be of the form package.module:function, or empty'


def _of_vectors(recipe: Recipe) -> Iterator[str]:
    model = recipe.model
    if not isinstance(model, Embeds):
        return
    if isinstance(model, Mlp) and model.embedding == "none" and model.vectors:
        yield 'model.vectors: the first layer has no word embeddings with model.embedding = "none"; give it a width'
    if model.vectors and recipe.text.tokens == "bpe":
        yield 'model.vectors: they are vectors of words, but text.tokens = "bpe" has pieces of words; use "words"'
    if model.vectors and model.start_from:
        yield "model.vectors and model.start_from both say what the embeddings begin with; leave one out"
    if model.freeze_vectors:
        yield from _of_frozen(model, recipe)


def _of_frozen(model: Embeds, recipe: Recipe) -> Iterator[str]:
    if isinstance(model, SharesEmbeds):
        yield (
            f"model.freeze_vectors = true: the output of the {recipe.model.kind} has the same weights, so it would "
            "learn nothing of these words; use false"
        )
        return
    if isinstance(model, Skipgram):
        yield "model.freeze_vectors = true: vectors are what the skipgram is there to learn; use false"
        return
    if decay := recipe.optim.weight_decay:
        yield (
            f"model.freeze_vectors = true: optim.weight_decay = {decay:g} would shrink them; use 0.0, or do not freeze"
        )
    if not model.vectors:
        yield "model.freeze_vectors = true: there are no vectors to freeze; name a file with model.vectors"


def _of_training(recipe: Recipe) -> Iterator[str]:
    train, optim = recipe.train, recipe.optim
    if train.steps != "auto" and optim.warmup_steps >= train.steps:
        yield (
            f"optim.warmup_steps = {optim.warmup_steps}: must be below train.steps ({train.steps}), "
            "or the learning rate never reaches its peak"
        )
    if recipe.evaluate.patience != float("inf") and recipe.data.validation == "none":
        yield (
            f"evaluate.patience = {in_toml(recipe.evaluate.patience)}: stopping early needs a validation split, "
            'but data.validation = "none"; give one, or use inf'
        )
    if train.strict and train.precision == "bfloat16":
        yield 'train.precision = "bfloat16": train.strict needs float32 or float64; change one of the two'
    metric, known = recipe.evaluate.metric, metrics_of(recipe.task)
    if metric != "auto" and metric not in known:
        way_out = "; task.spans = true has spans scored" if metric in SPAN_METRICS and recipe.task.kind == "tag" else ""
        has = f'a run with task.kind = "{recipe.task.kind}" has {", ".join(known)}'
        yield f'evaluate.metric = "{metric}": {has}{way_out}'
