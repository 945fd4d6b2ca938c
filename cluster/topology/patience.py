"""Asking a folder that may never answer: the server of a network file system can be gone."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from cluster.topology.fact import Unread

T = TypeVar("T")


def in_time(path: str, ask: Callable[[], T], seconds: float) -> T:
    """What `ask` finds in a folder; the thread that waits for the answer is left behind if none comes.

    Raises OSError, and Unread after so many seconds.
    """
    answers: queue.SimpleQueue[T | OSError] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put(ask())
        except OSError as error:
            answers.put(error)

    threading.Thread(target=answer, daemon=True).start()
    try:
        found = answers.get(timeout=seconds)
    except queue.Empty:
        raise Unread("error", f"{path} gave no answer in {seconds:g} s: is its file server there?") from None
    if isinstance(found, OSError):
        raise found
    return found
