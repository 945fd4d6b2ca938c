"""What `torchtext.data`, later `torchtext.legacy.data`, had."""

from typing import Any

from cluster.compat.torchtext.batch import Batch
from cluster.compat.torchtext.dataset import Dataset
from cluster.compat.torchtext.example import Example
from cluster.compat.torchtext.field import Field, LabelField, RawField
from cluster.compat.torchtext.iterator import BucketIterator, Iterator, batch
from cluster.compat.torchtext.pipeline import Pipeline
from cluster.compat.torchtext.refused import refusal
from cluster.compat.torchtext.tabular import TabularDataset
from cluster.compat.torchtext.tokenizers import get_tokenizer

__all__ = [
    "Batch",
    "BucketIterator",
    "Dataset",
    "Example",
    "Field",
    "Iterator",
    "LabelField",
    "Pipeline",
    "RawField",
    "TabularDataset",
    "batch",
    "get_tokenizer",
    "interleave_keys",
]


def interleave_keys(a: int, b: int) -> int:
    """One number to sort by two lengths: near for pairs that are near in both. Their bits in turn."""
    width = max(a.bit_length(), b.bit_length(), 1)
    pairs = zip(f"{a:0{width}b}", f"{b:0{width}b}", strict=True)
    return int("".join(first + second for first, second in pairs), 2)


def __getattr__(name: str) -> Any:
    raise refusal(__name__, name)
