"""From what a recipe names to files: a path, a glob, or a set of the catalogue."""

import glob
import os
import sys
from pathlib import Path

from cluster.errors import DataError
from cluster.text import catalogue
from cluster.text.lines import kind_of
from cluster.text.sets import Slot


def to_stderr(line: str) -> None:
    """Says a line to the person, and leaves standard output to programs."""
    print(line, file=sys.stderr, flush=True)


def resolve(sources: str | tuple[str, ...], slot: Slot, say: catalogue.Say = to_stderr) -> list[Path]:
    """The files of one split, sorted, each once; a set of the catalogue is fetched if it is not there.

    A name of the catalogue beats a file of that name (write `./name` for the file); an existing file beats a glob.
    Raises DataError: nothing matches, a folder, an unknown extension, a set without that split or not to be had.
    """
    found: set[Path] = set()
    for source in (sources,) if isinstance(sources, str) else sources:
        found.update(_files(source, slot, say))
    for path in found:
        kind_of(path)
    return sorted(found)


def _files(source: str, slot: Slot, say: catalogue.Say) -> list[Path]:
    if source in catalogue.names():
        if slot in catalogue.find(source).splits:  # or a split that is not there would be found out after the download
            catalogue.fetch(source, say)
        return catalogue.split_files(source, slot)
    path = Path(source).expanduser()
    if path.is_dir():
        raise DataError(f"data.{slot} names the folder {source}: name its files, for instance {path / '*.jsonl'}")
    if path.exists():
        return [path]
    if glob.has_magic(source):
        matched = [Path(name) for name in glob.glob(str(path), recursive=True) if os.path.isfile(name)]
        if not matched:
            raise DataError(f"data.{slot}: no file matches {source} (looked from {Path.cwd()}): mend the pattern")
        return matched
    if path.name == source and not path.suffix:  # a bare word was meant for the catalogue
        try:
            catalogue.find(source)
        except DataError as error:
            raise DataError(f"data.{slot}: there is no file {source} in {Path.cwd()}, and {error}") from None
    raise DataError(
        f"data.{slot}: there is no file {source} (looked from {Path.cwd()}): "
        "give a path, a glob, or a set of `muster data list`"
    )
