"""What Linux says of a process (proc(5)), for who watches it from outside."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Process:
    """One look at /proc/<pid>."""

    state: str
    """One letter: R runs, S sleeps, D sleeps uninterruptibly, T is stopped, t is stopped by a tracer, Z is dead."""
    started_ticks: int
    waits_in: str
    """The kernel's function in which it sleeps, "" if it does not, or if that may not be read."""
    catches_usr2: bool


def look_at(pid: int) -> Process | None:
    """None if there is no such process, or if it is dead and only waits for its exit code to be read."""
    folder = Path("/proc") / str(pid)
    try:
        # The name of the program, in parentheses, may hold anything, even a parenthesis.
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        status = (folder / "status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    return Process(
        state=fields[0], started_ticks=int(fields[19]), waits_in=_waits_in(folder), catches_usr2=_catches_usr2(status)
    )


def own_ticks() -> int:
    """When this process started."""
    this = look_at(os.getpid())
    return this.started_ticks if this else 0


def _waits_in(folder: Path) -> str:
    try:
        name = (folder / "wchan").read_text()
    except OSError:
        return ""
    return "" if name == "0" else name


def _catches_usr2(status: str) -> bool:
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (signal.SIGUSR2 - 1) & 1)
