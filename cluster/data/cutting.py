"""Runs of documents cut into steps and micro-batches: numbers in, boundaries out.

The cost of documents that run together is rows x longest where they are padded, and the sum of their lengths where they
are not. `bounds` are places between documents: [first, ..., last], each neighbouring pair one piece, none empty.
"""

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.integer[Any]]

# Evening out costs 14 passes over the pieces; among more pieces than this, one that is short does not matter.
MOST_EVENED = 1024


def sizes_of(lengths: Lengths) -> Ids:
    """Tokens that each document counts for: an empty one takes a row too, so it counts as one token."""
    sizes: Ids = np.maximum(lengths, 1).astype(np.int64)
    return sizes


class Documents:
    """Sizes of consecutive documents, longest first if they will be padded, with what cutting asks of them."""

    def __init__(self, sizes: Ids, padded: bool) -> None:
        self.count = len(sizes)
        self.padded = padded
        self.ends: Ids = np.cumsum(sizes)
        self.centres_doubled: Ids = 2 * self.ends - sizes
        # Lists: single items are read one by one, which numpy does slowly.
        self._sizes: list[int] = sizes.tolist() if padded else []
        self._ends: list[int] = [] if padded else self.ends.tolist()

    def reach(self, first: int, last: int, budget: int) -> int:
        """The end of the longest piece from `first` on within the budget; at least one document."""
        if self.padded:
            end = first + budget // self._sizes[first]
        else:
            end = bisect_right(self._ends, (self._ends[first - 1] if first else 0) + budget, first, last)
        return min(max(end, first + 1), last)

    def cut(self, first: int, last: int, budget: int, most: int | None = None) -> list[int]:
        """Bounds of pieces within the budget, each as long as it can be; gives up after more than `most` pieces."""
        bounds = [first]
        while bounds[-1] < last and (most is None or len(bounds) <= most + 1):
            bounds.append(self.reach(bounds[-1], last, budget))
        return bounds

    def cut_evenly(self, first: int, last: int, budget: int) -> list[int]:
        """As few pieces as `cut` makes, of about equal cost: without this the last piece is what was left over."""
        bounds = self.cut(first, last, budget)
        pieces = len(bounds) - 1
        if not 1 < pieces <= MOST_EVENED:
            return bounds
        low, high = 0, budget  # `low` is too small a budget for so few pieces, `high` is enough
        while high - low > 1:
            middle = (low + high) // 2
            tried = self.cut(first, last, middle, most=pieces)
            if len(tried) - 1 <= pieces:
                high, bounds = middle, tried
            else:
                low = middle
        return bounds

    def split(self, first: int, last: int, parts: int, budget: int) -> list[int]:
        """Bounds of at least `parts` pieces of about equal cost (fewer documents: one each), each within the budget.

        A document longer than the budget stands alone.
        """
        count = last - first
        parts = min(parts, count)
        before = int(self.ends[first - 1]) if first else 0
        total = int(self.ends[last - 1]) - before
        targets = 2 * before + 2 * total * np.arange(1, parts, dtype=np.int64) // parts
        inner = np.searchsorted(self.centres_doubled[first:last], targets)
        step = np.arange(1, parts, dtype=np.int64)
        inner = np.maximum.accumulate(np.maximum(inner - step, 0)) + step  # no piece empty ...
        inner = np.minimum(inner, count - parts + step)  # ... also at the end
        bounds = [first]
        for end in [*(first + inner).tolist(), last]:
            if self.reach(bounds[-1], end, budget) == end:
                bounds.append(end)
            else:
                bounds += self.cut_evenly(bounds[-1], end, budget)[1:]
        return bounds


def halve_to(bounds: Sequence[int], pieces: int) -> list[int]:
    """Bounds of `pieces` pieces, made by halving those with most documents; there must be documents enough."""
    heap = [(start - end, start) for start, end in zip(bounds, bounds[1:], strict=False)]
    heapq.heapify(heap)
    while len(heap) < pieces:
        negative_rows, start = heapq.heappop(heap)
        rows = -negative_rows
        heapq.heappush(heap, (-(rows // 2), start))
        heapq.heappush(heap, (-(rows - rows // 2), start + rows // 2))
    return sorted(start for _, start in heap) + [bounds[-1]]


def chunk_rows(per_step: int, chunks: int, steps: int) -> Ids:
    """Rows of `steps * chunks` chunks, so that each step can be made of whole ones and hold exactly `per_step` rows.

    Chunks differ by one row at most; the larger ones are `per_step % chunks` in every `chunks` and spread evenly.
    """
    small, larger = divmod(per_step, chunks)
    edges = np.arange(steps * chunks + 1, dtype=np.int64) * larger // chunks
    rows: Ids = small + np.diff(edges)
    return rows
