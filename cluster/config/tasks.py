"""The recipe's tasks: the settings of each kind."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt
from pydantic import Field

from cluster.config.section import FINITE, Positive, Share, section


@section
class Classify:
    """One label for each document: cross-entropy."""

    kind: Literal["classify"] = "classify"
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: an example counts documents / (classes * documents of its class), so that each class has the same
    say."""
    label_smoothing: Share = 0.0
    """Share of the probability that training spreads over all labels (arxiv.org/abs/1512.00567)."""


@section
class Multilabel:
    """Any number of labels for each document: binary cross-entropy for each label."""

    kind: Literal["multilabel"] = "multilabel"
    threshold: Annotated[float, Gt(0.0), Lt(1.0)] = 0.5
    """A label is given from this probability on."""


@section
class Regress:
    """A number for each document: mean squared error."""

    kind: Literal["regress"] = "regress"


@section
class Tag:
    """A label for each word (parts of speech, names, roles): cross-entropy over the words."""

    kind: Literal["tag"] = "tag"
    spans: bool = False
    """Labels are B-X, I-X, O (or with E-X and S-X): whole spans are scored too, by the rules of conlleval, and
    `predict` gives them."""


@section
class Answer:
    """The answer to a question as a span of its context, or that there is none: cross-entropy of its first and of its
    last token, over all windows of the question together."""

    kind: Literal["answer"] = "answer"
    window_tokens: Annotated[int, Ge(8)] = 384
    """Most tokens that the model reads at once: marks (two; of a pretrained model its special tokens), the question,
    and a piece of the context. A longer context is read in several windows, each with the question."""
    stride_tokens: Positive = 128
    """By how many tokens of the context each window lies behind the one before."""
    question_tokens: Positive = 64
    """A longer question is cut to so many tokens; how many were cut is said."""
    answer_tokens: Positive = 30
    """Most tokens of an answer that is given."""


@section
class Language:
    """What the text itself says: the next token (`model.kind = "gpt"`) or missing ones ("bert"); no labels."""

    kind: Literal["language"] = "language"


@section
class Rewrite:
    """Another text from each text (translation, summary): cross-entropy of its tokens, one after the other."""

    kind: Literal["rewrite"] = "rewrite"
    label_smoothing: Share = 0.1
    """Share of the probability that training spreads over the whole vocabulary (arxiv.org/abs/1512.00567)."""
    scores: Literal["bleu", "rouge"] = "bleu"
    """How texts that were written are scored, on the test set, once. `bleu`: BLEU and chrF (sacrebleu), as translations
    are; `rouge`: ROUGE-1, -2 and -L (rouge-score), as summaries are."""
    score_tokens: Literal["13a", "intl", "zh", "char"] = "13a"
    """What words BLEU counts: a tokenizer of sacrebleu's, which its signature names. With `zh` and `char` ROUGE, too,
    takes Chinese by characters."""
    beam: Positive = 4
    """Width of the search for the most probable text; 1 takes the most probable token each time."""
    length_penalty: Annotated[float, Ge(0.0), Field(**FINITE)] = 0.6
    """Texts are compared by their log-probability divided by ((5 + tokens) / 6) to this power
    (arxiv.org/abs/1609.08144, section 7); 0 favours short ones."""


@section
class Embed:
    """A vector for each word, learned from the words around it (`model.kind = "skipgram"`); no labels."""

    kind: Literal["embed"] = "embed"


Task = Annotated[
    Classify | Multilabel | Regress | Tag | Answer | Language | Rewrite | Embed, Field(discriminator="kind")
]
TaskKind = Literal["classify", "multilabel", "regress", "tag", "answer", "language", "rewrite"]
"""What data is prepared for; see `prepared_for`."""


def prepared_for(task: Task) -> TaskKind:
    """Word vectors are learned from texts as language models read them."""
    return "language" if isinstance(task, Embed) else task.kind
