"""Work done ahead by threads, its results in the order of the work."""

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")


class Ahead(Generic[Work, Result]):
    """What `make` makes of each piece of `work`, in order, made by `threads` threads before it is asked for.

    One more thread takes the pieces, so `work` need not know of threads; `make` must bear being called by several at
    once. At most `ahead` results are made or in the making before they are taken. What `work` or `make`
    raises is raised in its result's place, after all results before it.

    Use as a context manager: entering starts the threads, leaving ends them, at the latest when what each makes at that
    moment is made. Results can be taken once, by one thread.
    """

    def __init__(self, work: Iterator[Work], make: Callable[[Work], Result], threads: int, ahead: int) -> None:
        self._work, self._make = work, make
        self._pieces: queue.SimpleQueue[tuple[int, Work] | None] = queue.SimpleQueue()
        self._given = 0  # results, to the caller
        self._room = threading.Semaphore(ahead)
        self._changed = threading.Condition()
        self._results: dict[int, Result] = {}
        self._ends: dict[int, BaseException | None] = {}
        """Where the results end, and why: None if there is no more work."""
        self._stopping = False
        self._taker = threading.Thread(target=self._take, name="ahead-taker", daemon=True)
        self._makers = [threading.Thread(target=self._run, name=f"ahead-{i}", daemon=True) for i in range(threads)]

    def __enter__(self) -> "Ahead[Work, Result]":
        for thread in (self._taker, *self._makers):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._room.release()
        for thread in (self._taker, *self._makers):
            thread.join()

    def __iter__(self) -> Iterator[Result]:
        if self._taker.ident is None:
            raise RuntimeError("the threads run inside `with` only: enter the context first")
        while True:
            with self._changed:
                self._changed.wait_for(self._decided)
                if self._given not in self._results:
                    break
                result = self._results.pop(self._given)
                self._given += 1
            self._room.release()
            yield result
        error = self._ends.get(self._given)
        if error is not None:
            raise error

    def _decided(self) -> bool:
        return self._given in self._results or self._given in self._ends or self._stopping

    def _take(self) -> None:
        """The one thread that takes work, and numbers it. Taking alone keeps the memory it needs from growing with the
        number of threads: what a thread allocates comes from a heap of its own, which stays as large as it ever was."""
        for index in itertools.count():
            self._room.acquire()
            if self._stopping:
                break
            try:
                piece = next(self._work)
            except StopIteration:
                self._end(index, None)
                break
            except BaseException as error:  # noqa: B036 - handed to the thread that takes results, which raises it
                self._end(index, error)
                break
            self._pieces.put((index, piece))
        for _ in self._makers:
            self._pieces.put(None)

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None and not self._stopping:
            index, work = piece
            try:
                result = self._make(work)
            except BaseException as error:  # noqa: B036 - as above
                self._end(index, error)
                continue
            with self._changed:
                self._results[index] = result
                self._changed.notify_all()

    def _end(self, index: int, why: BaseException | None) -> None:
        with self._changed:
            self._ends[index] = why
            self._changed.notify_all()
