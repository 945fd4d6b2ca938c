"""Questions on their way from the parts to the shards: flags of their tokens, and their texts beside the shards."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cluster.data.asked import QUESTIONS, write_references
from cluster.data.windows import golden
from cluster.data.writing import SplitWriter
from cluster.text.tokens.pipeline import Documents

SPANS, WIDENED = 6, 7
"""Places in what `Located.to_json` gives."""


def open_questions(folder: Path, split: str) -> IO[bytes]:
    """The file that holds the questions of a split as text, new."""
    return open(folder / split / QUESTIONS, "wb")


def append_questions(
    writer: SplitWriter,
    file: IO[bytes] | None,
    encoded: Documents,
    questions: Sequence[list[Any]],
    sources: npt.NDArray[np.uint64],
) -> None:
    """Some more questions of a split, with their answers; `file` is None for the training split."""
    assert encoded.flags is not None and encoded.contexts is not None
    words = np.array([len(one[3]) for one in questions], dtype=np.int64)
    flags = golden(encoded.flags, encoded.lengths.size, [one[SPANS] for one in questions], words)
    writer.append(encoded.tokens, encoded.lengths, encoded.contexts, sources, encoded.beside, flags)
    if file is not None:
        write_references(file, questions)


def finish(file: IO[bytes]) -> None:
    """All of it to the disk."""
    file.flush()
    os.fsync(file.fileno())
