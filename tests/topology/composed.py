"""A machine of files, links and answers, held in memory: what a probe asks of a real one, asked of this."""

import errno
import os
import posixpath

from cluster.topology.fact import Unread
from cluster.topology.nvml import ERRORS, refused
from cluster.topology.source import Argument, Json, key

CODES = {name: code for code, (name, _, _) in ERRORS.items()}
"""NVML's errors by their names in pynvml: GpuIsLost, NotSupported, ..."""


class Composed:
    """A `Source`. Folders follow from the files; a path may go through links, as in /sys."""

    def __init__(self, about: str = "") -> None:
        self.about = about
        self.files: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.denied: set[str] = set()
        self.calls: dict[str, Json | Exception] = {}
        self._folders: dict[str, set[str]] = {}

    def file(self, path: str, text: str | int) -> None:
        self.files[path] = str(text)
        self._folders.clear()

    def link(self, path: str, target: str) -> None:
        """`target`: absolute, or from the folder that holds the link."""
        self.links[path] = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        self._folders.clear()

    def answer(self, value: Json | Exception, name: str, *arguments: Argument) -> None:
        """What a call answers, or raises."""
        self.calls[key("call", name, *arguments)] = value

    def refuse(self, error: str, name: str, *arguments: Argument) -> None:
        """Let a call fail as NVML does, by the error's name."""
        self.answer(refused(CODES[error]), name, *arguments)

    def refuse_all(self, error: str, *beginnings: str) -> None:
        """The same for all calls that begin so, as in `nvmlDeviceGetName 3`."""
        for question in self.calls:
            if question.removeprefix("call ").startswith(beginnings):
                self.calls[question] = refused(CODES[error])

    def remove(self, folder: str) -> None:
        """A folder, or a file, with all that is in it and the links to it."""
        inside = folder + "/"
        self.files = {path: text for path, text in self.files.items() if path != folder and not path.startswith(inside)}
        gone = {path for path, target in self.links.items() if (target + "/").startswith(inside)}
        self.links = {path: to for path, to in self.links.items() if path not in gone and not path.startswith(inside)}
        self._folders.clear()

    def text(self, path: str) -> str:
        found = self._existing(path)
        if found in self.denied:
            raise _error(errno.EACCES, path)
        if found not in self.files:
            raise _error(errno.EISDIR, path)
        return self.files[found].strip(" \t\n\0")

    def names(self, folder: str) -> list[str]:
        found = self._existing(folder)
        if found in self.files:
            raise _error(errno.ENOTDIR, folder)
        return sorted(self._folders[found])

    def real(self, path: str) -> str:
        return self._existing(path)

    def call(self, name: str, *arguments: Argument) -> Json:
        found = self.calls.get(key("call", name, *arguments), Unread("unsupported", f"{name} was not composed"))
        if isinstance(found, Exception):
            raise found
        return found

    def _existing(self, path: str) -> str:
        """With all links followed."""
        if not self._folders:
            for known in (*self.files, *self.links):
                while known != "/":
                    folder, name = posixpath.split(known)
                    self._folders.setdefault(folder, set()).add(name)
                    known = folder
        found = "/"
        for part in path.strip("/").split("/"):
            found = posixpath.join(found, part)
            while found in self.links:
                found = self.links[found]
        if found not in self.files and found not in self._folders:
            raise _error(errno.ENOENT, path)
        return found


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)
