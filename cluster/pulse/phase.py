"""What a rank is at: a small closed list."""

import enum


class Phase(enum.IntEnum):
    """The numbers are those of the page."""

    START = 0
    FIRST_STEP = 1
    STEP = 2
    VALIDATE = 3
    SAVE = 4
    SCORE = 5
    LEAVE = 6

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", " ")
