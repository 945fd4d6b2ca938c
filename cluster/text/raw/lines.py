"""Lines of a raw text file, plain or compressed, in bounded memory, as bytes."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, cast

import zstandard

from cluster.errors import DataError

LINE_LIMIT_BYTES = 64 << 20
"""A longer line is not read into memory."""

Kind = Literal["jsonl", "json", "csv", "tsv", "txt", "conllu", "conll", "parquet", "arrow"]

_PACKINGS = ("", ".gz", ".zst")
# parquet and arrow compress within; `.arrow` is what `datasets` saves
_EXTENSIONS: dict[str, tuple[Kind, str]] = {
    **{
        f".{kind}{packing}": (kind, packing)
        for kind in ("jsonl", "json", "csv", "tsv", "txt", "conllu", "conll")
        for packing in _PACKINGS
    },
    ".parquet": ("parquet", ""),
    ".arrow": ("arrow", ""),
}
_UTF_8_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# zstd keeps its window in memory: 2 GiB for files made with --long=31, where the library's own limit is 128 MiB
_ZSTD_WINDOW_BYTES = 1 << 31
# one call unpacks all it was given, and a byte can become 32 kB: small pieces keep a hostile file from filling memory
_ZSTD_PIECE_BYTES = 1 << 13


def kind_of(path: Path) -> Kind:
    """What the name of a file says it holds. Raises DataError for an unknown extension, listing the known ones."""
    return _EXTENSIONS[extension_of(path)][0]


def stem_of(path: Path) -> str:
    """The name of a file without the extension (`.txt`, `.txt.gz`) that says what it holds. Raises DataError."""
    return path.name[: -len(extension_of(path))]


def lines(path: Path, limit_bytes: int = LINE_LIMIT_BYTES, *, any_name: bool = False) -> Iterator[bytes | None]:
    """The lines of a file with their ends, or None for a line longer than `limit_bytes`; cut at line feeds only.

    (U+2028 and its like are text, and a JSON string may hold them.) `any_name` reads files of every extension as text,
    unpacked if it ends in `.gz` or `.zst`. A byte order mark of UTF-8 is taken off. Raises
    DataError: unknown extension, no such file, no rights, UTF-16, a compressed file that is damaged or cut off.
    """
    read = 0

    def place() -> str:
        return f"line {read}"

    with _opened(path, place, any_name) as stream:
        for line in lines_of(stream, str(path), limit_bytes):
            read += 1
            yield line


def pieces(path: Path, size_bytes: int = 1 << 20) -> Iterator[bytes]:
    """The bytes of a file, unpacked, in pieces of at most `size_bytes`; byte order mark and errors as in `lines`."""
    read = 0

    def place() -> str:
        return f"byte {read:,}"

    with _opened(path, place) as stream:
        while piece := stream.read(size_bytes):
            yield piece if read else _without_mark(str(path), piece)
            read += len(piece)


@contextlib.contextmanager
def _opened(path: Path, place: Callable[[], str], any_name: bool = False) -> Iterator[io.BufferedReader]:
    """The file, unpacked; what goes wrong while it is read becomes a DataError that says after which `place`."""
    packing = path.suffix.lower() if any_name else _EXTENSIONS[extension_of(path)][1]
    try:
        with open(path, "rb") as raw:
            yield _unpacked(raw, packing)
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"{path} is damaged or cut off after {place()}: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def extension_of(path: Path) -> str:
    """`.jsonl`, `.csv.gz`, ...: what a name says of the file, in lower case. Raises DataError for an unknown one."""
    name = path.name.lower()
    for extension in _EXTENSIONS:
        if name.endswith(extension):
            return extension
    known = ", ".join(_EXTENSIONS)
    raise DataError(f"{path}: what it holds is told by its extension, and this one is unknown; known are {known}")


def _unpacked(raw: IO[bytes], packing: str) -> io.BufferedReader:
    match packing:
        case ".gz":
            return io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw, mode="rb")), 1 << 20)
        case ".zst":
            return io.BufferedReader(_ZstdFrames(raw), 1 << 20)
        case _:
            return cast(io.BufferedReader, raw)


def lines_of(stream: IO[bytes], name: str, limit_bytes: int = LINE_LIMIT_BYTES) -> Iterator[bytes | None]:
    """As `lines`, of a stream that is open already; `name` is what errors call it. Raises DataError for UTF-16."""
    is_first = True
    while line := stream.readline(limit_bytes + 1):
        if len(line) <= limit_bytes or line.endswith(b"\n"):
            yield _without_mark(name, line) if is_first else line
        else:
            while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            yield None
        is_first = False


def _without_mark(name: str, first_line: bytes) -> bytes:
    if first_line.startswith(_UTF_16_MARKS):
        raise DataError(f"{name} is UTF-16; muster reads UTF-8. Turn it: iconv -f UTF-16 -t UTF-8")
    return first_line.removeprefix(_UTF_8_MARK)


class _ZstdFrames(io.RawIOBase):
    """Bytes of one or more zstd frames. (zstandard's stream reader takes a file that was cut off for a whole one.)"""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._packed = b""
        self._ready = memoryview(b"")
        self._frame: Any = None  # of the frame that was begun and not ended

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            packed = self._packed or self._raw.read(_ZSTD_PIECE_BYTES)
            if not packed:
                if self._frame is not None:
                    raise EOFError("the last zstd frame has no end")
                return 0
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
            self._ready = memoryview(self._frame.decompress(packed))
            self._packed = b""
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count
