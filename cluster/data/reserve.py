"""Room kept in a folder for the last words of a run whose disk has filled up."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

FILES = 8
FILE_BYTES = 1 << 16
FULL = (errno.ENOSPC, errno.EDQUOT)
"""No space on the file system, or none left for this user."""

Written = TypeVar("Written")


class Reserve:
    """A few small files. Whoever cannot write gives one up, and writes in its place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self) -> None:
        """Take up the room, as far as there is any."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            for number in range(FILES):
                if (path := self.folder / str(number)).exists():
                    continue
                with open(path, "xb") as file:
                    file.write(os.urandom(FILE_BYTES))  # nothing that a file system stores as less
                    file.flush()
                    os.fsync(file.fileno())

    def give_up(self) -> None:
        """All of it: nothing is left of the folder."""
        while self._spend():
            pass
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def write(self, write: Callable[[], Written]) -> Written:
        """What `write` returns, tried anew in the room of each file while the disk is full. Raises OSError."""
        while True:
            try:
                return write()
            except OSError as error:
                if error.errno not in FULL or not self._spend():
                    raise

    def _spend(self) -> bool:
        for number in range(FILES):
            with contextlib.suppress(OSError):
                (self.folder / str(number)).unlink()
                return True
        return False
