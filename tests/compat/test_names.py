"""The imports of old scripts, and what is refused by name."""

import importlib

import pytest

from cluster.errors import InputError


def test_old_imports_work():
    from cluster.compat import torchtext
    from cluster.compat.torchtext import BucketIterator, Field, LabelField, TabularDataset, data
    from cluster.compat.torchtext.data import Field as SameField
    from cluster.compat.torchtext.vocab import GloVe, Vectors, Vocab

    assert data.Field is Field is SameField is torchtext.data.Field
    assert torchtext.vocab.Vocab is Vocab and issubclass(GloVe, Vectors) and issubclass(LabelField, Field)
    assert data.BucketIterator is BucketIterator and data.TabularDataset is TabularDataset
    assert all(hasattr(data, name) for name in data.__all__)


@pytest.mark.parametrize(
    "module, name, way_out",
    [
        ("cluster.compat.torchtext", "datasets", "muster data list"),
        ("cluster.compat.torchtext", "legacy", "import data"),
        ("cluster.compat.torchtext.data", "NestedField", "Field"),
        ("cluster.compat.torchtext.data", "BPTTIterator", 'task.kind = "language"'),
        ("cluster.compat.torchtext.vocab", "SubwordVocab", 'text.tokens = "bpe"'),
    ],
)
def test_what_is_missing_is_refused_with_a_way_out(module, name, way_out):
    with pytest.raises(InputError, match=f"torchtext's {name} is not supported .*{way_out}"):
        getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="'Feild'"):
        _ = importlib.import_module(module).Feild
