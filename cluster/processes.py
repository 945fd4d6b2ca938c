"""Our own programs as processes beside this one: started, followed by what they write, and what their end means.

For who starts one and waits for it: `muster` (launch/local.py) and `cluster.api`. Each program leads a session of its
own, so that Ctrl-C on a terminal reaches the one who waits, and not everybody who happens to share the terminal.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cluster.errors import EXIT_CHECKPOINTED, EXIT_INFRASTRUCTURE

SECONDS_BETWEEN_LOOKS = 0.1
EXIT_SIGNAL = 128  # a shell's habit: 128 + the number of the signal
SUPERVISOR = "the run's supervisor"

PARENT = "MUSTER_PARENT"
"""Process id of who started this process: who waits for it, or the agent for its ranks."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""What asks a run to save a checkpoint and end."""

Record = dict[str, Any]


def command(module: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def environment() -> Mapping[str, str]:
    """For the programs we start: they find `cluster` where we are ourselves, whatever lies in the working folder."""
    root = Path(__file__).parents[1]
    # What we start ends with us (die_with_parent), even if we are gone before it can ask the kernel for it.
    changes = {PARENT: str(os.getpid())}
    changes["PYTHONSAFEPATH"] = "1"  # a folder named `cluster` in the working folder must not come first
    if root.name not in ("site-packages", "dist-packages"):  # installed: found anyway, and must not hide the library
        changes["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **changes}


def start(
    module: str,
    arguments: Sequence[str],
    *,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> "subprocess.Popen[bytes]":
    """Start one of our programs in a session of its own. It ends with us by its own care (PR_SET_PDEATHSIG)."""
    return subprocess.Popen(
        command(module, arguments),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=environment(),
        start_new_session=True,
    )


def die_with_parent(with_signal: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies, so that nobody is left training unwatched.

    Linux only (prctl(2)); elsewhere nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)
    parent = os.environ.get(PARENT)
    if parent is not None and int(parent) != os.getppid():  # it died while this process was importing torch
        os.kill(os.getpid(), with_signal)


def attend(process: "subprocess.Popen[bytes]", look: Callable[[], None]) -> None:
    """Wait for a process to end; `look` is called a few times a second, and once when nothing more will come."""
    while process.poll() is None:
        look()
        time.sleep(SECONDS_BETWEEN_LOOKS)
    look()


def kill(process: "subprocess.Popen[bytes]") -> None:
    """At once, with what it started in its session, unless it has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.killpg(process.pid, signal.SIGKILL)


def ending(returncode: int, who: str, asked: Sequence[int]) -> tuple[int, str]:
    """The exit code that a program's end means, and words for it, "" if it could speak for itself.

    Our own codes pass; a signal is named and is not the run's fault. `asked`: the signals that it was sent.
    """
    if returncode >= 0:
        return returncode, ""
    name = signal.Signals(-returncode).name
    if asked:  # it was told to stop and had no handler yet, or was killed by a second Ctrl-C
        code = EXIT_CHECKPOINTED if -returncode in asked and who == SUPERVISOR else EXIT_SIGNAL - returncode
        return code, f"stopped by {name}"
    likely = "; the kernel does so when memory runs out (see dmesg)" if name == "SIGKILL" else ""
    return EXIT_INFRASTRUCTURE, f"{who} was killed by {name}{likely}"


class Words:
    """What a program says on `file`, line by line as it comes. Use as a context.

    A file, because a pipe that nobody reads would block it, and a pipe whose reader has died would break it in the
    middle of saving its last checkpoint.
    """

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self._offset = 0

    def new(self) -> list[str]:
        """Whole lines since the last call."""
        whole, newline, _ = self._unread().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return whole.decode("utf-8", "replace").splitlines() if newline else []

    def rest(self) -> str:
        """What came last, without an end of line."""
        return self._unread().decode("utf-8", "replace")

    def _unread(self) -> bytes:
        descriptor = self.file.fileno()  # the program writes at the file's own position: read beside it
        return os.pread(descriptor, os.fstat(descriptor).st_size - self._offset, self._offset)

    def __enter__(self) -> "Words":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.file.close()


class Follower:
    """Reads what is new in a file of JSON lines that another process appends to, or cuts back and then appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: tuple[int, int] | None = None
        self._offset = 0
        self._lines: list[bytes] = []

    def new(self) -> list[Record]:
        """The records of the whole lines since the last call, each once.

        A resumed run cuts its metrics back to the checkpoint: the file then is another one, or a shorter one, that
        begins as the first did. What stands behind this common beginning is new.
        """
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                same = (status.st_dev, status.st_ino) == self._file and status.st_size >= self._offset
                self._file = (status.st_dev, status.st_ino)
                self._offset = self._offset if same else 0
                file.seek(self._offset)
                whole, end, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(whole) + len(end)
        lines = whole.split(b"\n") if end else []
        if same:
            self._lines += lines
        else:
            before, self._lines = self._lines, lines
            lines = lines[_in_common(before, lines) :]
        return [record for line in lines if (record := _record(line)) is not None]


def _in_common(before: Sequence[bytes], now: Sequence[bytes]) -> int:
    """How many lines both begin with."""
    pairs = zip(before, now, strict=False)
    return next((index for index, (old, new) in enumerate(pairs) if old != new), min(len(before), len(now)))


def _record(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None  # torn by a crash; the resumed run drops it too
    return record if isinstance(record, dict) else None
