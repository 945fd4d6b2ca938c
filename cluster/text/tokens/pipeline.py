"""From text to numbers: tokens, a vocabulary, a bag or a sequence for each document.

Neither spaCy nor `tokenizers` is imported before a text is met: a training rank may load an encoder without them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.pretrained import Kept
from cluster.config.schema import Text
from cluster.data.durable import write_atomically
from cluster.data.marks import MARKS, end_of, mark_of
from cluster.errors import DataError, RecipeError
from cluster.text.raw.asked import Question
from cluster.text.tokens.asked import PARTS, Flags, Located, QuestionWords, marked
from cluster.text.tokens.asked_pieces import TYPES, QuestionPieces, paired
from cluster.text.tokens.found import Splits
from cluster.text.tokens.given import GIVEN, WORD_MARKS, GivenWords, Input, RawSplits, Words
from cluster.text.tokens.model import ModelPieces, ModelTokens
from cluster.text.tokens.numbering import Numbered, number, splits_of
from cluster.text.tokens.pieces import Pieces
from cluster.text.tokens.tags import OTHER, UNIVERSAL_TAGS, pipeline_identity
from cluster.text.tokens.weights import bag

ENCODER = "encoder.json"
FORMAT = 2
PAD, UNKNOWN, FIRST_WORD = 0, 1, 2
WITH_PIECES = ("bpe", "model")
"""`text.tokens` that are pieces of words."""

Ids = npt.NDArray[np.uint32]


def spacy_version() -> str:
    """The installed spaCy's version, without importing it."""
    return version("spacy")


def tools_of(text: Text) -> dict[str, str]:
    """What tokens depend on besides the settings: the versions of the packages in use, and of the pipeline.

    Raises RecipeError if there is no such pipeline; a package that is missing is met (and named) later.
    """
    wanted = {
        "spacy": True,
        "jieba": text.tokens == "jieba",
        "tokenizers": text.tokens in WITH_PIECES,
        "spacy-lookups-data": text.lemmas == "table",
    }
    found = {}
    for package in (package for package, is_used in wanted.items() if is_used):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    if text.pipeline:
        identity = pipeline_identity(text.pipeline)
        found["pipeline"] = f"{identity['name']} {identity['version']} (sha256 {identity['sha256']})"
    return found


@dataclass(frozen=True)
class Documents:
    """Encoded documents: `tokens` flat, u32; `lengths` u32, one a document."""

    tokens: Ids
    lengths: Ids
    beside: npt.NDArray[Any] | None
    """One item a token: f32 weights in a bag; in a sequence u8 rows of tags (with `text.tags`) or of marks, or u64
    affixes; else None."""
    cut: int
    """How many documents were cut to `text.max_tokens`."""
    read: int
    """Tokens of the texts, after cutting; a bag holds fewer, the distinct known ones, marks are not counted."""
    unknown: int
    """Tokens that are not in the vocabulary; a bag leaves them out, a sequence holds id 1 in their place."""
    without_known_word: int
    """Documents all of whose tokens are unknown: empty bags, sequences of id 1 (one, where nothing was left)."""
    words: npt.NDArray[np.int64] | None = None
    """Which of the given words each token is a piece of, counted over all documents; None: each token is one."""
    written: Ids | None = None
    """Of pairs: how many of a document's tokens, its last, are to be written."""
    given: tuple[Sequence[str], ...] | None = None
    """The words of each document as they were given (by `encode`), those included that were cut."""
    contexts: Ids | None = None
    """Tokens before the context of each question; None: documents are no questions."""
    flags: Flags | None = None
    """Of each token, where answers may begin and end (`data/windows.py`)."""
    located: tuple[Located, ...] = ()
    """The questions as they were given (by `encode`), with the words of their contexts."""

    @property
    def begins_word(self) -> npt.NDArray[np.bool_]:
        """Which tokens are the first, or only, piece of a word."""
        if self.words is None:
            return np.ones(self.tokens.size, dtype=np.bool_)
        begins: npt.NDArray[np.bool_] = np.diff(self.words, prepend=-1) != 0
        return begins


@dataclass(frozen=True)
class Table:
    """What each of W words is to a model: `counts_W[w]` rows of `rows`, one word after the other; None: one each."""

    rows: Ids
    counts_W: Ids | None


class Encoder:
    """Settings, vocabulary and idf: all that turns text into what the model was trained on.

    Row 0 is `<pad>`, row 1 `<unk>`, then `words`; with `marked`, as models need it that write or answer, two more
    follow (`data/marks.py`). No text becomes one of them. `idf` (f64, one a word)
    belongs to `text.weights = "tfidf"`, `pieces` (whose words they are then) to `text.tokens = "bpe"` and
    "model".
    """

    def __init__(
        self,
        text: Text,
        words: Sequence[str],
        idf: npt.NDArray[np.float64] | None,
        pieces: Pieces | ModelPieces | None = None,
        takes: Input = "text",
    ) -> None:
        if (text.weights == "tfidf") != (idf is not None) or (idf is not None and len(idf) != len(words)):
            raise ValueError(f"weights {text.weights!r}, {len(words)} words, idf {None if idf is None else len(idf)}")
        if (text.tokens in WITH_PIECES) != (pieces is not None) or (pieces is not None and pieces.words != list(words)):
            raise ValueError(f"tokens {text.tokens!r}, and {'other' if pieces else 'no'} pieces")
        self.text, self.words, self.idf, self.pieces, self.takes = text, list(words), idf, pieces, takes
        self.tools: dict[str, str] | None = None
        """`tools_of` where it was made; None until it is saved for the first time."""
        self._rows: dict[str, int] = {}
        self._splits: Splits | None = None
        self._given: GivenWords | None = None
        self._asked: QuestionWords | QuestionPieces | None = None
        self._raw: RawSplits | None = None

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return FIRST_WORD + len(self.words) + (MARKS if self.marked else 0)

    @property
    def marked(self) -> bool:
        """Are there marks of ours where documents begin or end, or question and context meet?"""
        own = self.takes == "question" and not isinstance(self.pieces, ModelPieces)
        return own or self.takes in ("language", "pairs")

    @property
    def weighted(self) -> bool:
        """Does it make bags (else sequences)?"""
        return self.text.weights != "none"

    @property
    def tagged(self) -> bool:
        """Do part-of-speech tags, or marks, stand beside the tokens?"""
        return bool(self.tags)

    @property
    def tags(self) -> list[str]:
        """Names of the tags: tag i is row i + 1 beside the tokens, row 0 is padding. None if there are no tags."""
        if self.takes == "question":
            return list(TYPES if isinstance(self.pieces, ModelPieces) else PARTS)
        if self.takes == "predicate":
            return list(WORD_MARKS)
        return list(UNIVERSAL_TAGS) if self.text.tags else []

    @property
    def spacy_version(self) -> str:
        """The spaCy that the vocabulary was made with."""
        return (self.tools or {}).get("spacy") or spacy_version()

    def rows_of(self, words: Iterable[str]) -> Ids:
        """The row of each word, 1 for an unknown one."""
        if not self._rows:
            self._rows = {word: row for row, word in enumerate(self.words, start=FIRST_WORD)}
        rows = self._rows
        return np.fromiter((rows.get(word, UNKNOWN) for word in words), dtype=np.uint32)

    def table(self, words: Sequence[str]) -> Table:
        """The rows of distinct words as `number` gives them."""
        if self.pieces is None or (isinstance(self.pieces, ModelPieces) and self.takes not in GIVEN):
            return Table(self.rows_of(words), None)
        if isinstance(self.pieces, ModelPieces):
            return Table(*self.pieces.numbers(words))
        numbers, counts = self.pieces.numbers(words)
        return Table(numbers + np.uint32(FIRST_WORD), counts)

    def looked_up(
        self, numbered: Numbered, table: Table
    ) -> tuple[Ids, Ids, npt.NDArray[np.bool_], npt.NDArray[np.int64] | None]:
        """The rows of all tokens, how many each document has, which documents were cut, and `Documents.words`."""
        if table.counts_W is None:
            return table.rows[numbered.tokens_N], numbered.lengths_B, numbered.cut_B, None
        return _expanded(numbered, table.rows, table.counts_W, self.text.max_tokens)

    def documents(self, numbered: Numbered, table: Table) -> Documents:
        """Documents from the numbers of their words, given what each word is."""
        tokens, lengths, cut, words = self.looked_up(numbered, table)
        known = tokens > UNKNOWN
        of_document = np.repeat(np.arange(lengths.size), lengths)
        counted = (
            int(np.count_nonzero(cut)),
            known.size,
            int(known.size - np.count_nonzero(known)),
            lengths.size - int(np.count_nonzero(np.bincount(of_document[known], minlength=lengths.size))),
        )
        if isinstance(self.pieces, ModelPieces):
            tokens, lengths, words = self.pieces.around(tokens, lengths, words)
        if self.weighted:
            return Documents(*bag(tokens, lengths, self.text.weights, self.idf), *counted)
        if self.takes in GIVEN:  # no document of given words is empty
            beside = numbered.tags_N if words is None or numbered.tags_N is None else numbered.tags_N[words]
            return Documents(tokens, lengths, beside, *counted, words)
        if self.takes == "pairs":
            return self._pairs(numbered, tokens, lengths, cut)
        if self.takes == "question":
            beside = numbered.tags_N if words is None or numbered.tags_N is None else numbered.tags_N[words]
            assert beside is not None
            if isinstance(self.pieces, ModelPieces):
                assert self.pieces.pair is not None
                made = paired(tokens, lengths, beside, self.pieces.pair)
            else:
                begins = np.ones(tokens.size, dtype=np.bool_) if words is None else np.diff(words, prepend=-1) != 0
                made = marked(tokens, lengths, beside, begins, (mark_of(self.rows), end_of(self.rows)))
            return Documents(
                made.tokens_M, made.lengths_B, made.beside_M, *counted, contexts=made.contexts_B, flags=made.flags_M
            )
        tokens, lengths, tags = _never_empty(tokens, lengths, numbered.tags_N)
        if self.marked:
            starts = np.cumsum(lengths, dtype=np.int64) - lengths
            tokens, lengths = np.insert(tokens, starts, np.uint32(mark_of(self.rows))), lengths + np.uint32(1)
        return Documents(tokens, lengths, tags, *counted)

    def _pairs(self, numbered: Numbered, tokens: Ids, lengths: Ids, cut: npt.NDArray[np.bool_]) -> Documents:
        """Each text with the mark that ends it; the two of a pair are one document. Of texts alone, each is one."""
        tokens = np.insert(tokens, np.cumsum(lengths, dtype=np.int64), np.uint32(end_of(self.rows)))
        sides = (lengths + np.uint32(1)).reshape(-1, numbered.sides)
        known = (tokens > UNKNOWN) & (tokens != end_of(self.rows))
        unknown = int(np.count_nonzero(tokens == UNKNOWN))
        whole = sides.sum(1, dtype=np.uint32)
        of_document = np.repeat(np.arange(whole.size), whole)
        return Documents(
            tokens,
            whole,
            None,
            cut=int(np.count_nonzero(cut.reshape(sides.shape).any(1))),
            read=int(lengths.sum(dtype=np.int64)),
            unknown=unknown,
            without_known_word=whole.size - int(np.unique(of_document[known]).size),
            written=sides[:, 1] if numbered.sides == 2 else None,
        )

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> Documents:
        """Texts and what is to be written of each. Raises RecipeError as `encode` does."""
        self._splits = self._splits or splits_of(self.text)
        numbered, words = number([side for pair in pairs for side in pair], self._splits, self.text)
        return self.documents(replace(numbered, sides=2), self.table(words))

    def encode(self, texts: Sequence[str | Words | Question]) -> Documents:
        """Tokenizes and encodes; a text without a known word is an empty bag, or a sequence of `<unk>`. Words that are
        given (only where it `takes` such) are not tokenized.

        Raises RecipeError if something that it needs (a package, a pipeline) is not there.
        """
        if self.takes == "question":
            own = self.pieces
            self._asked = self._asked or (
                QuestionPieces(own.contents) if isinstance(own, ModelPieces) else QuestionWords(self.text)
            )
            numbered, forms, located = self._asked.number(_question(one) for one in texts)
            return replace(self.documents(numbered, self.table(forms)), located=tuple(located))
        if self.takes in GIVEN:
            self._given = self._given or GivenWords(self.text, marked=self.takes == "predicate")
            given = [self.words_of(one) for one in texts]
            numbered, forms = self._given.number(given)
            return replace(self.documents(numbered, self.table(forms)), given=tuple(one.words for one in given))
        if self._splits is None:
            own = self.pieces
            self._splits = ModelTokens(own.contents) if isinstance(own, ModelPieces) else splits_of(self.text)
        numbered, words = number([_text(one) for one in texts], self._splits, self.text)
        return self.documents(numbered, self.table(words))

    def words_of(self, text: str | Words | Question) -> Words:
        """The words that are given, or those of a text; of one that holds none, the text itself. Raises RecipeError if
        what splits it is not there."""
        if isinstance(text, Words):
            return text
        text = _text(text)
        self._raw = self._raw or RawSplits(self.text)
        return Words(self._raw.words(text) or [text])

    def save(self, folder: Path) -> None:
        """Writes `encoder.json`, atomically. Raises OSError, RecipeError if the pipeline is not there any more."""
        if self.tools is None:
            self.tools = tools_of(self.text)
        contents = {
            "format": FORMAT,
            "tools": self.tools,
            "text": asdict(self.text),
            "words": self.words,
            "idf": None if self.idf is None else self.idf.tolist(),
            "tokenizer": None if self.pieces is None else self.pieces.contents,
            "takes": self.takes,
            "kept": self.pieces.kept.to_json() if isinstance(self.pieces, ModelPieces) else "",
        }
        write_atomically(folder / ENCODER, json.dumps(contents, ensure_ascii=False, allow_nan=False).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "Encoder":
        """Reads what `save` wrote; needs neither spaCy, tokenizers nor torch. Raises DataError."""
        path = folder / ENCODER
        try:
            contents = json.loads(path.read_bytes())
            if contents["format"] not in (1, FORMAT):  # 1 had spaCy's words alone
                raise DataError(f"{path} has format {contents['format']}, this version of muster reads {FORMAT}.")
            words, idf = contents["words"], contents["idf"]
            if not all(isinstance(word, str) for word in words):
                raise TypeError("a word is not a string")
            text = _settings(contents["text"])
            encoder = cls(
                text,
                words,
                None if idf is None else np.array(idf, dtype=np.float64),
                _pieces(text, contents),
                _input(contents.get("takes", "text")),
            )
            tools: dict[str, str] = contents["tools"] if contents["format"] == FORMAT else {"spacy": contents["spacy"]}
            encoder.tools = {str(name): str(found) for name, found in tools.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecipeError) as error:
            raise DataError(
                f"{path} is no whole encoder ({error!r}): prepare the data, or copy the model, again."
            ) from None
        return encoder


def _text(one: str | Words | Question) -> str:
    if not isinstance(one, str):
        raise TypeError(f"{type(one).__name__} are given, but the model was trained on texts")
    return one


def _question(one: str | Words | Question) -> Question:
    if not isinstance(one, Question):
        raise TypeError("a text or words are given, but the model was trained on questions about a context")
    return one


def _input(takes: str) -> Input:
    match takes:
        case "text" | "language" | "pairs" | "words" | "predicate" | "question":
            return takes
        case _:
            raise ValueError(f"it takes {takes!r}")


def _pieces(text: Text, contents: Mapping[str, Any]) -> Pieces | ModelPieces | None:
    tokenizer = contents.get("tokenizer")
    if tokenizer is None:
        return None
    return ModelPieces(tokenizer, Kept.from_json(contents["kept"])) if text.tokens == "model" else Pieces(tokenizer)


def _settings(text: Mapping[str, Any]) -> Text:
    """JSON has lists where settings have tuples."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in text.items()}
    return Text(**values)


def _expanded(
    numbered: Numbered, rows: Ids, counts_W: Ids, limit: int
) -> tuple[Ids, Ids, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Rows, lengths, which documents were cut and `Documents.words`, with `counts_W` rows in each word's place and at
    most `limit`."""
    starts_W = np.cumsum(counts_W, dtype=np.int64) - counts_W
    counts_N = counts_W[numbered.tokens_N].astype(np.int64)
    ends_N = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts_N)])
    ends_B = np.cumsum(numbered.lengths_B, dtype=np.int64)
    first_B = ends_N[ends_B - numbered.lengths_B]
    whole_B = ends_N[ends_B] - first_B
    words = np.repeat(np.arange(counts_N.size), counts_N)
    places = np.repeat(starts_W[numbered.tokens_N] - ends_N[:-1], counts_N) + np.arange(int(ends_N[-1]))
    lengths_B = np.minimum(whole_B, limit)
    kept = np.arange(places.size) - np.repeat(first_B, whole_B) < limit
    return rows[places[kept]], lengths_B.astype(np.uint32), numbered.cut_B | (whole_B > limit), words[kept]


def _never_empty(
    tokens: Ids, lengths: Ids, tags: npt.NDArray[np.uint8] | None
) -> tuple[Ids, Ids, npt.NDArray[np.uint8] | None]:
    """A document of which filters left nothing becomes one `<unk>`: recurrent models cannot read an empty sequence."""
    empty = lengths == 0
    if not empty.any():
        return tokens, lengths, tags
    where = (np.cumsum(lengths, dtype=np.int64) - lengths)[empty]
    if tags is not None:
        tags = np.insert(tags, where, np.uint8(OTHER))
    return np.insert(tokens, where, np.uint32(UNKNOWN)), np.maximum(lengths, 1).astype(np.uint32), tags
