"""Asking ranks that do not go on where they are: the Python stacks of their threads, and their last collective."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from cluster.pulse.clock import in_words, process_of
from cluster.pulse.collectives import Entered, entered_last
from cluster.pulse.page import Page, Pages, collectives_path, stack_path

ANSWER_SECONDS = 2.0
QUIET_SECONDS = 0.1
"""A stack that has not grown for so long is whole."""
LOOK_SECONDS = 0.02


def stacks(pages: Pages, ranks: Iterable[int] | None = None) -> dict[int, str]:
    """The Python stacks of all threads of each rank (default: all), or why there are none, for a person to read. Takes
    up to two seconds.

    By SIGUSR2, which `faulthandler` answers without the interpreter's lock. A stopped process is continued for as long
    as that takes, and stopped again.
    """
    asked = [_Asked(pages.folder, page) for page in _chosen(pages, ranks)]
    try:
        _wait(lambda: all([one.is_done() for one in asked]))
    finally:
        for one in asked:
            one.stop_again()
    return {one.rank: one.text() for one in asked}


def collectives(pages: Pages, ranks: Iterable[int] | None = None) -> dict[int, Entered]:
    """The last collective of each rank (default: all), as far as its interpreter answers. Takes up to two seconds; a
    stopped rank is left alone."""
    chosen = _chosen(pages, ranks)
    answers = {page.rank: page.request() for page in chosen if _may_answer(page)}

    def answered(page: Page) -> bool:
        return page.read().answered >= answers[page.rank]

    _wait(lambda: all(answered(page) for page in chosen if page.rank in answers))
    return {
        page.rank: _read(pages.folder, page.rank)
        if page.rank in answers and answered(page)
        else Entered(rank=page.rank, unknown=_silence(page))
        for page in chosen
    }


def record(pages: Pages, entered: Entered) -> str:
    """For the run's logs: all that torch recorded of the rank whose last collective that is, as JSON; {"unknown": why}
    if it told nothing. Raises OSError."""
    if entered.unknown:
        return json.dumps({"unknown": entered.unknown})
    return collectives_path(pages.folder, entered.rank).read_text(encoding="utf-8")


class _Asked:
    """A rank that has been asked for its stacks."""

    def __init__(self, folder: Path, page: Page) -> None:
        self.rank = page.rank
        self._page, self._path = page, stack_path(folder, page.rank)
        self._pid, self._process = page.read().pid, process_of(page.read())
        self._before = self._size = _size(self._path)
        self._grown = time.monotonic()
        self._listens = self._process is not None and self._process.catches_usr2
        self._was_stopped = self._continued = False
        if self._listens:
            self._send(signal.SIGUSR2)

    def is_done(self) -> bool:
        size, now = _size(self._path), time.monotonic()
        if size != self._size:
            self._size, self._grown = size, now
        if not self._listens:
            return True
        if self._size == self._before:
            self._continue_if_stopped()
            return False
        if now - self._grown > QUIET_SECONDS:
            self.stop_again()
            return True
        return False

    def _continue_if_stopped(self) -> None:
        process = process_of(self._page.read())
        if process is not None and process.state == "T":
            self._was_stopped = self._continued = True
            self._send(signal.SIGCONT)  # it writes its stack before anything else of it runs

    def stop_again(self) -> None:
        if self._continued:
            self._continued = False
            self._send(signal.SIGSTOP)

    def text(self) -> str:
        if self._size == self._before:
            return f"No stack of rank {self.rank}: {self._why_none()}.\n"
        note = ", which was stopped; it was continued for a moment to have this" if self._was_stopped else ""
        with open(self._path, "rb") as file:
            file.seek(self._before)
            return f"Rank {self.rank}, process {self._pid}{note}:\n{file.read().decode(errors='replace')}"

    def _why_none(self) -> str:
        return "it does not take SIGUSR2" if self._process and not self._listens else _silence(self._page)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)


def _chosen(pages: Pages, ranks: Iterable[int] | None) -> list[Page]:
    return [pages.pages[rank] for rank in sorted(pages.pages if ranks is None else ranks)]


def _wait(is_over: Callable[[], bool]) -> None:
    end = time.monotonic() + ANSWER_SECONDS
    while not is_over() and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)


def _may_answer(page: Page) -> bool:
    process = process_of(page.read())
    return process is not None and process.state not in "Tt"


def _silence(page: Page) -> str:
    """Why a rank gives no answer."""
    snapshot = page.read()
    process = process_of(snapshot)
    if process is None:
        return "it has ended" if snapshot.pid else "it has not begun"
    state = in_words(process, time.monotonic() - snapshot.beat)
    return f"it gave no answer: the process {state}"


def _read(folder: Path, rank: int) -> Entered:
    try:
        told = collectives_path(folder, rank).read_bytes()
    except OSError as error:
        return Entered(rank=rank, unknown=f"its answer cannot be read ({error.strerror})")
    return entered_last(rank, told)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
