"""What splits texts into tokens, whichever way: the one shape that all of them have."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

Tokens = tuple[str, ...]

Found = tuple[Sequence[str], bytes]
"""The tokens of a text, and the row of each one's tag; no bytes without tags."""


class Splits(Protocol):
    """Splits texts into tokens."""

    @property
    def by_spacy(self) -> bool:
        """Must spaCy go through each text, because the language has a tokenizer of another kind than most?"""

    def each(self, texts: Iterable[str]) -> Iterator[Found]:
        """The tokens of one text after the other; none for a text of which nothing is left."""


def encodable(text: str) -> str:
    """JSON can smuggle in half a surrogate pair, which spaCy cannot hash; it becomes a question mark, as in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
