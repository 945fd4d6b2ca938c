"""Semantic roles that are silver, not gold: made by rule from a parser's output, which makes mistakes of its own.

There is no text with roles by people's hands that may be had. What a model learns here is the rule; its score says
nothing of semantic role labelling as such.

    nsubj -> ARG0            unless the verb is passive: nsubjpass -> ARG1, agent ("by ...") -> ARG0
    dobj -> ARG1             dative -> ARG2
    neg -> ARGM-NEG          prep, npadvmod and advmod that spaCy holds for a date or a time -> ARGM-TMP

A span is all that hangs on the word with that relation. A verb with none of ARG0, ARG1 and ARG2 makes no example.
"""

import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from cluster.errors import DataError
from cluster.text.sets.tagged import Example, by_text

ROLES = {
    "nsubj": "ARG0",
    "agent": "ARG0",
    "nsubjpass": "ARG1",
    "dobj": "ARG1",
    "dative": "ARG2",
    "neg": "ARGM-NEG",
}
CORE = frozenset({"ARG0", "ARG1", "ARG2"})
TEMPORAL = frozenset({"prep", "npadvmod", "advmod"})
TIMES = frozenset({"DATE", "TIME"})
EVERY_TEXT = 5
"""One text in so many is parsed: a minute on two cores."""
NEEDLESS = ("lemmatizer",)
SENTENCES_AT_ONCE = 64


def silver_roles(
    texts: Mapping[str, bytes], wheel: bytes, folder: str, dropped: Counter[str]
) -> dict[str, list[Example]]:
    """An example for each verb of some of Brown's texts: words, the place of the verb, labels B-ARG0, I-ARG0, ..., O.

    `wheel` holds a trained spaCy pipeline in `folder`. Raises DataError if it cannot be loaded.
    """
    chosen = {name: texts[name] for name in sorted(texts)[::EVERY_TEXT]}
    found = [(split, [word for word, _ in sentence]) for split, _, sentence in by_text(chosen)]
    splits: dict[str, list[Example]] = {"train": [], "test": []}
    with tempfile.TemporaryDirectory() as scratch:
        language = _loaded(wheel, folder, Path(scratch))
        documents = (_document(language, words) for _, words in found)
        parsed = language.pipe(documents, batch_size=SENTENCES_AT_ONCE)
        for (split, words), document in zip(found, parsed, strict=True):
            made = list(_examples(document, words))
            splits[split] += made
            dropped["sentence without a verb with roles"] += not made
    return splits


def _loaded(wheel: bytes, folder: str, scratch: Path) -> Any:
    import spacy

    try:
        with zipfile.ZipFile(BytesIO(wheel)) as files:
            files.extractall(scratch, [name for name in files.namelist() if name.startswith(f"{folder}/")])
        return spacy.load(scratch / folder, exclude=NEEDLESS)
    except (OSError, ValueError, KeyError, ImportError, zipfile.BadZipFile) as error:
        raise DataError(f"the parser that makes silver roles cannot be loaded: {error}") from error


def _document(language: Any, words: list[str]) -> Any:
    from spacy.tokens import Doc

    return Doc(language.vocab, words=words)


def _examples(document: Any, words: list[str]) -> Iterator[Example]:
    for verb in document:
        if verb.pos_ != "VERB":
            continue
        labels = ["O"] * len(words)
        roles = set()
        for child in verb.children:
            role = _role(child)
            span = range(child.left_edge.i, child.right_edge.i + 1)
            if not role or verb.i in span or any(labels[place] != "O" for place in span):
                continue
            roles.add(role)
            for place in span:
                labels[place] = f"{'B' if place == span.start else 'I'}-{role}"
        if roles & CORE:
            yield {"tokens": words, "predicate": verb.i, "tags": labels}


def _role(child: Any) -> str:
    if child.dep_ in ROLES:
        return ROLES[child.dep_]
    within = (child, *child.children)
    return "ARGM-TMP" if child.dep_ in TEMPORAL and any(one.ent_type_ in TIMES for one in within) else ""
