"""The recipe's models: the settings of each kind."""

from dataclasses import field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import Field

from cluster.config.section import Path, Positive, Share, section


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
    width must be that of the embeddings. Where the output shares the embeddings' weights, all are made shorter or
    longer by one factor, so that they are as long as those begun at random. Empty: begin at random."""
    freeze_vectors: bool = False
    """Leave the embeddings of words found in `model.vectors` as they are. Not where the output shares the embeddings'
    weights, nor in the `skipgram`, which is there to learn vectors."""


@section
class SharesEmbeds(Embeds):
    """What every kind of model has whose output shares the embeddings' weights."""


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
class Gpt(SharesEmbeds):
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
class Bert(SharesEmbeds):
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
class Skipgram(Embeds):
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
class Seq2Seq(SharesEmbeds):
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
class Seq2SeqLstm(SharesEmbeds):
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
