"""Texts written of others, as a user has them: pairs in, run folder out, a translation of a made-up language."""

import json
import random

import numpy as np
import pytest

from cluster.decoding import Search
from cluster.errors import RunError
from cluster.predictor import Predictor
from cluster.rewriter import Rewriter
from tests.conftest import long_series

WORDS = {
    "the": "der", "a": "ein", "fox": "Fuchs", "hen": "Henne", "cheese": "Käse", "sees": "sieht", "takes": "nimmt",
    "quickly": "schnell", "old": "alte", "red": "rote", "and": "und", "gladly": "gern",
}  # fmt: skip


def pairs(seed, count):
    """Sentences word by word, but for the verb, which goes to the end."""
    chance = random.Random(seed)
    nouns, marks = ["fox", "hen", "cheese"], ["old", "red"]
    for _ in range(count):
        first, second = ([chance.choice(["the", "a"]), *chance.sample(marks, chance.randint(0, 2)),
                          chance.choice(nouns)] for _ in range(2))  # fmt: skip
        verb = chance.choice(["sees", "takes"])
        source, target = [*first, verb, *second], [WORDS[word] for word in [*first, *second, verb]]
        yield " ".join(source) + ".", " ".join(target) + "."


@pytest.fixture(scope="module")
def corpus_of_pairs(tmp_path_factory):
    """train.jsonl, validation.csv, test.tsv: fields `en` and `de`."""
    folder = tmp_path_factory.mktemp("pairs")
    made = {split: list(pairs(seed, n)) for seed, (split, n) in enumerate([("train", 600), ("test", 61)])}
    rows = [json.dumps({"en": source, "de": target}) + "\n" for source, target in made["train"]]
    (folder / "train.jsonl").write_text("".join(rows))
    lines = {"csv": [f'"{source}","{target}"' for source, target in pairs(5, 40)]}
    lines["tsv"] = [f"{source}\t{target}" for source, target in made["test"]]
    (folder / "validation.csv").write_text("en,de\n" + "\n".join(lines["csv"]) + "\n")
    (folder / "test.tsv").write_text("en\tde\n" + "\n".join(lines["tsv"]) + "\n")
    return folder


def recipe_for(recipe_of, folder, kind="seq2seq", **sections):
    data = {"train": "train.jsonl", "validation": "validation.csv", "test": "test.tsv"}
    settings = {
        "data": {split: str(folder / name) for split, name in data.items()} | {"text": "en", "target": "de"},
        "text": {"tokens": "bpe", "lower": False, "vocabulary_size": 330},
        "train": {"steps": 150, "step_size": "32 examples", "log_steps": 50, "checkpoint_steps": 150},
        "optim": {"learning_rate": 0.01, "schedule": "linear", "warmup_steps": 10},
        "evaluate": {"baseline": True, "steps": 75},
        "model": {"embedding": 32, "dropout": 0.0} | ({"feed_forward": 64} if kind == "seq2seq" else {"hidden": 32}),
    }
    return recipe_of(
        kind,
        **{name: its | sections.get(name, {}) for name, its in settings.items()},
        **{name: its for name, its in sections.items() if name not in settings},
    )


@pytest.fixture(scope="module")
def trained(recipe_of, muster, corpus_of_pairs, tmp_path_factory):
    """(run, what `muster train --json` said), on two ranks."""
    run = tmp_path_factory.mktemp("rewrite") / "run"
    ended = muster("train", recipe_for(recipe_of, corpus_of_pairs), "launch.ranks=2", "--run", run, "--json")
    assert ended.code == 0, ended.err
    return run, ended.json


def test_it_learns_and_stands_beside_the_text_itself(trained):
    _, said = trained
    score, against = said["evaluation"], said["baseline"]
    assert score["bleu"] > 0.6 and score["chrf"] > 0.7 and "tok:13a" in score["bleu_signature"]
    assert against["model"] == "the text itself" and against["bleu"] < 0.05
    assert against["bleu_signature"] == score["bleu_signature"] and against["examples"] == 61
    assert score["perplexity"] < 3 and score["accuracy"] > 0.7


@long_series  # that ranks do the same is below, too
def test_evaluate_says_the_same_on_another_number_of_ranks_and_scores_a_file(trained, muster, tmp_path):
    run, said = trained
    for ranks in (1, 3):
        ended = muster("evaluate", run, f"launch.ranks={ranks}", "--json")
        assert ended.code == 0, ended.err
        for figure in ("loss", "perplexity", "accuracy", "examples", "bleu", "chrf"):
            assert ended.json[figure] == pytest.approx(said["evaluation"][figure], rel=1e-6), figure
    (tmp_path / "new.jsonl").write_text(json.dumps({"en": "the fox sees a hen.", "de": "völlig anders"}) + "\n")
    other = muster("evaluate", run, "--data", tmp_path / "new.jsonl", "--json")
    assert other.code == 0, other.err
    assert other.json["bleu"] < 0.1


def test_predict_writes_a_text_of_each_and_goes_on_after_a_bad_line(trained, here):
    run, _ = trained
    lines = [
        json.dumps({"en": "the old fox sees a hen.", "number": 7}),
        "{",
        json.dumps({"en": "a hen takes the fox."}),
    ]
    ended = here("predict", run, "--field", "en", "--beam", "2", stdin="\n".join(lines) + "\n")
    assert ended.code == 2 and "standard input:2" in ended.err
    first, error, last = (json.loads(line) for line in ended.out.splitlines())
    assert first["number"] == 7 and set(first["rewritten"].rstrip(".").split()) <= set(WORDS.values())
    assert error["line"] == 2 and last["rewritten"].split()[0] in ("ein", "der")


def test_a_rewriter_gives_what_was_scored(trained, corpus_of_pairs):
    run, _ = trained
    rewriter, saved = Rewriter(run), np.load(run / "predictions.npz")
    sources = [line.split("\t")[0] for line in (corpus_of_pairs / "test.tsv").read_text().splitlines()[1:]]
    ends = saved["written_ends"]
    texts = [saved["written"][a:b].tobytes().decode() for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    assert rewriter.rewritten(sources) == texts
    assert rewriter.rewritten([]) == []
    assert rewriter.rewritten(sources[:3], Search(beam=1)) != ["", "", ""]
    with pytest.raises(RunError, match="writes texts"):
        Predictor(run)


def test_its_page_shows_what_was_asked_for_and_what_was_written(trained, muster):
    run, _ = trained
    page = muster("report", run)
    assert page.code == 0, page.err
    text = (run / "report.html").read_text()
    assert "BLEU" in text and "writes another text of each" in text and "nrefs:1" in text
    assert "Fuchs" in text


def test_a_summary_is_scored_by_rouge_beside_the_first_sentence(
    recipe_of, corpus_of_pairs, pool, here, muster, tmp_path
):
    head, *rows = (corpus_of_pairs / "test.tsv").read_text().splitlines()
    (tmp_path / "few.tsv").write_text("\n".join([head, *rows[:16]]) + "\n")
    sections = {"task": {"scores": "rouge", "beam": 1}, "train": {"steps": 60}}
    recipe = recipe_for(
        recipe_of, corpus_of_pairs, "seq2seq-lstm", data={"test": str(tmp_path / "few.tsv")}, **sections
    )
    assert pool.run(1, train_here, recipe=str(recipe), run=str(tmp_path / "run")) == [0]
    score, against = json.loads((tmp_path / "run/evaluation.json").read_text()), here("baseline", recipe).json
    assert against["model"] == "first sentence of the text" and against["rouge1"] < score["rouge1"]
    shown = muster("evaluate", tmp_path / "run")
    assert "ROUGE-1" in shown.out and "rouge-score" in shown.out and f"{score['rouge1']:.4f}" in shown.out


def test_inspect_data_shows_both_texts(recipe_of, corpus_of_pairs, here):
    ended = here("survey", recipe_for(recipe_of, corpus_of_pairs))
    assert ended.code == 0, ended.err
    assert "to be written of each text" in ended.out and "-> " in ended.out and "<end>" in ended.out


def losses(run, metrics_of):
    return [line["loss"] for line in metrics_of(run, "step")]


@pytest.mark.parametrize("kind", ["seq2seq", "seq2seq-lstm"])
def test_any_number_of_ranks_is_the_same_run(recipe_of, corpus_of_pairs, pool, metrics_of, tmp_path, kind):
    train = {"steps": 6, "step_size": "700 tokens", "log_steps": 1, "strict": True, "precision": "float64"}
    recipe = recipe_for(
        recipe_of, corpus_of_pairs, kind, train=train, model={"dropout": 0.1}, optim={"warmup_steps": 0}
    )
    found = {}
    for ranks in (1, 3):
        run = tmp_path / str(ranks)
        assert pool.run(ranks, train_here, recipe=str(recipe), run=str(run)) == [0] * ranks
        found[ranks] = losses(run, metrics_of)
    assert found[1] == pytest.approx(found[3], rel=1e-9)
    texts = [np.load(tmp_path / str(ranks) / "predictions.npz")["written"].tobytes() for ranks in (1, 3)]
    assert texts[0] == texts[1]


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


REFUSED = {
    "a model that writes nothing": (["model.kind=lstm"], ["model.kind", "seq2seq"]),
    "a task that asks for no text": (["task.kind=classify"], ["task.kind", "rewrite"]),
    "a text of itself": (["data.target=en"], ["data.target", "both"]),
    "a filter": (["text.stop_words=drop"], ["text.stop_words", "keep"]),
    "a figure that is counted once": (["evaluate.metric=bleu"], ["evaluate.metric"]),
    "heads that do not fit": (["model.heads=5"], ["model.heads"]),
    "a beam of none": (["task.beam=0"], ["task.beam"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_with_a_reason(recipe_of, corpus_of_pairs, muster, name):
    overrides, says = REFUSED[name]
    recipe = recipe_for(recipe_of, corpus_of_pairs)
    if name == "a model that writes nothing":
        recipe = recipe_of("lstm", task={"kind": "rewrite"})
    ended = muster("check", recipe, *overrides)
    assert ended.code == 2 and "Traceback" not in ended.err
    for words in says:
        assert words in ended.err


BAD_ROWS = {
    '{"en": "a", "de": 3}': "field 'de' is a number (3), not a string",
    '{"en": "a"}': "no field 'de'",
    '{"en": "a", "de": " "}': "empty text (field 'de')",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_row_without_a_text_to_be_written_is_named(recipe_of, corpus_of_pairs, here, tmp_path, row):
    (tmp_path / "bad.jsonl").write_text(row + "\n" + json.dumps({"en": "a", "de": "b"}) + "\n")
    recipe = recipe_for(recipe_of, corpus_of_pairs, data={"train": str(tmp_path / "bad.jsonl")})
    ended = here("prepare", recipe)
    assert ended.code == 2 and BAD_ROWS[row] in ended.err and "bad.jsonl:1" in ended.err


def test_other_runs_have_no_search(trained, here):
    run, _ = trained
    for options in (["--temperature", "1"], ["--beam", "0"], ["--length-penalty", "-1"]):
        ended = here("predict", run, "the fox", *options)
        assert ended.code == 2 and options[0] in ended.err and "Traceback" not in ended.err
