"""Which kinds of models do which tasks, and why the others cannot."""

from typing import Literal

from cluster.config.models import Bert, Cnn, Custom, Gpt, Model, Pretrained, Seq2Seq, Seq2SeqLstm, Skipgram
from cluster.config.pretrained import FAMILIES, MASKED, known
from cluster.config.schema import Recipe
from cluster.config.tasks import TaskKind
from cluster.config.traits import reads

AnyTask = TaskKind | Literal["embed"]

OF_A_TEXT = 'model.kind = "mlp", "cnn", "lstm", "gru" or "transformer"'
FITTING: dict[AnyTask, str] = {
    "classify": OF_A_TEXT,
    "multilabel": OF_A_TEXT,
    "regress": OF_A_TEXT,
    "tag": 'model.kind = "lstm", "gru", "cnn" or "transformer"',
    "answer": 'model.kind = "lstm", "gru" or "transformer"',
    "language": 'model.kind = "gpt" (the next token) or "bert" (missing tokens)',
    "rewrite": 'model.kind = "seq2seq" (Transformer) or "seq2seq-lstm"',
    "embed": 'model.kind = "skipgram"',
}
"""What to use for a task, of those that need no folder and no code."""
ASKED: dict[AnyTask, str] = {
    "classify": "a label of a text",
    "multilabel": "labels of a text",
    "regress": "a number for a text",
    "tag": "a label of each word",
    "answer": "a span of a context",
    "language": "the token at each place",
    "rewrite": "another text",
    "embed": "vectors of words",
}
"""What the tasks ask a model for."""
UNLABELLED = ("language", "rewrite", "embed")
"""Tasks that take a model of their own; for the others a last layer has a place for each label."""


def misfit(recipe: Recipe) -> str:
    """Why the model cannot do the task, with the way out; empty if it can."""
    model, task = recipe.model, recipe.task.kind
    why, way_out = _reason(model, task), FITTING[task]
    if not why:
        return ""
    match model:
        case Gpt() | Bert():
            way_out = f'task.kind = "language", or {way_out}{_as_pretrained(model, task)}'
        case Seq2Seq() | Seq2SeqLstm():
            way_out = f'task.kind = "rewrite", or {way_out}'
        case Skipgram():
            gives = "" if task in UNLABELLED else ", to which it can give what it learns (model.vectors)"
            way_out = f'task.kind = "embed", or {way_out}{gives}'
        case Custom() if task in ("tag", "answer"):
            way_out = f'model.reads = "sequence" and a module for it, or {way_out}'
        case Pretrained() if task == "answer":
            way_out = f"a folder of {', '.join(MASKED[:-1])} or {MASKED[-1]}, or {way_out}"
    return f'model.kind = "{model.kind}" with task.kind = "{task}": {why}; use {way_out}'


def _as_pretrained(model: Gpt | Bert, task: AnyTask) -> str:
    """How a language model of ours learns a task with labels: exported, as a pretrained one."""
    if task in UNLABELLED or (task == "answer" and isinstance(model, Gpt)):
        return ""
    return (
        f'. To fine-tune a {model.kind} that you have trained with task.kind = "language" and text.tokens = "bpe", '
        "export its run (muster export RUN --format huggingface --output FOLDER), and use model.kind = "
        '"pretrained" with model.folder = "FOLDER"'
    )


def _reason(model: Model, task: AnyTask) -> str:
    """Empty if the model can do the task."""
    match model:
        case Gpt() | Bert():
            if task == "language":
                return ""
            return f"the {model.kind} predicts tokens, and the task asks for {ASKED[task]}"
        case Seq2Seq() | Seq2SeqLstm():
            if task == "rewrite":
                return ""
            return f"the {model.kind} reads one text and writes another, and the task asks for {ASKED[task]}"
        case Skipgram():
            if task == "embed":
                return ""
            return f"the skipgram gives vectors of words, and the task asks for {ASKED[task]}"
        case Pretrained():
            return _of_pretrained(known(model.kept).family, task)
        case Custom() if task in UNLABELLED:
            return (
                "what a custom model gives are numbers for a document or for each of its tokens (docs/custom.md), and "
                f"the task asks for {ASKED[task]}"
            )
        case _:
            return _of_labels(model, task)


def _of_labels(model: Model, task: AnyTask) -> str:
    """Of models whose last layer has a place for each label."""
    if task in UNLABELLED:
        said = "a whole document" if reads(model) == "bag" else "a whole document, or of each word"
        return f"the {model.kind} says one thing of {said}, and the task asks for {ASKED[task]}"
    if task == "tag" and reads(model) == "bag":
        return f"each word gets a label, but the {model.kind} reads a bag of words, which has no order"
    if task == "answer" and reads(model) == "bag":
        return f"an answer is a span of the context, but the {model.kind} reads a bag of words, which has no order"
    if task == "answer" and isinstance(model, Cnn):
        return "the cnn sees a few words in a row, so the question never meets the context"
    return ""


def _of_pretrained(family: str, task: AnyTask) -> str:
    if task == "embed":
        return f"a {family} has tokens of its own, which are pieces of words, and the task asks for vectors of words"
    if task == "rewrite" and family in MASKED:
        return f"a {family} fills in missing tokens, and writes no text of its own"
    if task == "rewrite":
        return (
            f"a {family} goes on with a text, and the task is for models that read one text and write another, which "
            f"none of {', '.join(FAMILIES)} is"
        )
    if task == "answer" and family not in MASKED:
        return (
            f"a {family} reads from left to right, so a token of the context sees nothing of what stands behind it, "
            "and it learned no layout of two texts"
        )
    return ""
