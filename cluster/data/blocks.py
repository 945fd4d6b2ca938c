"""Blocks of prepared files, each checked once, in the background, when it is first read.

The manifest holds a hash of every 4 MiB of every file. To check them where they are read would make every gather wait
(a window of documents reads the whole column of lengths), and to check all of them first would read the data twice. So
a gather only marks what it reads; a thread hashes marked blocks (hashing frees the interpreter); what it finds is
raised at the next gather, or by `settle`, which waits for it. Whoever keeps something that came of the data
(a checkpoint, a score) calls `settle` first.
"""

import hashlib
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from cluster.data.manifest import BLOCK_BYTES, ITEM_BYTES, FileEntry, checked_file
from cluster.data.verify import WAY_OUT, damage_in_block
from cluster.errors import DataError

Ids = npt.NDArray[np.int64]
LOOK_SECONDS = 1.0
"""How often `settle` looks whether the thread is still there."""


class Blocks:
    """Which blocks were read, and whether they hold what was written. Several threads may use one.

    `columns`: the files of each column by its name, as if they were one array. Blocks are numbered over all of them.
    One thread at most, and only while there is something to check; it ends with the process or with this object.

    A file that is cut while it is mapped kills the process that reads behind its new end (SIGBUS, which Python cannot
    catch). The thread reads the file instead of the mapping, so it survives that, and names the file and the block if
    it comes there first.
    """

    def __init__(self, folder: Path, columns: Mapping[str, Sequence[FileEntry]]) -> None:
        self._folder = folder
        self._files = [file for files in columns.values() for file in files]
        self._first_of_file = np.cumsum([0, *(len(file.blocks) for file in self._files)], dtype=np.int64)
        size = int(self._first_of_file[-1])
        self._marked, self._checked = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
        self._columns: dict[str, _Column] = {}
        first = 0
        for name, files in columns.items():
            column = _Column(_edges(files), self._marked[first : first + sum(len(file.blocks) for file in files)])
            self._columns[name] = column
            first += len(column.marked)
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        _ALIVE.add(self)

    def mark(self, column: str, starts: Ids, lengths: npt.NDArray[np.uint32] | Literal[1] = 1) -> None:
        """The items of a column from each of `starts` on, so many as `lengths` says, are about to be read.

        Raises DataError if a block that was read earlier is damaged.
        """
        self.raise_found()
        marks = self._columns[column]
        if marks.complete:
            return
        first = marks.edges.searchsorted(starts, "right") - 1
        last = np.maximum(marks.edges.searchsorted(starts + lengths, "left") - 1, first)
        long = last - first > 1
        if not (marks.marked[first].all() and marks.marked[last].all()) or long.any():
            between = (np.arange(one, other) for one, other in zip(first[long], last[long], strict=True))
            self._add(marks, np.concatenate([first, last, *between]))

    def mark_whole(self, column: str) -> None:
        """All of a column is about to be read. Raises DataError if a block that was read earlier is damaged."""
        self.raise_found()
        marks = self._columns[column]
        if not marks.complete:
            self._add(marks, np.arange(len(marks.marked)))

    def raise_found(self) -> None:
        """Raises DataError, naming file and block, if a damaged one was found; what ended the thread, if it failed."""
        if self._failure is not None:
            raise self._failure

    def settle(self) -> None:
        """Waits until all that was marked is checked: about half a second for each GB still to do. Raises what
        `raise_found` raises."""
        with self._changed:
            self._start()
            while self._failure is None and self._thread is not None:
                self._changed.wait(LOOK_SECONDS)
                if self._thread is not None and not self._thread.is_alive():
                    self._failure = self._failure or RuntimeError("the thread that checks the data ended unasked")
        self.raise_found()

    def _add(self, column: "_Column", numbers: Ids) -> None:
        with self._changed:
            column.marked[numbers] = True
            column.complete = bool(column.marked.all())
            self._start()

    def _start(self) -> None:
        """A thread, if there is work and none does it. The lock is held."""
        if self._thread is None and self._waiting().size:
            thread = threading.Thread(target=_work, args=(weakref.ref(self),), name="block checks", daemon=True)
            thread.start()
            self._thread = thread

    def _waiting(self) -> Ids:
        return np.flatnonzero(self._marked & ~self._checked)

    def _taken(self) -> Ids:
        """What the thread does next; nothing: it ends, and the next mark starts another."""
        with self._changed:
            waiting = self._waiting()
            if not waiting.size:
                self._thread = None
                self._changed.notify_all()
            return waiting

    def _place(self, number: int) -> tuple[FileEntry, int]:
        """The file that holds a block, and the block's number in it."""
        file = int(self._first_of_file.searchsorted(number, "right")) - 1
        return self._files[file], number - int(self._first_of_file[file])

    def _check(self, number: int, opened: "_Opened") -> None:
        entry, block = self._place(number)
        try:
            damage = opened.damage(self._folder, entry, block)
        except DataError as error:
            self._fail(error)
        else:
            if damage:
                self._fail(DataError(f"{damage} {WAY_OUT} `muster verify {self._folder}` names all that is damaged."))
        self._checked[number] = True

    def _fail(self, error: BaseException) -> None:
        """Keeps the first that is found, and wakes who waits for it."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _forked(self) -> None:
        """In a child process the thread is not there, and nobody will give its lock back."""
        self._changed, self._thread = threading.Condition(), None


class _Column:
    """Some files as one array: the first item of each block, which blocks are marked, and whether all are."""

    def __init__(self, edges: Ids, marked: npt.NDArray[np.bool_]) -> None:
        self.edges, self.marked, self.complete = edges, marked, not len(marked)


def _edges(files: Sequence[FileEntry]) -> Ids:
    before, edges = 0, [np.empty(0, dtype=np.int64)]
    for file in files:
        edges.append(before + np.arange(0, file.count, BLOCK_BYTES // ITEM_BYTES[file.dtype], dtype=np.int64))
        before += file.count
    return np.concatenate(edges)


class _Opened:
    """The file that the thread reads: kept open from block to block, and a buffer that is used again."""

    def __init__(self) -> None:
        self._name, self._descriptor = "", -1
        self._buffer = memoryview(bytearray(BLOCK_BYTES))

    def damage(self, folder: Path, entry: FileEntry, block: int) -> str:
        """What is wrong with a block, nothing if it holds. Raises DataError if the file is not there as it was."""
        if entry.name != self._name:
            self.close()
            path = checked_file(folder, entry)
            try:
                # Without O_NONBLOCK a pipe put in the file's place after the check would hold the thread.
                self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                return damage_in_block(folder, entry, block, f"it cannot be read ({error.strerror})")
            self._name = entry.name
        wanted = min(BLOCK_BYTES, entry.bytes - block * BLOCK_BYTES)
        try:
            read = self._fill(block * BLOCK_BYTES, wanted)
        except OSError as error:
            return damage_in_block(folder, entry, block, f"it cannot be read ({error.strerror})")
        if read < wanted:
            return damage_in_block(folder, entry, block, f"it ends {wanted - read:,} bytes early, the file was cut")
        held = hashlib.sha256(self._buffer[:wanted]).hexdigest()
        return "" if held == entry.blocks[block] else damage_in_block(folder, entry, block)

    def _fill(self, place: int, wanted: int) -> int:
        read = 0
        while read < wanted and (more := os.preadv(self._descriptor, [self._buffer[read:wanted]], place + read)):
            read += more
        return read

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._name, self._descriptor = "", -1


def _work(of: "weakref.ref[Blocks]") -> None:
    """The thread: checks what is marked until nothing is left, or nobody asks any more."""
    opened = _Opened()
    try:
        while (blocks := of()) is not None and (taken := blocks._taken()).size:
            del blocks  # a reader that nobody holds any more ends its checks
            for number in taken.tolist():
                if (blocks := of()) is None:
                    return
                blocks._check(number, opened)
                del blocks
    except BaseException as error:  # noqa: B036 - handed to the readers, which raise it
        if (blocks := of()) is not None:
            blocks._fail(error)
    finally:
        opened.close()


_ALIVE: "weakref.WeakSet[Blocks]" = weakref.WeakSet()


def _after_fork() -> None:
    for blocks in list(_ALIVE):
        blocks._forked()


os.register_at_fork(after_in_child=_after_fork)
