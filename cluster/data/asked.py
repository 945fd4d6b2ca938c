"""What the questions of a split are and which answers are right, as text: for scores, which compare texts.

`SPLIT/questions.jsonl` of a prepared folder has a line for each document: `[id, question, context, starts, ends,
answers]`, where word i of the context is `context[starts[i]:ends[i]]`. The manifest lists it among its files.
"""

import json
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cluster.data.manifest import file_inside
from cluster.errors import DataError

QUESTIONS = "questions.jsonl"


class QuestionText(NamedTuple):
    """A question with the answers that are right; none, and there is none."""

    id: str
    question: str
    context: str
    starts: list[int]
    ends: list[int]
    answers: list[str]


def write_references(file: IO[bytes], references: Iterable[list[Any]]) -> None:
    """Adds lines; each of `references` is what `Located.to_json` gives, with the answers' words behind."""
    file.writelines(json.dumps(one[:6], ensure_ascii=False).encode() + b"\n" for one in references)


class References:
    """The questions of a split, mapped when the first is asked for."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._name = folder, f"{split}/{QUESTIONS}"
        self._file: mmap.mmap | None = None
        self._ends: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def __getitem__(self, document: int) -> QuestionText:
        """Raises DataError if they are not there, or damaged."""
        if self._file is None:
            self._open()
        assert self._file is not None
        start = int(self._ends[document - 1]) + 1 if document else 0
        try:
            return QuestionText(*json.loads(self._file[start : int(self._ends[document])]))
        except (ValueError, TypeError, IndexError) as error:
            raise DataError(
                f"{self._folder / self._name} has no question {document} ({error}): prepare the data again."
            ) from None

    def _open(self) -> None:
        try:
            with open(file_inside(self._folder, self._name), "rb") as file:
                self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DataError(f"{self._folder / self._name} cannot be read ({error}): prepare the data again.") from None
        self._ends = np.flatnonzero(np.frombuffer(self._file, dtype=np.uint8) == ord("\n"))
