"""Several examples as tensors."""

from collections.abc import Iterator, Sequence
from typing import Any

from cluster.compat.torchtext.dataset import Dataset
from cluster.compat.torchtext.example import Example


class Batch:
    """An attribute for each column of `dataset`, as its field makes it of the examples `data`.

    As a pair (`for x, y in iterator`): the columns that are no targets, and those that are; each alone, several as a
    tuple, none as None.
    """

    def __init__(self, data: Sequence[Example], dataset: Dataset, device: Any = None) -> None:
        self.batch_size, self.dataset = len(data), dataset
        self.fields = list(dataset.fields)
        self.input_fields = [name for name, field in dataset.fields.items() if not field.is_target]
        self.target_fields = [name for name, field in dataset.fields.items() if field.is_target]
        for name, field in dataset.fields.items():
            setattr(self, name, field.process([getattr(example, name) for example in data], device=device))

    def __len__(self) -> int:
        return self.batch_size

    def __iter__(self) -> Iterator[Any]:
        yield self._values(self.input_fields)
        yield self._values(self.target_fields)

    def __getattr__(self, name: str) -> Any:
        columns = ", ".join(map(repr, self.__dict__.get("fields", ())))
        raise AttributeError(f"a batch has no attribute {name!r}; its columns are {columns}")

    def __repr__(self) -> str:
        return f"Batch of {self.batch_size}: {', '.join(self.fields)}"

    def _values(self, names: list[str]) -> Any:
        values = tuple(getattr(self, name) for name in names)
        return values[0] if len(values) == 1 else values or None
