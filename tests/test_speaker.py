"""Finished language models at work, as a user has them: raw text in, run folder out, text on the terminal."""

import contextlib
import json
import os
import pty
import random

import pytest

from cluster import predict
from cluster.errors import RunError
from cluster.predictor import Predictor
from cluster.sampling import Sampling
from cluster.speaker import Speaker

VERBS, NOUNS = ["chases", "sees", "likes"], ["fox", "hen", "farmer", "Käfer"]


def tales(path, seed, count=300):
    """Documents of one grammar: who does what to whom; each ends as it began."""
    chance = random.Random(seed)
    with open(path, "w") as file:
        for _ in range(count):
            first = chance.choice(NOUNS)
            lines = [
                f"The {first} {chance.choice(VERBS)} the {chance.choice(NOUNS)}." for _ in range(chance.randint(1, 6))
            ]
            file.write(json.dumps({"body": " ".join(lines)}) + "\n")


TEXTS = {
    "gpt": {"tokens": "bpe", "lower": False, "vocabulary_size": 320},
    "bert": {"tokens": "words", "lower": False},
}


@pytest.fixture(scope="module")
def runs(recipe_of, muster, pool, here, tmp_path_factory):
    """A causal and a masked model of the tales: {"gpt": (run, what `muster train --json` says), ...}."""
    folder = tmp_path_factory.mktemp("tales")
    for seed, split in enumerate(("train", "validation", "test")):
        tales(folder / f"{split}.jsonl", seed, 300 if split == "train" else 40)
    data = {split: str(folder / f"{split}.jsonl") for split in ("train", "validation", "test")} | {"text": "body"}
    found = {}
    for kind, text in TEXTS.items():
        model = {"context": 32, "embedding": 48, "feed_forward": 96}
        train = {"steps": 200, "step_size": "32 examples", "log_steps": 50, "checkpoint_steps": 200}
        optim = {"learning_rate": 4e-3, "schedule": "linear"}
        recipe = recipe_of(
            kind,
            data=data,
            text=text,
            model=model,
            train=train,
            optim=optim,
            evaluate={"baseline": True},
            launch={"threads": 1},
        )
        run = folder / kind
        if kind == "gpt":
            ended = muster("train", recipe, "--run", run, "--json", timeout=300)
            assert ended.code == 0, ended.err
            found[kind] = run, ended.json
        else:  # the same without processes of its own
            assert pool.run(1, train_here, recipe=str(recipe), run=str(run)) == [0]
            scores = {"evaluation": json.loads((run / "evaluation.json").read_text())}
            found[kind] = run, scores | {"baseline": here("baseline", recipe).json}
    return found


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


def test_they_learn_and_stand_beside_a_baseline(runs):
    causal, masked = runs["gpt"][1], runs["bert"][1]
    score, against = causal["evaluation"], causal["baseline"]
    assert score["bits_per_byte"] < 0.6 and score["bytes"] > 1000
    assert score["bits_per_byte"] < 2 * against["bits_per_byte"] and "5-gram" in against["model"]
    assert score["examples"] == against["examples"]  # every token of every text, and every end
    assert masked["evaluation"]["bits_per_byte"] is None
    assert masked["evaluation"]["accuracy"] > masked["baseline"]["accuracy"]


def test_a_continuation_follows_the_grammar_and_the_seed(runs):
    speaker = Speaker(runs["gpt"][0])
    sampling = Sampling(temperature=0.5, most_tokens=60)
    said = "".join(speaker.continued("The fox", sampling))
    assert said == "".join(speaker.continued("The fox", sampling))
    words = ("The fox" + said).replace(".", " ").split()
    assert words[2] in VERBS and words[3] == "the" and words[4] in NOUNS
    others = {
        "".join(speaker.continued("The", Sampling(temperature=2.0, seed=seed, most_tokens=20))) for seed in range(5)
    }
    assert len(others) > 1


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_keeping_keys_and_values_changes_no_word(runs, temperature):
    """Far beyond the context of 32 tokens, where the window moves on."""
    speaker = Speaker(runs["gpt"][0])
    sampling = Sampling(temperature=temperature, most_tokens=150)
    long = "The hen sees the fox. " * 9
    for text in ("The", long):
        kept = "".join(speaker.continued(text, sampling))
        assert kept == "".join(speaker.continued(text, sampling, keep=False))


def test_a_missing_word_is_found_from_both_sides(runs):
    said = Speaker(runs["bert"][0]).filled("The fox [MASK] the hen. The [MASK] likes the hen.")
    verbs, nouns = ([one["token"] for one in mask] for mask in said["masks"])
    assert verbs[0] in VERBS and set(verbs[:3]) == set(VERBS)
    assert nouns[0] == "fox"  # each tale is of one who does it all
    assert said["filled"] == f"The fox {verbs[0]} the hen. The fox likes the hen."
    assert all(0 <= one["probability"] <= 1 for mask in said["masks"] for one in mask)


def test_predict_goes_on_with_texts_as_json_lines(runs, here):
    options = ["--temperature", "0", "--tokens", "12", "--stop", "."]
    ended = here("predict", runs["gpt"][0], "The hen", "The farmer sees", *options)
    assert ended.code == 0, ended.err
    first, second = (json.loads(line) for line in ended.out.splitlines())
    assert first["text"] == "The hen" and first["continuation"].split()[0] in VERBS
    assert "." not in first["continuation"] + second["continuation"]
    assert second["continuation"].split()[0] == "the"
    lines = "\n".join(json.dumps({"body": text}) for text in ("The hen", "The farmer sees")) + "\n{\n"
    again = here("predict", runs["gpt"][0], *options, "--field", "body", stdin=lines)
    assert again.code == 2 and "standard input:3" in again.err
    said = [json.loads(line) for line in again.out.splitlines()]
    assert [one["continuation"] for one in said[:2]] == [first["continuation"], second["continuation"]]
    assert said[2]["line"] == 3


def test_on_a_terminal_a_continuation_stands_behind_its_text(runs, here):
    options = ["--temperature", "0.7", "--tokens", "30", "--device", "cpu"]
    texts = ["The hen", "The Käfer sees"]
    ended = here("predict", runs["gpt"][0], *texts, *options)
    wanted = [one["text"] + one["continuation"] for one in map(json.loads, ended.out.splitlines())]
    assert on_a_terminal(runs["gpt"][0], *texts, *options) == "".join(f"{text}\n\n" for text in wanted)
    assert on_a_terminal(runs["gpt"][0], *texts, *options, "--json") == ended.out


def on_a_terminal(*arguments):
    """What `muster predict` writes to a terminal, of less than a terminal keeps for who reads it late."""
    reader, terminal = pty.openpty()
    with open(terminal, "w") as out, contextlib.redirect_stdout(out):
        assert predict.main(list(map(str, arguments))) == 0
    said = b""
    with contextlib.suppress(OSError):  # so ends a terminal that nobody writes to any more
        while some := os.read(reader, 4096):
            said += some
    os.close(reader)
    return said.decode().replace("\r\n", "\n")


def test_predict_fills_in_and_names_a_text_without_a_mask(runs, here):
    ended = here("predict", runs["bert"][0], "The hen [MASK] the fox.", "The hen.", "The [MASK] " * 40)
    assert ended.code == 2
    first, second, third = (json.loads(line) for line in ended.out.splitlines())
    assert first["filled"].split()[2] in VERBS
    assert "[MASK]" in second["error"] and "at most 32" in third["error"]


@pytest.mark.parametrize(
    "kind, options, said",
    [
        ("bert", ["--temperature", "0.5"], "--temperature"),
        ("gpt", ["--top-p", "1.5"], "--top-p"),
        ("gpt", ["--temperature", "-1"], "--temperature"),
        ("gpt", ["--tokens", "many"], "--tokens"),
        ("gpt", ["--top-k", "0.5"], "--top-k"),
    ],
)
def test_options_that_will_not_do_are_named(runs, here, kind, options, said):
    ended = here("predict", runs[kind][0], "The [MASK]", *options)
    assert ended.code == 2 and said in ended.err and "Traceback" not in ended.err


def test_each_kind_of_model_says_which_it_is(runs):
    with pytest.raises(RunError, match="goes on with nothing"):
        Speaker(runs["bert"][0]).continued("The", Sampling())
    with pytest.raises(RunError, match="fills in nothing"):
        Speaker(runs["gpt"][0]).filled("The [MASK]")
    with pytest.raises(RunError, match="language model"):
        Predictor(runs["gpt"][0])


def test_evaluate_says_the_same_on_two_ranks_and_scores_a_file(runs, muster, tmp_path):
    run, said = runs["gpt"]
    bodies = [json.loads(line)["body"] for line in (run.parent / "test.jsonl").read_text().splitlines()]
    (tmp_path / "same.txt").write_text("".join(f"{body}\n" for body in bodies))
    ended = muster("evaluate", run, "launch.ranks=2", "--data", tmp_path / "same.txt", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["bytes"] == len("".join(bodies).encode())
    for figure in ("loss", "perplexity", "bits_per_byte", "accuracy", "examples", "bytes"):
        assert ended.json[figure] == pytest.approx(said["evaluation"][figure], rel=1e-6)


def test_its_page_is_written(runs, muster):
    for kind, words in (("gpt", "Bits per byte"), ("bert", "masked model")):
        page = muster("report", runs[kind][0])
        assert page.code == 0, page.err
        assert words in (runs[kind][0] / "report.html").read_text()
