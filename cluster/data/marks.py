"""The rows of the vocabulary that no text becomes: the last two of models that write or fill in."""

MARKS = 2
"""How many there are."""


def mark_of(vocabulary_rows: int) -> int:
    """The row that each document begins with. It also says that the document before has ended."""
    return vocabulary_rows - 2


def mask_of(vocabulary_rows: int) -> int:
    """The row that stands for a token to be found."""
    return vocabulary_rows - 1


def end_of(vocabulary_rows: int) -> int:
    """Where texts are written from others: the row that each of both ends with. What is written begins with `mark_of`,
    and nothing is hidden. Where questions are answered: the row between question and context."""
    return vocabulary_rows - 1
