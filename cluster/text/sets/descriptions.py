"""Descriptions of Debian's packages: with the synopsis that is to be written of each, or with its tags."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cluster.text.keys import text_key
from cluster.text.sets.debian import stanzas
from cluster.text.sets.pairs import split_of

LEAST_WORDS = 25
"""A description shorter than this is hardly longer than its synopsis."""
FACETS = ("field", "use", "works-with")
"""Of the tags: what a package is for, not how it is made (wiki.debian.org/Debtags)."""
LEAST_PACKAGES = 100
"""A tag of fewer is no label."""
Example = dict[str, Any]
Splits = dict[str, list[Example]]


def synopses(descriptions: str, packages: str, dropped: Counter[str]) -> Splits:
    """Descriptions of packages and their synopsis of one line; all packages of one source are in one split. Of equal
    descriptions the first stays."""

    def example(_: str, synopsis: str, body: str) -> Example | str:
        if len(body.split()) < LEAST_WORDS or not synopsis:
            return f"fewer than {LEAST_WORDS} words"
        return {"text": body, "target": synopsis}

    return _split(descriptions, _listed(packages), dropped, example)


def topics(descriptions: str, packages: str, dropped: Counter[str]) -> Splits:
    """Synopses and descriptions of packages, and the tags that people gave them, of those `FACETS` that at least
    `LEAST_PACKAGES` packages have; all packages of one source are in one split. Packages without such a tag are left
    out: nobody may have looked at them. Of equal texts the first stays."""
    listed = _listed(packages)
    tags = {name: _tags(str(one.get("Tag", ""))) for name, one in listed.items()}
    counts = Counter(tag for its in tags.values() for tag in its)

    def example(name: str, synopsis: str, body: str) -> Example | str:
        labels = sorted(tag for tag in tags.get(name, ()) if counts[tag] >= LEAST_PACKAGES)
        return {"text": f"{synopsis}\n{body}".rstrip(), "label": labels} if labels else "without one of the tags"

    return _split(descriptions, listed, dropped, example)


def _listed(packages: str) -> dict[str, dict[str, Any]]:
    return {one["Package"]: one for one in stanzas(packages)}


def _split(
    descriptions: str,
    listed: Mapping[str, Mapping[str, Any]],
    dropped: Counter[str],
    example: Callable[[str, str, str], Example | str],
) -> Splits:
    """What `example` makes of the name, the synopsis and the text of each package, or why it makes nothing."""
    splits: Splits = {"train": [], "validation": [], "test": []}
    seen: set[int] = set()
    for one in stanzas(descriptions):
        name = one["Package"]
        synopsis, _, body = str(one.get("Description-en", "")).partition("\n")
        made = example(name, synopsis.strip(), "\n".join(_joined(body)))
        if isinstance(made, str):
            dropped[made] += 1
        elif (key := text_key(made["text"])) in seen:
            dropped["duplicate"] += 1
        else:
            seen.add(key)
            source = str(listed.get(name, {}).get("Source", name)).split()[0]
            splits[split_of(source)].append({**made, "package": name})
    return splits


def _tags(field: str) -> set[str]:
    """Of the facets above; `a::{b, c}` would be two, but lists of packages write each in full."""
    found = {tag.strip() for tag in re.split(r"[,\n]", field)}
    return {tag for tag in found if tag.split("::")[0] in FACETS and not tag.endswith("::TODO")}


def _joined(body: str) -> Iterator[str]:
    """The paragraphs of a description, each on one line; entries of lists, which are indented, on their own."""
    waiting: list[str] = []
    for line in [*body.split("\n"), "."]:
        ends, item = line.strip() == ".", line.startswith((" ", "\t"))
        if waiting and (ends or item):
            yield " ".join(waiting)
            waiting = []
        if not ends and line.strip():
            waiting.append(line.strip())
