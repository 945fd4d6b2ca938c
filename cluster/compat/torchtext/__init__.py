"""The API of torchtext before 0.12 (`torchtext.data`, `torchtext.legacy.data`): only the import changes in old scripts.

    from cluster.compat.torchtext import data                  # was: from torchtext.legacy import data
    from cluster.compat.torchtext.data import Field            # was: from torchtext.data import Field
    from cluster.compat.torchtext.vocab import Vectors         # was: from torchtext.vocab import Vectors

What runs, and what differs: docs/torchtext.md.
"""

from typing import Any

from cluster.compat.torchtext import data, vocab
from cluster.compat.torchtext.data import (
    Batch,
    BucketIterator,
    Dataset,
    Example,
    Field,
    Iterator,
    LabelField,
    Pipeline,
    RawField,
    TabularDataset,
    get_tokenizer,
    interleave_keys,
)
from cluster.compat.torchtext.refused import refusal
from cluster.compat.torchtext.vocab import FastText, GloVe, Vectors, Vocab

__all__ = [
    "Batch",
    "BucketIterator",
    "Dataset",
    "Example",
    "FastText",
    "Field",
    "GloVe",
    "Iterator",
    "LabelField",
    "Pipeline",
    "RawField",
    "TabularDataset",
    "Vectors",
    "Vocab",
    "data",
    "get_tokenizer",
    "interleave_keys",
    "vocab",
]


def __getattr__(name: str) -> Any:
    raise refusal(__name__, name)
