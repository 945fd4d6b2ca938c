"""A shuffled order that is computed, not stored: position -> item, in memory that does not grow with the data.

A Feistel network is a bijection whatever its round function is; walking its cycles until the result is small enough
makes it one of any size. Linear congruences are no substitute: their lattice showed in a training run (marin-community,
reports/marin-32b-retro). Six rounds: two still show neighbours, four would do, six are cheap.
"""

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

ROUNDS = 6
# Below this, half of a Feistel block is too narrow to reach all permutations evenly; sorting random words does.
SORTED_SIZE = 1024
# Documents that stay together: some hundred kB of tokens, which a disk reads in the time that it takes to find them.
# CorgiPile (Xu et al., SIGMOD 2022, arXiv 2206.05830): blocks in any order, shuffled again within a buffer, train as
# well as a full shuffle.
RUN = 512
# Items worked on at once: their words and those in between stay in the processor's cache.
CHUNK = 1 << 13

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15  # SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, doi.org/10.1145/2660193.2660195)
_MULTIPLY_1 = 0xBF58476D1CE4E5B9
_MULTIPLY_2 = 0x94D049BB133111EB


def mix(*parts: int) -> int:
    """64 bits that depend on every part and on their order; for seeding anything that must not share its chance."""
    key = len(parts)
    for part in parts:
        key = _mix_one((key + _GOLDEN & _MASK) ^ _mix_one(part & _MASK))
    return key


def mixed(keys: Words, count: int) -> Words:
    """`count` chance words of each key [B, 1], as rows [B, count]: those of SplitMix64 started with it."""
    words: Words = keys + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    _mix(words)
    return words


def permutation(positions: npt.NDArray[np.integer], size: int, *key: int) -> Ids:
    """Which items of 0..size-1 stand at `positions` (all within 0..size-1) in the shuffled order that `key` chooses.

    Every item stands at exactly one position. Costs the same wherever the positions lie (sizes below 1,024: O(size)).
    Raises IndexError for a position outside.
    """
    positions = np.asarray(positions)
    if positions.size and not 0 <= int(positions.min()) <= int(positions.max()) < size:
        raise IndexError(f"positions must be in 0..{size - 1}: {int(positions.min())}..{int(positions.max())}")
    seed = mix(*key)
    if size <= SORTED_SIZE:
        words = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(seed)
        _mix(words)
        shuffled: Ids = np.argsort(words, kind="stable").astype(np.int64)
        return shuffled.take(positions)
    rounds = [mix(seed, number) for number in range(ROUNDS)]
    items = np.array(positions, dtype=np.uint64)
    for first in range(0, items.size, CHUNK):
        _walk(items[first : first + CHUNK], size, rounds)
    return items.view(np.int64)


def run_permutation(positions: npt.NDArray[np.integer], size: int, *key: int) -> Ids:
    """The same, but runs of `RUN` neighbours stay together and in order: what lies beside them is read with them.

    The short run of what is left stands at any place among the others.
    """
    runs, left = divmod(size, RUN)
    start = mix(*key, runs) % (runs + 1) * RUN
    places: Ids = np.array(positions, dtype=np.int64)
    in_left = (places >= start) & (places < start + left)
    others = places - np.where(places >= start + left, left, 0)
    found = others % RUN
    found[in_left] = runs * RUN + places[in_left] - start
    found[~in_left] += permutation(others[~in_left] // RUN, runs, *key) * RUN
    return found


def _walk(items: Words, size: int, rounds: list[int]) -> None:
    """Encrypts in place until every item is below `size`. The block is less than twice as large: under 2 turns each."""
    low_bits = (size - 1).bit_length() // 2
    high_bits = (size - 1).bit_length() - low_bits
    _encrypt(items, high_bits, low_bits, rounds)
    outside = np.flatnonzero(items >= size)
    while outside.size:
        again = items[outside]
        _encrypt(again, high_bits, low_bits, rounds)
        items[outside] = again
        outside = outside[again >= size]


def _encrypt(items: Words, high_bits: int, low_bits: int, rounds: list[int]) -> None:
    low_mask, high_mask = np.uint64((1 << low_bits) - 1), np.uint64((1 << high_bits) - 1)
    low, high = items & low_mask, items >> np.uint64(low_bits)
    for number, key in enumerate(rounds):
        changed, other, mask = (low, high, low_mask) if number % 2 else (high, low, high_mask)
        words = other + np.uint64(key)  # wraps: arithmetic modulo 2**64
        _mix(words)
        words &= mask
        changed ^= words
    np.left_shift(high, np.uint64(low_bits), out=items)
    items |= low


def _mix(words: Words) -> None:
    """The finalizer of SplitMix64, in place."""
    words ^= words >> np.uint64(30)
    words *= np.uint64(_MULTIPLY_1)
    words ^= words >> np.uint64(27)
    words *= np.uint64(_MULTIPLY_2)
    words ^= words >> np.uint64(31)


def _mix_one(word: int) -> int:
    word = ((word ^ word >> 30) * _MULTIPLY_1) & _MASK
    word = ((word ^ word >> 27) * _MULTIPLY_2) & _MASK
    return word ^ word >> 31
