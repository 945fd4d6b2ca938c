"""Does every node see the same folders? The merging node leaves a file in each for a moment, and the others look."""

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from functools import partial

from cluster.topology.fact import Fact, Unread, reading, unknown
from cluster.topology.patience import in_time

PREFIX = ".muster-probe-"
ANSWER_SECONDS = 3.0

Left = dict[str, Fact[str]]
"""By role: the name of the file that was left in its folder, or why none was."""


@contextlib.contextmanager
def left_in(folders: Mapping[str, str]) -> Iterator[Left]:
    """Leave one file in each folder, or in the nearest folder above it that exists; remove them at the end."""
    name, over = PREFIX + secrets.token_hex(8), threading.Event()
    try:
        yield {role: reading("a file left there", partial(_leave, path, name, over)) for role, path in folders.items()}
    finally:
        over.set()
        for path in folders.values():
            with contextlib.suppress(OSError, Unread):
                in_time(path, partial(_take_away, path, name), ANSWER_SECONDS)


def sees(path: str, left: Fact[str], head: str) -> Fact[bool]:
    """Does this node see the file that the merging node left in the folder of the same role?"""
    source = f"a file that {head} left there"
    name = left.value
    if name is None:
        return unknown(left.status, f"{head} could leave no file there: {left.why}", source)

    def is_there() -> bool:
        return os.path.lexists(os.path.join(nearest(path), name))

    return reading(source, lambda: in_time(path, is_there, ANSWER_SECONDS))


def nearest(path: str) -> str:
    """The folder itself, or the nearest one above it that exists."""
    path = os.path.abspath(path)
    while not os.path.isdir(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def _leave(path: str, name: str, over: threading.Event) -> str:
    """Raises OSError, Unread. Two roles may share a folder: then it is the same file."""

    def write() -> None:
        place = os.path.join(nearest(path), name)
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        if over.is_set():  # a file server that answered too late
            os.unlink(place)

    in_time(path, write, ANSWER_SECONDS)
    return name


def _take_away(path: str, name: str) -> None:
    os.unlink(os.path.join(nearest(path), name))
