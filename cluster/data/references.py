"""The texts that the held-out pairs of a prepared folder ask for, beside their shards: a JSON string a line."""

import json

from cluster.data.manifest import Manifest, checked_file
from cluster.errors import DataError

REFERENCES = "references.jsonl"


def references_name(split: str) -> str:
    """The file of a split, relative to the prepared folder."""
    return f"{split}/{REFERENCES}"


def read_references(manifest: Manifest, split: str) -> list[str]:
    """The texts in the order of the split's documents. Raises DataError."""
    name = references_name(split)
    entry = next((file for file in manifest.extra_files if file.name == name), None)
    if entry is None:
        raise DataError(f"{manifest.folder} holds no {name}: remove the folder, and prepare the data again.")
    try:
        lines = checked_file(manifest.folder, entry).read_bytes().removesuffix(b"\n").split(b"\n")
        texts = [str(json.loads(line)) for line in lines]
    except (OSError, ValueError) as error:
        raise DataError(f"{manifest.folder / name} cannot be read: {error}. Prepare the data again.") from None
    if len(texts) != manifest.splits[split].documents:
        raise DataError(
            f"{manifest.folder / name} holds {len(texts):,} texts for {manifest.splits[split].documents:,} documents: "
            "remove the folder, and prepare the data again."
        )
    return texts
