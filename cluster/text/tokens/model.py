"""A pretrained model's own tokens: `tokenizers` reads its tokenizer.json.

Texts go through the whole of it (normalising, splitting, pieces), as in transformers, but what looks like a special
token in a text is text. Given words are cut into pieces one by one.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config.models import Pretrained
from cluster.config.pretrained import (
    CATALOGUED,
    Kept,
    digest,
    is_catalogued,
    kept_of,
    known,
    names_of,
    tokenizer_of,
    weight_files,
)
from cluster.errors import RecipeError
from cluster.text.sets import minilm
from cluster.text.sets.catalogue import model_folder
from cluster.text.tokens.found import Found, encodable
from cluster.text.tokens.numbering import Numbered

Ids = npt.NDArray[np.uint32]


class ModelTokens:
    """Splits texts into the pieces that the model knows."""

    by_spacy = False

    def __init__(self, contents: Mapping[str, Any]) -> None:
        self._names = names_of(contents)
        self._tokenizer = loaded(contents)

    def each(self, texts: Iterable[str]) -> Iterator[Found]:
        """The pieces of one text after the other."""
        for text in texts:
            ids = self._tokenizer.encode(encodable(text), add_special_tokens=False).ids
            yield [self._names[one] for one in ids], b""

    def number(self, texts: Sequence[str], limit: int) -> tuple[Numbered, list[str]]:
        """The texts, cut to `limit` pieces, and the distinct pieces."""
        found = self._tokenizer.encode_batch_fast([encodable(text) for text in texts], add_special_tokens=False)
        ids = [one.ids for one in found]
        whole = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        lengths = np.minimum(whole, limit)
        flat = np.fromiter(chain.from_iterable(one[:limit] for one in ids), dtype=np.int64, count=int(lengths.sum()))
        distinct, places = np.unique(flat, return_inverse=True)
        numbered = Numbered(places.astype(np.uint32), lengths.astype(np.uint32), whole > limit, None)
        return numbered, [self._names[one] for one in distinct.tolist()]


class ModelPieces:
    """A model's tokenizer with what the model expects around a text, in rows of our vocabulary.

    `tokenizers` is imported when a word is cut into pieces. Raises what a damaged tokenizer raises: KeyError,
    TypeError, ValueError, RecipeError.
    """

    def __init__(self, contents: Mapping[str, Any], kept: Kept) -> None:
        self.contents, self.kept = dict(contents), kept
        names, ids = names_of(contents), kept.ids_of_rows
        own = ids[2:-2] if kept.speaks else ids[2:]
        self.words = [names.get(one, f"<{one}>") for one in own]
        """Names of the rows that are neither padding, unknown nor a mark."""
        rows = {one: row for row, one in enumerate(ids)}
        self.before, self.after = ([rows[one] for one in around] for around in (kept.before, kept.after))
        if kept.speaks or kept.pair:  # a document of language begins with a mark alone, one of questions is a pair
            self.before, self.after = [], []
        self.pair = None if kept.pair is None else kept.pair.by(rows)
        """What stands around question and context, in rows; None: it reads no questions."""
        self._rows = rows
        self._word = list(islice((one for one, name in names.items() if name.isascii() and name.isalpha()), 1))
        self._tokenizer: Any = None

    def numbers(self, words: Sequence[str]) -> tuple[Ids, Ids]:
        """The rows of the pieces of all words, one after the other, and how many pieces each has, one at least."""
        if self._tokenizer is None:
            self._tokenizer = loaded(self.contents)
        space = " " if _is_bytes(self.contents) else ""  # a word has a space before it
        found = self._tokenizer.encode_batch_fast([space + word for word in words], add_special_tokens=False)
        unknown = [self.kept.special["unknown"]]
        ids = [one.ids or unknown for one in found]
        counts = np.fromiter(map(len, ids), dtype=np.uint32, count=len(ids))
        flat = (self._rows.get(one, 1) for one in chain.from_iterable(ids))
        return np.fromiter(flat, dtype=np.uint32, count=int(counts.sum(dtype=np.int64))), counts

    def decoded(self, rows: Iterable[int]) -> Iterator[str]:
        """Rows as what follows a text, one after the other, as far as their characters are whole."""
        if self._tokenizer is None:
            self._tokenizer = loaded(self.contents)
        # At the beginning of a text decoders leave out the space before a word (Llama), or keep the sign of what goes
        # on with one (BERT): so a word stands before the rows.
        ids, all_ids = list(self._word), self.kept.ids_of_rows
        said = self._tokenizer.decode(ids)
        for row in rows:
            ids.append(all_ids[row])
            text = self._tokenizer.decode(ids)
            if text.startswith(said) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield text[len(said) :]
                said = text

    def around(
        self, tokens: Ids, lengths: Ids, words: npt.NDArray[np.int64] | None
    ) -> tuple[Ids, Ids, npt.NDArray[np.int64] | None]:
        """The special tokens put before and behind each document. They belong to the word before them, so they begin
        none."""
        before, after = len(self.before), len(self.after)
        counts = lengths.astype(np.int64) + before + after
        ends = np.cumsum(counts)
        size = int(ends[-1]) if ends.size else 0
        places = np.arange(tokens.size) + np.repeat(np.arange(lengths.size) * (before + after) + before, lengths)
        framed = np.zeros(size, dtype=np.uint32)
        framed[places] = tokens
        for number, row in enumerate(self.before):
            framed[ends - counts + number] = row
        for number, row in enumerate(self.after):
            framed[ends - after + number] = row
        if words is not None:
            of_token = np.full(size, -1, dtype=np.int64)
            of_token[places] = words
            words = np.maximum.accumulate(of_token)
        return framed, counts.astype(np.uint32), words


def loaded(contents: Mapping[str, Any]) -> Any:
    """The tokenizer. Raises RecipeError for contents that `tokenizers` cannot read."""
    from tokenizers import Tokenizer

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # without a word of ours it warns in forked processes
    try:
        tokenizer = Tokenizer.from_str(json.dumps(contents))
    except Exception as error:  # of no class of its own
        raise RecipeError(f"tokenizer.json of model.folder cannot be read by tokenizers ({error}).") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def _is_bytes(contents: Mapping[str, Any]) -> bool:
    """Does it tell a word at the beginning of a text from one behind a space, as GPT-2 does?"""
    cutter = contents.get("pre_tokenizer") or {}
    several = cutter.get("pretokenizers") or [cutter]
    return any(one.get("type") == "ByteLevel" and not one.get("add_prefix_space") for one in several)


def folder_of(model: Pretrained) -> Path:
    """The model's folder: that of the recipe, or of the catalogue. Raises RecipeError if it is not there."""
    if not is_catalogued(model.folder):
        return Path(model.folder)
    folder = model_folder()
    if not minilm.is_fetched(folder):
        raise RecipeError(
            f'model.folder = "{CATALOGUED}" is not in the cache ({folder}): fetch it with '
            f"`muster data fetch {CATALOGUED}`."
        )
    return folder


def read_model(model: Pretrained, task: str) -> tuple[ModelPieces, str]:
    """The tokens of a recipe's model, and a hash of all that decides them. Raises RecipeError for a folder that cannot
    be used, its weights included, so that nobody prepares in vain."""
    folder, kept = folder_of(model), known(model.kept)
    weight_files(folder, model.pickled)
    there = kept_of(str(folder), task)
    if (there.ids_of_rows, there.pair) != (kept.ids_of_rows, kept.pair):
        raise RecipeError(
            f"model.folder = {model.folder!r} is another model than the one that model.kept tells of: leave "
            "model.kept out."
        )
    contents = tokenizer_of(folder)
    try:
        return ModelPieces(contents, kept), digest(contents, kept)
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{folder / 'tokenizer.json'} is no tokenizer ({error!r}).") from error
