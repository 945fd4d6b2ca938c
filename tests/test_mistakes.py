import json
import subprocess
import sys

import numpy as np
import pytest

from cluster.data.manifest import describe_file
from cluster.errors import RunError
from cluster.mistakes import lengths, main, mistakes, plane
from cluster.runs import RunFolder


class Documents:
    """As much of a ShardReader as its lengths need."""

    weighted = False

    def __init__(self, numbers):
        self.lengths, self.documents = np.asarray(numbers, dtype=np.uint32), len(numbers)


def test_the_worst_come_first_with_their_texts(made_run):
    found = mistakes(RunFolder(made_run()), 3)
    assert [one["line"] for one in found["mistakes"]] == [36, 31, 26]  # documents 35, 30, 25: lines count from 1
    worst = found["mistakes"][0]
    assert worst["text"] == "document number 35" and worst["file"].endswith("source.jsonl")
    assert (worst["true"], worst["predicted"], worst["probability"]) == ("class-2", "class-0", 0.9)
    assert worst["loss"] == pytest.approx(2.35)
    assert (found["wrong"], found["documents"], found["split"], found["missing"]) == (8, 40, "test", [])


def test_only_wrong_documents_are_mistakes_of_a_classifier(made_run):
    run = RunFolder(made_run())
    assert len(mistakes(run, 50)["mistakes"]) == 8
    assert mistakes(run, 0)["mistakes"] == []


def test_sets_of_labels(made_run):
    found = mistakes(RunFolder(made_run(task="multilabel")), 2)
    assert found["wrong"] == 8 and found["plane"] is None
    assert (found["mistakes"][0]["true"], found["mistakes"][0]["predicted"]) == ("class-2", "class-0")


def test_numbers(made_run):
    found = mistakes(RunFolder(made_run(task="regress")), 50)
    assert found["wrong"] is None and len(found["mistakes"]) == 40
    assert (found["mistakes"][0]["true"], found["mistakes"][0]["predicted"]) == ("5", "6")
    assert np.sum(found["plane"]["counts"]) == 40


def test_a_long_text_is_cut(made_run):
    found = mistakes(RunFolder(made_run(words=lambda i: f"{i} " + "x" * 2000)), 1)
    assert len(found["mistakes"][0]["text"]) == 1000 and found["mistakes"][0]["cut"]


def test_a_label_that_training_never_saw_is_named_from_the_source(made_run):
    run = made_run()
    column = run.parent / "prepared" / "test" / "labels"
    labels = np.fromfile(column, dtype="<i4")
    labels[35] = -1
    labels.tofile(column)
    path = run.parent / "prepared" / "manifest.json"
    manifest = json.loads(path.read_text())
    hashes = {name: describe_file(path.parent, "test/labels")[name] for name in ("sha256", "blocks")}
    manifest["splits"]["test"]["columns"]["labels"] |= hashes
    path.write_text(json.dumps(manifest))
    assert mistakes(RunFolder(run), 1)["mistakes"][0]["true"] == "class-2"


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda run: (run.parent / "source.jsonl").write_text('{"text": "new", "label": "a"}\n'), "was changed since"),
        (lambda run: (run.parent / "source.jsonl").unlink(), "cannot be read"),
        (lambda run: (run / "predictions.npz").unlink(), "predictions of the run are not there"),
        (lambda run: (run / "predictions.npz").write_bytes(b"PK\x03\x04 no archive"), "predictions.npz cannot be read"),
        (lambda run: np.savez(run / "predictions.npz", loss=np.zeros(3), predicted=np.zeros(3)), "no probability"),
        (
            lambda run: np.savez(run / "predictions.npz", **dict.fromkeys(["loss", "predicted", "probability"], [0.0])),
            "has 40 documents",
        ),
        (lambda run: (run.parent / "prepared").rename(run.parent / "away"), "prepared data is gone"),
        (lambda run: (run.parent / "prepared" / "test" / "lengths").unlink(), "No mistakes"),
    ],
)
def test_what_is_not_there_is_said_and_the_rest_is_told(made_run, spoil, said, capsys):
    run = made_run()
    spoil(run)
    assert main([str(run)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert said in " ".join(found["missing"])
    assert all(one["text"] is None for one in found["mistakes"])
    assert found["lengths"] or not (run.parent / "prepared").exists()


def test_losses_that_are_no_numbers_stay_json(made_run):
    run = made_run()
    kept = dict(np.load(run / "predictions.npz"))
    kept["loss"][5] = np.nan
    kept["loss"][10] = np.inf
    np.savez(run / "predictions.npz", **kept)
    found = mistakes(RunFolder(run), 3)["mistakes"]
    assert [one["line"] for one in found] == [6, 11, 36] and found[0]["loss"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    "numbers, edges, counts",
    [
        ([3], [3, 4], [1]),
        ([1, 2, 2, 4], [1, 2, 3, 4, 5], [1, 2, 0, 1]),
        ([], [], []),
    ],
)
def test_lengths(numbers, edges, counts):
    found = lengths(Documents(numbers))
    assert (found["edges"], found["counts"]) == (edges, counts)


def test_a_giant_does_not_squeeze_the_others_into_one_bar():
    found = lengths(Documents([*range(1, 101), 10**6]))
    assert found["longest"] == 10**6 and found["edges"][-1] < 110 and sum(found["counts"]) == 101
    assert len(found["counts"]) > 20


def test_numbers_of_few_values_have_a_column_each():
    found = plane(np.array([1.0, 2.0, 5.0, 5.0]), np.array([1.5, 2.5, 4.0, np.nan]))
    assert found["across"] == [0.5, 1.5, 3.5, 6.5]
    assert [sum(column) for column in found["counts"]] == [1, 1, 1]  # what is no number is left out
    assert plane(np.array([1.0]), np.array([np.nan])) is None


def test_it_is_light_and_says_what_is_no_run(tmp_path, made_run):
    code = "import sys, cluster.mistakes; sys.exit(bool({'torch', 'spacy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert main([str(tmp_path / "none")]) == 2
    run = made_run()
    (run / "recipe.toml").unlink()
    with pytest.raises(RunError, match="cannot be read"):
        mistakes(RunFolder(run))
