"""Byte-pair encoding with Hugging Face's `tokenizers`: pieces of words, learned from the training set.

Byte-level, as GPT-2 has it (github.com/openai/gpt-2, src/encoder.py): a text is cut into stretches (a word with the
space before it, a number, a run of white space), a stretch is written as its UTF-8 bytes with a letter for each byte,
and merges join the most frequent pairs of neighbours (arxiv.org/abs/1508.07909), never across two stretches. So every
text can be encoded, and a stretch seen before need not be encoded again: parts hold the distinct stretches.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Text
from cluster.text.tokens.found import Found, encodable

# The trainer counts stretches itself, one appearance after the other; so many go to it in one string.
APPEARANCES_AT_ONCE = 4096
# The outer half of GPT-2's pattern: a word with a space before it, white space up to the last before a word, that last.
CHUNKS = re.compile(r" ?\S+|\s+(?!\S)|\s")
# White space to Python, but not to the engine of `tokenizers`; the test asks for each character that there is.
AMBIGUOUS = re.compile("[\x1c-\x1f]")
MOST_CHUNKS = 1 << 18
SEPARATOR = "\n"  # a byte too, so it has another letter where stretches are written


class Stretches:
    """Cuts texts into the stretches that merges never cross.

    `tokenizers` has to look at a word with the space before it, and at a run of white space, but once: no stretch
    reaches from one into the next.
    """

    by_spacy = False

    def __init__(self, text: Text) -> None:
        untrained = _tokenizer(text)
        self._cut, self._normalise = untrained.pre_tokenizer, untrained.normalizer
        self._known: dict[str, list[str]] = {}

    def each(self, texts: Iterable[str]) -> Iterator[Found]:
        """The stretches of one text after the other, written as letters for bytes."""
        for text in texts:
            text = encodable(text)
            if AMBIGUOUS.search(text):
                yield self._look_at(text), b""
                continue
            stretches: list[str] = []
            known = self._known
            for chunk in CHUNKS.findall(text):
                try:
                    stretches += known[chunk]
                except KeyError:
                    if len(known) >= MOST_CHUNKS:
                        known.clear()
                    found = known[chunk] = self._look_at(chunk)
                    stretches += found
            yield stretches, b""

    def _look_at(self, text: str) -> list[str]:
        if self._normalise is not None:
            text = self._normalise.normalize_str(text)
        return [stretch for stretch, _ in self._cut.pre_tokenize_str(text)]


def stretch_of(text: Text) -> Callable[[str], str]:
    """What makes a given word one stretch, a space before it: merges may join all of its letters."""
    from tokenizers import pre_tokenizers

    normalise = _tokenizer(text).normalizer
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def stretch(word: str) -> str:
        (found, _), *rest = cut.pre_tokenize_str(" " + (normalise.normalize_str(word) if normalise else word))
        assert not rest
        return str(found)

    return stretch


class Pieces:
    """A trained tokenizer, from the JSON that `tokenizers` writes and reads (`tokenizers.Tokenizer.from_str`).

    `tokenizers` itself is imported when a stretch is encoded. Raises KeyError, TypeError, ValueError for other JSON.
    """

    def __init__(self, contents: Mapping[str, Any]) -> None:
        self.contents = dict(contents)
        vocabulary: dict[str, int] = contents["model"]["vocab"]
        self.words = sorted(vocabulary, key=vocabulary.__getitem__)
        """The pieces, by their number."""
        if [vocabulary[word] for word in self.words] != list(range(len(self.words))):
            raise ValueError("the pieces are not numbered 0, 1, 2, ...")
        self._model: Any = None

    def numbers(self, stretches: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """The numbers of the pieces of all stretches, one after the other, and how many pieces each has."""
        if self._model is None:
            from tokenizers import Tokenizer

            self._model = Tokenizer.from_str(json.dumps(self.contents)).model
        tokenize = self._model.tokenize
        found = [[piece.id for piece in tokenize(stretch)] for stretch in stretches]
        counts = np.fromiter(map(len, found), dtype=np.uint32, count=len(found))
        flat = (number for numbers in found for number in numbers)
        return np.fromiter(flat, dtype=np.uint32, count=int(counts.sum(dtype=np.int64))), counts


def bytes_of(piece: str) -> bytes:
    """The bytes that a piece is written for."""
    return bytes(map(_BYTES.__getitem__, piece))


def _bytes_by_letter() -> dict[str, int]:
    """Which letter stands for each byte: those that can be seen for themselves, the others for the letters from U+0100
    on (github.com/openai/gpt-2, src/encoder.py)."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTES = _bytes_by_letter()


def learn(counts: Mapping[str, int], text: Text) -> Pieces:
    """`text.vocabulary_size` pieces (the 256 bytes among them) from how often each stretch stands in the training set.

    The same counts give the same pieces, in whatever order they come. Fewer pieces are learned if pairs run out that
    appear `text.min_count` times.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    # Without a word of ours, `tokenizers` prints a warning in each process that is forked after it used threads.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    learning = Tokenizer(models.BPE())
    learning.pre_tokenizer = pre_tokenizers.Split(Regex(SEPARATOR), "removed")
    trainer = trainers.BpeTrainer(
        vocab_size=text.vocabulary_size,
        min_frequency=text.min_count,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learning.train_from_iterator(_appearances(counts), trainer)
    trained = _tokenizer(text)
    trained.model = learning.model
    return Pieces(json.loads(trained.to_str()))


def _tokenizer(text: Text) -> Any:
    """How a text becomes stretches and pieces, with no piece learned yet."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    if text.lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _appearances(counts: Mapping[str, int]) -> Iterator[str]:
    """Each stretch as often as it stands in the training set, in few strings."""
    waiting: list[str] = []
    for stretch in sorted(counts):
        left = counts[stretch]
        while left:
            taken = min(left, APPEARANCES_AT_ONCE - len(waiting))
            waiting += [stretch] * taken
            left -= taken
            if len(waiting) == APPEARANCES_AT_ONCE:
                yield SEPARATOR.join(waiting)
                waiting = []
    yield SEPARATOR.join(waiting)
