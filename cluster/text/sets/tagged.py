"""Sets of sentences whose words have labels: how they look inside their packages, and how they become examples."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from cluster.text.keys import share_of

TEST_SHARE = 0.2
Sentence = list[tuple[str, str]]
"""Words with their labels."""
Example = dict[str, Any]

# -tl in a title, -hl in a headline, -nc cited: where a word stands, not what it is (README of the corpus)
_PLACES = re.compile(r"-(?:tl|hl|nc)\b")
SENTENCE_ENDS = frozenset("。！？")
NAMES = {"nr": "PER", "ns": "LOC", "nt": "ORG", "nz": "MISC"}
"""Proper nouns of the People's Daily corpus: persons, places, organisations, others."""


def brown_sentences(text: bytes) -> Iterator[Sentence]:
    """Lines `The/at jury/nn`, with tags in capitals and without what they say of a word's place."""
    for line in text.decode("utf-8", "replace").split("\n"):
        pairs = [pair.rpartition("/") for pair in line.split()]
        if pairs:
            yield [(word, _PLACES.sub("", tag).upper()) for word, _, tag in pairs]


def by_text(texts: Mapping[str, bytes]) -> Iterator[tuple[str, str, Sentence]]:
    """The split of each sentence of Brown's texts, the text's name, and the sentence: whole texts are held out."""
    for name in sorted(texts):
        # a purpose of its own, or `data.validation = "auto"` might later cut what is left on the same scale
        key = int.from_bytes(name.encode()[-8:], "little")
        split = "test" if share_of(key, "catalogue-test") < TEST_SHARE else "train"
        for sentence in brown_sentences(texts[name]):
            yield split, name, sentence


def brown(texts: Mapping[str, bytes]) -> dict[str, list[Example]]:
    """Every sentence of every text, in their order."""
    splits: dict[str, list[Example]] = {"train": [], "test": []}
    for split, _, sentence in by_text(texts):
        splits[split].append(_example(sentence))
    return splits


def peoples_daily(content: bytes, aim: Literal["pos", "names"], dropped: Counter[str]) -> dict[str, list[Example]]:
    """Sentences of a month of a newspaper; those of its last fifth, the later days, are the test.

    `pos`: words with their part of speech; `names`: characters with B-PER, I-PER, ..., O, made of the words that are
    proper nouns: neighbouring ones of persons, surname and given name, are one name. Of sentences that are the same the
    first stays.
    """
    lines = content.decode("utf-8").rstrip("\n").split("\n")
    first_of_test = round(len(lines) * (1 - TEST_SHARE))
    splits: dict[str, list[Example]] = {"train": [], "test": []}
    seen: set[str] = set()
    for number, line in enumerate(lines):
        for sentence in _cut([(word, tag) for word, _, tag in (pair.rpartition("/") for pair in line.split())]):
            text = " ".join(word for word, _ in sentence)
            if text in seen:
                dropped["duplicate"] += 1
                continue
            seen.add(text)
            made = _example(sentence if aim == "pos" else list(_names(sentence)))
            splits["test" if number >= first_of_test else "train"].append(made)
    return splits


def _cut(words: Sentence) -> Iterator[Sentence]:
    sentence: Sentence = []
    for word, tag in words:
        sentence.append((word, tag))
        if word in SENTENCE_ENDS:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _names(words: Sentence) -> Iterator[tuple[str, str]]:
    before = ""
    for word, tag in words:
        kind = NAMES.get(tag, "")
        for place, character in enumerate(word):
            goes_on = place > 0 or (tag == "nr" and before == "nr")
            yield character, f"{'I' if goes_on else 'B'}-{kind}" if kind else "O"
        before = tag


def _example(sentence: Sentence) -> Example:
    return {"tokens": [word for word, _ in sentence], "tags": [label for _, label in sentence]}
