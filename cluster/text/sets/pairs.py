"""Texts and their translations: how help pages look inside their packages, and how they become examples."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from typing import Any

from cluster.text.keys import share_of, text_key

TEST_SHARE = VALIDATION_SHARE = 0.05
"""Shares of the pages, or source packages, that are held out."""
MOST_WORDS = 60
"""Longer paragraphs of help pages are few, and lists of names."""
Example = dict[str, Any]
Splits = dict[str, list[Example]]

_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5"})
_VOID = frozenset({"br", "img", "input", "hr", "meta", "link", "wbr"})
_HAN = re.compile("[\u3400-\u9fff]")
_SHORTCUT = re.compile(r"[~_](?=\w)")
"""Marks the letter of a menu's entry that the keyboard chooses it by."""


class _Paragraphs(HTMLParser):
    """Texts of the paragraphs of a page that have a name, by it; of several with one name the first."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._name, self._text = "", list[str]()
        self._depth = self._hidden = 0
        """Open elements inside the paragraph; how deep the outermost one is that is not to be read, or 0."""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if not self._name:
            if tag in _PARAGRAPHS and re.match(r"(par|hd)_", given.get("id") or ""):
                self._name, self._text, self._depth, self._hidden = given["id"] or "", [], 1, 0
        elif tag not in _VOID:
            self._depth += 1
            # What is said of one operating system alone stands beside what is said of the others.
            if not self._hidden and "hidden" in given and given.get("class"):
                self._hidden = self._depth
        elif tag == "br":
            self._text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if not self._name or tag in _VOID:
            return
        if self._depth == self._hidden:
            self._hidden = 0
        self._depth -= 1
        if self._depth == 0:
            self.found.setdefault(self._name, " ".join("".join(self._text).split()))
            self._name = ""

    def handle_data(self, data: str) -> None:
        if self._name and not self._hidden:
            self._text.append(data)


def paragraphs(page: bytes) -> dict[str, str]:
    """The texts of the named paragraphs and headings of a help page."""
    reader = _Paragraphs()
    reader.feed(page.decode("utf-8"))
    return reader.found


def help_pages(
    pages: Mapping[str, bytes],
    translated: Mapping[str, bytes],
    messages: Iterable[tuple[str, str]],
    dropped: Counter[str],
    han: bool,
) -> Splits:
    """Paragraphs of pages that are in both languages under one name, whole pages held out; messages of the program's
    windows are for training alone. Of pairs with the same source the first stays, whichever split it is in.

    `han`: of the translations those without a Chinese character are dropped.
    """
    splits: Splits = {"train": [], "validation": [], "test": []}
    seen: set[int] = set()

    def take(split: str, source: str, target: str, page: str) -> None:
        if why := _unfit(source, target, han):
            dropped[why] += 1
        elif (key := text_key(source)) in seen:
            dropped["duplicate"] += 1
        else:
            seen.add(key)
            splits[split].append({"text": source, "target": target, "page": page})

    # Those held out come first: what they say is then not in the training set.
    by_split = sorted(sorted(pages), key=lambda name: split_of(name) == "train")
    for name in by_split:
        if name not in translated:
            continue
        theirs = paragraphs(translated[name])
        for paragraph, source in paragraphs(pages[name]).items():
            take(split_of(name), source, theirs.get(paragraph, ""), name)
    for source, target in messages:
        plain, theirs_plain = (" ".join(_SHORTCUT.sub("", text).split()) for text in (source, target))
        take("train", plain, theirs_plain, "")
    return splits


def _unfit(source: str, target: str, han: bool) -> str:
    if not source or not target:
        return "in one language alone"
    if source == target:
        return "not translated"
    if not 2 <= len(source.split()) <= MOST_WORDS:
        return f"not of 2 to {MOST_WORDS} words"
    return "without a Chinese character" if han and not _HAN.search(target) else ""


def split_of(name: str) -> str:
    """Of a page, or a source package, whole."""
    # a purpose of its own, or `data.validation = "auto"` might later cut what is left on the same scale
    share = share_of(text_key(name), "catalogue-test")
    return "test" if share < TEST_SHARE else "validation" if share < TEST_SHARE + VALIDATION_SHARE else "train"
