"""From what a recipe names to files: a path, a glob, a folder that `datasets` saved, or a set of the catalogue."""

import glob
import json
import os
import sys
from pathlib import Path

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.raw.columnar import classes_beside
from cluster.text.raw.lines import extension_of, kind_of
from cluster.text.raw.plain import label_of
from cluster.text.raw.saved import is_saved, saved_files
from cluster.text.sets import catalogue
from cluster.text.sets.data_set import Slot


def to_stderr(line: str) -> None:
    """Says a line to the person, and leaves standard output to programs."""
    print(line, file=sys.stderr, flush=True)


def resolve(sources: str | tuple[str, ...], slot: Slot, say: catalogue.Say = to_stderr) -> list[Path]:
    """The files of one split, sorted, each once; a set of the catalogue is fetched if it is not there.

    A name of the catalogue beats a file of that name (write `./name` for the file); an existing file beats a glob.
    Raises DataError: nothing matches, a folder that `datasets` did not save, an unknown extension, a pipe or a device,
    a set without that split or not to be had.
    """
    found: dict[str, Path] = {}  # by absolute path: a file may be named in several ways
    for source in (sources,) if isinstance(sources, str) else sources:
        for path in _files(source, slot, say):
            found.setdefault(os.path.abspath(path), path)
    for path in found.values():
        kind_of(path)
        if path.exists() and not path.is_file():  # a pipe would hold whoever opens it, a device may never end
            raise DataError(
                f"data.{slot}: {path} is no regular file (a pipe, a device?), but it is read more than once: write "
                "what it gives to a file, and name that."
            )
    return sorted(found.values())


def told_by_place(path: Path, data: Data) -> list[str]:
    """What the rows of a file owe to its name and its neighbours, not to its bytes: what it is kept under must hold it.

    The extension; for `.txt` the label in a name; for a folder that `datasets` saved, the names of its classes. Raises
    DataError as `lines` does.
    """
    told = [extension_of(path)]
    match kind_of(path):
        case "txt":
            told.append(label_of(path, data) or "")
        case "arrow":
            told.append(json.dumps(classes_beside(path), sort_keys=True))
    return told


def _files(source: str, slot: Slot, say: catalogue.Say) -> list[Path]:
    if source in catalogue.names():
        if slot in catalogue.find(source).splits:  # or a split that is not there would be found out after the download
            catalogue.fetch(source, say)
        return catalogue.split_files(source, slot)
    path = Path(source).expanduser()
    if path.is_dir():
        if is_saved(path):
            return saved_files(path, slot)
        raise DataError(
            f"data.{slot} names the folder {source}: name its files with a pattern, for instance {path / '*.jsonl'}; "
            f'or, if each text is a file in the folder of its label, {path / "**" / "*.txt"} with data.txt = "files".'
        )
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
