"""A rank's pulse: one small file, mapped into memory by the rank and by the agent of its node.

    0   magic, version, rank, when the page was made
    64  who      process id, start time of the process       written once, by the rank
    192 where    phase, step, since when, seconds allowed    written by the rank's main thread
    320 beat     time of the last beat, request answered     written by the rank's own thread for it
    448 request  number of the last request                  written by the agent

All times are seconds of CLOCK_MONOTONIC, which is one clock for all processes of a node, and stands while it sleeps.
"""

import contextlib
import fcntl
import mmap
import os
import shutil
import signal
import struct
import tempfile
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cluster.errors import InfrastructureError
from cluster.pulse.deadline import FLOOR_SECONDS
from cluster.pulse.phase import Phase

PULSE = "MUSTER_PULSE"
"""Environment variable: the folder with the pages of this node's ranks."""
BEAT_SECONDS = 0.5

PREFIX = "muster-pulse-"
SWEPT_AFTER_SECONDS = 3600.0
"""An agent that has just made its folder does not hold it yet."""
MAGIC = b"muster p"
VERSION = 1
PAGE_BYTES = 576
COPY_BYTES = 64
_HEAD = struct.Struct("<8sIId")
_TRIES = 100


class Record:
    """A few numbers that one thread writes while others read, without a lock, which a stopped rank would keep.

    There are two copies, written in turn, each with its number and a checksum. A copy that is read while it is written,
    or whose bytes another core does not see in the order of writing, fails its checksum; the one before it is then
    whole. So a writer may be stopped or killed anywhere.
    """

    def __init__(self, page: mmap.mmap, offset: int, fields: str) -> None:
        self._page = page
        self._body = struct.Struct("<Q" + fields)
        self._places = [slice(at, at + self._body.size + 4) for at in (offset, offset + COPY_BYTES)]
        newest = self._newest()
        self._number = newest[0] if newest else 0

    def write(self, *numbers: float) -> None:
        self._number += 1
        body = self._body.pack(self._number, *numbers)
        self._page[self._places[self._number & 1]] = body + zlib.crc32(body).to_bytes(4, "little")

    def read(self) -> tuple[Any, ...] | None:
        """The newest numbers, None if there are none yet."""
        newest = self._newest()
        return newest[1:] if newest else None

    def _newest(self) -> tuple[Any, ...] | None:
        # Both copies fail if the writer wrote twice meanwhile. The zeros of a new page fail as well.
        for _ in range(_TRIES):
            copies = [self._page[place] for place in self._places]
            whole = [copy[:-4] for copy in copies if zlib.crc32(copy[:-4]) == int.from_bytes(copy[-4:], "little")]
            if whole:
                return max(self._body.unpack(body) for body in whole)
            if not any(any(copy) for copy in copies):
                return None
        return None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a page said at one moment."""

    rank: int
    pid: int
    """0: the rank has not begun."""
    started_ticks: int
    """When the process started, as its /proc says it: with the process id, nobody else."""
    phase: Phase
    step: int
    since: float
    allowed_seconds: float
    beat: float
    answered: int


class Page:
    """One rank's page. Raises InfrastructureError if there is none at `path`, or another version's."""

    def __init__(self, path: Path) -> None:
        try:
            with open(path, "r+b") as file:
                self._map = mmap.mmap(file.fileno(), PAGE_BYTES)
        except (OSError, ValueError) as error:
            raise InfrastructureError(
                f"The pulse page {path} cannot be used ({error}). It is made by the agent and lasts as long: start the "
                f"rank by `muster train`, or without {PULSE} in its environment."
            ) from error
        magic, version, self.rank, _ = _HEAD.unpack(self._map[: _HEAD.size])
        if (magic, version) != (MAGIC, VERSION):
            raise InfrastructureError(
                f"{path} is no pulse page of version {VERSION}: agent and rank must be of the same muster."
            )
        self._who = Record(self._map, 64, "QQ")
        self._where = Record(self._map, 192, "qqdd")
        self._beat = Record(self._map, 320, "dq")
        self._request = Record(self._map, 448, "q")
        self._last: dict[Record, tuple[Any, ...]] = {}

    def begin(self, pid: int, started_ticks: int) -> None:
        self._who.write(pid, started_ticks)

    def turn(self, phase: Phase, step: int, since: float, allowed_seconds: float) -> None:
        self._where.write(phase, step, since, allowed_seconds)

    def beat(self, now: float, answered: int) -> None:
        self._beat.write(now, answered)

    def request(self) -> int:
        """Ask the rank for its collectives. Returns the number that it will have answered then."""
        number = self.requested() + 1
        self._request.write(number)
        return number

    def requested(self) -> int:
        return int(self._read(self._request, (0,))[0])

    def read(self) -> Snapshot:
        pid, ticks = self._read(self._who, (0, 0))
        phase, step, since, allowed = self._read(self._where, (Phase.START, 0, 0.0, 0.0))
        beat, answered = self._read(self._beat, (0.0, 0))
        return Snapshot(
            rank=self.rank,
            pid=pid,
            started_ticks=ticks,
            phase=Phase(phase),
            step=step,
            since=since,
            allowed_seconds=allowed,
            beat=beat,
            answered=answered,
        )

    def _read(self, record: Record, otherwise: tuple[Any, ...]) -> tuple[Any, ...]:
        numbers = record.read() or self._last.get(record, otherwise)
        self._last[record] = numbers
        return numbers


def page_path(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.pulse"


def stack_path(folder: Path, rank: int) -> Path:
    """Where a rank's stacks go when it gets SIGUSR2."""
    return folder / f"rank-{rank}.stack"


def collectives_path(folder: Path, rank: int) -> Path:
    """Where a rank writes its collectives when it is asked for them."""
    return folder / f"rank-{rank}.collectives"


class Pages:
    """The pages of a node's ranks, in a new folder that only this user may enter. Use as a context: it is removed at
    the end.

    Raises InfrastructureError if the folder for temporary files takes no more.
    """

    def __init__(self, ranks: Iterable[int]) -> None:
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            self._held = os.open(self.folder, os.O_RDONLY)
            fcntl.flock(self._held, fcntl.LOCK_SH)  # systemd-tmpfiles leaves a locked folder alone, however old
            self.pages = {rank: _made(page_path(self.folder, rank), rank) for rank in ranks}
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise InfrastructureError(
                f"{self.folder} cannot be written ({error.strerror}): make room, or name another folder with TMPDIR."
            ) from error

    def hand_down(self) -> Mapping[str, str]:
        """What the environment of the ranks must hold. From now on this process and those that it starts ignore
        SIGUSR2, which a rank would otherwise die of before it can do better. For the main thread."""
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        # torch's flight recorder keeps so many collectives; by itself 2,000, whose telling holds a rank up for longer.
        return {PULSE: str(self.folder), "TORCH_FR_BUFFER_SIZE": os.environ.get("TORCH_FR_BUFFER_SIZE", "200")}

    def close(self) -> None:
        os.close(self._held)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Pages":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _sweep() -> None:
    """Remove what agents that were killed have left: nobody holds these folders any more."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            held = os.open(left, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(held).st_mtime > SWEPT_AFTER_SECONDS:
                    shutil.rmtree(left)
            finally:
                os.close(held)


def _made(path: Path, rank: int) -> Page:
    now = time.monotonic()
    with open(path, "xb") as file:  # zeros, not a hole: a store into a hole of a full disk kills (SIGBUS)
        file.write(_HEAD.pack(MAGIC, VERSION, rank, now).ljust(PAGE_BYTES, b"\0"))
    page = Page(path)
    page.turn(Phase.START, 0, now, FLOOR_SECONDS[Phase.START])
    return page
