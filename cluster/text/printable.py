"""Texts of strangers on a person's terminal."""


def printable(text: str) -> str:
    """The text on one line, without what is no letter or sign: escape sequences must not reach the terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def clipped(text: str, width: int) -> str:
    """`printable`, and no longer than `width`."""
    line = printable(text[: 4 * width])
    return line if len(line) <= width else line[: width - 1] + "…"
