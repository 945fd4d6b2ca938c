"""Packages and lists of packages of Debian, fetched by apt from the archive that it knows, and read without running or
installing anything.

apt gets folders of its own, so it needs no rights and changes nothing of the machine's lists. On other distributions
that have it, MUSTER_DEBIAN_ARCHIVE names an archive. What it brings counts only by its pinned hash.
"""

import lzma
import os
import re
import shutil
import struct
import subprocess
import tarfile
import tempfile
import weakref
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from cluster.errors import DataError

RELEASE = "bookworm"
ARCHIVE_VARIABLE = "MUSTER_DEBIAN_ARCHIVE"
_COPY = (
    "copy the folder that `muster data path` prints on a machine where the set was fetched, to the same place in the "
    "cache here."
)
_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60
_MO_MAGIC = 0x950412DE


class Apt:
    """apt with lists of one release in a folder of its own, which goes when this object does."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="muster-apt-"))
        weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)
        self._is_updated = False

    def package(self, name: str, version: str, folder: Path) -> Path:
        """Downloads a binary package into `folder`. Raises DataError."""
        self._update()
        self._run(["download", f"{name}={version}"], folder, f"{name} {version}")
        found = list(folder.glob(f"{name}_*.deb"))
        if len(found) != 1:
            raise DataError(f"apt-get fetched {len(found)} files for {name} {version}, not one")
        return found[0]

    def index(self, name: str) -> Path:
        """A list of the release: "Packages" or "Translation-en", as plain text. Raises DataError."""
        self._update()
        found = [path for path in (self._root / "lists").iterdir() if path.name.endswith(f"_{name}")]
        if len(found) != 1:
            raise DataError(f"apt-get fetched {len(found)} lists {name} of {RELEASE}, not one")
        return found[0]

    def _update(self) -> None:
        if self._is_updated:
            return
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        (self._root / "status").touch()
        archive = _archive()
        # What comes is compared with a pinned hash, so the archive's key, which others than Debian lack, is not needed.
        (self._root / "sources").write_text(f"deb [trusted=yes] {archive} {RELEASE} main\n")
        self._run(["update"], self._root, f"the lists of Debian {RELEASE}")
        self._is_updated = True

    def _run(self, arguments: list[str], folder: Path, what: str) -> None:
        settings = {
            "Dir::State::lists": "lists", "Dir::State::status": "status", "Dir::Cache": "cache",
            "Dir::Etc::sourcelist": "sources", "Dir::Etc::sourceparts": "parts", "Dir::Etc::preferencesparts": "parts",
        }  # fmt: skip
        options = [part for name, path in settings.items() for part in ("-o", f"{name}={self._root / path}")]
        # As root apt would hand the download to a user that cannot write here.
        more = ("Acquire::Languages=en", "Acquire::GzipIndexes=false", "APT::Sandbox::User=root", "Acquire::Retries=2")
        options += [part for option in more for part in ("-o", option)]
        ended = _apt_get([*options, *arguments], folder)
        said = [line for line in ended.stderr.splitlines() if line.startswith(("E:", "W: Failed"))]
        if ended.returncode or said:  # an update that reached nothing ends with 0
            raise DataError(
                f"apt-get could not fetch {what}: {' | '.join(said)[:1000] or ended.stderr[-500:]}\nIt needs a "
                f"network, or a proxy that it knows (apt-config dump). Without either, {_COPY}"
            )


def _apt_get(arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["apt-get", *arguments], cwd=folder, capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"}, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise DataError(f"this set is of Debian, and there is no apt-get here: {_COPY}") from None


def _archive() -> str:
    """Where the machine's apt finds the release, or what MUSTER_DEBIAN_ARCHIVE says. Raises DataError."""
    if chosen := os.environ.get(ARCHIVE_VARIABLE):
        return chosen
    known = _apt_get(["indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)"], Path.cwd())
    for line in known.stdout.splitlines():
        site, _, rest = line.partition(" ")
        if rest == f"{RELEASE} main":
            return site
    raise DataError(
        f"apt knows no archive of Debian {RELEASE} here, of which this set is: name one with {ARCHIVE_VARIABLE}=URL, "
        f"or {_COPY}"
    )


def files_of(package: bytes, pattern: str, *, limit_bytes: int = 512 << 20) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the plain files of a .deb whose whole names (`./usr/...`) match a pattern (re).

    Raises DataError for a damaged package, or one that is larger inside than `limit_bytes`.
    """
    try:
        with tarfile.open(fileobj=BytesIO(lzma.decompress(_ar_member(package, "data.tar.xz")))) as files:
            for entry in files:
                if entry.isreg() and re.fullmatch(pattern, entry.name):
                    limit_bytes -= entry.size
                    file = files.extractfile(entry) if limit_bytes >= 0 else None
                    if file is None:
                        raise DataError(f"the files {pattern} of the package are larger than they should be")
                    yield entry.name, file.read(entry.size)
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
        raise DataError(f"the package that should hold {pattern} is damaged: {error}") from error


def _ar_member(package: bytes, name: str) -> bytes:
    """A .deb is an `ar` archive (deb(5)): 60 bytes of header for each member, at even places."""
    if not package.startswith(_AR_MAGIC):
        raise ValueError("it is no .deb")
    place = len(_AR_MAGIC)
    while place + _AR_HEADER <= len(package):
        header = package[place : place + _AR_HEADER]
        size = int(header[48:58])
        place += _AR_HEADER
        if header[:16].decode("ascii").rstrip(" /") == name:
            return package[place : place + size]
        place += size + size % 2
    raise ValueError(f"it holds no {name}")


def messages_of(catalogue: bytes) -> Iterator[tuple[str, str]]:
    """Message and translation of a .mo file (gnu.org/software/gettext/manual, "MO Files"), without contexts and plural
    forms. Raises DataError."""
    try:
        magic, _, count, sources, targets = struct.unpack_from("<5I", catalogue)
        if magic != _MO_MAGIC:
            raise ValueError("it is no .mo file of a little-endian machine")
        for number in range(count):
            pair = []
            for table in (sources, targets):
                length, place = struct.unpack_from("<2I", catalogue, table + 8 * number)
                pair.append(catalogue[place : place + length].decode("utf-8"))
            source, target = pair[0].rpartition("\x04")[2], pair[1]
            if source and "\0" not in source:
                yield source, target
    except (struct.error, ValueError) as error:
        raise DataError(f"a catalogue of messages is damaged: {error}") from error


def stanzas(text: str) -> Iterator[dict[str, Any]]:
    """The paragraphs of a list of packages, by field (deb822(5)); lines that go on keep their line breaks."""
    for paragraph in re.split(r"\n\n+", text):
        fields: dict[str, Any] = {}
        name = ""
        for line in paragraph.split("\n"):
            if line.startswith((" ", "\t")) and name:
                fields[name] += "\n" + line[1:]
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            yield fields
