"""The rows of the vocabulary that no text becomes: the last two of a language model's."""

MARKS = 2
"""How many there are."""


def mark_of(vocabulary_rows: int) -> int:
    """The row that each document begins with. It also says that the document before has ended."""
    return vocabulary_rows - 2


def mask_of(vocabulary_rows: int) -> int:
    """The row that stands for a token to be found."""
    return vocabulary_rows - 1
