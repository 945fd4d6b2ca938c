"""Labels of words through the commands, from raw files to answers; one rank, two and three are the same run."""

import json
import re
from pathlib import Path

import pytest

from cluster.config.load import load
from cluster.errors import DataError, RecipeError
from cluster.predictor import Predictor
from cluster.prepare import prepare
from cluster.text.tokens.given import Words
from tests.conftest import sampled
from tests.test_predict import make_model

TRAIN = {"steps": 150, "step_size": "32 examples", "log_steps": 30, "checkpoint_steps": 150}
BPE = {"tokens": "bpe", "vocabulary_size": 300}
# ending of the raw files, kind of model, [text]
CASES = {
    "marked, lists of words": ("jsonl", "lstm", {"affixes": True}),
    "marked, columns, pieces of words": ("conll", "gru", BPE),
}
MODELS = {
    "lstm": {"bidirectional": True, "dropout": 0.0},
    "gru": {"embedding": 16, "hidden": 16, "bidirectional": True, "pooling": "last", "dropout": 0.0},
}


@pytest.fixture(scope="module", params=sampled(CASES, "marked, columns, pieces of words"))
def trained(request, tagging_recipe_of, muster, tmp_path_factory):
    """(name of the case, recipe, run folder, what `muster train --json` said), two ranks, with a baseline."""
    ending, kind, text = CASES[request.param]
    run = tmp_path_factory.mktemp("run") / "run"
    more = {"optim": {"learning_rate": 0.01}, "evaluate": {"baseline": True}, "train": TRAIN}
    recipe = tagging_recipe_of(kind, ending, model=MODELS[kind], text=text, **more)
    ended = muster("train", recipe, "launch.ranks=2", "--run", run, "--json", timeout=300)
    assert ended.code == 0, ended.err
    return request.param, recipe, run, ended.json


def test_it_learns_what_the_most_frequent_label_cannot_tell(trained):
    _, _, _, said = trained
    score, baseline = said["evaluation"], said["baseline"]
    assert score["documents"] == 101 and score["examples"] == baseline["examples"] > 500
    assert score["span_f1"] > 0.8 > baseline["span_f1"]  # which spans count depends on where the mark is
    assert set(score["spans"]["per_type"]) == {"PRAISE", "BLAME"}
    assert score["accuracy"] > baseline["accuracy"] > 0.5
    assert baseline["unknown_words"] == 0


def test_evaluate_on_a_file_and_another_number_of_ranks_says_the_same(trained, muster, tagged_corpus):
    name, _, run, said = trained
    ending = CASES[name][0]
    ended = muster("evaluate", run, "launch.ranks=1", "--data", tagged_corpus / f"test.{ending}", "--json")
    assert ended.code == 0, ended.err
    for figure, value in said["evaluation"].items():
        if figure not in ("split", "step"):  # what training says of its score beyond the score
            assert ended.json[figure] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), figure


def test_evaluate_shows_a_person_the_test_split(trained, muster):
    _, _, run, said = trained
    shown = muster("evaluate", run)
    assert shown.code == 0, shown.err
    assert re.search(r"spans of +precision +recall +F1 +spans", shown.out)
    assert f"{said['evaluation']['span_f1']:.4f}" in shown.out


def test_predict_takes_words_and_goes_on_after_a_bad_line(trained, here):
    _, _, run, _ = trained
    tokens = ["witty", "the", "warm", "film", "dull", "film"]
    rows = [
        {"tokens": tokens, "predicate": 1},
        {"tokens": tokens},
        {"tokens": tokens, "predicate": 6},
        {"tokens": [], "predicate": 0},
        {"tokens": tokens, "predicate": 3, "id": 7, "tags": ["?"]},
    ]
    ended = here("predict", run, "--field", "tokens", stdin="".join(json.dumps(row) + "\n" for row in rows))
    assert ended.code == 2, ended.err
    first, *bad, last = map(json.loads, ended.out.splitlines())
    assert [row["line"] for row in bad] == [2, 3, 4]
    assert "predicate must be the place of one of the 6 words" in bad[0]["error"]
    assert first["tags"] == ["O", "O", "B-PRAISE", "O", "B-BLAME", "O"]
    assert first["spans"] == [
        {"label": "PRAISE", "start": 2, "end": 3, "tokens": ["warm"]},
        {"label": "BLAME", "start": 4, "end": 5, "tokens": ["dull"]},
    ]
    assert last["tags"] == ["O", "O", "O", "O", "B-BLAME", "O"]
    assert (last["id"], last["input_tags"]) == (7, ["?"]) and "input_tokens" not in last
    assert all(0 < one <= 1 for one in first["probabilities"])


def test_text_without_a_mark_is_refused(trained, here):
    _, _, run, _ = trained
    ended = here("predict", run, "a warm film", "--json")
    assert ended.code == 2 and "give tokens and predicate" in ended.err
    with pytest.raises(DataError, match="text 1: .*give tokens and predicate"):
        Predictor(run).predict(["a warm film"])


def test_the_same_from_python(trained):
    _, _, run, _ = trained
    one, other = Predictor(run).predict([Words(["a", "warm", "film"], 0), Words(["dull"], 0)])
    assert one["tags"] == ["O", "B-PRAISE", "O"] and other["tags"] == ["O"]


def test_its_page_shows_spans_and_the_words_that_are_wrong(trained, muster):
    _, _, run, said = trained
    page = muster("report", run)
    assert page.code == 0, page.err
    html = (run / "report.html").read_text()
    assert "Span F1" in html and "PRAISE" in html and "words of" in html
    if said["evaluation"]["accuracy"] < 1:
        assert re.search(r"predicted <b[^>]*>\w+ (O|[BI]-\w+)", html)


def test_what_is_in_the_data(trained, muster, here):
    _, recipe, _, _ = trained
    ended = here("survey", recipe, "--json")
    assert ended.code == 0, ended.err
    split = ended.json["splits"]["train"]
    assert split["labels"]["O"] > split["labels"]["B-PRAISE"] > 0
    assert len(ended.json["examples"]["train"][0]["labels"]) > 1
    assert muster("inspect", "data", recipe).code == 0


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A folder with parts of speech as CoNLL-U, nothing marked, and a recipe for them."""
    folder = tmp_path_factory.mktemp("speech")
    words = {"a": "DET", "the": "DET", "cat": "NOUN", "dog": "NOUN", "sees": "VERB", "hears": "VERB"}
    sentence = "".join(
        f"{n}\t{w}\t_\t{words[w]}\t_\t_\t_\t_\t_\t_\n" for n, w in enumerate(["the", "cat", "sees", "a", "dog"], 1)
    )
    other = "".join(f"{n}\t{w}\t_\t{words[w]}\t_\t_\t_\t_\t_\t_\n" for n, w in enumerate(["dog", "hears", "the"], 1))
    (folder / "train.conllu").write_text(f"{sentence}\n{other}\n" * 20)
    (folder / "test.conllu").write_text(f"{sentence}\n{other}\n{sentence.replace('NOUN', 'PROPN')}\n")
    (folder / "recipe.toml").write_text(
        f'[data]\ntrain = "{folder}/train.conllu"\ntest = "{folder}/test.conllu"\nvalidation = "none"\n'
        '[task]\nkind = "tag"\n[model]\nkind = "gru"\nembedding = 8\nhidden = 8\nbidirectional = true\n'
        '[optim]\nlearning_rate = 0.05\n[train]\nsteps = 30\nstep_size = "8 examples"\n'
        '[evaluate]\nbaseline = true\n[launch]\ndevice = "cpu"\nranks = 1\n'
    )
    return folder


@pytest.fixture(scope="module")
def speaking(speech, muster):
    run = speech / "run"
    ended = muster("train", speech / "recipe.toml", "--run", run)
    assert ended.code == 0, ended.err
    return run, ended


def test_a_person_sees_words_with_labels(speaking, here, speech):
    run, ended = speaking
    assert "words in 3 documents, of which 2 have labels that training never saw" in ended.out
    assert "most frequent label of each word" in ended.out
    assert "accuracy" in ended.out and "span" not in ended.out
    told = here("predict", run, "The dog hears", "--json")
    assert json.loads(told.out)["tags"] == ["DET", "NOUN", "VERB"]
    rows = here("predict", run, "--input", speech / "test.conllu")
    assert [json.loads(row)["tags"] for row in rows.out.splitlines()][1] == ["NOUN", "VERB", "DET"]


def test_a_terminal_gets_words_and_labels_in_a_line():
    from cluster.answers import Form
    from cluster.text.raw.requests import Request

    plain = {"tokens": ["the", "cat"], "tags": ["DET", None], "probabilities": [0.9, None]}
    spans = plain | {"tags": ["O", "B-X"], "spans": [{"label": "X", "start": 1, "end": 2, "tokens": ["cat"]}]}
    requests = [Request(1, "the cat"), Request(2, "the \x1b[31mcat")]
    assert Form(as_json=False).write(requests, [plain, spans]).text == "the/DET cat/-\nthe [cat]X\n"


def test_words_that_were_cut_have_no_label(speech, pool, here, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text((speech / "recipe.toml").read_text() + "[text]\nmax_tokens = 2\n")
    assert pool.run(1, train_here, recipe=str(recipe), run=str(tmp_path / "run")) == [0]
    evaluation = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert evaluation["examples"] == here("baseline", recipe).json["examples"] == 6
    (answer,) = Predictor(tmp_path / "run").predict([["the", "cat", "sees"]])
    assert answer["tags"][2] is None and None not in answer["tags"][:2]


def losses(run):
    lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "step"]


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


@pytest.mark.parametrize(
    "train, tolerance",
    [
        ({"step_size": "32 examples"}, 1e-5),
        ({"step_size": "200 tokens"}, 1e-5),
        ({"step_size": "32 examples", "precision": "float64"}, 1e-9),
        ({"step_size": "1 examples"}, 1e-5),  # two of three ranks are idle
    ],
)
def test_losses_agree_on_any_number_of_ranks(pool, tagging_recipe_of, tmp_path, train, tolerance):
    settings = {"steps": 20, "log_steps": 1, "checkpoint_steps": 20, "strict": True} | train
    recipe = tagging_recipe_of("lstm", train=settings, text=BPE)
    found = []
    for ranks in (1, 2, 3):
        run = tmp_path / f"on-{ranks}"
        assert pool.run(ranks, train_here, recipe=str(recipe), run=str(run)) == [0] * ranks
        found.append(losses(run))
    one, two, three = found
    assert len(one) == 20
    assert two == pytest.approx(one, abs=tolerance)
    assert three == pytest.approx(one, abs=tolerance)
    scores = [json.loads((tmp_path / f"on-{ranks}/evaluation.json").read_text()) for ranks in (1, 2, 3)]
    assert scores[0]["confusion"] == scores[1]["confusion"] == scores[2]["confusion"]
    assert scores[0]["spans"] == scores[1]["spans"] == scores[2]["spans"]


@pytest.mark.parametrize(
    "overrides, says",
    [
        (["model.kind=mlp"], "the mlp reads a bag of words, which has no order; use model.kind = "),
        (["model.kind=linear"], "the linear reads a bag of words"),
        (["text.stop_words=drop"], 'text.stop_words = "drop": the words of task.kind = "tag" are given'),
        (["text.pipeline=en_core_web_sm", "text.tags=true"], "text.tags = true"),
        (["data.roles=6:"], "data.roles and data.predicate both mark the predicate"),
        (["data.roles=6"], "data.roles"),
        (["evaluate.metric=spearman"], "has span_f1, span_precision, span_recall, accuracy"),
        (["task.spans=false", "evaluate.metric=span_f1"], "task.spans = true has spans scored"),
        (["data.columns=[a,a]"], "data.columns"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(tagging_recipe_of, overrides, says):
    recipe = tagging_recipe_of("lstm")
    kind = [one for one in overrides if one.startswith("model.kind=")]
    with pytest.raises(RecipeError, match=re.escape(says)):
        load(str(recipe), [*kind, *(one for one in overrides if one not in kind)])


@pytest.mark.parametrize(
    "setting",
    ['data.columns=["word"]', "data.brackets=true", "data.roles=6:", "data.predicate=verb", "text.affixes=true"],
)
def test_settings_of_tagging_are_refused_elsewhere(recipe_of, setting):
    with pytest.raises(RecipeError, match='only task.kind = "tag"'):
        load(str(recipe_of("lstm")), [setting])


def test_check_says_why_a_bag_cannot_label_words(tagging_recipe_of, muster):
    ended = muster("check", tagging_recipe_of("lstm"), "model.kind=mlp")
    assert ended.code == 2 and "each word gets a label, but the mlp reads a bag of words" in ended.err


@pytest.mark.parametrize(
    "rows, overrides, says",
    [
        ([{"tokens": ["a"], "tags": ["X"]}] * 9, [], "every word of the training split has the same label, 'X'"),
        ([{"tokens": ["a", "b"], "tags": ["X"]}] * 9, [], "train.jsonl:1: 2 words (field 'tokens'), but 1 labels"),
        ([{"text": "a b", "label": "X"}] * 9, ["data.text=text", "data.label=label"], "a string, not a list of words"),
    ],
)
def test_bad_input_is_refused(recipe_of, tmp_path, rows, overrides, says):
    recipe = recipe_for(rows, recipe_of, tmp_path)
    with pytest.raises(DataError, match=re.escape(says)):
        prepare(load(str(recipe), overrides), print)


def recipe_for(rows, recipe_of, folder):
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": str(folder / "train.jsonl"), "validation": "none", "test": "none"}
    return recipe_of("lstm", task={"kind": "tag"}, data=data | {"text": "tokens", "label": "tags"})


def test_labels_that_are_no_parts_of_spans_stop_the_command_in_one_message(recipe_of, muster, tmp_path):
    recipe = recipe_for([{"tokens": ["a", "b"], "tags": ["NN", "O"]}] * 9, recipe_of, tmp_path)
    ended = muster("train", recipe, "task.spans=true", "--run", tmp_path / "run")
    assert ended.code == 2, ended.err
    assert "the label 'NN' is no part of a span" in ended.err and "Traceback" not in ended.err


def test_a_classifier_refuses_words(here, tmp_path):
    told = here("predict", make_model(tmp_path / "model", "mlp"), "--field", "tokens", stdin='{"tokens": ["a", "b"]}\n')
    assert told.code == 2 and "a list of words, but the model was trained on texts" in told.err


def test_the_same_sentence_with_another_mark_is_another_example_on_the_same_side(here, tmp_path, recipe_of):
    words = [[f"w{i}", "sees", "hears", f"v{i % 7}"] for i in range(60)]
    rows = [
        {"tokens": one, "predicate": place, "tags": ["B-A", "O", "O", "B-B" if place == 1 else "O"]}
        for one in words
        for place in (1, 2, 1)
    ]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": str(tmp_path / "all.jsonl"), "validation": "none", "test": "auto"}
    fields = {"text": "tokens", "label": "tags", "predicate": "predicate"}
    recipe = recipe_of("lstm", task={"kind": "tag"}, data=data | fields)
    report = here("prepare", recipe).json["report"]
    assert report["duplicates"]["dropped"] == 60 and report["documents"] == 120
    assert all(split["documents"] % 2 == 0 for split in report["splits"].values())
