"""One training item: an attribute for each column, with the value that its field makes."""

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from cluster.compat.torchtext.field import RawField
from cluster.errors import DataError, InputError

Column = tuple[Any, Any]
"""A name and its field; two tuples of such make several attributes of one value. A field of None is left out."""


class Example:
    """Attributes are the names of the columns. The class methods raise DataError for values that do not fit."""

    @classmethod
    def fromJSON(cls, data: str | bytes, fields: Mapping[str, Any]) -> "Example":
        """Of an object in JSON; a key may name what is inside of others (`foods.fruits`), of lists all elements."""
        try:
            found = json.loads(data)
        except ValueError as error:
            raise DataError(f"broken JSON: {error}") from None
        if not isinstance(found, dict):
            raise DataError(
                f"a line must hold one JSON object, but holds a {type(found).__name__}. An array becomes lines of "
                "objects by: jq -c '.[]' FILE"
            )
        example = cls()
        for key, columns in fields.items():
            if columns is not None:
                value = found[key] if key in found else reduce(_inside, key.split("."), found)
                example._add(key, value, columns)
        return example

    @classmethod
    def fromdict(cls, data: Mapping[str, Any], fields: Mapping[str, Any]) -> "Example":
        """Of a dictionary: key -> (name, field), or a list of such."""
        example = cls()
        for key, columns in fields.items():
            if columns is not None:
                example._add(key, _inside(data, key), columns)
        return example

    @classmethod
    def fromCSV(cls, data: Sequence[str], fields: Any, field_to_index: Mapping[str, int] | None = None) -> "Example":
        """Of the cells of a row: `fields` in their order, or by key with the place of each in `field_to_index`."""
        if field_to_index is None:
            return cls.fromlist(data, fields)
        return cls.fromdict({key: data[place] for key, place in field_to_index.items()}, fields)

    @classmethod
    def fromlist(cls, data: Sequence[Any], fields: Sequence[Column]) -> "Example":
        """Of values in the order of `fields`. Further values are left out."""
        if len(data) < len(fields):
            raise DataError(
                f"{len(data)} values for {len(fields)} fields: give (None, None) for what is to be left out."
            )
        example = cls()
        for place, ((name, field), value) in enumerate(zip(fields, data, strict=False)):
            if isinstance(value, str):
                value = value.rstrip("\n")
            pairs = list(zip(name, field, strict=True)) if isinstance(name, tuple) else [(name, field)]
            example._add(name if isinstance(name, str) else place, value, pairs)
        return example

    @classmethod
    def fromtree(cls, data: Any, fields: Any, subtrees: bool = False) -> "Example":
        """Refused: InputError."""
        raise InputError(
            "Example.fromtree needs trees of nltk, which muster does not read: use fromlist on their leaves."
        )

    def _add(self, key: Any, value: Any, columns: Any) -> None:
        for name, field in columns if isinstance(columns, list) else [columns]:
            if field is None:
                continue
            if not isinstance(field, RawField):
                raise InputError(f"fields must pair names with a Field, but {name!r} has a {type(field).__name__}.")
            try:
                setattr(self, name, field.preprocess(value))
            except DataError as error:
                raise DataError(f"column {key!r}: {error}") from None


def _inside(found: Any, key: str) -> Any:
    if isinstance(found, list):
        return [_inside(one, key) for one in found]
    if not isinstance(found, Mapping) or key not in found:
        there = ", ".join(map(repr, found)) if isinstance(found, Mapping) else f"a {type(found).__name__}"
        raise DataError(f"there is no key {key!r}; there is: {there}")
    return found[key]
