"""From rows of the vocabulary back to text."""

from collections.abc import Sequence

from cluster.text.tokens.pieces import bytes_of
from cluster.text.tokens.pipeline import FIRST_WORD, Encoder


def unspaced(encoder: Encoder) -> bool:
    """Do words stand without white space between them?"""
    return encoder.text.tokens in ("characters", "jieba") or encoder.text.language in ("zh", "ja", "th")


def text_of(encoder: Encoder, rows: Sequence[int]) -> str:
    """The text of these rows, which are words or pieces of such. Pieces give the text to the byte, words with a space
    between them where the language has such."""
    words = [encoder.words[row - FIRST_WORD] for row in rows]
    if encoder.pieces is None:
        return ("" if unspaced(encoder) else " ").join(words)
    return b"".join(map(bytes_of, words)).decode("utf-8", errors="replace").strip()
