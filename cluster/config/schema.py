"""The recipe: every setting, its type, its default and what it means.

Plain frozen dataclasses; pydantic checks them at the door (`config/load.py`). The sentence under a field is what
`muster explain` and the JSON Schema show. `"auto"` and `inf` stand for what other programs write as `None`.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from annotated_types import Ge, Gt, Le, Lt, MinLen
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
class StartsFrom:
    """What every kind of model has."""

    start_from: str = ""
    """Folder of a finished run whose vocabulary and weights this run begins with; empty: begin anew."""


@section
class Embeds(StartsFrom):
    """What every kind of model with word embeddings has."""

    vectors: str = ""
    """Text file (`.gz` too) of pretrained word vectors (GloVe, word2vec, fastText) to begin the embeddings with; their
    width must be that of the embeddings. Empty: begin at random."""
    freeze_vectors: bool = False
    """Leave the embeddings of words found in `model.vectors` as they are."""


@section
class ReadsSequence(Embeds):
    """What every kind of model that reads the sequence of tokens has."""

    tag_embedding: Positive = 16
    """Width of the embeddings of part-of-speech tags, with `text.tags = true`, of the predicate's mark, or of the marks
    of question and context."""
    affix_embedding: Positive = 32
    """Width of the embeddings of first letters, of endings and of shapes, with `text.affixes = true`."""


@section
class Linear(StartsFrom):
    """One weight a word and class: logistic regression, or linear regression, over a bag of words."""

    kind: Literal["linear"] = "linear"


@section
class Mlp(Embeds):
    """Multi-layer perceptron over a bag of words (WideMLP: Galke and Scherp, ACL 2022,
    aclanthology.org/2022.acl-long.279)."""

    kind: Literal["mlp"] = "mlp"
    embedding: Positive | Literal["none"] = "none"
    """Width of word embeddings whose weighted mean goes into the first hidden layer (deep averaging network,
    aclanthology.org/P15-1162); `none`: the bag itself does."""
    hidden: Annotated[tuple[Positive, ...], MinLen(1)] = (1024,)
    """Width of each hidden layer."""
    dropout: Share = 0.5
    """Share of the hidden units that training drops."""


@section
class Cnn(ReadsSequence):
    """Convolutions of several widths, the largest value of each filter over the document (Kim, EMNLP 2014,
    arxiv.org/abs/1408.5882)."""

    kind: Literal["cnn"] = "cnn"
    embedding: Positive = 128
    """Width of the token embeddings."""
    widths: Annotated[tuple[Positive, ...], MinLen(1)] = (3, 4, 5)
    """How many tokens in a row the filters of each group see."""
    filters: Positive = 100
    """Filters of each width."""
    dropout: Share = 0.5
    """Share of the pooled filters that training drops."""
    embedding_dropout: Share = 0.0
    """Share of the embeddings' values that training drops."""


Pooling = Literal["last", "mean", "max", "attention"]


@section
class Recurrent(ReadsSequence):
    """What the LSTM and the GRU share."""

    embedding: Positive = 100
    """Width of the token embeddings."""
    hidden: Positive = 256
    """Width of the hidden state, of each direction."""
    layers: Positive = 1
    """Layers, one above the other."""
    bidirectional: bool = False
    """Read each document backwards too; the states of both directions stand side by side."""
    pooling: Pooling = "last"
    """What stands for the document: the `last` state of each direction, the `mean` or `max` over all states, or their
    mean weighted by learned `attention`."""
    dropout: Share = 0.5
    """Share of the pooled state (and of the states between layers) that training drops."""
    embedding_dropout: Share = 0.0
    """Share of the embeddings' values that training drops."""


@section
class Lstm(Recurrent):
    """Long short-term memory over the sequence of tokens."""

    kind: Literal["lstm"] = "lstm"


@section
class Gru(Recurrent):
    """Gated recurrent units over the sequence of tokens (arxiv.org/abs/1406.1078)."""

    kind: Literal["gru"] = "gru"


@section
class Transformer(ReadsSequence):
    """Transformer encoder (arxiv.org/abs/1706.03762), layers normalised before attention (arxiv.org/abs/2002.04745)."""

    kind: Literal["transformer"] = "transformer"
    embedding: Positive = 128
    """Width of the token embeddings and of every layer."""
    layers: Positive = 2
    """Layers, one above the other."""
    heads: Positive = 4
    """Attention heads of each layer; the width must divide by them."""
    feed_forward: Positive = 512
    """Width of the hidden layer after each attention."""
    pooling: Literal["mean", "max", "attention"] = "mean"
    """What stands for the document: the `mean` or `max` over all tokens, or their mean weighted by learned
    `attention`."""
    dropout: Share = 0.1
    """Share of the values that training drops, after the embeddings, in each layer and before the output."""


@section
class Gpt(StartsFrom):
    """Causal language model: a Transformer decoder as in Llama (arxiv.org/abs/2302.13971), each token predicted from
    those before it."""

    kind: Literal["gpt"] = "gpt"
    context: Annotated[int, Ge(8)] = 256
    """Tokens of a training sequence, and most that it looks back upon. Documents follow one another in a sequence; none
    sees another."""
    embedding: Positive = 256
    """Width of the token embeddings and of every layer; the output shares the embeddings' weights."""
    layers: Positive = 4
    """Layers, one above the other."""
    heads: Positive = 4
    """Attention heads of each layer; the width must divide by twice their number."""
    key_heads: Positive | Literal["heads"] = "heads"
    """Heads of keys and values, each for a group of attention heads (arxiv.org/abs/2305.13245); `heads`: one for each.
    `heads` must divide by them."""
    feed_forward: Positive = 704
    """Width of the gated hidden layer after each attention."""
    activation: Literal["swiglu", "geglu"] = "swiglu"
    """What the gate of the hidden layer is (arxiv.org/abs/2002.05202)."""
    dropout: Share = 0.0
    """Share of the values that training drops, after the embeddings and in each layer."""


@section
class Bert(StartsFrom):
    """Masked language model: a Transformer encoder as in BERT (arxiv.org/abs/1810.04805), missing tokens predicted from
    those on both sides."""

    kind: Literal["bert"] = "bert"
    context: Annotated[int, Ge(8)] = 128
    """Tokens of a training sequence, and most that it reads at once. Documents follow one another in a sequence; none
    sees another."""
    embedding: Positive = 256
    """Width of the token embeddings and of every layer; the output shares the embeddings' weights."""
    layers: Positive = 4
    """Layers, one above the other."""
    heads: Positive = 4
    """Attention heads of each layer; the width must divide by them."""
    feed_forward: Positive = 1024
    """Width of the hidden layer after each attention."""
    dropout: Share = 0.1
    """Share of the values that training drops, after the embeddings and in each layer."""
    masked: Annotated[float, Gt(0.0), Le(0.5)] = 0.15
    """Share of the tokens that it has to find, others at each step. Of these 8 in 10 are hidden, 1 in 10 is another
    token, 1 in 10 stays."""


@section
class Skipgram(StartsFrom):
    """Word vectors: Word2Vec's skip-gram with negative sampling (arxiv.org/abs/1310.4546)."""

    kind: Literal["skipgram"] = "skipgram"
    embedding: Positive = 100
    """Width of the vectors."""
    window: Annotated[int, Ge(1), Le(255)] = 5
    """Most words before, and behind, that count as surroundings of a word; each time as many as chance says, from 1 to
    this."""
    negatives: Positive = 5
    """Words drawn by chance that each pair is told from."""
    subsample: Share = 1e-3
    """Words more frequent than this share of all are left out more often the more frequent they are; 0 leaves none
    out."""


@section
class Pretrained(StartsFrom):
    """A model that Hugging Face transformers saved (BERT, RoBERTa, DistilBERT, GPT-2, Llama), fine-tuned, with its own
    tokenizer and special tokens; needs the extra `hf`. Nothing is downloaded, no program of the folder is run."""

    kind: Literal["pretrained"] = "pretrained"
    folder: Path
    """Folder with config.json, tokenizer.json and model.safetensors, or `minilm` (`muster data fetch minilm`)."""
    pickled: bool = False
    """Read the weights from pytorch_model.bin, without running what a pickle may hold (`weights_only`). Else they come
    from safetensors alone."""
    context: Annotated[int, Ge(8)] = 128
    """With `task.kind = "language"`: tokens of a training sequence, at most those that the model has places for."""
    masked: Annotated[float, Gt(0.0), Le(0.5)] = 0.15
    """With `task.kind = "language"` and a model like BERT: share of the tokens that it has to find."""
    kept: str = ""
    """What a run keeps of the folder, as JSON. Filled in when the recipe is read; leave it empty."""


@section
class Custom(StartsFrom):
    """A model of your own (docs/custom.md)."""

    kind: Literal["custom"] = "custom"
    factory: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    """`package.module:function` that makes the module: called with `options`, the rows of the vocabulary and the number
    of outputs."""
    size: str = ""
    """`package.module:function` that tells the number of parameters from the same arguments; empty: not known before
    the model is built."""
    options: dict[str, Any] = field(default_factory=dict)
    """Whatever the factory takes."""
    reads: Literal["sequence", "bag"] = "sequence"
    """What its `forward` takes: padded sequences, or bags of weighted words."""


@section
class Seq2Seq(StartsFrom):
    """Transformer encoder and decoder (arxiv.org/abs/1706.03762), layers normalised before each sub-layer
    (arxiv.org/abs/2002.04745): a text is read, another is written."""

    kind: Literal["seq2seq"] = "seq2seq"
    embedding: Positive = 256
    """Width of the token embeddings and of every layer; both texts and the output share the embeddings' weights."""
    encoder_layers: Positive = 3
    """Layers that read the text."""
    decoder_layers: Positive = 3
    """Layers that write."""
    heads: Positive = 4
    """Attention heads of each layer; the width must divide by them."""
    feed_forward: Positive = 1024
    """Width of the hidden layer after each attention."""
    dropout: Share = 0.1
    """Share of the values that training drops, after the embeddings and in each layer."""


@section
class Seq2SeqLstm(StartsFrom):
    """LSTM that reads a text in both directions, and one that writes with attention to what was read
    (arxiv.org/abs/1508.04025, the "general" score)."""

    kind: Literal["seq2seq-lstm"] = "seq2seq-lstm"
    embedding: Positive = 256
    """Width of the token embeddings; both texts and the output share their weights."""
    hidden: Positive = 256
    """Width of the writer's state; each direction of the reader has half of it."""
    layers: Positive = 1
    """Layers of the reader, and of the writer."""
    dropout: Share = 0.2
    """Share of the values that training drops, after the embeddings, between layers and before the output."""


Model = Annotated[
    Linear | Mlp | Cnn | Lstm | Gru | Transformer | Gpt | Bert | Pretrained | Seq2Seq | Seq2SeqLstm | Skipgram | Custom,
    Field(discriminator="kind"),
]


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
    """Most tokens that the model reads at once: two marks, the question, and a piece of the context. A longer context
    is read in several windows, each with the question."""
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
    pairs (`task.kind = "rewrite"`) so many on each side."""
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
