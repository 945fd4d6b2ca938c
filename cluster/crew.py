"""Many texts, all cores: processes that encode and run the model, answers in the order of the requests.

A few thousand texts are not worth the seconds that processes need to start, so the first are answered here. If more
come, a worker for every other core is started, and this process goes on answering until they are ready, and whenever
all of them have enough to do. On a GPU the workers only encode, and this process runs the model. How the requests are
cut into chunks depends on them alone, so the answers do not depend on who was quicker.

torch is imported where it is needed, so that workers can be started before this process has imported it.
"""

import ctypes
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import chain, islice
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cluster.answers import Form, Written
from cluster.errors import InfrastructureError
from cluster.text.raw.asked import Question
from cluster.text.raw.requests import Request
from cluster.text.tokens.given import NOWHERE, Words
from cluster.text.tokens.pipeline import Documents, Encoder

if TYPE_CHECKING:
    from cluster.predictor import Predictor

A = TypeVar("A")
R = TypeVar("R")

PREDICATE = "predicate"
"""Field of a row with the place of the marked word."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h
CHUNK_TEXTS = 256
# A chunk is cut here even if it has few texts, so that long ones do not fill the memory of every worker.
CHUNK_LETTERS = 1 << 20
SMALL_CHUNKS = 8
"""Chunks answered before any worker is started, if nobody knows how many there are: two thousand texts."""
CHUNKS_PER_WORKER = 3  # one at work, the others waiting, so that no worker waits while this process answers a chunk
MOST_FINISHED = 64
"""Chunks whose answers may wait for that of an earlier one."""


class _Chunk(NamedTuple):
    requests: list[Request]
    answers: "Written | Future[Written | Documents]"

    @property
    def ready(self) -> bool:
        return isinstance(self.answers, Written) or self.answers.done()


def written(requests: Iterable[Request], predictor: "Predictor", form: Form, crew: "Crew") -> Iterator[Written]:
    """Answers to all requests in order, some at a time. The requests are taken as they are needed.

    Raises InfrastructureError if a worker dies, and what reading the requests and predicting raise.
    """
    cut = chunks(requests)
    if not crew.started:
        for chunk in islice(cut, SMALL_CHUNKS):
            yield write(predictor, form, chunk)
        more = next(cut, None)
        if more is None:
            return
        cut = chain([more], cut)
        crew.start(predictor.device == "cpu")
    yield from crew.in_order(cut, predictor)


def chunks(requests: Iterable[Request], most_texts: int = CHUNK_TEXTS) -> Iterator[list[Request]]:
    """Requests cut into lists, by their number and size."""
    chunk: list[Request] = []
    letters = 0
    for request in requests:
        chunk.append(request)
        letters += len(request.text) + sum(len(v) for v in (request.fields or {}).values() if isinstance(v, str))
        if len(chunk) >= most_texts or letters >= CHUNK_LETTERS:
            yield chunk
            chunk, letters = [], 0
    if chunk:
        yield chunk


def write(predictor: "Predictor", form: Form, requests: Sequence[Request]) -> Written:
    """The answers to a chunk, from text to lines, in this process."""
    return form.write(requests, predictor.predict(_texts(requests)))


def _texts(requests: Sequence[Request]) -> list[str | Words | Question]:
    return [_given(request) for request in requests if not request.error]


def _given(request: Request) -> str | Words | Question:
    """The text, its words with the predicate that the row marks, or what is asked of it."""
    if request.question:
        return Question(request.question, request.text)
    if not request.words:
        return request.text
    predicate = (request.fields or {}).get(PREDICATE)
    return Words(request.words, predicate if type(predicate) is int else NOWHERE)


def answerable(requests: Iterable[Request], predictor: "Predictor") -> Iterator[Request]:
    """The requests; those that the model cannot answer are errors."""
    for request in requests:
        why = "" if request.error else predictor.refusal(_given(request))
        yield replace(request, error=why) if why else request


class _Spawn(SpawnContext):
    """Starts processes anew (a forked one would inherit locks that torch's threads hold at that moment) and notes
    each of them, which a pool does not tell."""

    def __init__(self, started: list[BaseProcess]) -> None:
        super().__init__()
        self._started = started

    def Process(self, *given: Any, **named: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        self._started.append(process := SpawnProcess(*given, **named))
        return process


class Crew:
    """So many worker processes, none until `start`. They end when the block does, and with this process, whatever
    becomes of it."""

    def __init__(self, folder: Path, form: Form, workers: int) -> None:
        self._folder, self._form, self._workers = folder, form, workers
        self._members: list[BaseProcess] = []
        self._pool: ProcessPoolExecutor | None = None
        self._warm: list[Future[None]] = []

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing a worker does is of use any more, and it may be long at it.
        for member in self._members:
            member.kill()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def started(self) -> bool:
        return self._pool is not None

    def start(self, whole: bool) -> None:
        """Starts the workers, with the `whole` predictor or with the encoder alone; that takes a second or two."""
        if self._workers == 0 or self._pool is not None:
            return
        context = _Spawn(self._members)
        self._pool = ProcessPoolExecutor(self._workers, context, _begin_worker, (self._folder, self._form))
        self._warm = [self._submit(_warm, whole) for _ in range(self._workers)]

    def in_order(self, cut: Iterable[list[Request]], predictor: "Predictor") -> Iterator[Written]:
        """The answers to chunk after chunk, with a bounded number of chunks at work or waiting."""
        if self._pool is not None and predictor.device == "cpu":
            import torch

            torch.set_num_threads(1)  # the other cores have a worker each
        limit = self._workers * CHUNKS_PER_WORKER
        waiting: deque[_Chunk] = deque()
        try:
            for requests in cut:
                if self._are_ready() and sum(not chunk.ready for chunk in waiting) < limit:
                    waiting.append(_Chunk(requests, self._handed_out(requests, predictor)))
                else:  # everybody has enough to do: lend a hand
                    waiting.append(_Chunk(requests, write(predictor, self._form, requests)))
                while waiting and (waiting[0].ready or len(waiting) >= limit + MOST_FINISHED):
                    yield self._written(waiting.popleft(), predictor)
            while waiting:
                yield self._written(waiting.popleft(), predictor)
        except BrokenProcessPool:
            raise InfrastructureError(
                f"{self._casualty()} (out of memory?). Fewer at a time need less: taskset -c 0 muster predict ..."
            ) from None

    def _are_ready(self) -> bool:
        """Is there anybody to take a chunk? Raises what befell a worker on its way."""
        if not self._warm or not any(one.done() for one in self._warm):
            return False
        for one in self._warm:
            if one.done():
                one.result()
        return True

    def _handed_out(self, requests: list[Request], predictor: "Predictor") -> "Future[Written | Documents]":
        return self._submit(_write if predictor.device == "cpu" else _encode, requests)

    def _submit(self, work: "Callable[[A], R]", what: A) -> "Future[R]":
        """Hands work out. The pool starts its processes as work comes; they inherit that Ctrl-C is none of their
        business, which they would hear of while they are starting."""
        assert self._pool is not None
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            future = self._pool.submit(work, what)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return future

    def _written(self, chunk: _Chunk, predictor: "Predictor") -> Written:
        answers = chunk.answers.result() if isinstance(chunk.answers, Future) else chunk.answers
        if isinstance(answers, Written):
            return answers
        return self._form.write(chunk.requests, predictor.answers(answers))

    def _casualty(self) -> str:
        """Who died first; the pool ends all others by SIGTERM."""
        deadline = time.monotonic() + 5
        # The pool's own thread waits for them too, and may have taken an exit code without having noted it yet.
        while any(member.exitcode is None for member in self._members) and time.monotonic() < deadline:
            time.sleep(0.01)
        dead = [member for member in self._members if member.exitcode not in (None, 0, -signal.SIGTERM)]
        code = dead[0].exitcode if dead else None
        if code is None:
            return "A process that predicts was ended"
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"Process {dead[0].pid}, which predicts a share of the texts, {how}"


_worker: tuple[Path, Form] | None = None  # of this worker process, set once by its initializer
_predictor: "Predictor | None" = None
_encoder: Encoder | None = None


def _begin_worker(folder: Path, form: Form) -> None:
    global _worker
    # If the parent is killed, so are we; it may have died before this line, then init is our parent.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None or os.getppid() != parent.pid:
        os._exit(1)
    _worker = (folder, form)


def _warm(whole: bool) -> None:
    """Everything that takes long the first time. (What an initializer raises ends a pool without saying why.)"""
    encoder = _whole().encoder if whole else _half()
    encoder.encode([Question("a", "a") if encoder.takes == "question" else "a"])


def _write(requests: list[Request]) -> Written:
    assert _worker is not None
    return write(_whole(), _worker[1], requests)


def _encode(requests: list[Request]) -> Documents:
    return _half().encode(_texts(requests))


def _whole() -> "Predictor":
    global _predictor
    if _predictor is None:
        import torch

        from cluster.predictor import Predictor

        assert _worker is not None
        torch.set_num_threads(1)
        _predictor = Predictor(_worker[0])
    return _predictor


def _half() -> Encoder:
    global _encoder
    assert _worker is not None
    _encoder = _encoder or Encoder.load(_worker[0])
    return _encoder
