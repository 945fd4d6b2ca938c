"""Does a prepared folder still hold, to the bit, what preparation wrote?"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from cluster.data.manifest import BLOCK_BYTES, MANIFEST, FileEntry, Manifest, checked_file, open_prepared
from cluster.errors import DataError

BASELINE = "baseline.json"
"""What `cluster.baseline` keeps beside the data."""
WAY_OUT = "Remove the folder and prepare the data again."


class Damage(NamedTuple):
    """Something that is wrong with a prepared folder."""

    file: str
    """As the manifest names it."""
    block: int | None
    """Its 4 MiB block; None where the whole file is meant."""
    words: str


def verify(folder: Path) -> None:
    """Reads every file of a prepared folder and compares sizes and hashes with the manifest.

    Raises DataError naming the file and its first bad 4 MiB block, or what is wrong with the manifest.
    """
    manifest = open_prepared(folder)
    for entry in manifest.files():
        verify_file(folder, entry)


def verify_file(folder: Path, entry: FileEntry) -> None:
    """The same for one file."""
    for damage in _damage(folder, entry):
        raise DataError(f"{damage.words} {WAY_OUT}")


def damages(manifest: Manifest, done: Callable[[FileEntry], None]) -> list[Damage]:
    """All that is damaged in a prepared folder, file by file and block by block; `done` hears of each file read.

    Threads read at once: hashing frees the interpreter. Ctrl-C waits for the files that are being read.
    """
    entries = list(manifest.files())
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        jobs = {threads.submit(lambda one: list(_damage(manifest.folder, one)), entry): entry for entry in entries}
        try:
            for job in as_completed(jobs):
                done(jobs[job])
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return [damage for job in jobs for damage in job.result()]


def unknown_files(manifest: Manifest) -> list[str]:
    """Files in the folder that the manifest does not answer for."""
    known = {MANIFEST, BASELINE, *(entry.name for entry in manifest.files())}
    folder = manifest.folder
    there = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    found = (path.relative_to(folder).as_posix() for path in there)
    return sorted(name for name in found if name not in known)


def damage_in_block(folder: Path, entry: FileEntry, number: int, why: str = "its hash is not the manifest's") -> str:
    """What is said of a damaged block."""
    first = number * BLOCK_BYTES
    last = min(first + BLOCK_BYTES, entry.bytes) - 1
    return f"{folder / entry.name} is damaged in 4 MiB block {number} (bytes {first:,} to {last:,}): {why}."


def _damage(folder: Path, entry: FileEntry) -> Iterator[Damage]:
    whole, sound = hashlib.sha256(), True
    try:
        with open(checked_file(folder, entry), "rb") as file:
            for number, expected in enumerate(entry.blocks):
                block = file.read(BLOCK_BYTES)
                whole.update(block)
                if hashlib.sha256(block).hexdigest() != expected:
                    sound = False
                    yield Damage(entry.name, number, damage_in_block(folder, entry, number))
    except DataError as error:
        yield Damage(entry.name, None, str(error).removesuffix(f" {WAY_OUT}"))
        return
    except OSError as error:
        yield Damage(entry.name, None, f"{folder / entry.name} cannot be read: {error.strerror}.")
        return
    if sound and whole.hexdigest() != entry.sha256:
        words = "the manifest contradicts itself, the hashes of the blocks hold and that of the file does not."
        yield Damage(entry.name, None, f"{folder / entry.name}: {words}")
