"""Examples with their fields, and how they are parted."""

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch.utils.data

from cluster.compat.torchtext.example import Example
from cluster.errors import InputError

Split = tuple["Dataset", ...]


class Dataset(torch.utils.data.Dataset[Example]):
    """`examples`, and `fields` by name. A name is an attribute, too: the values of all examples, one by one.

    `filter_pred(example)` says which examples are kept. `sort_key` is what iterators sort by if they are not told.
    """

    sort_key: Callable[[Any], Any] | None = None

    def __init__(
        self,
        examples: Iterable[Example],
        fields: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
        filter_pred: Callable[[Any], bool] | None = None,
    ) -> None:
        self.examples = [one for one in examples if filter_pred is None or filter_pred(one)]
        self.fields: dict[str, Any] = {}
        """Of the columns that are not left out."""
        for name, field in dict(fields).items():
            pairs = zip(name, field, strict=True) if isinstance(name, tuple) else [(name, field)]
            self.fields.update((one, its) for one, its in pairs if its is not None)

    @classmethod
    def splits(
        cls,
        path: str | os.PathLike[str] | None = None,
        root: str = ".data",
        train: str | None = None,
        validation: str | None = None,
        test: str | None = None,
        **kwargs: Any,
    ) -> Split:
        """A data set of each file that is named, in the folder `path`; further arguments are those of the class.

        Raises InputError without `path`: nothing is fetched into `root`.
        """
        if path is None:
            raise InputError(f"splits() needs path, the folder of the files: nothing is fetched into {root!r} here.")
        if cls is Dataset:
            raise InputError("splits() is of a class that reads files: TabularDataset.splits(...).")
        make: Callable[..., Dataset] = cls
        names = [name for name in (train, validation, test) if name is not None]
        return tuple(make(os.path.join(path, name), **kwargs) for name in names)

    def split(
        self,
        split_ratio: float | Sequence[float] = 0.7,
        stratified: bool = False,
        strata_field: str = "label",
        random_state: Any = None,
    ) -> Split:
        """Parts drawn at random: train and test, or train, validation and test.

        `split_ratio` is the share of train, or the shares of train, test and (if there are three) validation.
        `stratified` keeps the shares of each value of `strata_field`. `random_state` is what `random.getstate()` gives;
        None is the present state, which is left as it is. Parts without examples are left out. Raises InputError.
        """
        train, test, validation = _shares(split_ratio)
        groups = [list(range(len(self.examples)))]
        if stratified:
            groups = self._strata(strata_field)
        chance = random.Random()
        try:
            chance.setstate(random.getstate() if random_state is None else random_state)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"random_state must be what random.getstate() gives ({error}). Leave it out, and call "
                "random.seed(1234) before."
            ) from None
        parts: tuple[list[int], ...] = ([], [], [])
        for group in groups:
            drawn = chance.sample(group, len(group))
            first = round(train * len(group))
            second = first + round(test * len(group)) if validation else len(group)
            for part, places in zip(parts, (drawn[:first], drawn[second:], drawn[first:second]), strict=True):
                part += places
        return tuple(self._part(places) for places in parts if places)

    def filter_examples(self, field_names: Iterable[str]) -> None:
        """Leaves out the words of these columns that the vocabularies of their fields lack."""
        for name in field_names:
            known = self.fields[name].vocab.stoi
            for example in self.examples:
                setattr(example, name, [word for word in getattr(example, name) if word in known])

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("fields", ()):
            return (getattr(example, name) for example in self.examples)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}, and no column of that name")

    def _strata(self, name: str) -> list[list[int]]:
        if name not in self.fields:
            raise InputError(f"strata_field={name!r} is no column; there are {', '.join(map(repr, self.fields))}.")
        groups: dict[Any, list[int]] = defaultdict(list)
        for place, example in enumerate(self.examples):
            groups[getattr(example, name)].append(place)
        return list(groups.values())

    def _part(self, places: list[int]) -> "Dataset":
        part = Dataset([self.examples[place] for place in places], self.fields)
        if self.sort_key is not None:
            part.sort_key = self.sort_key
        return part


def _shares(ratio: float | Sequence[float]) -> tuple[float, float, float]:
    """Of train, test and validation; they add up to 1."""
    if isinstance(ratio, int | float):
        if not 0 < ratio < 1:
            raise InputError(f"split_ratio must be between 0 and 1, but is {ratio}.")
        return ratio, 1 - ratio, 0.0
    if len(ratio) not in (2, 3) or min(ratio) < 0 or sum(ratio) <= 0:
        raise InputError(f"split_ratio must be the share of train, or two or three shares, but is {ratio!r}.")
    train, test, validation = (share / sum(ratio) for share in (*ratio, 0.0)[:3])
    return train, test, validation
