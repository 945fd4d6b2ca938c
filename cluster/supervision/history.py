"""What has become of each attempt at a run: `attempts.jsonl`, one line at the end of each."""

import errno
import json
import os
from dataclasses import asdict, dataclass

from cluster.runs import RunFolder
from cluster.supervision.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Past:
    """One attempt that is over."""

    attempt: int
    verdict: Verdict
    cause: str
    """In one line."""
    next: str
    """What was done then."""
    began: float
    """Unix time."""
    ended: float
    began_step: int = 0
    """Of the newest checkpoint at its start."""
    step: int = 0
    """Of the newest checkpoint at its end."""
    job: str = ""
    restart: int = 0
    """How often the scheduler had started the job again by then."""
    nodes: tuple[str, ...] = ()
    node: str = ""
    rank: int | None = None
    kind: str = ""
    at_step: int | None = None
    is_expected: bool = False
    """The run itself has said what is wrong with it."""

    @property
    def got_on(self) -> bool:
        """Did it save a newer checkpoint?"""
        return self.step > self.began_step or self.verdict == "done"


def note(run: RunFolder, past: Past) -> None:
    """Add a line, whole and on the disk. Raises OSError, then nothing was added."""
    line = json.dumps(asdict(past)).encode() + b"\n"
    descriptor = os.open(run.history, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    before = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) < len(line):  # a part of it was all that the disk could take
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run.history))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise
    finally:
        os.close(descriptor)


def history(run: RunFolder) -> list[Past]:
    """All attempts that are over, oldest first; a line that a crash has torn is left out."""
    if not run.history.exists():
        return []
    found = []
    for line in run.history.read_bytes().splitlines():
        try:
            fields = json.loads(line)
            found.append(Past(**fields | {"nodes": tuple(fields["nodes"])}))
        except (ValueError, TypeError, KeyError):
            continue
    return found
