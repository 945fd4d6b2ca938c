"""Questions about contexts through the commands, from raw files to answers; one rank, two and three are the same."""

import json
import re
from pathlib import Path

import pytest

from cluster.config.load import load
from cluster.errors import DataError, RecipeError
from cluster.predictor import Predictor
from cluster.prepare import prepare
from cluster.survey import survey
from cluster.text.raw.asked import Question
from cluster.text.survey.portrait import portrait
from tests.conftest import asked_things

TRAIN = {"steps": 120, "step_size": "32 examples", "log_steps": 40, "checkpoint_steps": 120}
BPE = {"tokens": "bpe", "vocabulary_size": 300}
GRU = {"embedding": 16, "hidden": 24, "bidirectional": True, "dropout": 0.0}


@pytest.fixture(scope="module")
def trained(asking_recipe_of, muster, tmp_path_factory):
    """(recipe, run folder, what `muster train --json` said): files of SQuAD, two ranks, with a baseline."""
    run = tmp_path_factory.mktemp("run") / "run"
    more = {"optim": {"learning_rate": 0.02}, "evaluate": {"baseline": True}, "train": TRAIN}
    recipe = asking_recipe_of("gru", "json", model=GRU, **more)
    ended = muster("train", recipe, "launch.ranks=2", "--run", run, "--json", timeout=300)
    assert ended.code == 0, ended.err
    return recipe, run, ended.json


def test_it_learns_and_stands_beside_a_sliding_window(trained):
    _, _, said = trained
    score, baseline = said["evaluation"], said["baseline"]
    assert score["examples"] == baseline["examples"] == 101
    assert score["answer_f1"] > 0.8 and score["answer_f1"] >= score["exact_match"] > 0.6
    assert baseline["model"] == "sliding window" and baseline["answer_f1"] > 0.2
    assert score["has_answer"]["examples"] + score["no_answer"]["examples"] == 101
    assert score["no_answer"]["exact_match"] == score["no_answer"]["answer_f1"] > 0.5


def test_evaluate_on_a_file_and_another_number_of_ranks_says_the_same(trained, muster, asked_corpus):
    _, run, said = trained
    ended = muster("evaluate", run, "launch.ranks=1", "--data", asked_corpus / "test.jsonl", "--json")
    assert ended.code == 0, ended.err
    for figure, value in said["evaluation"].items():
        if figure not in ("split", "step"):
            assert ended.json[figure] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), figure


def test_evaluate_shows_a_person_the_test_split(trained, muster):
    _, run, said = trained
    shown = muster("evaluate", run)
    assert shown.code == 0, shown.err
    assert f"{said['evaluation']['answer_f1']:.4f}" in shown.out
    assert re.search(r"F1, \d+ with an answer", shown.out) and "101 questions" in shown.out


def test_predict_answers_rows_and_goes_on_after_a_bad_one(trained, here):
    _, run, _ = trained
    (one,) = (row for row in asked_things(40, seed=9) if row["id"] == "9-0")
    rows = [one, {"question": "", "context": "x"}, {"question": "Who?"}, {"context": "x"}, one | {"answer": 5}]
    ended = here("predict", run, stdin="".join(json.dumps(row) + "\n" for row in rows))
    assert ended.code == 2, ended.err
    first, *bad, last = map(json.loads, ended.out.splitlines())
    assert [row["line"] for row in bad] == [2, 3, 4]
    assert first["id"] == "9-0" and last["input_answer"] == 5
    assert 0 <= first["score"] <= 1 and 0 <= first["no_answer"] <= 1
    if first["answer"]:
        assert one["context"][first["start"] : first["end"]] == first["answer"]


def test_predict_reads_files_of_squad_and_says_what_evaluate_says(trained, here, asked_corpus, tmp_path):
    _, run, said = trained
    ended = here("predict", run, "--input", asked_corpus / "test.json", "--output", tmp_path / "out.jsonl")
    assert ended.code == 0, ended.err
    answers = {row["id"]: row for row in map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())}
    assert len(answers) == 101
    ended = here("predict", run, "--input", asked_corpus / "test.json", "--squad")
    assert ended.json == {name: row["answer"] for name, row in answers.items()}
    rows = [json.loads(line) for line in (asked_corpus / "test.jsonl").read_text().splitlines()]
    right = sum(
        answers[row["id"]]["answer"] in ([one["text"] for one in row["answers"]] or [""]) for row in rows
    )  # these answers have neither capitals, articles nor punctuation
    assert right / 101 == pytest.approx(said["evaluation"]["exact_match"])


def test_the_same_from_python_and_of_one_text(trained, here):
    _, run, _ = trained
    context = "The colour3 box has dull. The colour5 box has witty."
    (found,) = Predictor(run).predict([Question("What has the colour5 box?", context)])
    told = here("predict", run, context, "--question", "What has the colour5 box?", "--json")
    assert {key: json.loads(told.out)[key] for key in found} == found
    with pytest.raises(DataError, match="give question and context"):
        Predictor(run).predict([context])


def test_its_page_and_its_data_are_shown(trained, muster):
    recipe, run, said = trained
    page = muster("report", run)
    assert page.code == 0, page.err
    html = (run / "report.html").read_text()
    assert "Questions without one" in html and "Exact match" in html
    if said["evaluation"]["exact_match"] < 1:
        assert "of 101 documents of the test split are wrong" in html and "What has the colour" in html
    found = survey(str(recipe))
    assert found["splits"]["test"]["unanswerable"] == said["evaluation"]["no_answer"]["examples"]
    assert "questions have no answer" in portrait(found, 100)


def losses(run):
    lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "step"]


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


@pytest.mark.parametrize(
    "train, tolerance",
    [
        ({"step_size": "400 tokens"}, 1e-5),
        ({"step_size": "1 examples", "precision": "float64"}, 1e-9),  # two of three ranks are idle
    ],
)
def test_losses_and_scores_agree_on_any_number_of_ranks(pool, asking_recipe_of, tmp_path, train, tolerance):
    settings = {"steps": 10, "log_steps": 1, "checkpoint_steps": 10, "strict": True} | train
    recipe = asking_recipe_of("lstm", train=settings, text=BPE)
    found = []
    for ranks in (1, 2, 3):
        run = tmp_path / f"on-{ranks}"
        assert pool.run(ranks, train_here, recipe=str(recipe), run=str(run)) == [0] * ranks
        found.append(losses(run))
    one, two, three = found
    assert len(one) == 10
    assert two == pytest.approx(one, abs=tolerance) and three == pytest.approx(one, abs=tolerance)
    scores = [json.loads((tmp_path / f"on-{ranks}/evaluation.json").read_text()) for ranks in (1, 2, 3)]
    assert scores[0]["examples"] == 101
    for figure in ("exact_match", "answer_f1", "has_answer", "no_answer", "answered"):
        assert scores[0][figure] == scores[1][figure] == scores[2][figure]


@pytest.mark.parametrize(
    "overrides, says",
    [
        (["model.kind=mlp"], "the mlp reads a bag of words, which has no order; use model.kind = "),
        (["model.kind=cnn"], "the cnn sees a few words in a row, so the question never meets the context"),
        (["model.kind=gpt"], "predicts tokens"),
        (["text.stop_words=drop"], "an answer is given as it stands in the context"),
        (["text.max_tokens=100"], "all of every context is read, window by window"),
        (["task.window_tokens=16"], "a window must have room for task.stride_tokens (12)"),
        (["task.window_tokens=4"], "task.window_tokens = 4"),
        (["evaluate.metric=accuracy"], "has answer_f1, exact_match, loss"),
        (["data.roles=6:"], 'only task.kind = "tag" reads it'),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(asking_recipe_of, overrides, says):
    with pytest.raises(RecipeError, match=re.escape(says)):
        load(str(asking_recipe_of("lstm")), overrides)


def test_a_question_is_a_setting_of_answers_alone(recipe_of):
    with pytest.raises(RecipeError, match=re.escape('only task.kind = "answer" reads it')):
        load(str(recipe_of("lstm")), ["data.question=q"])


def test_answers_that_do_not_stand_there_stop_preparation(asking_recipe_of, here, tmp_path):
    rows = [row for row in asked_things(30, seed=5) if row["answers"]]
    rows[3]["answers"][0]["answer_start"] += 1
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": str(tmp_path / "bad.jsonl"), "validation": "none", "test": "none"}
    ended = here("prepare", asking_recipe_of("lstm", data=data))
    assert ended.code == 2 and "bad.jsonl:4: the answer" in ended.err and "does not stand at answer_start" in ended.err
    accepted = here("prepare", asking_recipe_of("lstm", data=data | {"bad_rows": 0.2}))
    assert accepted.code == 0 and accepted.json["report"]["rejected"] == 1


def test_questions_without_any_answer_are_refused(asking_recipe_of, tmp_path):
    rows = [row | {"answers": []} for row in asked_things(30, seed=7)]
    (tmp_path / "none.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": str(tmp_path / "none.jsonl"), "validation": "none", "test": "none"}
    with pytest.raises(DataError, match="no question of the training split has an answer"):
        prepare(load(str(asking_recipe_of("lstm", data=data))), lambda line: None)


def test_questions_about_one_context_stay_on_one_side(asking_recipe_of, here, tmp_path):
    rows = [row | {"question": f"{row['question']} {n}"} for row in asked_things(60, seed=6) for n in range(3)]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": str(tmp_path / "all.jsonl"), "validation": "none", "test": "auto"}
    report = here("prepare", asking_recipe_of("lstm", data=data)).json["report"]
    assert report["documents"] == 180 and all(split["documents"] % 3 == 0 for split in report["splits"].values())
    assert report["splits"]["test"]["documents"] > 0
