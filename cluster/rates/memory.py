"""Bandwidth of main memory, by one thread and by all that may run, near each NUMA node.

Counted as STREAM does (cs.virginia.edu/stream/ref.html, "Counting bytes and flops"): what the program reads and writes.
Most CPUs read a line before they write it, so that the modules move more. Loops by torch, not the C library's memcpy:
that one goes around the caches from some size on, so that one thread with a large part looked faster than two.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy
import torch

from cluster.rates import usable
from cluster.rates.trials import Work, rate, repeated
from cluster.topology.cpu import Cpu
from cluster.topology.limits import MEMORY, Limit
from cluster.topology.node import Node
from cluster.topology.rate import Rate

Array = numpy.ndarray[tuple[int], numpy.dtype[numpy.float64]]
MEBIBYTE = 1 << 20

CACHES = 4  # STREAM's rule: an array is at least four times as large as the last cache
LEAST_BYTES = 32 * MEBIBYTE
MOST_BYTES = 1024 * MEBIBYTE  # virtual machines claim caches of a host that they share: 4 of them would fill the memory
USUAL_BYTES = 256 * MEBIBYTE  # where caches are not known
SHARE_OF_MEMORY = 4  # all three arrays take no more than a fourth of what is free
TOUCHED_BYTES_PER_SECOND = 2e9  # new pages come at about this rate on a slow machine: it bounds the time that they take
TRIAL_SECONDS = 0.05  # shorter ones would measure how threads start


def bandwidth(node: Node, cpus: list[int], where: str, seconds: float) -> Iterator[Rate]:
    """Copy (2 arrays count) and triad, a = b + s x c (3 arrays), on the memory near some CPUs."""
    threads = usable.threads(cpus, node.cpu)
    wanted, size = array_bytes(node, cpus, seconds)
    limit = MEMORY
    if size < wanted:
        limit = Limit(
            None,
            f"{MEMORY.reason}; arrays have {size // MEBIBYTE} MiB instead of {CACHES} x the last cache "
            f"({wanted // MEBIBYTE} MiB), which is too much for the memory or the time: part of it may be the cache",
        )
    length = size // 8
    a, b, c = (numpy.empty(length) for _ in range(3))
    slices = _slices(length, threads)
    with _one_thread_each():
        # The thread that first writes a page decides which memory it lies in.
        together([_filling(a[part], b[part], c[part]) for part in slices], cpus)
        for count in sorted({1, threads}):
            parts = _slices(length, count)
            for what, arrays, works in (
                ("memory_copy", 2, [_copying(a[part], b[part]) for part in parts]),
                ("memory_triad", 3, [_triad(a[part], b[part], c[part]) for part in parts]),
            ):
                taken = _trials(works, cpus, seconds / 6)
                how = f"{count} thread{'s' if count > 1 else ''}, {arrays} arrays counted"
                yield rate(what, where, how, amount=arrays * size, unit="bytes/s", seconds=taken, limit=limit)


def array_bytes(node: Node, cpus: list[int], seconds: float) -> tuple[int, int]:
    """Size of one array as it should be, and as memory and time allow."""
    wanted = max(LEAST_BYTES, CACHES * _last_cache_bytes(node.cpu, len(cpus))) or USUAL_BYTES
    room = usable.memory_bytes(node.memory) // SHARE_OF_MEMORY // 3
    time_for = int(seconds / 3 * TOUCHED_BYTES_PER_SECOND / 3)
    size = max(MEBIBYTE, min(wanted, room, MOST_BYTES, max(time_for, LEAST_BYTES)))
    return wanted, size // MEBIBYTE * MEBIBYTE


def _last_cache_bytes(cpu: Cpu, cpus: int) -> int:
    """Of the largest level, as much as so many CPUs have."""
    known = cpu.caches.or_else(())
    if not known:
        return USUAL_BYTES // CACHES
    last = max(known, key=lambda cache: cache.level)
    return last.size_bytes * max(1, cpus // max(1, last.cpus))


def _slices(length: int, parts: int) -> list[slice]:
    edges = [length * part // parts for part in range(parts + 1)]
    return [slice(first, last) for first, last in zip(edges, edges[1:], strict=False)]


def _filling(*arrays: Array) -> Work:
    def fill() -> None:
        for array in arrays:
            array.fill(1.0)

    return fill


def _copying(a: Array, b: Array) -> Work:
    to, source = torch.from_numpy(a), torch.from_numpy(b)
    return lambda: to.copy_(source)


def _triad(a: Array, b: Array, c: Array) -> Work:
    out, first, second = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(c)
    return lambda: torch.add(first, second, alpha=3.0, out=out)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Inside, what torch does in one of our threads stays in it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _trials(works: Sequence[Work], cpus: list[int], seconds: float) -> list[float]:
    """Seconds of one round of works, each trial long enough that its start does not count."""
    rounds = max(1, round(TRIAL_SECONDS / max(together(works, cpus), 1e-6)))
    several = [_again(work, rounds) for work in works]
    return [taken / rounds for taken in repeated(lambda: together(several, cpus), seconds)]


def _again(work: Work, rounds: int) -> Work:
    def again() -> None:
        for _ in range(rounds):
            work()

    return again


def together(works: Sequence[Work], cpus: list[int]) -> float:
    """Run each work in a thread on a CPU of its own, all from one moment on: seconds until the last has ended."""
    begun, ended = [0.0] * len(works), [0.0] * len(works)
    failed: list[BaseException] = []
    ready = threading.Barrier(len(works))

    def run(index: int) -> None:
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, {cpus[index % len(cpus)]})  # of this thread alone
            ready.wait()
            begun[index] = time.perf_counter()
            works[index]()
            ended[index] = time.perf_counter()
        except BaseException as error:
            failed.append(error)
            ready.abort()

    _join([threading.Thread(target=run, args=(index,), daemon=True) for index in range(len(works))], ready.abort)
    if failed:
        raise failed[0]
    return max(ended) - min(begun)


def _join(threads: list[threading.Thread], abort: Callable[[], None]) -> None:
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:  # Ctrl-C: nobody waits for a thread that will not come
        abort()
        raise
