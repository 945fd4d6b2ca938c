"""The sources that a recipe names, found and begun to be read as its preparation would: mistakes are said before it."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from cluster.config.load import load
from cluster.config.schema import Data
from cluster.config.tasks import TaskKind, prepared_for
from cluster.errors import DataError, exit_code_of
from cluster.text.raw.read import blocks_of, parse, resolve
from cluster.text.sets import catalogue
from cluster.text.sets.data_set import Slot

ROWS = 100
FILES = 100
"""Of one source: a glob may match a million."""


def glance(data: Data, task: TaskKind) -> list[str]:
    """One line for each source that a preparation would refuse, as far as first rows tell; nothing is fetched.

    Of sets of the catalogue only the split is looked for. Rows are not judged where `data.bad_rows` accepts some.
    """
    found = []
    for slot, source in _sources(data):
        try:
            _refuse(source, slot, data, task)
        except DataError as error:
            found.append(str(error) if str(error).startswith(f"data.{slot}") else f"data.{slot}: {error}")
    return found


def _sources(data: Data) -> Iterator[tuple[Slot, str]]:
    splits: list[tuple[Slot, str | tuple[str, ...]]] = [
        ("train", data.train), ("validation", data.validation), ("test", data.test)
    ]  # fmt: skip
    for slot, sources in splits:
        if slot == "train" or sources not in ("auto", "none"):
            yield from ((slot, source) for source in ((sources,) if isinstance(sources, str) else sources))


def _refuse(source: str, slot: Slot, data: Data, task: TaskKind) -> None:
    """Raises DataError."""
    if source in catalogue.names():
        catalogue.require_split(source, slot)
        return
    for path in resolve(source, slot)[:FILES]:
        _, block = next(blocks_of([path], data, ROWS))  # raises for a file without any
        _, rejected = parse(block, data, task)
        if rejected and data.bad_rows == 0:
            bad = rejected[0]
            raise DataError(f"{bad.file}:{bad.line}: {bad.reason}")


def main(arguments: Sequence[str]) -> int:
    """Prints the lines as JSON; returns the exit code."""
    parser = argparse.ArgumentParser(description="What is wrong with a recipe's sources.")
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument("overrides", metavar="key=value", nargs="*")
    options = parser.parse_intermixed_args(arguments)

    def command() -> None:
        recipe = load(options.recipe, options.overrides)
        print(json.dumps(glance(recipe.data, prepared_for(recipe.task))))

    return exit_code_of(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
