"""Tokens as numbers into a list of the distinct words: what both a part on the disk and an encoded batch begin as.

B documents, N tokens of all of them together.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, assert_never, runtime_checkable

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Text
from cluster.text.tokens.found import Found, Splits

Counts = npt.NDArray[np.uint32]


class Numbers(dict[str, int]):
    """Numbers for names, in the order of their first appearance."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __missing__(self, name: str) -> int:
        number = self[name] = len(self)
        self.names.append(name)
        return number


@dataclass(frozen=True)
class Numbered:
    """Tokens of documents, one after the other: `tokens_N` into the list of words they belong to."""

    tokens_N: Counts
    lengths_B: Counts
    cut_B: npt.NDArray[np.bool_]
    """Was the document longer than `text.max_tokens`?"""
    tags_N: npt.NDArray[Any] | None
    """The row of each token's part-of-speech tag, with `text.tags`; of a given word its mark u8, or its affixes u64."""
    sides: int = 1
    """2: each document is a pair, two texts in a row here (what is read, what is to be written)."""

    def chosen(self, chosen_B: npt.NDArray[np.bool_]) -> "Numbered":
        """Those documents alone, pairs whole."""
        chosen_B = np.repeat(chosen_B, self.sides)
        kept = np.repeat(chosen_B, self.lengths_B)
        tags = None if self.tags_N is None else self.tags_N[kept]
        return Numbered(self.tokens_N[kept], self.lengths_B[chosen_B], self.cut_B[chosen_B], tags, self.sides)


def number(texts: Iterable[str], splits: Splits, text: Text) -> tuple[Numbered, list[str]]:
    """The texts, cut to `text.max_tokens` tokens, and the distinct words in the order of their first appearance."""
    if isinstance(splits, SplitsByArrays):
        return splits.number(list(texts), text.max_tokens)
    return number_each(splits.each(texts), text.max_tokens, tagged=text.tags)


@runtime_checkable
class SplitsByArrays(Protocol):
    """Splits that number many texts at once, faster than one after the other."""

    def number(self, texts: Sequence[str], limit: int) -> tuple[Numbered, list[str]]:
        """As the function `number`."""


def number_each(found: Iterable[Found], limit: int, tagged: bool = False) -> tuple[Numbered, list[str]]:
    """`number`, of tokens that come one text after the other."""
    words = Numbers()
    tokens, lengths, tags = array("I"), array("Q"), bytearray()
    for names, rows in found:
        lengths.append(len(names))
        tokens.extend(map(words.__getitem__, names[:limit]))
        tags += rows[:limit]
    whole = np.array(lengths, dtype=np.uint64)
    numbered = Numbered(
        tokens_N=np.array(tokens, dtype=np.uint32),
        lengths_B=np.minimum(whole, limit).astype(np.uint32),
        cut_B=whole > limit,
        tags_N=np.frombuffer(bytes(tags), dtype=np.uint8) if tagged else None,
    )
    return numbered, words.names


MOST_CHUNKS = 1 << 20
"""What a tokenizer remembers unless it is told otherwise: about 500 MB."""


def splits_of(text: Text, most_chunks: int = MOST_CHUNKS) -> Splits:
    """What splits texts as the settings say, and remembers at most so many distinct chunks of them. Raises RecipeError
    if something that it needs is not there."""
    if text.pipeline:
        from cluster.text.tokens.tags import Tagger

        return Tagger(text)
    from cluster.text.tokens.characters import Characters
    from cluster.text.tokens.words.tokenizer import Tokenizer

    match text.tokens:
        case "bpe":
            from cluster.text.tokens.pieces import Stretches

            return Stretches(text)
        case "characters":
            return Characters(text)
        case "words":  # spaCy's words of Chinese are its characters, and need not be asked for
            return Characters(text) if text.language == "zh" else Tokenizer(text, most_chunks)
        case "jieba":
            return Tokenizer(text)
        case "model":
            raise ValueError("a model's own tokens need its tokenizer: tokens/model.py")
        case _:
            assert_never(text.tokens)
