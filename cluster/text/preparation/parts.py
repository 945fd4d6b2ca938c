"""The slow half of preparation, block by block: read, tokenize, number the tokens, write a part to the disk.

A part knows nothing of splits or vocabulary: its tokens are numbers into its own list of words. So parts can be made in
any order by any process, and those that a killed preparation finished are used again.
"""

import ctypes
import functools
import io
import json
import multiprocessing
import os
import signal
import sys
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Data, Text
from cluster.config.tasks import TaskKind
from cluster.data.durable import write_atomically
from cluster.errors import InfrastructureError
from cluster.text.keys import text_key
from cluster.text.preparation.budget import Budget
from cluster.text.preparation.truth import MOST_LABELS, truth_of
from cluster.text.raw.read import Block, Row, parse, size_bytes
from cluster.text.tokens.asked import Located, QuestionWords
from cluster.text.tokens.asked_pieces import QuestionPieces
from cluster.text.tokens.found import Splits
from cluster.text.tokens.given import GIVEN, GivenWords, Words, input_of
from cluster.text.tokens.model import ModelTokens
from cluster.text.tokens.numbering import Numbered, number, splits_of

PR_SET_PDEATHSIG = 1  # linux/prctl.h
ROWS_PER_BLOCK = 8192
# Jobs handed out beyond those being worked on: enough to keep workers busy, few enough to hold little text.
JOBS_WAITING_PER_WORKER = 2


@dataclass(frozen=True)
class Job:
    """One block of one source file, and the file its part goes to."""

    source: int
    """Index of the file among all sources; of the first, where a block holds several."""
    block: Block
    target: Path
    share_read: float
    """The share of the sources that had been read when this was cut off."""


@dataclass(frozen=True)
class Made:
    """What there is to say of a part that was made."""

    rows: int
    """Rejected ones included."""
    share_read: float
    by_spacy: bool
    """Did each text have to go through spaCy's own tokenizer?"""


class Part:
    """Arrays of a finished part, those named or all; opened and closed at once. Raises what a damaged zip file raises.

    `tokens` u32 [N] into `words` and, if there are any, `tags` [N] (u8, or u64 with affixes); `lengths` u32 [B], of
    pairs [B, 2], their two texts in a row in `tokens`;
    `labels` i64 [M] into `label_names`, of all documents one after the other, and how many each has, `label_counts` u32
    [B]; `targets` f64 [B]; `sources` u64 [B], file index << 40 | line number; `keys`, `groups` u64 [B]; `cut` bool [B]
    or [B, 2]: was the document longer than `text.max_tokens`? `written`: the texts of all pairs that are to be written.
    """

    def __init__(self, path: Path, *names: str) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self._arrays = {name: arrays[name] for name in names or arrays.files}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = self._arrays[name]
        return array

    @property
    def numbered(self) -> Numbered:
        lengths, cut, tags = self["lengths"], self["cut"], self._arrays.get("tags")
        return Numbered(self["tokens"], lengths.reshape(-1), cut.reshape(-1), tags, 1 if lengths.ndim == 1 else 2)

    def items(self, name: str) -> list[Any]:
        """The lists `words`, `label_names`, `written` (of strings), `rejected` (of [file, line, reason]) and, of
        questions, `questions` (of what `Located.to_json` gives)."""
        items: list[Any] = json.loads(self._arrays[name].tobytes())
        return items


Ways = Splits | GivenWords | QuestionWords | QuestionPieces
"""What finds the tokens of rows."""


def make_part(job: Job, data: Data, text: Text, task: TaskKind, splits: Ways) -> Made:
    """Reads, tokenizes and writes one part."""
    rows, rejected = parse(job.block, data, task)
    located: list[Located] = []
    if isinstance(splits, QuestionWords | QuestionPieces):
        numbered, words, located = splits.number(row.question for row in rows if row.question)
    elif isinstance(splits, GivenWords):
        numbered, words = splits.number(Words(row.words, row.predicate) for row in rows)
    elif task == "rewrite":
        numbered, words = number((side for row in rows for side in (row.text, row.written)), splits, text)
    else:
        numbered, words = number((row.text for row in rows), splits, text)
    truth, names = truth_of(rows, text.max_tokens if task == "tag" else MOST_LABELS)
    keys = _keys(row.identity for row in rows)
    arrays: dict[str, Any] = {
        "tokens": numbered.tokens_N,
        "lengths": numbered.lengths_B,
        "cut": numbered.cut_B,
        "labels": truth.labels_M,
        "label_counts": truth.counts_B,
        "targets": truth.targets_B,
        "sources": np.array([(job.source << 40) + row.line for row in rows], dtype=np.uint64),
        "keys": keys,
        "groups": _keys(_group(row, data, task) for row in rows) if data.group or task in GROUPED else keys,
        "words": _json(words),
        "label_names": _json(names),
        "rejected": _json([[bad.file, bad.line, bad.reason] for bad in rejected]),
    }
    if numbered.tags_N is not None:
        arrays["tags"] = numbered.tags_N
    if located:
        arrays["questions"] = _json([one.to_json() for one in located])
    if task == "rewrite":
        arrays |= {"lengths": numbered.lengths_B.reshape(-1, 2), "cut": numbered.cut_B.reshape(-1, 2)}
        arrays["written"] = _json([row.written for row in rows])
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_atomically(job.target, file.getvalue())
    return Made(len(rows) + len(rejected), job.share_read, splits.by_spacy)


GROUPED: tuple[TaskKind, ...] = ("tag", "answer")


def _group(row: Row, data: Data, task: TaskKind) -> str:
    """What rows have in common that stay on one side of a split: a sentence does, whichever word of it is marked, and a
    context, whatever is asked about it."""
    return row.group if data.group or task == "answer" else row.text


def make_parts(
    jobs: Iterable[Job],
    data: Data,
    text: Text,
    task: TaskKind,
    workers: int,
    done: Callable[[Made], None],
    tokenizer: str = "",
) -> None:
    """Makes the parts that are not there yet; `done` is told of each new one. `workers` 0: in this process.
    `tokenizer`: that of a pretrained model, as JSON.

    Raises DataError and the like from reading, InfrastructureError if a worker dies. Parts already finished stay.
    """
    budget = Budget(data.memory_mib)
    missing = (job for job in jobs if not _is_whole(job.target))
    if workers == 0:
        splits = None
        for job in missing:
            splits = splits or _numbers_with(data, text, task, budget.chunks, tokenizer)
            done(make_part(job, data, text, task, splits))
        return
    # spawn: a forked child would inherit locks that other threads (progress, BLAS) hold at that moment
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin_worker, (data, text, task, tokenizer)) as pool:
        try:
            for made in _in_turn(pool, missing, workers, budget.waiting_bytes):
                done(made)
        except BrokenProcessPool:
            raise InfrastructureError(
                "A process that tokenizes died (out of memory?). The parts that were finished are kept: "
                "the same command goes on from there."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _in_turn(pool: ProcessPoolExecutor, jobs: Iterator[Job], workers: int, most_bytes: int) -> Iterator[Made]:
    """Hands out no more jobs than `JOBS_WAITING_PER_WORKER`, and `most_bytes` once each worker has one, allow."""
    running: deque[tuple[Future[Made], int]] = deque()
    held = 0
    for job in jobs:
        running.append((pool.submit(_work, job), size_bytes(job.block)))
        held += running[-1][1]
        while len(running) >= workers * (1 + JOBS_WAITING_PER_WORKER) or (len(running) > workers and held > most_bytes):
            made, size = running.popleft()
            yield made.result()
            held -= size
    while running:
        yield running.popleft()[0].result()


_worker: tuple[Data, Text, TaskKind, str] | None = None  # of this worker process, set once by its initializer


def _begin_worker(data: Data, text: Text, task: TaskKind, tokenizer: str) -> None:
    global _worker
    # Ctrl-C reaches the whole process group: the parent alone decides. If the parent is killed, so are we; it may have
    # died before this line, then init is our parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None or os.getppid() != parent.pid:
        os._exit(1)
    spacy_without_torch(text)
    _worker = (data, text, task, tokenizer)


def spacy_without_torch(text: Text) -> None:
    """Spare this process, which does nothing but prepare, a second: spaCy's import takes torch along if it finds it.

    A trained pipeline may be made of torch, so it keeps it.
    """
    if not text.pipeline and "torch" not in sys.modules:
        sys.modules["torch"] = None  # type: ignore[assignment]  # "import torch" then fails: docs.python.org, import system


def _work(job: Job) -> Made:
    assert _worker is not None
    data, text, task, tokenizer = _worker
    return make_part(job, data, text, task, _once(data, text, task, tokenizer))


@functools.cache
def _once(data: Data, text: Text, task: TaskKind, tokenizer: str) -> Ways:
    """Not made by the initializer: what is raised there ends a pool without saying why."""
    return _numbers_with(data, text, task, Budget(data.memory_mib).chunks, tokenizer)


def _numbers_with(data: Data, text: Text, task: TaskKind, chunks: int, tokenizer: str) -> Ways:
    """What finds the tokens of rows. Raises RecipeError."""
    takes = input_of(data, task)
    if takes == "question":
        return QuestionPieces(json.loads(tokenizer)) if tokenizer else QuestionWords(text)
    if takes in GIVEN:
        return GivenWords(text, marked=takes == "predicate")
    return ModelTokens(json.loads(tokenizer)) if tokenizer else splits_of(text, chunks)


def _keys(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    return np.fromiter((text_key(text) for text in texts), dtype=np.uint64)


def _json(value: list[Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def _is_whole(path: Path) -> bool:
    """Was this part finished? Reading it checks the checksums of the zip file."""
    try:
        Part(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False
    return True
