"""Tokens, part-of-speech tags and lemmas as a trained spaCy pipeline finds them in context.

Its tokens are those of its own tokenizer. The pipeline is run as it is but for the parts that find neither tags nor
lemmas: the parser stays, because rules that set tags may look at what it found (those of spaCy's English ones do).
"""

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from cluster.config.schema import PartOfSpeech, Text
from cluster.errors import RecipeError
from cluster.text.tokens.forms import Forms
from cluster.text.tokens.found import Found, encodable

UNIVERSAL_TAGS: tuple[PartOfSpeech, ...] = get_args(PartOfSpeech)
"""universaldependencies.org/u/pos; row 0 of an embedding of tags is padding, tag i has row i + 1."""
ROWS = {tag: row for row, tag in enumerate(UNIVERSAL_TAGS, start=1)} | {"CONJ": UNIVERSAL_TAGS.index("CCONJ") + 1}
OTHER = ROWS["X"]
# Factories of components that set neither tags nor lemmas, nor what those that do may look at.
NEEDLESS = ("ner", "beam_ner", "entity_linker", "entity_ruler", "span_ruler", "spancat", "spancat_singlelabel",
            "span_finder", "textcat", "textcat_multilabel")  # fmt: skip
LEMMATIZERS = ("lemmatizer", "trainable_lemmatizer")
TEXTS_AT_ONCE = 128
# spaCy's string store never shrinks: about 200 MB with what the vocabulary keeps of each string. Then the pipeline is
# loaded anew. (Processes with `max_tasks_per_child` would do, but hang up to Python 3.13.14: gh-115634.)
MOST_NEW_STRINGS = 1 << 18


class Tagger:
    """Splits texts with `text.pipeline`. Raises RecipeError: no such pipeline, or it lacks tags or lemmas."""

    by_spacy = False  # it does, but as asked for

    def __init__(self, text: Text) -> None:
        self._text = text
        self._kept = frozenset(ROWS[tag] for tag in text.keep_tags)
        self._needs_tags = text.tags or bool(text.keep_tags)
        self._is_checked = False
        self._start()

    def each(self, texts: Iterable[str]) -> Iterator[Found]:
        """The tokens of one text after the other, and the rows of their tags if `text.tags` asks for them."""
        waiting: list[str] = []
        for text in texts:
            waiting.append(encodable(text))
            if len(waiting) == TEXTS_AT_ONCE:
                yield from self._many(waiting)
                waiting = []
        yield from self._many(waiting)

    def _start(self) -> None:
        self._language = load(self._text)
        if self._language.lang != self._text.language:
            raise RecipeError(
                f"text.pipeline = {self._text.pipeline!r} is one for {self._language.lang!r}, but text.language = "
                f"{self._text.language!r}: make them the same."
            )
        self._forms = Forms(self._language, self._text)
        self._strings = len(self._language.vocab.strings)

    def _many(self, texts: list[str]) -> Iterator[Found]:
        if len(self._language.vocab.strings) > self._strings + MOST_NEW_STRINGS:
            self._start()
        documents = list(self._language.pipe(texts, batch_size=TEXTS_AT_ONCE))
        self._refuse_lacking(documents)
        yield from map(self._found, documents)

    def _found(self, document: Any) -> Found:
        in_context, lower = self._text.lemmas == "pipeline", self._text.lower
        tokens, tags = [], bytearray()
        for token in document:
            text = token.text
            if text.isspace():
                continue
            row = ROWS.get(token.pos_, OTHER)
            if self._kept and row not in self._kept:
                continue
            form = self._forms.of(text)
            if not form:
                continue
            if in_context and (lemma := token.lemma_):
                form = lemma.lower() if lower else lemma
            tokens.append(form)
            tags.append(row)
        return tokens, bytes(tags) if self._text.tags else b""

    def _refuse_lacking(self, documents: list[Any]) -> None:
        """A pipeline that never sets tags, or lemmas, would give empty ones without a word."""
        if self._is_checked or not any(map(len, documents)):
            return

        def lacks(annotation: str) -> bool:  # one that goes by rules may have none for a single document
            return not any(document.has_annotation(annotation) for document in documents)

        lacking = ["part-of-speech tags"] if self._needs_tags and lacks("POS") else []
        if self._text.lemmas == "pipeline" and lacks("LEMMA"):
            lacking.append("lemmas")
        if lacking:
            raise RecipeError(
                f"text.pipeline = {self._text.pipeline!r} finds no {' and no '.join(lacking)} (it has: "
                f"{', '.join(self._language.pipe_names) or 'nothing'}). Name one that does, or leave out what needs it."
            )
        self._is_checked = True


def load(text: Text) -> Any:
    """The pipeline `text.pipeline`, without what finds neither tags nor lemmas. Raises RecipeError."""
    import spacy

    folder = pipeline_folder(text.pipeline)
    needless = (*NEEDLESS, *(() if text.lemmas == "pipeline" else LEMMATIZERS))
    try:
        config = spacy.util.load_config(folder / "config.cfg")
        factories = {name: component.get("factory", "") for name, component in config["components"].items()}
        language = spacy.load(folder, exclude=[name for name, factory in factories.items() if factory in needless])
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"text.pipeline = {text.pipeline!r} cannot be loaded: {reason[:300]}") from None
    # spaCy refuses longer texts, lest the parser's memory runs out; rows are limited where they are read.
    language.max_length = 1 << 31
    return language


def pipeline_folder(pipeline: str) -> Path:
    """Where a trained pipeline lies: the folder with its `config.cfg`. Raises RecipeError if there is none."""
    path = Path(pipeline).expanduser()
    try:
        spec = None if path.is_dir() or not pipeline.isidentifier() else importlib.util.find_spec(pipeline)
    except (ImportError, ValueError):
        spec = None
    base = path if spec is None or spec.origin is None else Path(spec.origin).parent
    for folder in (base, *sorted(base.glob("*-*"))):
        if (folder / "config.cfg").is_file() and (folder / "meta.json").is_file():
            return folder
    raise RecipeError(
        f"text.pipeline = {pipeline!r} is neither an installed pipeline nor a folder with one (config.cfg, meta.json). "
        f"Install it (python -m spacy download {pipeline}), or give the folder's path."
    )


def pipeline_identity(pipeline: str) -> dict[str, str]:
    """Name, version and a hash over all files of a trained pipeline, wherever it lies. Raises RecipeError."""
    folder = pipeline_folder(pipeline)
    whole = hashlib.sha256()
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
        name = f"{meta['lang']}_{meta['name']}"
        return {"name": name, "version": str(meta["version"]), "sha256": whole.hexdigest()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"text.pipeline = {pipeline!r}: {folder} is no whole pipeline ({error!r})") from None
