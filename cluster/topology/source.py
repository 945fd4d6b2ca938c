"""Where every fact comes from: files of /proc and /sys, and a few calls. Asked live, recorded, or answered from a
recording, so that a machine that is not here can be probed again, and a bug report can carry its machine.

A recording is one JSON file: {"about": "...", "answers": {"text /proc/meminfo": {"value": "..."}, ...}}; an answer that
was an error is {"errno": 13, "words": "..."} or {"unread": "unsupported", "words": "..."}.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from cluster.errors import DataError
from cluster.topology.fact import Unread

Json = Any
Argument = str | int


class Source(Protocol):
    """What a probe may ask of a machine. Every method raises OSError or Unread if there is no answer."""

    def text(self, path: str) -> str:
        """A file of /proc or /sys, white space at its ends removed."""
        ...

    def names(self, folder: str) -> list[str]:
        """What is in a folder, in order of names."""
        ...

    def real(self, path: str) -> str:
        """An existing path with its links followed."""
        ...

    def call(self, name: str, *arguments: Argument) -> Json:
        """One of the calls of `calls.py` (affinity, addresses, ...) or of NVML (`nvml...`), as JSON."""
        ...


ALWAYS_THERE = {"/proc/": "/proc/self", "/sys/": "/sys/devices"}
"""What the kernel's own file systems never lack."""


class Live:
    """This machine, now."""

    def __init__(self, calls: Callable[..., Json]) -> None:
        self.call = calls

    def text(self, path: str) -> str:
        with _hidden_told(path):
            return Path(path).read_bytes().decode("utf-8", "replace").strip(" \t\n\0")

    def names(self, folder: str) -> list[str]:
        with _hidden_told(folder):
            return sorted(os.listdir(folder))

    def real(self, path: str) -> str:
        with _hidden_told(path):
            return os.path.realpath(path, strict=True)


@contextlib.contextmanager
def _hidden_told(path: str) -> Iterator[None]:
    """Where the kernel's file system itself is hidden, as in some containers, nothing follows from a file that is not
    there. Raises Unread then."""
    try:
        yield
    except FileNotFoundError:
        for root, mark in ALWAYS_THERE.items():
            if path.startswith(root) and not os.path.exists(mark):
                raise Unread("denied", f"{root.rstrip('/')} is hidden here") from None
        raise


class Recorder:
    """Another source, with all that it answered kept."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.answers: dict[str, dict[str, Json]] = {}

    def text(self, path: str) -> str:
        return str(self._kept(key("text", path), lambda: self._source.text(path)))

    def names(self, folder: str) -> list[str]:
        return list(self._kept(key("names", folder), lambda: self._source.names(folder)))

    def real(self, path: str) -> str:
        return str(self._kept(key("real", path), lambda: self._source.real(path)))

    def call(self, name: str, *arguments: Argument) -> Json:
        return self._kept(key("call", name, *arguments), lambda: self._source.call(name, *arguments))

    def _kept(self, question: str, ask: Callable[[], Json]) -> Json:
        try:
            answer = ask()
        except OSError as error:
            self.answers[question] = {"errno": error.errno, "words": error.strerror or str(error)}
            raise
        except Unread as unread:
            self.answers[question] = {"unread": unread.status, "words": unread.why}
            raise
        self.answers[question] = {"value": answer}
        return answer


class Replay:
    """A recorded machine. What was not recorded is not there."""

    def __init__(self, answers: dict[str, dict[str, Json]]) -> None:
        self._answers = answers

    def text(self, path: str) -> str:
        return str(self._answer(key("text", path), path))

    def names(self, folder: str) -> list[str]:
        return list(self._answer(key("names", folder), folder))

    def real(self, path: str) -> str:
        return str(self._answer(key("real", path), path))

    def call(self, name: str, *arguments: Argument) -> Json:
        return self._answer(key("call", name, *arguments), name)

    def _answer(self, question: str, what: str) -> Json:
        answer = self._answers.get(question)
        if answer is None and question.startswith("call "):
            raise Unread("unsupported", f"{what} is not in the recording")
        if answer is None:
            raise FileNotFoundError(2, "No such file or directory", what)
        if "errno" in answer:
            raise OSError(answer["errno"], answer["words"], what)
        if "unread" in answer:
            raise Unread(answer["unread"], answer["words"])
        return answer["value"]


def key(kind: str, *parts: Argument) -> str:
    """The question, as a recording names it."""
    return " ".join([kind, *map(str, parts)])


def write_recording(path: Path, about: str, answers: dict[str, dict[str, Json]]) -> None:
    path.write_text(json.dumps({"about": about, "answers": answers}, indent=1) + "\n", encoding="utf-8")


def read_recording(path: Path) -> Replay:
    """Raises DataError if the file is no recording."""
    try:
        contents = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a recording of a machine: {error}") from error
    answers = contents.get("answers") if isinstance(contents, dict) else None
    if not isinstance(answers, dict) or not all(isinstance(answer, dict) for answer in answers.values()):
        raise DataError(f'{path} holds no "answers": make a recording with `muster probe --record FILE`.')
    return Replay(answers)
