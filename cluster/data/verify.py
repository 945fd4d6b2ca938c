"""Does a prepared folder still hold, to the bit, what preparation wrote?"""

import hashlib
from pathlib import Path

from cluster.data.manifest import BLOCK_BYTES, FileEntry, checked_file, open_prepared
from cluster.errors import DataError


def verify(folder: Path) -> None:
    """Reads every file of a prepared folder and compares sizes and hashes with the manifest.

    Raises DataError naming the file and its first bad 4 MiB block, or what is wrong with the manifest.
    """
    manifest = open_prepared(folder)
    for entry in manifest.files():
        verify_file(folder, entry)


def verify_file(folder: Path, entry: FileEntry) -> None:
    """The same for one file."""
    whole = hashlib.sha256()
    try:
        with open(checked_file(folder, entry), "rb") as file:
            for number, expected in enumerate(entry.blocks):
                block = file.read(BLOCK_BYTES)
                whole.update(block)
                if hashlib.sha256(block).hexdigest() != expected:
                    first = number * BLOCK_BYTES
                    raise DataError(
                        f"{folder / entry.name} is damaged in 4 MiB block {number} "
                        f"(bytes {first:,} to {min(first + BLOCK_BYTES, entry.bytes) - 1:,}): its hash is not "
                        "the manifest's. Remove the folder and prepare the data again."
                    )
    except OSError as error:
        raise DataError(
            f"{folder / entry.name} cannot be read: {error.strerror}. Remove the folder and prepare the data again."
        ) from None
    if whole.hexdigest() != entry.sha256:
        raise DataError(
            f"{folder / entry.name}: the manifest contradicts itself, the hashes of the blocks hold and that of the "
            "file does not. Remove the folder and prepare the data again."
        )
