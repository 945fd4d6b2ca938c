"""Tables in columns: rows of `.parquet` files, and of the `.arrow` files that Hugging Face `datasets` saves.

Only the columns asked for are read, a thousand rows at a time. pyarrow is imported when the first file is met.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1024
"""Rows turned into values at once."""
_READ_BYTES = 1 << 20
_INVALID = "\udcff"
ARROW_FILE_MAGIC = b"ARROW1"  # arrow.apache.org/docs/format/Columnar.html, "IPC File Format"
"""Stands for bytes that are no UTF-8, as Python's surrogateescape writes them."""

Names = Callable[[Any], Any]


def column_names(path: Path) -> list[str]:
    """The columns of a file. Raises DataError: not to be read, damaged."""
    with _failures(path):
        return list(_schema(path).names)


def rows(
    path: Path, columns: Sequence[str], plain: Sequence[str] | None = None
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The values of these columns, typed as JSON types them, row by row, with the number of the row from 1.

    Numbers of a ClassLabel of `datasets` become their names. Raises DataError: no such file, damaged, without one of
    the columns, or one of those in `plain` (None: all) has a type that JSON does not have.
    """
    number = 0
    with _failures(path, lambda: number):
        schema = _schema(path)
        _check_columns(path, schema, columns, columns if plain is None else plain)
        named = class_names(path, schema) if _is_arrow(path) else {}
        for batch in _batches(path, schema, columns):
            for start in range(0, batch.num_rows, _ROWS):
                part = batch.slice(start, _ROWS)
                values = [_values(part.column(name), named.get(name)) for name in columns]
                for row in zip(*values, strict=True):
                    number += 1
                    yield number, row


@contextlib.contextmanager
def _failures(path: Path, read: Callable[[], int] = lambda: 0) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        raise DataError(f"{path} is damaged or cut off after row {read()}: {str(error).splitlines()[0]}") from error
    except OSError as error:
        message = error.strerror or str(error).splitlines()[0]
        raise DataError(f"cannot read {path}: {message}") from error


def _schema(path: Path) -> pa.Schema:
    import pyarrow as pa

    if _is_arrow(path):
        with pa.OSFile(str(path)) as file:
            if file.read(len(ARROW_FILE_MAGIC)) == ARROW_FILE_MAGIC:
                raise DataError(
                    f"{path} is Arrow's file format (Feather); of .arrow files muster reads the streams that "
                    "`datasets` saves. Write it as .parquet."
                )
            file.seek(0)
            return pa.ipc.open_stream(file).schema
    import pyarrow.parquet as pq

    return pq.read_schema(path, memory_map=False)


def _batches(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Only these columns. The file is not mapped: its pages that were read would count as this process's memory."""
    import pyarrow as pa

    if _is_arrow(path):
        wanted = sorted({schema.get_field_index(name) for name in columns})
        options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        with pa.OSFile(str(path)) as stream:
            yield from pa.ipc.open_stream(stream, options=options)
        return
    import pyarrow.parquet as pq

    # the buffer bounds what a row group takes, which may be the whole file
    with pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False, memory_map=False) as file:
        yield from file.iter_batches(_ROWS, columns=list(dict.fromkeys(columns)), use_threads=False)


def _is_arrow(path: Path) -> bool:
    return path.suffix.lower() == ".arrow"


def _check_columns(path: Path, schema: pa.Schema, columns: Sequence[str], plain: Sequence[str]) -> None:
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise DataError(f"{path} has no column {', '.join(map(repr, missing))}; its columns are {schema.names[:50]!r}.")
    for name in columns:
        if schema.names.count(name) > 1:
            raise DataError(f"{path} has more than one column named {name!r}")
    for name in plain:
        kind = schema.field(name).type
        if not _is_plain(kind):
            raise DataError(
                f"{path}: column {name!r} holds {kind}: it should hold strings, numbers, booleans, or lists of them."
            )


def _is_plain(kind: pa.DataType) -> bool:
    """Has JSON such values?"""
    from pyarrow import types

    if _is_list(kind):
        return _is_plain(kind.value_type) and not (types.is_decimal(kind.value_type) or _is_bytes(kind.value_type))
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    checks = ("null", "boolean", "integer", "floating", "decimal", "string", "large_string", "string_view")
    return any(getattr(types, f"is_{check}")(kind) for check in checks) or _is_bytes(kind)


def _is_list(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    """Old writers of parquet do not say that their bytes are UTF-8."""
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _values(column: pa.Array, names: Names | None) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:  # of one value: nobody checked them when the file was written
        values = [_value(scalar) for scalar in column]
    if _is_bytes(column.type):
        values = [one if one is None else one.decode("utf-8", "surrogateescape") for one in values]
    return values if names is None else [names(value) for value in values]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return _INVALID


def class_names(path: Path, schema: pa.Schema) -> dict[str, Names]:
    """For each column of ClassLabels (or lists of them) what turns its numbers into names.

    The folder's dataset_info.json is asked first, as `datasets` does; what an arrow file says of itself may be older.
    """
    features = classes_beside(path)
    if features is None:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    if not isinstance(features, dict):
        return {}
    return {name: found for name, feature in features.items() if (found := _names_of(feature)) is not None}


def classes_beside(path: Path) -> dict[str, Any] | None:
    """What the dataset_info.json in the folder of an arrow file says of its columns, if it says it."""
    try:
        features = json.loads((path.parent / "dataset_info.json").read_bytes())["features"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return features if isinstance(features, dict) else None


def _names_of(feature: Any) -> Names | None:
    if isinstance(feature, list) and len(feature) == 1:  # how older releases write a list
        feature = {"feature": feature[0]}
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        names: list[Any] = feature["names"]
        # -1 says that there is no label
        return lambda value: names[value] if isinstance(value, int) and 0 <= value < len(names) else None
    inner = _names_of(feature.get("feature"))
    if inner is None:
        return None
    return lambda values: [inner(value) for value in values] if isinstance(values, list) else values
