"""The recipe: every setting, its type, its default and what it means.

Plain frozen dataclasses; pydantic checks them at the door (`config/load.py`). The sentence under a field is what
`muster explain` and the JSON Schema show. `"auto"` and `inf` stand for what other programs write as `None`.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar, dataclass_transform

from annotated_types import Ge, Gt, Lt, MinLen
from pydantic import Field

T = TypeVar("T")

Auto = Literal["auto"]
Path = Annotated[str, MinLen(1)]
Sources = Path | Annotated[tuple[Path, ...], MinLen(1)]
Share = Annotated[float, Ge(0.0), Lt(1.0)]
Positive = Annotated[int, Ge(1)]
FINITE = {"allow_inf_nan": False}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def section(cls: type[T]) -> type[T]:
    """A group of settings: frozen, by keyword only, unknown keys refused, docstrings of fields kept as descriptions."""
    cls.__pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


@section
class Data:
    """Where the examples come from. A source is a path, a glob, or a name of the catalogue (`muster data list`)."""

    train: Sources
    """Training examples: `.jsonl` or `.csv`, plain, `.gz` or `.zst`; a path, a glob, several of them, or a name of
    the catalogue."""
    validation: Sources = "auto"
    """Examples that choose settings and the best checkpoint; `auto` takes `validation_share` of the training set by
    hash, `none` has none."""
    test: Sources = "auto"
    """Examples for the final score; `auto` takes `test_share` of the training set by hash after removing duplicates,
    `none` has none."""
    text: Path = "text"
    """Name of the field (JSON) or column (CSV) that holds the text."""
    label: Path = "label"
    """Name of the field or column that holds the label: a string, a whole number or a boolean."""
    group: str = ""
    """Name of a field whose equal values stay on one side when `auto` splits; empty: the normalised text decides."""
    validation_share: Annotated[float, Gt(0.0), Lt(1.0)] = 0.1
    """Share of the training set that `validation = "auto"` takes."""
    test_share: Annotated[float, Gt(0.0), Lt(1.0)] = 0.2
    """Share of the training set that `test = "auto"` takes."""
    bad_rows: Share = 0.0
    """Largest share of unreadable rows (broken JSON, missing field, wrong type, invalid UTF-8, empty text) that
    preparation accepts."""


@section
class Text:
    """How text becomes numbers."""

    language: Annotated[str, MinLen(2)] = "en"
    """Language whose spaCy tokenizer splits the text: `en`, `de`, `es`, ..."""
    lower: bool = True
    """Turn tokens into lower case."""
    vocabulary_size: Positive = 50_000
    """Most words kept, the most frequent of the training set first; others are unknown."""
    min_count: Positive = 1
    """A word is kept if the training set holds it at least so often."""
    max_tokens: Positive = 4096
    """A longer document is cut to so many tokens; how many were cut is said."""
    weights: Literal["auto", "none", "binary", "count", "tfidf"] = "auto"
    """`none` keeps the sequence of tokens; the others make a bag of distinct words with such a weight each. `auto`:
    what the model needs."""


@section
class Mlp:
    """Multi-layer perceptron over a bag of words (WideMLP: Galke and Scherp, ACL 2022,
    aclanthology.org/2022.acl-long.279)."""

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Positive, ...], MinLen(1)] = (1024,)
    """Width of each hidden layer."""
    dropout: Share = 0.5
    """Share of the hidden units that training drops."""


@section
class Lstm:
    """Long short-term memory over the sequence of tokens; the last hidden state is classified."""

    kind: Literal["lstm"] = "lstm"
    embedding: Positive = 100
    """Width of the token embeddings."""
    hidden: Positive = 256
    """Width of the hidden state."""
    layers: Positive = 1
    """Layers, one above the other."""
    dropout: Share = 0.5
    """Share of the last hidden state (and of the states between layers) that training drops."""


Model = Annotated[Mlp | Lstm, Field(discriminator="kind")]


@section
class Optim:
    """The optimizer and its schedule, counted in steps."""

    kind: Literal["adamw", "adam"] = "adamw"
    """AdamW (decoupled weight decay, arxiv.org/abs/1711.05101) or Adam (arxiv.org/abs/1412.6980)."""
    learning_rate: Annotated[float, Gt(0.0), Field(**FINITE)] = 1e-3
    """Peak rate, reached after the warm-up."""
    weight_decay: Annotated[float, Ge(0.0), Field(**FINITE)] = 0.0
    """Weight decay."""
    beta1: Share = 0.9
    """Decay of the running mean of gradients."""
    beta2: Share = 0.999
    """Decay of the running mean of squared gradients."""
    warmup_steps: Annotated[int, Ge(0)] = 0
    """Steps over which the rate rises from zero to its peak."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the rate goes on after the warm-up: stays, falls in a line to zero, or falls along half a cosine to zero."""
    clip_norm: Annotated[float, Gt(0.0)] = float("inf")
    """Largest gradient norm of one step; `inf` never clips."""


@section
class Train:
    """How long, how much at once, how often saved."""

    steps: Positive | Auto = "auto"
    """Optimizer steps of the run; beats `epochs`. `auto`: as many as `epochs` needs."""
    epochs: Positive = 10
    """Passes over the training set."""
    step_size: Annotated[str, Field(pattern=r"^[1-9][0-9_]* (examples|tokens)$")] = "64 examples"
    """What one optimizer step takes, over all ranks: `"64 examples"` (exactly, but for an epoch's last step) or
    `"16384 tokens"` (at most, padding counted)."""
    micro_batch_tokens: Positive = 16_384
    """Most tokens, padding counted, that one rank runs forward and backward at once; a longer document stands alone."""
    window_documents: Positive = 65_536
    """Documents of the shuffled order that are length-sorted together (sequences only; a bag of words has no padding
    to save)."""
    max_ranks: Positive = 16
    """Most ranks this run can ever use: a step is cut into at least so many micro-batches, documents permitting."""
    seed: Annotated[int, Ge(0), Lt(2**63)] = 1
    """Seed of the order, the initial weights, dropout."""
    strict: bool = False
    """Float32 without fusing, deterministic kernels: dropout too is the same on any number of ranks, and GPU runs
    repeat bit for bit."""
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """`auto`: bfloat16 autocast on GPUs that gain by it, float32 elsewhere."""
    compile: bool = False
    """Compile the model with torch.compile."""
    checkpoint_steps: Positive = 50
    """Steps between two checkpoints."""
    keep_checkpoints: Annotated[int, Ge(1)] = 2
    """Newest checkpoints kept."""
    log_steps: Positive = 10
    """Steps between two lines of `metrics.jsonl`."""


@section
class Evaluate:
    """What is measured along the way, and what it decides."""

    steps: Positive | Literal["epoch"] = "epoch"
    """Steps between two evaluations on the validation split; `epoch`: at the end of each."""
    metric: Literal["accuracy", "f1_macro", "f1_micro", "f1_weighted", "loss"] = "accuracy"
    """Validation figure that chooses the best weights and stops early."""
    patience: Positive | Annotated[float, Ge(float("inf"))] = float("inf")
    """Evaluations without a better figure after which training stops; `inf` never stops early."""
    baseline: bool = True
    """Fit scikit-learn's TF-IDF with logistic regression on the same split and print its score beside the model's."""


@section
class Launch:
    """Where the run runs. These settings alone may change when a run is resumed."""

    ranks: Positive | Auto = "auto"
    """Processes that train together. `auto`: one for each GPU; one without a GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: GPUs if there are any."""
    threads: Positive | Auto = "auto"
    """CPU threads of each rank. `auto`: this process's cores divided by the ranks."""


@section
class Recipe:
    """A run from raw text to a scored model."""

    data: Data
    text: Text = Text()
    model: Model
    optim: Optim = Optim()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    launch: Launch = Launch()
