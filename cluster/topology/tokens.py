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
    over = threading.Event()
    left: set[str] = set()  # where they lie: a folder may be made meanwhile, which is then the nearest
    try:
        leave = partial(_leave, left=left, over=over)
        # each its own name, for the folder of one may lie above that of another
        names = {role: PREFIX + secrets.token_hex(8) for role in folders}
        yield {role: reading("a file left there", partial(leave, path, names[role])) for role, path in folders.items()}
    finally:
        over.set()
        for place in tuple(left):
            with contextlib.suppress(OSError, Unread):
                in_time(place, partial(os.unlink, place), ANSWER_SECONDS)


def sees(path: str, left: Fact[str], head: str) -> Fact[bool]:
    """Does this node see the file that the merging node left in the folder of the same role?"""
    source = f"a file that {head} left there"
    name = left.value
    if name is None:
        return unknown(left.status, f"{head} could leave no file there: {left.why}", source)

    def is_there() -> bool:
        return any(os.path.lexists(os.path.join(folder, name)) for folder in _upwards(nearest(path)))

    return reading(source, lambda: in_time(path, is_there, ANSWER_SECONDS))


def nearest(path: str) -> str:
    """The folder itself, or the nearest one above it that exists."""
    path = os.path.abspath(path)
    while not os.path.isdir(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def _upwards(folder: str) -> Iterator[str]:
    """It and those above it in the same file system: what was made since lies in one where the file was left."""
    yield folder
    above = os.path.dirname(folder)
    if above != folder and os.stat(above).st_dev == os.stat(folder).st_dev:
        yield from _upwards(above)


def _leave(path: str, name: str, left: set[str], over: threading.Event) -> str:
    """Raises OSError, Unread."""

    def write() -> None:
        place = os.path.join(nearest(path), name)
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        left.add(place)
        if over.is_set():  # a file server that answered too late
            os.unlink(place)

    in_time(path, write, ANSWER_SECONDS)
    return name
