"""The vectors of words that a finished run has learned, or that stand in a file: who is near whom.

    vectors = WordVectors.of_run("runs/vectors")
    vectors.nearest("river", 10)                      # [("stream", 0.71), ...]
    vectors.nearest_to(["king", "woman"], ["man"])    # what is to woman as king is to man
    vectors["river"]                                  # float32 (D,)

V words, the most frequent first, D width.
"""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from cluster.errors import DataError, RunError
from cluster.runs import model_folder, read_json
from cluster.text.tokens.pipeline import FIRST_WORD, Encoder
from cluster.text.tokens.vectors import all_vectors

Vectors = npt.NDArray[np.float32]
MOST_SUGGESTED = 3


class WordVectors:
    """Words with a vector each, and their neighbours by cosine."""

    def __init__(self, words: Sequence[str], vectors: Vectors, lower: bool = False) -> None:
        self.words, self.vectors, self._lower = list(words), vectors, lower
        self._places = {word: place for place, word in reversed(list(enumerate(self.words)))}
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._directions: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)

    @classmethod
    def of_run(cls, folder: str | Path) -> "WordVectors":
        """Of a run with `task.kind = "embed"`, or its `model/`. Raises RunError, DataError."""
        from safetensors.numpy import load_file

        place = model_folder(Path(folder))
        if read_json(place / "model.json").get("task", {}).get("kind") != "embed":
            raise RunError(
                f'{folder} holds no word vectors: they come of a run with task.kind = "embed" (muster train '
                "vectors-tiny is one)."
            )
        encoder = Encoder.load(place)
        table = load_file(place / "weights.safetensors")["words.weight"]
        return cls(encoder.words, table[FIRST_WORD : FIRST_WORD + len(encoder.words)], encoder.text.lower)

    @classmethod
    def of_file(cls, path: str | Path) -> "WordVectors":
        """Of a text file as word2vec, GloVe and fastText write them. Raises DataError."""
        return cls(*all_vectors(Path(path)))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return self._place(word) is not None

    def __getitem__(self, word: str) -> Vectors:
        """The vector of a word, (D,). Raises DataError for an unknown one, with the nearest spellings."""
        vector: Vectors = self.vectors[self._known(word)]
        return vector

    def similarity(self, one: str, other: str) -> float:
        """Cosine, from -1 to 1. Raises DataError."""
        return float(self._directions[self._known(one)] @ self._directions[self._known(other)])

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words most like one, and their cosines. Raises DataError."""
        return self.nearest_to([word], [], count)

    def nearest_to(self, plus: Sequence[str], minus: Sequence[str], count: int = 10) -> list[tuple[str, float]]:
        """The words most like a sum of directions, less others, but for these words themselves. Raises DataError."""
        given = [self._known(word) for word in (*plus, *minus)]
        signs = np.array([1.0] * len(plus) + [-1.0] * len(minus), dtype=np.float32)
        wanted = signs @ self._directions[given]
        length = float(np.linalg.norm(wanted))
        cosines = self._directions @ wanted / (length or 1.0)
        cosines[given] = -np.inf
        count = min(count, len(self.words) - len(set(given)))
        if count < 1:
            return []
        best = np.argpartition(-cosines, count - 1)[:count]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return [(self.words[place], float(cosines[place])) for place in best.tolist()]

    def analogies(self, questions: Sequence[tuple[str, str, str, str]], among: int) -> tuple[int, int]:
        """Of questions a : b = c : d, how many are answered rightly, and how many have words that are all among so many
        most frequent ones: d must be the nearest of these to b - a + c, but for a, b and c (arxiv.org/abs/1301.3781,
        section 4.1)."""
        places = [[-1 if (place := self._place(word)) is None else place for word in one] for one in questions]
        known = np.array([some for some in places if min(some) >= 0 and max(some) < among])
        right, directions = 0, self._directions[:among]
        for first in range(0, len(known), 1024):
            a, b, c, d = known[first : first + 1024].T
            cosines = (directions[b] - directions[a] + directions[c]) @ directions.T
            for asked in (a, b, c):
                cosines[np.arange(len(asked)), asked] = -np.inf
            right += int((cosines.argmax(axis=1) == d).sum())
        return right, len(known)

    def lines(self) -> Iterator[str]:
        """As word2vec writes vectors: how many and how wide, then a word and its numbers on each line."""
        written = [place for place, word in enumerate(self.words) if not any(map(str.isspace, word))]
        width = self.vectors.shape[1]
        yield f"{len(written)} {width}\n"
        form = "%s" + " %.9g" * width + "\n"  # nine digits give every float32 back
        for place in written:
            yield form % (self.words[place], *self.vectors[place].tolist())

    def write(self, file: IO[str]) -> int:
        """Writes `lines`; how many words that is: those with white space inside have no place in such a file."""
        count = -1
        for line in self.lines():
            file.write(line)
            count += 1
        return count

    def _place(self, word: str) -> int | None:
        found = self._places.get(word)
        if found is None and self._lower:
            found = self._places.get(word.lower())
        return found

    def _known(self, word: str) -> int:
        place = self._place(word)
        if place is None:
            near = difflib.get_close_matches(word.lower(), self.words, n=MOST_SUGGESTED, cutoff=0.7)
            hint = f" Spelled like it: {', '.join(near)}." if near else ""
            raise DataError(f"{word!r} is none of the {len(self.words):,} words that have a vector.{hint}")
        return place
