"""From text to numbers: spaCy's tokens, a vocabulary, a bag or a sequence for each document.

spaCy is imported when a text is met, not before: a training rank may load an encoder without having spaCy.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.schema import Text
from cluster.data.durable import write_atomically
from cluster.errors import DataError, RecipeError
from cluster.text.weights import bag

ENCODER = "encoder.json"
FORMAT = 1
PAD, UNKNOWN, FIRST_WORD = 0, 1, 2
# About 300 MB with what spaCy keeps of each chunk. A language has endless distinct chunks (numbers, names, links) and
# spaCy's string store never shrinks, so both are dropped together when this is reached.
MOST_CHUNKS = 1 << 18

Ids = npt.NDArray[np.uint32]


def spacy_version() -> str:
    """The installed spaCy's version, without importing it."""
    from importlib.metadata import version

    return version("spacy")


class Tokenizer:
    """The tokens of spaCy's tokenizer for a language, whitespace dropped, in lower case if asked.

    spaCy works on one whitespace-separated chunk after the other, so a chunk seen before need not be split again. But
    its last pass looks for special cases (emoticons, "a.m.") over the whole text, longest match first, and a match
    across two chunks, though it changes nothing itself, keeps others that it overlaps from being applied: in
    "foo: (:bar" the false ":(" leaves "(:" in two tokens, while "(:bar" alone gives "(:". So chunks are split by a twin
    of the tokenizer that lacks this pass; a text is given to spaCy whole if the pass could change one of its chunks, or
    if it holds a special case with a space in it. All else is exact by construction, and tested over whole corpora.

    Not for use by several threads at once. Raises RecipeError for a language spaCy cannot tokenize here.
    """

    def __init__(self, language: str, lower: bool) -> None:
        self._language, self._lower = language, lower
        self._chunks: dict[str, tuple[str, ...]] = {}
        self._spacy: Any = None
        self._twin: Any = None
        self._spaced: re.Pattern[str] | None = None
        self._cases: dict[str, list[tuple[str, ...]]] = {}
        self._whole_texts = 0
        self._start()

    def __call__(self, text: str) -> list[str]:
        """The tokens of one text; none for a text of whitespace alone."""
        if self._twin is None or (self._spaced is not None and self._spaced.search(text)):
            return self._whole(text)
        tokens: list[str] = []
        known = self._chunks
        for chunk in text.split():
            found = known.get(chunk)
            if found is None:
                found = self._learn(chunk)
                known = self._chunks
            if not found:
                return self._whole(text)
            tokens += found
        return tokens

    def _start(self) -> None:
        """A fresh spaCy tokenizer and an empty memory of chunks."""
        import spacy
        from spacy.tokenizer import Tokenizer as SpacyTokenizer

        try:
            self._spacy = spacy.blank(self._language).tokenizer
        except (ImportError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise RecipeError(
                f"text.language = {self._language!r}: spaCy has no tokenizer for it here ({reason}). "
                "Use a code such as en, de, es, fr, or xx for several languages, or install what it asks for."
            ) from None
        self._chunks, self._whole_texts = {}, 0
        # Chinese and its like have tokenizers of another kind, which are not about chunks.
        if type(self._spacy) is SpacyTokenizer:
            self._twin, self._cases, self._spaced = _without_last_pass(self._spacy)

    def _learn(self, chunk: str) -> tuple[str, ...]:
        """The tokens of a chunk not met before; empty if spaCy has to see the text around it."""
        if len(self._chunks) + self._whole_texts >= MOST_CHUNKS:
            self._start()
        tokens = tuple(token.text for token in self._twin(encodable(chunk)))
        starts = ((i, case) for i, token in enumerate(tokens) for case in self._cases.get(token, ()))
        if any(tokens[i : i + len(case)] == case for i, case in starts):
            tokens = ()
        elif self._lower:
            tokens = tuple(token.lower() for token in tokens)
        self._chunks[chunk] = tokens
        return tokens

    def _whole(self, text: str) -> list[str]:
        self._whole_texts += 1
        if self._whole_texts >= MOST_CHUNKS:
            self._start()
        tokens = [token.text for token in self._spacy(encodable(text)) if not token.text.isspace()]
        return [token.lower() for token in tokens] if self._lower else tokens


def _without_last_pass(tokenizer: Any) -> tuple[Any, dict[str, list[tuple[str, ...]]], re.Pattern[str] | None]:
    """A twin that splits chunks as `tokenizer` does before its last pass; the token sequences that this pass would
    change, by their first token; and a pattern of the special cases that hold a space.
    """
    from spacy.tokenizer import Tokenizer as SpacyTokenizer

    rules: dict[str, Any] = tokenizer.rules
    spaced = [rule for rule in rules if not rule.isspace() and any(letter.isspace() for letter in rule)]
    searches = {"token_match": tokenizer.token_match, "url_match": tokenizer.url_match}
    affixes = {name: getattr(tokenizer, name) for name in ("prefix_search", "suffix_search", "infix_finditer")}
    # A special case is registered for the last pass only if it holds an affix or a space when the tokenizer is made.
    gates = {name: _Gate(search, None) for name, search in affixes.items() if search is not None}
    if "infix_finditer" in gates:
        gates["infix_finditer"].nothing = ()
    plain = {rule: tokens for rule, tokens in rules.items() if rule not in spaced}
    twin = SpacyTokenizer(tokenizer.vocab, rules=plain, **searches, **gates)
    for gate in gates.values():
        gate.open = True
    bare = SpacyTokenizer(tokenizer.vocab, **searches, **affixes)
    cases: dict[str, list[tuple[str, ...]]] = {}
    for rule in plain:
        if rule.isspace():
            continue
        before = tuple(token.text for token in bare(rule))
        if before != tuple(token.text for token in twin(rule)):
            cases.setdefault(before[0], []).append(before)
    return twin, cases, re.compile("|".join(map(re.escape, spaced))) if spaced else None


class _Gate:
    """An affix search that finds nothing until it is opened."""

    def __init__(self, search: Callable[[str], Any], nothing: Any) -> None:
        self._search, self.nothing, self.open = search, nothing, False

    def __call__(self, text: str) -> Any:
        return self._search(text) if self.open else self.nothing


def encodable(text: str) -> str:
    """JSON can smuggle in half a surrogate pair, which spaCy cannot hash; it becomes a question mark, as in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


@dataclass(frozen=True)
class Documents:
    """Encoded documents: `tokens` flat, u32; `lengths` u32, one a document; `weights` f32, one a token, in a bag."""

    tokens: Ids
    lengths: Ids
    weights: npt.NDArray[np.float32] | None
    cut: int
    """How many documents were cut to `text.max_tokens`."""
    read: int
    """Tokens of the texts, after cutting; a bag holds fewer, the distinct known ones."""
    unknown: int
    """Tokens that are not in the vocabulary; a bag leaves them out, a sequence holds id 1 in their place."""
    without_known_word: int
    """Documents all of whose tokens are unknown: empty bags, sequences of id 1."""


class Encoder:
    """Settings, vocabulary and idf: all that turns text into what the model was trained on.

    Row 0 is `<pad>`, row 1 `<unk>`, then `words`. `idf` (f64, one a word) belongs to `text.weights = "tfidf"`.
    """

    def __init__(self, text: Text, words: Sequence[str], idf: npt.NDArray[np.float64] | None) -> None:
        if (text.weights == "tfidf") != (idf is not None) or (idf is not None and len(idf) != len(words)):
            raise ValueError(f"weights {text.weights!r}, {len(words)} words, idf {None if idf is None else len(idf)}")
        self.text, self.words, self.idf = text, list(words), idf
        self.spacy_version = spacy_version()
        self._rows: dict[str, int] = {}
        self._tokenizer: Tokenizer | None = None

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return FIRST_WORD + len(self.words)

    @property
    def weighted(self) -> bool:
        """Does it make bags (else sequences)?"""
        return self.text.weights != "none"

    def rows_of(self, words: Iterable[str]) -> Ids:
        """The row of each word, 1 for an unknown one."""
        if not self._rows:
            self._rows = {word: row for row, word in enumerate(self.words, start=FIRST_WORD)}
        rows = self._rows
        return np.fromiter((rows.get(word, UNKNOWN) for word in words), dtype=np.uint32)

    def weigh(self, tokens: Ids, lengths: Ids, cut: int = 0) -> Documents:
        """Documents from the rows of their tokens, already cut to `text.max_tokens`."""
        known = tokens > UNKNOWN
        documents = np.repeat(np.arange(lengths.size), lengths)
        counted = known.size, int(known.size - np.count_nonzero(known)), lengths.size - np.unique(documents[known]).size
        if not self.weighted:
            return Documents(tokens, lengths, None, cut, *counted)
        return Documents(*bag(tokens, lengths, self.text.weights, self.idf), cut, *counted)

    def encode(self, texts: Sequence[str]) -> Documents:
        """Tokenizes and encodes; a text without a known word is an empty bag, or a sequence of `<unk>`."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self.text.language, self.text.lower)
        rows, lengths, cut = [np.empty(0, dtype=np.uint32)], [], 0
        for text in texts:
            tokens = self._tokenizer(text)
            cut += len(tokens) > self.text.max_tokens
            rows.append(self.rows_of(tokens[: self.text.max_tokens]))
            lengths.append(rows[-1].size)
        return self.weigh(np.concatenate(rows), np.array(lengths, dtype=np.uint32), cut)

    def save(self, folder: Path) -> None:
        """Writes `encoder.json`, atomically. Raises OSError."""
        contents = {
            "format": FORMAT,
            "spacy": self.spacy_version,
            "text": asdict(self.text),
            "words": self.words,
            "idf": None if self.idf is None else self.idf.tolist(),
        }
        write_atomically(folder / ENCODER, json.dumps(contents, ensure_ascii=False, allow_nan=False).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "Encoder":
        """Reads what `save` wrote; needs neither spaCy nor torch. Raises DataError."""
        path = folder / ENCODER
        try:
            contents = json.loads(path.read_bytes())
            if contents["format"] != FORMAT:
                raise DataError(f"{path} has format {contents['format']}, this version of muster reads {FORMAT}.")
            words, idf = contents["words"], contents["idf"]
            if not all(isinstance(word, str) for word in words):
                raise TypeError("a word is not a string")
            encoder = cls(Text(**contents["text"]), words, None if idf is None else np.array(idf, dtype=np.float64))
            encoder.spacy_version = str(contents["spacy"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path} is no whole encoder ({error!r}): prepare the data, or copy the model, again."
            ) from None
        return encoder
