"""The texts that held-out pairs ask for, as they are written in the sources: what scores compare with.

Shards hold tokens, from which a text cannot always be had back.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO

from cluster.data.references import references_name


class References:
    """Writes `references.jsonl` into the folders of the splits, a text a line, in the order of the documents. A context
    manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[str]] = {}

    def add(self, split: str, texts: Iterable[str]) -> None:
        """Some more documents. Raises OSError."""
        if split not in self._files:
            path = self._folder / references_name(split)
            self._files[split] = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 - closed on leaving
        self._files[split].writelines(json.dumps(text, ensure_ascii=False) + "\n" for text in texts)

    def __enter__(self) -> "References":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
