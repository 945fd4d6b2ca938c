"""The recipe: every setting, its type, its default and what it means. Models and tasks: `models.py`, `tasks.py`.

Plain frozen dataclasses; pydantic checks them at the door (`config/load.py`). The sentence under a field is what
`muster explain` and the JSON Schema show. `"auto"` and `inf` stand for what other programs write as `None`.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import Field

from cluster.config.models import Model
from cluster.config.section import FINITE, Auto, Path, Positive, Share, Sources, section
from cluster.config.tasks import Classify, Task


@section
class Data:
    """Where the examples come from. A source is a path, a glob, or a name of the catalogue (`muster data list`)."""

    train: Sources
    """Training examples: `.jsonl`, `.json`, `.csv`, `.tsv`, `.txt`, `.conllu`, `.conll` (plain, `.gz` or `.zst`) or
    `.parquet`; a path, a glob, several of them, a folder that Hugging Face `datasets` saved, or a name of the
    catalogue."""
    validation: Sources = "auto"
    """Examples that choose settings and the best checkpoint; `auto` takes `validation_share` of the training set by
    hash, `none` has none."""
    test: Sources = "auto"
    """Examples for the final score; `auto` takes `test_share` of the training set by hash after removing duplicates,
    `none` has none."""
    text: Path = "text"
    """Name of the field (JSON) or column (CSV, TSV) that holds the text. A row of a TSV is one line. For `task.kind =
    "tag"` it holds the list of words; of `.conllu` it is a column ("form", or the default), of `.conll` a name of
    `data.columns`, the number of a column from 1 (-1 is the last), or the default: the first."""
    label: str = "label"
    """Name of the field or column that holds the label: a string, a whole number or a boolean; several of them for
    `task.kind = "multilabel"`; a number for "regress"; for "tag" a list of labels, one a word (the default in `.conllu`
    is "upos", in `.conll` the last column); for "answer" the answers, as SQuAD has them (the default is
    "answers" there); "language" and "rewrite" have none."""
    target: str = ""
    """Name of the field or column that holds the text to be written (`task.kind = "rewrite"`, where `data.text` is what
    it is written from); empty: "target"."""
    columns: tuple[Path, ...] = ()
    """Names of the columns of `.conll` files, from the first on, for `data.text` and `data.label` to choose from."""
    brackets: bool = False
    """The labels of `.conll` files are brackets around spans, `(PER*`, `*`, `*)`, as in CoNLL-2012; they become B-PER,
    I-PER, I-PER, and O outside."""
    roles: Annotated[str, Field(pattern=r"^(-?[1-9][0-9]*:(-?[1-9][0-9]*)?)?$")] = ""
    """Columns of `.conll` files with the arguments of one predicate each, in brackets, numbered from 1, up to and with
    the last named: "6:" (CoNLL-2005), "12:-2" (CoNLL-2012). Each predicate makes an example, marked as
    `data.predicate` marks it; its own span (V) gets no label. Empty: none."""
    predicate: str = ""
    """Name of the field that holds the place of the predicate among the words, counted from 0; the model gets a mark at
    that word as a second input (`task.kind = "tag"`). Empty: none."""
    question: str = ""
    """Name of the field that holds the question (`task.kind = "answer"`; the default is "question" there). SQuAD's own
    `.json` files are known by their form, and need no names."""
    label_separator: Path = ","
    """What stands between the labels of one string or cell (`task.kind = "multilabel"`; a JSON list needs none)."""
    txt: Literal["lines", "files"] = "lines"
    """How `.txt` is read. `lines`: one example a line, labelled as fastText does (`__label__NAME text`) or, if the
    file's first line is not, by the name of the file; `files`: one example a file, labelled by the name of its
    folder."""
    group: str = ""
    """Name of a field whose equal values stay on one side when `auto` splits; empty: the normalised text decides."""
    validation_share: Annotated[float, Gt(0.0), Lt(1.0)] = 0.1
    """Share of the training set that `validation = "auto"` takes."""
    test_share: Annotated[float, Gt(0.0), Lt(1.0)] = 0.2
    """Share of the training set that `test = "auto"` takes."""
    bad_rows: Share = 0.0
    """Largest share of unreadable rows (broken JSON, missing field, wrong type, invalid UTF-8, empty text) that
    preparation accepts."""
    memory_mib: Annotated[int, Ge(512)] = 1024
    """Memory that each process of preparation may take, in MiB, however large the input: what has no room there goes to
    the disk. What is prepared does not depend on it."""


PartOfSpeech = Literal[
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM",
    "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
]  # fmt: skip


@section
class Text:
    """How text becomes numbers."""

    language: Annotated[str, MinLen(2)] = "en"
    """Language whose spaCy tokenizer splits the text: `en`, `de`, `es`, `zh`, ..."""
    tokens: Literal["words", "characters", "jieba", "bpe", "model"] = "words"
    """What a token is. `words`: what spaCy's tokenizer of the language gives; `characters`; `jieba`: Chinese words
    (needs jieba); `bpe`: pieces of words, learned by byte-pair encoding from the training set
    (arxiv.org/abs/1508.07909); `model`: those of a pretrained model's own tokenizer, which alone it takes."""
    lower: bool = True
    """Turn tokens into lower case."""
    stop_words: Literal["keep", "drop"] = "keep"
    """`drop` leaves out what spaCy lists as stop words of the language."""
    punctuation: Literal["keep", "drop"] = "keep"
    """`drop` leaves out tokens that consist of punctuation."""
    lemmas: Literal["none", "table", "pipeline"] = "none"
    """Put each token's lemma in its place. `table`: from spaCy's lookup tables (needs spacy-lookups-data); `pipeline`:
    as `text.pipeline` finds it in context."""
    pipeline: str = ""
    """A trained spaCy pipeline, by name or path: finds part-of-speech tags and lemmas in context. Empty: none."""
    keep_tags: tuple[PartOfSpeech, ...] = ()
    """Keep only tokens with one of these coarse part-of-speech tags (universaldependencies.org/u/pos); needs
    `text.pipeline`. Empty: keep all."""
    tags: bool = False
    """Give the model each token's part-of-speech tag as a second input; needs `text.pipeline`, and a model that reads
    the sequence."""
    affixes: bool = False
    """Give the model the first letter, the ending and the shape (capitals, digits) of each word as further inputs, so
    that a word it never met tells it something; with `task.kind = "tag"` or "answer"."""
    vocabulary_size: Positive = 50_000
    """Most words kept, the most frequent of the training set first; others are unknown. With `bpe`: how many pieces are
    learned."""
    min_count: Positive = 1
    """A word is kept if the training set holds it at least so often."""
    max_tokens: Positive = 4096
    """A longer document is cut to so many tokens; how many were cut is said. A language model reads all of every
    document, piece by piece; so does `task.kind = "answer"`, window by window."""
    weights: Literal["auto", "none", "binary", "count", "tfidf"] = "auto"
    """`none` keeps the sequence of tokens; the others make a bag of distinct words with such a weight each. `auto`:
    what the model needs."""


@section
class Optim:
    """The optimizer and its schedule, counted in steps."""

    kind: Literal["adamw", "adam", "adagrad"] = "adamw"
    """AdamW (decoupled weight decay, arxiv.org/abs/1711.05101) or Adam (arxiv.org/abs/1412.6980); Adagrad
    (jmlr.org/papers/v12/duchi11a.html), which word vectors need: it changes only the words that a step has met, rare
    ones the most."""
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
    `"16384 tokens"` (at most, padding counted; of pairs so many on each side). An example of a language model is a
    sequence of `model.context` tokens."""
    micro_batch_tokens: Positive = 16_384
    """Most tokens, padding counted, that one rank runs forward and backward at once; a longer document stands alone. Of
    pairs (`task.kind = "rewrite"`) so many on each side. A step that holds at least `train.max_ranks` of them mixes
    documents of several lengths; a smaller step is of one length (docs/sameness.md)."""
    window_documents: Positive = 65_536
    """Documents of the shuffled order that are length-sorted together (sequences only; a bag of words has no padding
    to save)."""
    max_ranks: Positive = 16
    """Most ranks this run can ever use: a step is cut into at least so many micro-batches, documents permitting."""
    seed: Annotated[int, Ge(0), Lt(2**63)] = 1
    """Seed of the order, the initial weights, dropout."""
    shuffle: Literal["full", "block"] = "full"
    """`full`: any document may follow any other. `block`: 512 neighbours are drawn together and shuffled within their
    window, for data on a slow disk; a corpus that is sorted by topic then has fewer topics to a window."""
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
    loader_threads: Annotated[int, Ge(0), Le(256)] | Auto = "auto"
    """Threads of each rank that gather steps ahead; what a step holds does not depend on it. 0 gathers a step when it
    is asked for. `auto`: 2 for a GPU, 0 on a CPU, where they would take their time from the cores that train."""
    log_steps: Positive = 10
    """Steps between two lines of `metrics.jsonl`."""


@section
class Evaluate:
    """What is measured along the way, and what it decides."""

    steps: Positive | Literal["epoch"] = "epoch"
    """Steps between two evaluations on the validation split; `epoch`: at the end of each."""
    metric: Literal[
        "auto", "accuracy", "f1_macro", "f1_micro", "f1_weighted", "loss", "mse", "mae", "r2", "spearman", "perplexity",
        "pair_loss", "span_f1", "span_precision", "span_recall", "answer_f1", "exact_match",
    ] = "auto"  # fmt: skip
    """Validation figure that chooses the best weights and stops early. `auto`: accuracy; with `task.kind =
    "multilabel"` f1_micro, with "regress" mse, with "tag" and `task.spans` span_f1, with "answer" answer_f1, with
    "language", "rewrite" and "embed" loss."""
    patience: Positive | Annotated[float, Ge(float("inf"))] = float("inf")
    """Evaluations without a better figure after which training stops; `inf` never stops early."""
    baseline: bool = True
    """Fit scikit-learn's TF-IDF with logistic regression (ridge regression for numbers; for `task.kind = "tag"` the
    most frequent label of each word, for "answer" a sliding window, for "language" counts of five tokens in a row, for
    "rewrite" the text as it is, or its first sentence, for "embed" how frequent each word is) on the same split and
    print its score beside the model's."""


@section
class Launch:
    """Where the run runs. These settings alone may change when a run is resumed."""

    ranks: Positive | Auto = "auto"
    """Processes that train together. `auto`: one for each GPU; one without a GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: GPUs if there are any."""
    threads: Positive | Auto = "auto"
    """CPU threads of each rank. `auto`: the cores that this process may use (physical ones, within its quota) divided
    by the ranks."""
    bind: Literal["auto", "none"] = "auto"
    """`auto`: where there are several NUMA nodes, each rank keeps to the CPUs of its own, with a GPU to those near it.
    `none`: ranks run on any CPU."""
    interface: Annotated[str, Field(pattern=r"^[^/\s,^]{1,15}$")] = "auto"
    """Network interface of the ranks' collectives, on every node. `auto`: the way to rank 0's node; on one node the
    loopback for gloo, and what NCCL finds."""
    attempts: Positive = 3
    """Attempts in a row that may fail without saving a newer checkpoint; then the run is given up. Until then ranks
    that were killed, hung or lost a peer are started again by themselves."""
    health: Literal["check", "warn", "off"] = "check"
    """The node's health before each start. `check`: a node that fails stops the run with exit code 75; `warn`: it is
    said, and the run starts; `off`: nobody looks."""


@section
class Recipe:
    """A run from raw text to a scored model."""

    data: Data
    text: Text = Text()
    task: Task = Classify()
    model: Model
    optim: Optim = Optim()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    launch: Launch = Launch()
