"""Settings that a task, or the kind of model that it needs, does not allow."""

from collections.abc import Iterator, Mapping

from cluster.config.fits import misfit
from cluster.config.models import Pretrained, Seq2SeqLstm, Skipgram
from cluster.config.pretrained import MASKED, known
from cluster.config.schema import Recipe, Text
from cluster.config.settings import in_toml
from cluster.config.tasks import Answer, Tag

WHOLE: dict[str, object] = {"stop_words": "keep", "punctuation": "keep", "lemmas": "none"}
"""Settings of text that leave its words as they are."""
UNTAGGED: dict[str, object] = {"keep_tags": (), "tags": False}


def of_task(recipe: Recipe) -> Iterator[str]:
    """One line for each, with the way out."""
    if why := misfit(recipe):
        yield why
    yield from _of_tagging(recipe)
    yield from _of_answering(recipe)
    yield from _of_language(recipe)
    yield from _of_vectors(recipe)
    yield from _of_pretrained(recipe)
    yield from _of_rewriting(recipe)


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
    for found, plain in _changed(text, WHOLE | {"pipeline": ""}):
        yield f'{found}: the words of task.kind = "tag" are given, and each has a label; use {plain}'
    if text.tags:
        yield 'text.tags = true: the words of task.kind = "tag" are given, no pipeline looks at them; use false'
    if data.roles and data.predicate:
        yield "data.roles and data.predicate both mark the predicate; leave one out"
    if data.roles and data.brackets:
        yield "data.roles and data.brackets: roles are in brackets anyway, and are the labels; leave data.brackets out"
    if len(set(data.columns)) < len(data.columns):
        yield f"data.columns = {in_toml(data.columns)}: names a column twice"


MARKS_OF_WINDOW = 2
"""One before the question, where no answer stands, and one between question and context. A pretrained model has its
own."""


def _of_answering(recipe: Recipe) -> Iterator[str]:
    """What a span of a context needs, and what makes sense with nothing else."""
    data, text, task = recipe.data, recipe.text, recipe.task
    if not isinstance(task, Answer):
        if data.question:
            yield f'data.question = {in_toml(data.question)}: only task.kind = "answer" reads it; leave it out'
        return
    marks = MARKS_OF_WINDOW
    if isinstance(recipe.model, Pretrained):
        kept = known(recipe.model.kept)
        if kept.pair is None:  # of which it is said already
            return
        marks = sum(kept.pair.marks)
        if task.window_tokens > kept.places:
            yield (
                f"task.window_tokens = {task.window_tokens}: the model has {kept.places} places, {marks} of them for "
                f"special tokens; use at most {kept.places}"
            )
    for found, plain in _changed(text, WHOLE | {"pipeline": ""}):
        yield f"{found}: an answer is given as it stands in the context, so every word is kept; use {plain}"
    if text.tags:
        yield "text.tags = true: marks of question and context stand beside the words, no other tags; use false"
    if text.max_tokens != Text().max_tokens:
        yield (
            f"text.max_tokens = {text.max_tokens}: all of every context is read, window by window; leave it out, and "
            "set task.window_tokens"
        )
    room = task.window_tokens - marks - task.question_tokens
    if room < max(task.stride_tokens, task.answer_tokens):
        yield (
            f"task.window_tokens = {task.window_tokens}: beside {marks} marks and task.question_tokens "
            f"({task.question_tokens}) a window must have room for task.stride_tokens ({task.stride_tokens}), or parts "
            f"of the context are never read, and for task.answer_tokens ({task.answer_tokens}); raise it, or lower "
            "these"
        )


def _of_language(recipe: Recipe) -> Iterator[str]:
    text = recipe.text
    if recipe.task.kind != "language":
        return
    for found, plain in _changed(text, WHOLE | UNTAGGED):
        yield f"{found}: a language model learns the text as it stands; use {plain}"
    if text.max_tokens != Text().max_tokens:
        yield (
            f"text.max_tokens = {text.max_tokens}: a language model reads all of every document, piece by piece; leave "
            "it out, and set model.context"
        )


def _of_vectors(recipe: Recipe) -> Iterator[str]:
    text, optim = recipe.text, recipe.optim
    if recipe.task.kind != "embed" or not isinstance(recipe.model, Skipgram):
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
    own = WHOLE | UNTAGGED | {
        "pipeline": "", "affixes": False, "vocabulary_size": Text().vocabulary_size, "min_count": 1,
    }  # fmt: skip
    for found, plain in _changed(text, own):
        yield f"{found}: a pretrained model reads the text as its own tokenizer gives it; leave it out, or use {plain}"
    if recipe.data.predicate or recipe.data.roles:
        name = "predicate" if recipe.data.predicate else "roles"
        yield f"data.{name}: a pretrained model has no second input for a mark; use lstm, gru, cnn or transformer"
    if model.start_from:
        yield "model.start_from and model.folder both say what to begin with; export that run, and name its folder"
    kept = known(model.kept)
    if recipe.task.kind == "answer":
        return
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
    if isinstance(model, Seq2SeqLstm) and model.hidden % 2:
        yield f"model.hidden = {model.hidden}: must be even, because each direction of the reader has half of it"
    if task != "rewrite":
        if data.target:
            yield f'data.target = "{data.target}": only task.kind = "rewrite" reads it; leave it out'
        return
    if data.target == data.text:
        yield f'data.text and data.target are both "{data.text}": a text is not to be written from itself'
    for found, plain in _changed(text, WHOLE | UNTAGGED):
        yield f"{found}: what is written is whole texts; use {plain}"


def _changed(text: Text, plain: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Settings of text that are not as `plain` has them, each with its value, and the plain value, as a recipe does."""
    for name, value in plain.items():
        if (found := getattr(text, name)) != value:
            yield f"text.{name} = {in_toml(found)}", in_toml(value)
