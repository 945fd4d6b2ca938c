"""One loader, one workload, in a process of its own: `python -m bench.data.one NAME FOLDER WORKLOAD WORKERS SECONDS`.

With SECONDS of 0 the loader writes its format; below 0 its first epoch is summed up, to be compared with the documents.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from bench.data.subjects import SUBJECTS

MASK = np.uint64((1 << 61) - 1)


def digest(tokens: np.ndarray, lengths: np.ndarray) -> int:
    """A sum over documents that does not depend on their order, but on the order of tokens in each."""
    weights = np.arange(1, tokens.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    inside = np.arange(tokens.shape[1]) < lengths[:, None]
    sums = (np.where(inside, tokens, 0).astype(np.uint64) * weights).sum(axis=1)
    sums ^= sums >> np.uint64(31)
    return int((sums * np.uint64(0xBF58476D1CE4E5B9) & MASK).sum(dtype=np.uint64) & MASK)


def main(name: str, folder: Path, workload: str, workers: int, seconds: float) -> dict[str, float]:
    subject = SUBJECTS[name]()
    if seconds == 0:
        subject.write(folder)
        return {}
    if seconds < 0:
        left, found = int(-seconds), 0
        for tokens, lengths in subject.batches(folder, workload, workers):
            found = (found + digest(tokens.numpy()[:left], lengths.numpy()[:left])) & int(MASK)
            left -= len(tokens)
            if left <= 0:
                return {"digest": found}
    real = places = batches = 0
    began = None
    for tokens, lengths in subject.batches(folder, workload, workers):
        tokens.sum()
        batches += 1
        if began is None:
            if batches == 20:  # reading ahead has begun, files are open
                began, real, places = time.perf_counter(), 0, 0
                continue
            continue
        real += int(lengths.sum())
        places += tokens.numel()
        if (spent := time.perf_counter() - began) >= seconds:
            return {"tokens_per_second": real / spent, "efficiency": real / places}
    raise RuntimeError(f"{name} ran out of batches")


if __name__ == "__main__":
    name, folder, workload, workers, seconds = sys.argv[1:]
    print(json.dumps(main(name, Path(folder), workload, int(workers), float(seconds))))
    sys.stdout.flush()
