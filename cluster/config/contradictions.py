"""Settings that are each allowed, but not together."""

import re
from collections.abc import Iterator
from typing import Literal, assert_never

from cluster.config.pretrained import MASKED, known
from cluster.config.schema import (
    Answer,
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
    Recipe,
    Seq2Seq,
    Seq2SeqLstm,
    Skipgram,
    Tag,
    Task,
    TaskKind,
    Text,
    Transformer,
    prepared_for,
)
from cluster.config.settings import in_toml

BYTES = 256
"""Pieces that byte-pair encoding begins with: every text can be written in them."""
Metric = Literal[
    "accuracy", "f1_macro", "f1_micro", "f1_weighted", "loss", "mse", "mae", "r2", "spearman", "perplexity",
    "pair_loss", "span_f1", "span_precision", "span_recall", "answer_f1", "exact_match",
]  # fmt: skip
METRICS: dict[TaskKind | Literal["embed"], tuple[Metric, ...]] = {
    "classify": ("accuracy", "f1_macro", "f1_micro", "f1_weighted", "loss"),
    "multilabel": ("f1_micro", "accuracy", "f1_macro", "f1_weighted", "loss"),
    "regress": ("mse", "mae", "r2", "spearman", "loss"),
    "tag": ("accuracy", "f1_macro", "f1_micro", "f1_weighted", "loss"),
    "answer": ("answer_f1", "exact_match", "loss"),
    "language": ("loss", "perplexity", "accuracy"),
    "embed": ("loss", "pair_loss"),
    "rewrite": ("loss", "perplexity", "accuracy"),
}
SPAN_METRICS: tuple[Metric, ...] = ("span_f1", "span_precision", "span_recall")


def metrics_of(task: Task) -> tuple[Metric, ...]:
    """The figures that a task has; the first is what `evaluate.metric = "auto"` means."""
    spans = SPAN_METRICS if isinstance(task, Tag) and task.spans else ()
    return spans + METRICS[task.kind]


def reads(model: Model) -> Literal["bag", "sequence"]:
    """What a kind of model takes: bags of weighted words, or sequences of tokens."""
    match model:
        case Linear() | Mlp():
            return "bag"
        case (
            Cnn()
            | Lstm()
            | Gru()
            | Transformer()
            | Gpt()
            | Bert()
            | Pretrained()
            | Seq2Seq()
            | Seq2SeqLstm()
            | Skipgram()
        ):
            return "sequence"
        case Custom():
            return model.reads
        case _:
            assert_never(model)


def objective(model: Model) -> Literal["causal", "masked"]:
    """What a language model predicts: the next token, or missing ones."""
    if isinstance(model, Pretrained):
        return "masked" if known(model.kept).family in MASKED else "causal"
    return "causal" if isinstance(model, Gpt) else "masked"


def keeps_whole_text(text: Text) -> bool:
    """Can a text be had back from its tokens, to the byte? Others leave out white space, capital letters or rare words;
    bits per byte would not count what these cost."""
    return text.tokens == "bpe" and not text.lower


def contradictions(recipe: Recipe) -> list[str]:
    """One line for each, with the way out."""
    return [
        *_of_data(recipe),
        *_of_text(recipe),
        *_of_tagging(recipe),
        *_of_answering(recipe),
        *_of_model(recipe),
        *_of_language(recipe),
        *_of_vectors(recipe),
        *_of_pretrained(recipe),
        *_of_rewriting(recipe),
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


def _of_tagging(recipe: Recipe) -> Iterator[str]:
    """What a label for each word needs, and what makes sense with nothing else."""
    data, text = recipe.data, recipe.text
    if not isinstance(recipe.task, Tag):
        for setting in ("columns", "brackets", "roles", "predicate"):
            if getattr(data, setting):
                value = in_toml(getattr(data, setting))
                yield f'data.{setting} = {value}: only task.kind = "tag" reads it; leave it out'
        if text.affixes and not isinstance(recipe.task, Answer):
            yield 'text.affixes = true: only task.kind = "tag" and "answer" look inside words; leave it out'
        return
    kind = recipe.model.kind
    if reads(recipe.model) == "bag":
        yield (
            f'task.kind = "tag": each word gets a label, but the {kind} reads a bag of words, which has no order; '
            "use lstm, gru, cnn or transformer"
        )
    for setting, plain in (("stop_words", "keep"), ("punctuation", "keep"), ("lemmas", "none"), ("pipeline", "")):
        if getattr(text, setting) != plain:
            yield (
                f'text.{setting} = {in_toml(getattr(text, setting))}: the words of task.kind = "tag" are given, and '
                f"each has a label; use {in_toml(plain)}"
            )
    if text.tags:
        yield 'text.tags = true: the words of task.kind = "tag" are given, no pipeline looks at them; use false'
    if data.roles and data.predicate:
        yield "data.roles and data.predicate both mark the predicate; leave one out"
    if data.roles and data.brackets:
        yield "data.roles and data.brackets: roles are in brackets anyway, and are the labels; leave data.brackets out"
    if len(set(data.columns)) < len(data.columns):
        yield f"data.columns = {in_toml(data.columns)}: names a column twice"


MARKS_OF_WINDOW = 2
"""One before the question, where no answer stands, and one between question and context."""


def _of_answering(recipe: Recipe) -> Iterator[str]:
    """What a span of a context needs, and what makes sense with nothing else."""
    data, text, task = recipe.data, recipe.text, recipe.task
    if not isinstance(task, Answer):
        if data.question:
            yield f'data.question = {in_toml(data.question)}: only task.kind = "answer" reads it; leave it out'
        return
    kind = recipe.model.kind
    if reads(recipe.model) == "bag":
        yield (
            f'task.kind = "answer": an answer is a span of the context, but the {kind} reads a bag of words, which has '
            "no order; use lstm, gru or transformer"
        )
    if isinstance(recipe.model, Pretrained):
        yield (
            'task.kind = "answer": a pretrained model reads its own tokens, with no marks of question and context; use '
            "lstm, gru or transformer"
        )
        return
    if isinstance(recipe.model, Cnn):
        yield (
            'task.kind = "answer": the cnn sees a few words in a row, so the question never meets the context; use '
            "lstm, gru or transformer"
        )
    for setting, plain in (("stop_words", "keep"), ("punctuation", "keep"), ("lemmas", "none"), ("pipeline", "")):
        if getattr(text, setting) != plain:
            yield (
                f"text.{setting} = {in_toml(getattr(text, setting))}: an answer is given as it stands in the context, "
                f"so every word is kept; use {in_toml(plain)}"
            )
    if text.tags:
        yield "text.tags = true: marks of question and context stand beside the words, no other tags; use false"
    if text.max_tokens != Text().max_tokens:
        yield (
            f"text.max_tokens = {text.max_tokens}: all of every context is read, window by window; leave it out, and "
            "set task.window_tokens"
        )
    room = task.window_tokens - MARKS_OF_WINDOW - task.question_tokens
    if room < max(task.stride_tokens, task.answer_tokens):
        yield (
            f"task.window_tokens = {task.window_tokens}: beside {MARKS_OF_WINDOW} marks and task.question_tokens "
            f"({task.question_tokens}) a window must have room for task.stride_tokens ({task.stride_tokens}), or parts "
            f"of the context are never read, and for task.answer_tokens ({task.answer_tokens}); raise it, or lower "
            "these"
        )


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
    if isinstance(model, Mlp) and model.embedding == "none" and model.vectors:
        yield 'model.vectors: the first layer has no word embeddings with model.embedding = "none"; give it a width'
    if isinstance(model, Custom) and model.size and not re.fullmatch(r"[\w.]+:\w+", model.size):
        yield f'model.size = "{model.size}": must be of the form package.module:function, or empty'
    vectors = getattr(model, "vectors", "")
    if vectors and recipe.text.tokens == "bpe":
        yield 'model.vectors: they are vectors of words, but text.tokens = "bpe" has pieces of words; use "words"'
    if vectors and model.start_from:
        yield "model.vectors and model.start_from both say what the embeddings begin with; leave one out"
    if getattr(model, "freeze_vectors", False) and recipe.optim.weight_decay:
        yield (
            f"model.freeze_vectors = true: optim.weight_decay = {recipe.optim.weight_decay:g} would shrink them; "
            "use 0.0, or do not freeze"
        )
    if getattr(model, "freeze_vectors", False) and not vectors:
        yield "model.freeze_vectors = true: there are no vectors to freeze; name a file with model.vectors"


def _of_language(recipe: Recipe) -> Iterator[str]:
    model, text, task = recipe.model, recipe.text, recipe.task.kind
    speaks = isinstance(model, Gpt | Bert)
    if speaks and task != "language":
        yield (
            f'model.kind = "{model.kind}": predicts tokens, and task.kind = "{task}" asks for something else; use '
            'task.kind = "language", or another model, such as "transformer"'
        )
    if task != "language":
        return
    if not speaks and not isinstance(model, Pretrained):
        yield (
            f'task.kind = "language": the {model.kind} says one thing of a whole document, not which token comes '
            'where; use model.kind = "gpt" (the next token) or "bert" (missing tokens)'
        )
    plain = {"stop_words": "keep", "punctuation": "keep", "lemmas": "none", "keep_tags": (), "tags": False}
    for setting, value in plain.items():
        if getattr(text, setting) != value:
            yield f"text.{setting}: a language model learns the text as it stands; use {in_toml(value)}"
    if text.max_tokens != Text().max_tokens:
        yield (
            f"text.max_tokens = {text.max_tokens}: a language model reads all of every document, piece by piece; leave "
            "it out, and set model.context"
        )


def _of_vectors(recipe: Recipe) -> Iterator[str]:
    model, text, optim, task = recipe.model, recipe.text, recipe.optim, recipe.task.kind
    learns = isinstance(model, Skipgram)
    if learns and task != "embed":
        yield (
            f'model.kind = "skipgram": gives vectors of words, and task.kind = "{task}" asks for something else; use '
            'task.kind = "embed", and give what it learns to another model with model.vectors'
        )
    if task != "embed":
        return
    if not learns:
        yield f'task.kind = "embed": the {model.kind} is no model of word vectors; use model.kind = "skipgram"'
        return
    if optim.kind != "adagrad":
        yield (
            f'optim.kind = "{optim.kind}": would go through every word at every step, to change the few that it has '
            'met; use "adagrad"'
        )
    if optim.weight_decay:
        yield f"optim.weight_decay = {optim.weight_decay:g}: would shrink words only when they are met; use 0.0"
    if optim.clip_norm != float("inf"):
        yield f"optim.clip_norm = {optim.clip_norm:g}: the norm of a few rows says nothing of the others; use inf"
    if text.tokens == "bpe":
        yield 'text.tokens = "bpe": has pieces of words, and vectors are of words; use "words"'
    if text.tags:
        yield "text.tags = true: word vectors are learned from words alone; use false"
    if text.max_tokens != Text().max_tokens:
        yield f"text.max_tokens = {text.max_tokens}: all of every document is read; leave it out"


def _of_pretrained(recipe: Recipe) -> Iterator[str]:
    model, text = recipe.model, recipe.text
    if not isinstance(model, Pretrained):
        if text.tokens == "model":
            yield (
                f'text.tokens = "model": the {model.kind} has no tokenizer of its own; use "words", "bpe", or '
                'model.kind = "pretrained"'
            )
        return
    if text.tokens != "model":
        yield f'text.tokens = "{text.tokens}": a pretrained model reads the tokens that it learned; use "model"'
    plain = {
        "stop_words": "keep", "punctuation": "keep", "lemmas": "none", "pipeline": "", "keep_tags": (), "tags": False,
        "affixes": False, "vocabulary_size": Text().vocabulary_size, "min_count": 1,
    }  # fmt: skip
    for setting, value in plain.items():
        if getattr(text, setting) != value:
            yield (
                f"text.{setting} = {in_toml(getattr(text, setting))}: a pretrained model reads the text as its own "
                f"tokenizer gives it; leave it out, or use {in_toml(value)}"
            )
    if recipe.data.predicate or recipe.data.roles:
        name = "predicate" if recipe.data.predicate else "roles"
        yield f"data.{name}: a pretrained model has no second input for a mark; use lstm, gru, cnn or transformer"
    if model.start_from:
        yield "model.start_from and model.folder both say what to begin with; export that run, and name its folder"
    kept = known(model.kept)
    if recipe.task.kind != "language":
        if text.max_tokens > kept.room:
            around = len(kept.before) + len(kept.after)
            yield (
                f"text.max_tokens = {text.max_tokens}: the model has {kept.places} places, {around} of them for "
                f"special tokens; use at most {kept.room}"
            )
        return
    if model.context > kept.places:
        yield f"model.context = {model.context}: the model has {kept.places} places; use at most so many"
    if kept.family in MASKED and "mask_token" not in kept.roles:
        yield 'task.kind = "language": the tokenizer of model.folder has no mask_token, which hides what is to be found'


def _of_rewriting(recipe: Recipe) -> Iterator[str]:
    model, text, data, task = recipe.model, recipe.text, recipe.data, recipe.task.kind
    writes = isinstance(model, Seq2Seq | Seq2SeqLstm)
    if isinstance(model, Seq2SeqLstm) and model.hidden % 2:
        yield f"model.hidden = {model.hidden}: must be even, because each direction of the reader has half of it"
    if task != "rewrite":
        if writes:
            yield (
                f'model.kind = "{model.kind}": writes a text, and task.kind = "{task}" asks for something else; use '
                'task.kind = "rewrite", or another model, such as "transformer"'
            )
        if data.target:
            yield f'data.target = "{data.target}": only task.kind = "rewrite" reads it; leave it out'
        return
    if not writes and not isinstance(model, Gpt | Bert):  # of which it is said already
        yield (
            f'task.kind = "rewrite": the {model.kind} writes no text; use model.kind = "seq2seq" (Transformer) or '
            '"seq2seq-lstm"'
        )
    if data.target == data.text:
        yield f'data.text and data.target are both "{data.text}": a text is not to be written from itself'
    plain = {"stop_words": "keep", "punctuation": "keep", "lemmas": "none", "keep_tags": (), "tags": False}
    for setting, value in plain.items():
        if getattr(text, setting) != value:
            yield f"text.{setting}: what is written is whole texts; use {in_toml(value)}"


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
