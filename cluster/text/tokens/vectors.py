"""Pretrained word vectors in text files: GloVe, word2vec, fastText.

One word a line, then its numbers, with a space between each. GloVe (nlp.stanford.edu/projects/glove) has nothing else,
and in its largest set words with spaces in them (". . ."): a line is split from the right. word2vec
(code.google.com/archive/p/word2vec) and fastText (fasttext.cc/docs/en/crawl-vectors.html) begin with a line of their
own: how many words, how wide. Files may be packed (`.gz`, `.zst`), and are read line by line: what is kept are the
vectors of the words asked for.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cluster.errors import DataError
from cluster.text.raw.lines import lines
from cluster.text.tokens.pipeline import FIRST_WORD

LINE_LIMIT_BYTES = 1 << 20
_HEADER = re.compile(rb"\s*\d+\s+(\d+)\s*")

Vectors = npt.NDArray[np.float32]


def load_vectors(path: Path, words: Sequence[str], width: int) -> tuple[npt.NDArray[np.int64], Vectors]:
    """Rows of the embedding table (ascending, [K]) for whose words the file has vectors, and these, [K, width].

    `words` are an encoder's, so the first has row 2. A word's own vector is taken, or else that of the first word of
    the file that equals it in lower case (both ways: "Paris" stands for "paris"). Where the file has a word twice, the
    first counts. Raises DataError: vectors of another width, a line that cannot be read (with its number), no word
    found.
    """
    exact = {word.encode("utf-8", "replace"): place for place, word in enumerate(words)}
    in_lower: dict[bytes, list[int]] = {}
    for place, word in enumerate(words):
        in_lower.setdefault(word.lower().encode("utf-8", "replace"), []).append(place)
    found: dict[int, Vectors] = {}
    similar: dict[int, Vectors] = {}
    read = 0
    for number, name, numbers in _entries(path, width):
        read += 1
        index = exact.get(name)
        alike = [i for i in in_lower.get(_lower(name), ()) if i != index and i not in similar and i not in found]
        if (index is None or index in found) and not alike:
            continue
        vector = _vector(path, number, numbers, width)
        if index is not None:
            found.setdefault(index, vector)
        similar.update((i, vector) for i in alike)
    if not found and not similar:
        raise DataError(
            f"{path}: none of its {read:,} words is among the {len(words):,} of the vocabulary. Are they of another "
            "language? With text.lemmas or text.tokens other than words few will be found; leave out model.vectors."
        )
    both = similar | found
    indices = sorted(both)
    return np.array(indices, dtype=np.int64) + FIRST_WORD, np.stack([both[index] for index in indices])


def all_vectors(path: Path, most: int | None = None) -> tuple[list[str], Vectors]:
    """Every word of a file (or the first `most`), in its order, and its vectors [V, width]; of a word that stands there
    twice the first.

    Raises DataError as `load_vectors` does, and for a file without a word.
    """
    width = _width_of(path)
    found: dict[str, Vectors] = {}
    for number, name, numbers in _entries(path, width):
        if len(found) == most:
            break
        word = name.decode("utf-8", "replace")
        if word not in found:
            found[word] = _vector(path, number, numbers, width)
    return list(found), np.stack(list(found.values()))


def exact_vectors(path: Path, words: Iterable[str]) -> tuple[dict[str, Vectors], int]:
    """The vectors of those of these words that a file has, spelled exactly so, and their width.

    Raises DataError as `all_vectors` does; none for words that are not found.
    """
    width = _width_of(path)
    wanted = {word.encode("utf-8", "replace"): word for word in words}
    found: dict[str, Vectors] = {}
    for number, name, numbers in _entries(path, width):
        word = wanted.get(name)
        if word is not None and word not in found:
            found[word] = _vector(path, number, numbers, width)
    return found, width


def _width_of(path: Path) -> int:
    """What the header says, or how many numbers the first word has. Raises DataError."""
    for line in lines(path, LINE_LIMIT_BYTES, any_name=True):
        fields = (line or b"").split()
        if len(fields) == 2 and all(map(bytes.isdigit, fields)):
            return int(fields[1])
        if len(fields) > 1:
            return len(fields) - 1
        break
    raise DataError(f"{path}: the first line is no word with its numbers, and no header of word2vec's.")


def _entries(path: Path, width: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Line number, word, and what follows it (`width` fields, not read as numbers yet) of each line."""
    for number, line in enumerate(lines(path, LINE_LIMIT_BYTES, any_name=True), start=1):
        if line is None:
            raise DataError(f"{path}:{number}: the line is longer than {LINE_LIMIT_BYTES >> 10:,} KiB: no word vector.")
        if number == 1 and (header := _HEADER.fullmatch(line)):
            if int(header[1]) != width:
                raise _other_width(path, int(header[1]), width)
            continue
        line = line.rstrip(b" \r\n")
        if not line:
            continue
        spaces = line.count(b" ")
        if spaces < width:
            raise _short(path, number, line, width)
        if spaces == width:
            word, _, numbers = line.partition(b" ")
        else:
            word = line.rsplit(b" ", width)[0]
            numbers = line[len(word) + 1 :]
            if number <= 2 and _is_number(word.rsplit(b" ", 1)[-1]):  # wider vectors, not a word with a space in it
                raise _other_width(path, spaces, width)
        yield number, word, numbers


def _vector(path: Path, number: int, numbers: bytes, width: int) -> Vectors:
    try:
        vector = np.array([float(field) for field in numbers.split(b" ")], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}:{number}: {error}. Each line must be a word and {width} numbers.") from None
    if not np.isfinite(vector).all():
        raise DataError(f"{path}:{number}: a number is not finite. Each line must be a word and {width} numbers.")
    return vector


def _lower(word: bytes) -> bytes:
    return word.lower() if word.isascii() else word.decode("utf-8", "replace").lower().encode("utf-8", "replace")


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _other_width(path: Path, found: int, width: int) -> DataError:
    return DataError(
        f"{path} has vectors of {found} numbers, the model's embeddings have {width}: they must be as wide. Set "
        f"model.embedding = {found}, or name another file."
    )


def _short(path: Path, number: int, line: bytes, width: int) -> DataError:
    fields = line.split(b" ")
    if number <= 2 and len(fields) > 1 and all(map(_is_number, fields[1:])):
        return _other_width(path, len(fields) - 1, width)
    return DataError(
        f"{path}:{number}: the line has {len(fields)} fields, but a word and {width} numbers are needed. The file is "
        "damaged or cut off there: fetch it again."
    )
