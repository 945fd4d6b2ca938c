"""Starting muster's own programs on this machine, waiting for them, and passing on the signals meant for them.

Each child leads a session of its own, so that Ctrl-C on the terminal reaches the launcher alone: the child gets one
request to stop, not one for each process that happens to share the terminal.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

from cluster.errors import EXIT_CHECKPOINTED, EXIT_DONE, EXIT_INFRASTRUCTURE, InfrastructureError
from launch.watch import Watch

SECONDS_BETWEEN_LOOKS = 0.1
EXIT_SIGNAL = 128  # a shell's habit: 128 + the number of the signal
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

Say = Callable[[str], None]


class ChildFailed(Exception):
    """A program of ours ended with an error that it has told already; nothing is left but to pass its code on."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code


def say(line: str) -> None:
    """A line for people."""
    print(f"muster: {line}", file=sys.stderr, flush=True)


def command(module: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def environment() -> Mapping[str, str]:
    """For the programs we start: they find `cluster` where we found `launch`, whatever lies in the working folder."""
    root = Path(__file__).parents[1]
    # What we start ends with us (cluster/training/faults.py), even if we are gone before it can ask the kernel for it.
    changes = {"MUSTER_PARENT": str(os.getpid())}
    changes["PYTHONSAFEPATH"] = "1"  # a folder named `cluster` in the working folder must not come first
    if root.name not in ("site-packages", "dist-packages"):  # installed: found anyway, and must not hide the library
        changes["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **changes}


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
        code = ending(process.returncode, module, asked)
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


def run_agent(run: Path, overrides: Sequence[str], watch: Watch) -> int:
    """One attempt at a run, with its progress shown; returns the exit code of its verdict."""
    piped = subprocess.PIPE if watch.is_live else None
    process = start("cluster.agent", ["train", str(run), *overrides], stdout=subprocess.DEVNULL, stderr=piped)
    lines = _Lines(process.stderr) if process.stderr else None
    request = "stopping after this step, saving a checkpoint (Ctrl-C again to kill)"
    with (
        process.stderr or contextlib.nullcontext(),
        forwarding_signals(process, watch.say, f"muster: {request}") as asked,
    ):
        while process.poll() is None:
            _look(watch, lines)
            time.sleep(SECONDS_BETWEEN_LOOKS)
        _look(watch, lines)
        if lines and (rest := lines.rest()):
            watch.say(rest)
    code = ending(process.returncode, "the agent", asked)
    if process.returncode != code:  # it could not speak for itself
        watch.say(f"muster: go on from the last checkpoint with: muster resume {run}")
    return code


def start(
    module: str, arguments: Sequence[str], *, stdout: IO[bytes] | int | None = None, stderr: int | None = None
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
            _send(process.send_signal, number)
        elif number == signal.SIGINT:
            _send(lambda _: os.killpg(process.pid, signal.SIGKILL), number)

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _send(send: Callable[[int], None], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        send(number)


def ending(returncode: int, who: str, asked: Sequence[int]) -> int:
    """The exit code that a child's end means: our own codes pass, a signal is named and is not the run's fault."""
    if returncode >= 0:
        return returncode
    name = signal.Signals(-returncode).name
    if asked:  # it was told to stop and had no handler yet, or was killed by a second Ctrl-C
        say(f"stopped ({name})")
        return EXIT_CHECKPOINTED if -returncode in asked and who == "the agent" else EXIT_SIGNAL - returncode
    likely = "; the kernel does so when memory runs out (see dmesg)" if name == "SIGKILL" else ""
    say(f"{who} was killed by {name}{likely}")
    return EXIT_INFRASTRUCTURE


def _look(watch: Watch, lines: "_Lines | None") -> None:
    for line in lines.new() if lines else ():
        watch.say(line)
    watch.poll()


class _Lines:
    """Lines of a pipe, as far as they are there; never waits."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe = pipe
        self._rest = b""
        os.set_blocking(pipe.fileno(), False)

    def new(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.pipe.fileno(), 65_536):
                self._rest += chunk
        whole, newline, self._rest = self._rest.rpartition(b"\n")
        return whole.decode("utf-8", "replace").splitlines() if newline else []

    def rest(self) -> str:
        """What came last, without an end of line."""
        return self._rest.decode("utf-8", "replace")
