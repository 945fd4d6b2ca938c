"""muster's own programs on this machine: waiting for them, and passing on the signals meant for them.

Ctrl-C on the terminal reaches the launcher alone (cluster/processes.py): the child gets one request to stop, not one
for each process that happens to share the terminal.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from cluster.errors import EXIT_DONE, InfrastructureError
from cluster.processes import STOP_SIGNALS, SUPERVISOR, Words, attend, command, ending, environment, kill, start
from launch.watch import Watch

Say = Callable[[str], None]


class ChildFailed(Exception):
    """A program of ours ended with an error that it has told already; nothing is left but to pass its code on."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code


def say(line: str) -> None:
    """A line for people."""
    print(f"muster: {line}", file=sys.stderr, flush=True)


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Turn this process into another of our programs: it then owns the terminal, the pipes and the signals."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command(module, arguments), dict(environment()))


def answer(module: str, arguments: Sequence[str]) -> Any:
    """Run one of our programs to its end; returns the JSON of its last line on standard output (its words go to ours).

    Raises ChildFailed if it failed, InfrastructureError if it was killed or answered no JSON.
    """
    with tempfile.TemporaryFile() as output:  # a file, because a pipe nobody reads would block a long answer
        process = start(module, arguments, stdout=output)
        with forwarding_signals(process, say, "stopping (Ctrl-C again to kill)") as asked:
            process.wait()
        code = _ended(process, module, asked)
        if code != EXIT_DONE:
            raise ChildFailed(code)
        output.seek(0)
        text = output.read().decode("utf-8", "replace").strip()
    for candidate in (text, text.rpartition("\n")[2]):  # one document over several lines, or the last line
        with contextlib.suppress(ValueError):
            return json.loads(candidate)
    raise InfrastructureError(
        f"{module} ended well but its answer is not JSON: {text[-200:]!r}. This is a bug of muster."
    )


def supervise(run: Path, overrides: Sequence[str], watch: Watch) -> int:
    """See a run through, with its progress shown; returns the exit code of its last verdict."""
    request = "stopping after this step, saving a checkpoint (Ctrl-C again to kill)"
    with Words() as words:

        def look() -> None:
            for line in words.new():
                watch.say(line)
            watch.poll()

        stderr = words.file if watch.is_live else None
        process = start("cluster.supervise", [str(run), *overrides], stdout=subprocess.DEVNULL, stderr=stderr)
        with forwarding_signals(process, watch.say, f"muster: {request}") as asked:
            attend(process, look)
            if rest := words.rest():
                watch.say(rest)
    code = _ended(process, SUPERVISOR, asked)
    if process.returncode != code:  # it could not speak for itself
        watch.say(f"muster: go on from the last checkpoint with: muster resume {run}")
    return code


@contextlib.contextmanager
def forwarding_signals(process: "subprocess.Popen[bytes]", tell: Say, first_words: str) -> Iterator[list[int]]:
    """Pass the first request to stop on to a child; a second Ctrl-C kills it and all it started.

    Yields the list of signals received, which grows as they come.
    """
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            tell(first_words)
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                process.send_signal(number)
        elif number == signal.SIGINT:
            kill(process)

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(process: "subprocess.Popen[bytes]", who: str, asked: Sequence[int]) -> int:
    """The exit code that a child's end means; what it could not say itself is said here."""
    code, words = ending(process.returncode, who, asked)
    if words:
        say(words)
    return code
