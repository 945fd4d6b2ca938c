"""Prepared data as scipy's sparse matrices: scikit-learn's own values of the same words, rows beside their labels."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.sparse import load_npz
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from cluster import matrices
from cluster.config.load import load
from cluster.config.pretrained import MINILM
from cluster.export import export_npz, main
from cluster.prepare import prepare
from cluster.runs import RunFolder, create_run
from tests.models.folders import tokenizer_of

SPLITS = ("train", "validation", "test")
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def prepared(recipe_of):
    """Prepares the small corpus, or other data, as a model of that kind reads it."""
    return lambda kind, **sections: prepare(load(str(recipe_of(kind, **sections))), lambda line: None)


def rows_of(corpus, split):
    return [json.loads(line) for line in (corpus / f"{split}.jsonl").read_text().splitlines()]


def read(folder, split="train"):
    return load_npz(folder / f"{split}.npz")


def equal(found, wanted):
    return found.shape == wanted.shape and (abs(found - wanted).max() if found.shape[0] else 0) < TOLERANCE


BAG, COUNTS, SEQUENCE = ("linear", {}), ("mlp", {"weights": "count"}), ("lstm", {})
"""Data prepared with TF-IDF, with counts, and without weights."""
HAD_OF = {"tfidf": (BAG, COUNTS, SEQUENCE), "count": (COUNTS, SEQUENCE), "binary": (BAG, COUNTS, SEQUENCE)}


@pytest.mark.parametrize("weights, given", [(weights, given) for weights, all_of in HAD_OF.items() for given in all_of])
def test_the_values_are_those_of_scikit_learn(prepared, corpus, tmp_path, monkeypatch, weights, given):
    kind, text = given
    monkeypatch.setattr(matrices, "TOKENS_AT_ONCE", 1000)  # so that a split is read in many pieces
    data = prepared(kind, text={"vocabulary_size": 30} | text)  # 35 there are: some are unknown
    made = export_npz(data, tmp_path / "out", weights)
    vocabulary = json.loads((tmp_path / "out/vocabulary.json").read_text())
    assert len(vocabulary) == made["words"] == 30
    how = {"vocabulary": vocabulary, "analyzer": str.split}
    theirs = TfidfVectorizer(**how) if weights == "tfidf" else CountVectorizer(**how, binary=weights == "binary")
    theirs.fit([row["text"] for row in rows_of(corpus, "train")])
    for split in SPLITS:
        rows, found = rows_of(corpus, split), read(tmp_path / "out", split)
        assert found.format == "csr" and found.dtype == np.float32 and found.has_canonical_format
        assert equal(found, theirs.transform([row["text"] for row in rows]))
        names, labels = json.loads((tmp_path / "out/labels.json").read_text()), tmp_path / f"out/{split}.labels.npy"
        assert [names[label] for label in np.load(labels)] == [row["label"] for row in rows]
        assert made["splits"][split] == {"documents": len(rows), "values": found.nnz}


def test_a_run_gives_its_recipes_weights_and_scikit_learn_learns_from_them(prepared, recipe_of, muster, tmp_path):
    recipe = recipe_of("linear")
    create_run(RunFolder(tmp_path / "run"), recipe.read_text(), prepared("linear"))
    ended = muster("export", tmp_path / "run", "--format", "npz", "--output", tmp_path / "out", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["weights"] == "tfidf" and ended.json["labels"] == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [f"{split}{end}" for split in SPLITS for end in (".npz", ".labels.npy")] + ["labels.json", "vocabulary.json"]
    )
    train, test = ((read(tmp_path / "out", one), np.load(tmp_path / f"out/{one}.labels.npy")) for one in SPLITS[::2])
    assert LogisticRegression().fit(*train).score(*test) > 0.8


def test_numbers_and_sets_of_labels(prepared, tmp_path):
    texts = ["a bright day", "dull", "zzz the zzz", "a dull day and a bright night"]
    for task, labels in (("regress", [1.5, -2, 0, 7]), ("multilabel", [["x"], [], ["x", "y"], ["y"]])):
        lines = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
        source = tmp_path / f"{task}.jsonl"
        source.write_text("".join(json.dumps(line) + "\n" for line in lines))
        data = {"train": str(source), "validation": "none", "test": "none"}
        export_npz(prepared("linear", data=data, task={"kind": task}), tmp_path / task, "auto")
        vocabulary = json.loads((tmp_path / task / "vocabulary.json").read_text())
        theirs = TfidfVectorizer(vocabulary=vocabulary, analyzer=str.split)
        assert equal(read(tmp_path / task), theirs.fit_transform(texts))
        found = np.load(tmp_path / task / "train.labels.npy")
        assert found.tolist() == (labels if task == "regress" else [[1, 0], [0, 0], [1, 1], [0, 1]])
        assert (tmp_path / task / "labels.json").exists() == (task == "multilabel")


def test_texts_without_labels_have_a_row_each_and_no_marks(prepared, corpus, tmp_path):
    made = export_npz(prepared("gpt"), tmp_path / "out", "count")
    assert made["labels"] == 0 and not list((tmp_path / "out").glob("*label*"))
    vocabulary = json.loads((tmp_path / "out/vocabulary.json").read_text())
    theirs = CountVectorizer(vocabulary=vocabulary, analyzer=str.split)
    assert equal(read(tmp_path / "out"), theirs.transform([row["text"] for row in rows_of(corpus, "train")]))


def test_pieces_are_words_like_others_but_for_what_a_model_puts_around_a_text(prepared, corpus, tmp_path):
    texts = [row["text"] for row in rows_of(corpus, "test")]
    model = {"folder": str(bert_folder(tmp_path / "bert", texts))}
    for kind, sections in (
        ("lstm", {"text": {"tokens": "bpe", "vocabulary_size": 400}}),
        ("pretrained", {"model": model}),
    ):
        export_npz(prepared(kind, **sections), tmp_path / kind, "count")
        words = json.loads((tmp_path / kind / "vocabulary.json").read_text())
        found = read(tmp_path / kind, "test")
        assert found.shape == (101, len(words)) and "[CLS]" not in np.array(words)[found.sum(0).A1 > 0]
        letters = np.array([sum(one.isascii() and one.isalpha() for one in word) for word in words])
        assert (found @ letters).tolist() == [sum(one.isalpha() for one in text) for text in texts]


def bert_folder(folder, texts):
    """A pretrained model as far as preparation looks at one: its weights are not read."""
    folder.mkdir()
    tokenizer = tokenizer_of("bert", " ".join(texts).split())
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(MINILM.config | {"vocab_size": tokenizer.get_vocab_size()}))
    (folder / "tokenizer_config.json").write_text(json.dumps(MINILM.roles))
    save_file({"nothing": np.zeros(1)}, folder / "model.safetensors")
    return folder


def test_a_split_without_a_known_word_is_a_row_of_zeros(prepared, corpus, tmp_path):
    (tmp_path / "strange.jsonl").write_text('{"text": "qqq", "label": "good"}\n{"text": "www", "label": "odd"}\n')
    data = {"validation": "none", "test": str(tmp_path / "strange.jsonl")}
    for kind in ("linear", "lstm"):
        export_npz(prepared(kind, data=data), tmp_path / kind, "tfidf")
        assert read(tmp_path / kind, "test").nnz == 0 and read(tmp_path / kind, "test").shape[0] == 2
        assert np.load(tmp_path / kind / "test.labels.npy").tolist() == [1, -1]


def test_it_is_made_without_torch_and_spacy(prepared, tmp_path):
    code = (
        "import sys; from cluster.export import main; main(sys.argv[1:]); print(set(sys.modules) & {'torch', 'spacy'})"
    )
    asked = [str(prepared("linear")), "--format", "npz", "--output", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *asked], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("set()\n") and "400 documents" in done.stdout, done.stdout + done.stderr


def test_bad_input_is_named_and_leaves_nothing(prepared, tagging_recipe_of, tmp_path, capsys):
    bag, words = prepared("linear"), prepared("lstm")
    tagged = prepare(load(str(tagging_recipe_of("lstm"))), lambda line: None)
    pairs = prepared("seq2seq")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/manifest.json").write_text('{"name": "an app"}')
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    (tmp_path / "file").touch()
    create_run(RunFolder(tmp_path / "run"), "", tmp_path / "gone")
    out, before = tmp_path / "out", sorted(path.name for path in tmp_path.iterdir())
    for source, output, more, said in [
        (tmp_path / "absent", out, [], "absent is no folder: name one that `muster prepare` printed, or a run"),
        (tmp_path / "foreign", out, [], "no manifest.json"),
        (tmp_path / "other", out, [], "manifest.json: format must be"),
        (tmp_path / "file", out, [], "is no folder"),
        (tmp_path / "run", out, [], "gone holds no manifest.json"),
        (bag, tmp_path / "full", [], "is there already: name a folder that is not"),
        (bag, tmp_path / "file", [], "is there already"),
        (bag, tmp_path / "no/where", [], "there is no folder"),
        (bag, out, ["--weights", "count"], 'prepared with text.weights = "tfidf"'),
        (words, out, [], "choose some with --weights count, tfidf or binary"),
        (tagged, out, ["--weights", "count"], "each word of a document has a label"),
        (pairs, out, ["--weights", "count"], "a pair of texts"),
        (bag, out, ["--format", "onnx", "--weights", "count"], "for --format npz alone"),
    ]:
        assert main([str(source), "--format", "npz", "--output", str(output), *more]) == 2
        told = capsys.readouterr()
        assert said in told.err and not told.out, told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_wrong_option_is_refused_before_anything_starts(muster, tmp_path):
    ended = muster("export", tmp_path, "--format", "npz", "--weights", "bm25", "--output", tmp_path / "out")
    assert ended.code == 2 and "tfidf" in ended.err and "Traceback" not in ended.err


def test_damaged_data_is_named_and_nothing_is_written(prepared, tmp_path, capsys, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path_factory.mktemp("damaged")))
    data = prepared("lstm")
    with open(data / "train/00000.tokens", "r+b") as file:
        file.write(b"\xff\xff")
    assert main([str(data), "--format", "npz", "--weights", "tfidf", "--output", str(tmp_path / "out")]) == 2
    assert "train/00000.tokens is damaged in 4 MiB block 0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
