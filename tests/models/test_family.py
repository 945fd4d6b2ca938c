"""Every model kind is tested the moment it joins the union: built, trained on ranks, stopped and resumed to the bit,
asked to predict, and its size compared with what was predicted."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cluster.config.load import load
from cluster.config.settings import kinds_of
from cluster.models.build import build_model, load_for_inference
from cluster.plan.memory import parameter_count
from cluster.predictor import Predictor
from cluster.text.raw.asked import Question
from tests.conftest import TASKS, sampled

KINDS = list(kinds_of("model"))
TAGGERS = [kind for kind in KINDS if kind not in ("linear", "mlp", "pretrained", *TASKS)]
"""The kinds that say something of each word and read marks and affixes; the others read bags, or words alone."""
ANSWERERS = [*(kind for kind in TAGGERS if kind != "cnn"), "pretrained"]
"""The kinds in which a question meets its context."""

OF_A_TEXT = [(kind, task) for kind in KINDS if kind not in TASKS for task in ("multilabel", "regress")]
"""The kinds that classify, with the other tasks that ask something of a whole text."""


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


def stop_in_the_middle(recipe, run):
    """As a signal would: the flag is up before the first step ends, so a checkpoint is saved and the rank leaves."""
    from cluster.training import faults

    class Raised(faults.StopFlag):
        is_set = True
        signal_name = "SIGTERM"

    from cluster import train

    train.StopFlag, before = Raised, train.StopFlag
    try:
        return train.main([recipe, "--run", run])
    finally:
        train.StopFlag = before


def resume_here(run):
    from cluster.train import main

    return main(["--resume", run])


def bits(run, step):
    folder = run / "checkpoints" / f"{step:06d}"
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "optimizer.safetensors")
    }


@pytest.fixture(scope="module", params=KINDS)
def trained(request, pool, recipe_of, tmp_path_factory):
    """A run of each kind: two steps on two ranks. (kind, recipe, run)"""
    run = tmp_path_factory.mktemp(request.param) / "run"
    recipe = recipe_of(request.param, train={"steps": 2, "step_size": "32 examples"})
    assert pool.run(2, train_here, recipe=str(recipe), run=str(run)) == [0, 0]
    return request.param, recipe, run


def test_two_steps_on_two_ranks_move_every_parameter_that_has_a_part_in_them(trained):
    _, recipe, run = trained
    config = load(str(recipe)).model
    description = json.loads((run / "model/model.json").read_text())
    torch.manual_seed(1)  # the recipe's seed
    fresh = build_model(config, description["vocabulary_rows"], 2).state_dict()
    after = load_file(run / "model/weights.safetensors")
    assert set(fresh) == set(after)
    assert [name for name, value in fresh.items() if torch.equal(value, after[name])] == []


def test_it_is_scored_and_predicts(trained, here):
    kind, _, run = trained
    if TASKS.get(kind) == "embed":
        assert 0 < json.loads((run / "evaluation.json").read_text())["pair_loss"] < 5
        done = here("neighbours", run, "film", "--count", 3, "--json")
        assert done.code == 0 and len(done.json["neighbours"]) == 3, done.err
        return
    if TASKS.get(kind) == "language":
        assert json.loads((run / "evaluation.json").read_text())["loss"] < 4
        done = here("predict", run, "the warm [MASK] and", "--json")
        assert done.code == 0 and json.loads(done.out)["text"] == "the warm [MASK] and", done.err
        return
    if TASKS.get(kind) == "rewrite":
        scores, said = json.loads((run / "evaluation.json").read_text()), np.load(run / "predictions.npz")
        assert scores["loss"] < 8 and 0 <= scores["bleu"] <= 1 and len(said["written_ends"]) == 101
        done = here("predict", run, "a warm and witty film", "so dull", "--json")
        assert done.code == 0, done.err
        assert ["rewritten" in json.loads(line) for line in done.out.splitlines()] == [True, True]
        return
    assert json.loads((run / "evaluation.json").read_text())["examples"] == 101
    said = np.load(run / "predictions.npz")
    assert said["loss"].shape == said["predicted"].shape == said["probability"].shape == (101,)
    model, description = load_for_inference(run / "model")
    assert description["labels"] == ["bad", "good"]
    # A document of one unknown token, alone, and together with another: the same answer.
    one = outputs(model, description, [[1]])
    two = outputs(model, description, [[5, 6, 7], [1]])
    assert torch.allclose(one[0], two[1], atol=1e-6)
    done = here("predict", run, "a warm and witty film", "so dull", "--json")
    assert done.code == 0, done.err
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [sum(answer["probabilities"].values()) for answer in answers] == pytest.approx([1.0, 1.0], abs=1e-5)


def outputs(model, description, documents):
    lengths = torch.tensor([len(tokens) for tokens in documents])
    if description["layout"] == "bag":
        tokens = torch.tensor([token for document in documents for token in document])
        return model(tokens, lengths, torch.ones(len(tokens)))
    longest = max(map(len, documents))
    return model(torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens in documents]), lengths, None)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_and_resumed_is_the_same_to_the_bit(pool, recipe_of, tmp_path, kind, ranks):
    recipe = str(recipe_of(kind, train={"steps": 2, "step_size": "32 examples", "checkpoint_steps": 2}))
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert pool.run(ranks, train_here, recipe=recipe, run=str(whole)) == [0] * ranks
    assert pool.run(ranks, stop_in_the_middle, recipe=recipe, run=str(halves)) == [85] * ranks
    assert (halves / "checkpoints/000001").is_dir()
    assert pool.run(ranks, resume_here, run=str(halves)) == [0] * ranks
    assert bits(halves, 2) == bits(whole, 2)
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def labelled(corpus, tmp_path_factory):
    """The small corpus with sets of labels, and with numbers: {task: {split: file}}."""
    folder, found = tmp_path_factory.mktemp("labelled"), {"multilabel": {}, "regress": {}}
    for split in ("train", "validation", "test"):
        texts = [json.loads(line)["text"] for line in (corpus / f"{split}.jsonl").read_text().splitlines()]
        labels = {
            "multilabel": [[word for word in ("warm", "dull", "film") if word in text.split()] for text in texts],
            "regress": [len(text.split()) for text in texts],
        }
        for task, its in labels.items():
            rows = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, its, strict=True)]
            path = folder / f"{task}-{split}.jsonl"
            path.write_text("\n".join(rows) + "\n")
            found[task][split] = str(path)
    return found


@pytest.mark.parametrize(
    "case", sampled(OF_A_TEXT, ("cnn", "multilabel"), ("linear", "multilabel"), ("pretrained", "regress")), ids="-".join
)
def test_sets_of_labels_and_numbers(pool, recipe_of, labelled, tmp_path, case):
    """Stopped and resumed it is the same to the bit; all that has a part moves; it is scored, and predicts."""
    kind, task = case
    train = {"steps": 2, "step_size": "32 examples", "checkpoint_steps": 2}
    recipe = str(recipe_of(kind, data=labelled[task], task={"kind": task}, train=train))
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert pool.run(2, train_here, recipe=recipe, run=str(whole)) == [0, 0]
    assert pool.run(2, stop_in_the_middle, recipe=recipe, run=str(halves)) == [85, 85]
    assert pool.run(2, resume_here, run=str(halves)) == [0, 0]
    assert bits(halves, 2) == bits(whole, 2)
    config, outputs = load(recipe).model, 3 if task == "multilabel" else 1
    rows = json.loads((whole / "model/model.json").read_text())["vocabulary_rows"]
    torch.manual_seed(1)  # the recipe's seed
    fresh, after = build_model(config, rows, outputs).state_dict(), load_file(whole / "model/weights.safetensors")
    assert [name for name, value in fresh.items() if torch.equal(value, after[name])] == []
    assert parameter_count(config, rows, outputs) == sum(value.numel() for value in after.values())
    assert json.loads((whole / "evaluation.json").read_text())["examples"] == 101
    (answer,) = Predictor(whole).predict(["a warm and witty film"])
    assert set(answer) == ({"labels", "probabilities"} if task == "multilabel" else {"value"})
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module", params=TAGGERS)
def tagger(request, pool, tagging_recipe_of, tmp_path_factory):
    """A run of each kind that labels words: two steps on two ranks. (kind, recipe, run)"""
    run = tmp_path_factory.mktemp(request.param) / "run"
    text = {} if request.param == "custom" else {"affixes": True}
    recipe = tagging_recipe_of(request.param, text=text, train={"steps": 2, "step_size": "32 examples"})
    assert pool.run(2, train_here, recipe=str(recipe), run=str(run)) == [0, 0]
    return request.param, recipe, run


def test_two_steps_move_every_parameter_of_a_tagger(tagger):
    _, recipe, run = tagger
    config = load(str(recipe)).model
    said = json.loads((run / "model/model.json").read_text())
    sizes = said["vocabulary_rows"], len(said["labels"]), said["tag_rows"], said["affix_rows"], True
    torch.manual_seed(1)  # the recipe's seed
    fresh = build_model(config, *sizes)
    after = load_file(run / "model/weights.safetensors")
    assert set(fresh.state_dict()) == set(after)
    assert [name for name, value in fresh.state_dict().items() if torch.equal(value, after[name])] == []
    assert parameter_count(config, *sizes) == sum(value.numel() for value in after.values())


def test_a_tagger_is_scored_and_predicts(tagger, here):
    _, _, run = tagger
    scores = json.loads((run / "evaluation.json").read_text())
    said = np.load(run / "predictions.npz")
    assert scores["documents"] == 101 and scores["examples"] == said["words"].sum() == said["predicted"].size
    assert scores["accuracy"] == pytest.approx(1 - said["wrong"].sum() / said["words"].sum())
    row = json.dumps({"tokens": ["a", "warm", "film"], "predicate": 0}) + "\n"
    done = here("predict", run, "--field", "tokens", stdin=row)
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer["tokens"] == ["a", "warm", "film"] and len(answer["tags"]) == len(answer["probabilities"]) == 3
    assert set(answer["tags"]) <= set(scores["labels"])


@pytest.mark.parametrize("kind", [*TAGGERS, "pretrained"])
def test_a_tagger_stopped_and_resumed_is_the_same_to_the_bit(pool, tagging_recipe_of, tmp_path, kind):
    train = {"steps": 2, "step_size": "32 examples", "checkpoint_steps": 2}
    marked = {"predicate": ""} if kind == "pretrained" else {}  # which has no second input for a mark
    recipe = str(tagging_recipe_of(kind, train=train, data=marked))
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert pool.run(3, train_here, recipe=recipe, run=str(whole)) == [0] * 3
    assert pool.run(3, stop_in_the_middle, recipe=recipe, run=str(halves)) == [85] * 3
    assert pool.run(3, resume_here, run=str(halves)) == [0] * 3
    assert bits(halves, 2) == bits(whole, 2)
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module", params=ANSWERERS)
def answerer(request, pool, asking_recipe_of, tmp_path_factory):
    """A run of each kind that answers questions: two steps on two ranks. (recipe, run)"""
    run = tmp_path_factory.mktemp(request.param) / "run"
    text = {} if request.param in ("custom", "pretrained") else {"affixes": True}
    recipe = asking_recipe_of(request.param, text=text, train={"steps": 2, "step_size": "32 examples"})
    assert pool.run(2, train_here, recipe=str(recipe), run=str(run)) == [0, 0]
    return recipe, run


def test_two_steps_move_every_parameter_of_what_answers(answerer):
    recipe, run = answerer
    config = load(str(recipe)).model
    said = json.loads((run / "model/model.json").read_text())
    sizes = said["vocabulary_rows"], 2, said["tag_rows"], said["affix_rows"], True
    torch.manual_seed(1)  # the recipe's seed
    fresh = build_model(config, *sizes)
    after = load_file(run / "model/weights.safetensors")
    assert set(fresh.state_dict()) == set(after)
    still = [name for name, value in fresh.state_dict().items() if torch.equal(value, after[name])]
    assert still == [] and parameter_count(config, *sizes) == sum(value.numel() for value in after.values())


def test_what_answers_is_scored_and_predicts(answerer):
    _, run = answerer
    scores = json.loads((run / "evaluation.json").read_text())
    said = np.load(run / "predictions.npz")
    assert scores["examples"] == 101 == said["start"].size == said["none"].size
    (found,) = Predictor(run).predict([Question("What has the colour1 box?", "The colour1 box has dull.")])
    assert set(found) == {"answer", "start", "end", "score", "no_answer"}


@pytest.mark.parametrize("kind", ANSWERERS)
def test_what_answers_stopped_and_resumed_is_the_same_to_the_bit(pool, asking_recipe_of, tmp_path, kind):
    recipe = str(asking_recipe_of(kind, train={"steps": 2, "step_size": "32 examples", "checkpoint_steps": 2}))
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert pool.run(3, train_here, recipe=recipe, run=str(whole)) == [0] * 3
    assert pool.run(3, stop_in_the_middle, recipe=recipe, run=str(halves)) == [85] * 3
    assert pool.run(3, resume_here, run=str(halves)) == [0] * 3
    assert bits(halves, 2) == bits(whole, 2)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_the_first_weights(kind, recipe_of):
    config = load(str(recipe_of(kind))).model

    def build(seed):
        torch.manual_seed(seed)
        return torch.cat([parameter.flatten() for parameter in build_model(config, 30, 2).parameters()])

    assert torch.equal(build(1), build(1))
    if kind != "linear":  # which begins at zero
        assert not torch.equal(build(1), build(2))


@pytest.mark.parametrize("kind", KINDS)
def test_its_size_is_predicted(kind, recipe_of):
    config = load(str(recipe_of(kind))).model
    assert parameter_count(config, 30, 2) == sum(p.numel() for p in build_model(config, 30, 2).parameters())
