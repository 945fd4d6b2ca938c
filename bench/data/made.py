"""The documents that every loader is measured on: seeded chance, as many tokens as are asked for."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cluster.data.manifest import write_manifest
from cluster.data.writing import SplitWriter

ROWS = 50_257
SEQUENCE = 2048
"""Tokens of a sequence in the workload `fixed`."""


@dataclass(frozen=True)
class Documents:
    """`tokens` of all documents, one after the other, uint16, and the `lengths` of each."""

    tokens: npt.NDArray[np.uint16]
    lengths: npt.NDArray[np.uint32]

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        ends = np.cumsum(self.lengths, dtype=np.int64)
        return ends - self.lengths

    @classmethod
    def open(cls, folder: Path) -> "Documents":
        return cls(np.load(folder / "tokens.npy", mmap_mode="r"), np.load(folder / "lengths.npy"))


def make(folder: Path, tokens: int) -> Documents:
    """Writes documents of log-normal lengths (5.5, 1), cut to 16 and 2,048, raw and as muster's shards, unless they are
    there."""
    if not (folder / "made.json").exists():
        rng = np.random.default_rng(1)
        lengths = np.clip(rng.lognormal(5.5, 1.0, 2 + tokens // 300), 16, 2048).astype(np.uint32)
        lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), tokens)) + 1]
        if left := -int(lengths.sum()) % SEQUENCE:  # a last, shorter sequence is not every loader's
            lengths = np.append(lengths, np.uint32(left))
        ids = rng.integers(1, ROWS, int(lengths.sum()), dtype=np.uint16)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "tokens.npy", ids)
        np.save(folder / "lengths.npy", lengths)
        with SplitWriter(folder / "muster", "train", layout="sequence", vocabulary_rows=ROWS, tag_rows=0) as writer:
            count = len(lengths)
            sources = np.arange(count, dtype=np.uint64)
            writer.append(ids.astype(np.uint32), lengths, np.zeros(count, dtype=np.int32), sources, None)
        described = {"fingerprint": "bench", "layout": "sequence", "vocabulary_rows": ROWS, "labels": ["a", "b"]}
        write_manifest(folder / "muster", described | {"tags": [], "splits": {"train": writer.close()}, "report": {}})
        (folder / "made.json").write_text(json.dumps({"tokens": int(lengths.sum()), "documents": count}))
    return Documents.open(folder)
