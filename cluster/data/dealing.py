"""A step's micro-batches shared out: to the ranks, and within a rank to its forwards. Numbers in, numbers out."""

import heapq
from collections.abc import Sequence

import numpy as np

from cluster.data.cutting import Ids, Lengths, sizes_of


def costs(micro_batches: Sequence[Ids], lengths: Lengths, padded: bool) -> list[int]:
    """Tokens that each micro-batch costs: rows x longest if padded, else their sum; an empty document counts as one."""
    if not micro_batches:
        return []
    rows = np.array([len(ids) for ids in micro_batches], dtype=np.int64)
    sizes = sizes_of(lengths[np.concatenate(micro_batches)])
    starts = np.cumsum(rows) - rows
    found: Ids = np.maximum.reduceat(sizes, starts) * rows if padded else np.add.reduceat(sizes, starts)
    return found.tolist()  # type: ignore[no-any-return]


def deal(costs: Sequence[int], ranks: int) -> list[list[int]]:
    """Micro-batches of one step for each rank: the dearest first, to the rank with the least so far.

    Equals go by index and by rank number. With fewer micro-batches than ranks, some get none.
    """
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [(0, 0, rank) for rank in range(ranks)]
    for index in sorted(range(len(costs)), key=lambda i: -costs[i]):
        load, count, rank = loads[0]
        shares[rank].append(index)
        heapq.heapreplace(loads, (load + costs[index], count + 1, rank))
    return shares


def fuse(
    share: Sequence[int], micro_batches: Sequence[Ids], lengths: Lengths, limit_tokens: int, padded: bool
) -> list[list[int]]:
    """One rank's micro-batches of a step, grouped into few forwards that cost at most `limit_tokens` each.

    `share` holds indices into `micro_batches`. One that alone costs more stays alone. Of the groups that have room, a
    micro-batch joins the one nearest to it in length.
    """
    chosen = [micro_batches[index] for index in share]
    alone = costs(chosen, lengths, padded)
    rows = [len(ids) for ids in chosen]
    longest = [cost // count if padded else cost for cost, count in zip(alone, rows, strict=True)]
    groups: list[list[int]] = []
    sums: list[int] = []  # rows of each group if padded, else its tokens
    first: list[int] = []  # what multiplies them: the longest document if padded, else 1
    for i in sorted(range(len(share)), key=lambda i: (-longest[i], share[i])):
        own = rows[i] if padded else alone[i]
        for group in reversed(range(len(groups))):
            if (sums[group] + own) * first[group] <= limit_tokens:
                groups[group].append(share[i])
                sums[group] += own
                break
        else:
            groups.append([share[i]])
            sums.append(own)
            first.append(longest[i] if padded else 1)
    return groups
