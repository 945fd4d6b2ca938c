"""What follows from a recipe's settings: what a model reads and predicts, which figures a task has."""

from typing import Literal, assert_never

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
    Seq2Seq,
    Seq2SeqLstm,
    Skipgram,
    Transformer,
)
from cluster.config.pretrained import MASKED, known
from cluster.config.schema import Text
from cluster.config.tasks import Tag, Task, TaskKind

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
