"""Every task through the commands, from raw file to answers: train, evaluate, predict, report."""

import json
import random

import pytest

from tests.conftest import BAD, GOOD, PLAIN, sampled

SPLITS = {"train": 400, "validation": 60, "test": 101}


def sentences(seed, documents):
    chance = random.Random(seed)
    for _ in range(documents):
        words = chance.choices([GOOD, BAD, PLAIN], [2, 1, 7], k=chance.randint(3, 20))
        yield [chance.choice(kind) for kind in words]


def labels_of(words):
    return [name for name, kind in (("praise", GOOD), ("blame", BAD)) if set(words) & set(kind)]


def stars_of(words):
    return sum(word in GOOD for word in words) - sum(word in BAD for word in words)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The same sentences with a number of stars as .tsv, with sets of labels as .jsonl, and rarely "blame" as .csv."""
    folder = tmp_path_factory.mktemp("sets")
    for seed, (split, documents) in enumerate(SPLITS.items()):
        made = list(sentences(seed, documents))
        rows = [f"{' '.join(words)}\t{stars_of(words)}\n" for words in made]
        (folder / f"{split}.tsv").write_text("text\tlabel\n" + "".join(rows))
        lines = [json.dumps({"text": " ".join(words), "label": labels_of(words)}) + "\n" for words in made]
        (folder / f"{split}.jsonl").write_text("".join(lines))
        rows = [f"{' '.join(words)},{'blame' if stars_of(words) < -1 else 'other'}\n" for words in made]
        (folder / f"{split}.csv").write_text("text,label\n" + "".join(rows))
    return folder


def named(sets, ending):
    return {split: str(sets / f"{split}.{ending}") for split in SPLITS}


# format of the raw files, kind of model, sections of the recipe
CASES = {
    "regress": ("tsv", "transformer", {"task": {"kind": "regress"}}),
    "regress, characters": ("tsv", "linear", {"task": {"kind": "regress"}, "text": {"tokens": "characters"}}),
    "multilabel, pieces of words": (
        *("jsonl", "cnn"),
        {"task": {"kind": "multilabel", "threshold": 0.4}, "text": {"tokens": "bpe", "vocabulary_size": 300}},
    ),
    "class weights, smoothed labels": (
        *("csv", "gru"),
        {"task": {"kind": "classify", "class_weights": "balanced", "label_smoothing": 0.1}},
    ),
}
TRAIN = {"steps": 60, "step_size": "32 examples", "log_steps": 20, "checkpoint_steps": 60}


@pytest.fixture(scope="module", params=sampled(CASES, "regress", "multilabel, pieces of words"))
def trained(request, sets, recipe_of, muster, tmp_path_factory):
    """(name of the case, run folder, what `muster train --json` said), two ranks, with a baseline."""
    ending, kind, sections = CASES[request.param]
    run = tmp_path_factory.mktemp("run") / "run"
    more = {"optim": {"learning_rate": 0.01}, "evaluate": {"baseline": True}, "train": TRAIN}
    recipe = recipe_of(kind, data=named(sets, ending), **sections, **more)
    ended = muster("train", recipe, "launch.ranks=2", "--run", run, "--json")
    assert ended.code == 0, ended.err
    return request.param, run, ended.json


def test_the_model_learns_and_stands_beside_a_baseline_on_the_same_examples(trained, muster):
    name, run, said = trained
    score, baseline = said["evaluation"], said["baseline"]
    assert score["examples"] == SPLITS["test"]
    if name.startswith("regress"):
        assert score["r2"] > (0.5 if "characters" not in name else 0.0)  # letters tell little of a word
        assert baseline["r2"] > (0.5 if "characters" not in name else 0.0)
        assert -1 <= score["spearman"] <= 1 and score["mae"] ** 2 <= score["mse"]
    elif name.startswith("multilabel"):
        assert score["f1"]["micro"] > 0.8 and baseline["f1_micro"] > 0.8
        assert set(score["f1"]["per_class"]) == {"praise", "blame"}
    else:
        assert score["recall"]["per_class"]["blame"] > 0.7  # one in nine has this label
        assert baseline["accuracy"] > 0.8


def test_evaluate_on_another_number_of_ranks_says_the_same(trained, muster):
    _, run, said = trained
    ended = muster("evaluate", run, "launch.ranks=1", "--json")
    assert ended.code == 0, ended.err
    for figure, value in said["evaluation"].items():
        if figure in ("split", "step"):  # what training says of its score beyond the score
            continue
        assert ended.json[figure] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), figure


def test_predict_tells_good_from_bad_and_goes_on_after_a_bad_line(trained, here):
    name, run, _ = trained
    good, bad = " ".join([*GOOD[:4], *PLAIN[:4]]), " ".join([*BAD[:4], *PLAIN[:4]])
    lines = [json.dumps({"text": good}), "{", json.dumps({"text": bad})]
    ended = here("predict", run, "--field", "text", stdin="\n".join(lines) + "\n")
    assert ended.code == 2 and "standard input:2" in ended.err
    first, error, last = (json.loads(line) for line in ended.out.splitlines())
    assert error["line"] == 2
    if name.startswith("regress"):
        assert first["value"] > last["value"] + (1 if "characters" not in name else 0)
    elif name.startswith("multilabel"):
        assert "praise" in first["labels"] and "blame" in last["labels"]
        for label, answer, other in (("praise", first, last), ("blame", last, first)):
            assert answer["probabilities"][label] > other["probabilities"][label]
    else:
        assert (first["label"], last["label"]) == ("other", "blame")


def test_its_page_is_written(trained, muster):
    _, run, _ = trained
    page = muster("report", run)
    assert page.code == 0, page.err
    assert (run / "report.html").stat().st_size > 10_000


BAD_INPUT = {
    "a word for a number": ("csv", ["task.kind=regress"], ["train.csv:2", "not a number"]),
    "sets of labels where one is wanted": ("jsonl", [], ["train.jsonl:1", "multilabel"]),
    "a figure of another task": ("tsv", ["task.kind=regress", "evaluate.metric=accuracy"], ["evaluate.metric", "mse"]),
    "a threshold of one": ("jsonl", ["task.kind=multilabel", "task.threshold=1"], ["task.threshold = 1", "below 1"]),
    "a setting of another task": ("tsv", ["task.kind=regress", "task.threshold=0.5"], ["task.threshold", "regress"]),
    "smoothing all of it": ("csv", ["task.label_smoothing=1.0"], ["task.label_smoothing = 1.0", "below 1"]),
    "pieces fewer than letters": ("csv", ["text.tokens=bpe", "text.vocabulary_size=100"], ["text.vocabulary_size"]),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_refused_in_one_message(sets, recipe_of, muster, tmp_path, name):
    ending, overrides, says = BAD_INPUT[name]
    recipe = recipe_of(data=named(sets, ending))
    ended = muster("train", recipe, *overrides, "--run", tmp_path / "run")
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    for words in says:
        assert words in ended.err
    assert not (tmp_path / "run").exists()
