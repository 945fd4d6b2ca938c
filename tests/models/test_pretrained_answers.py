"""Questions for models that others trained: laid out as transformers does, tuned, resumed, asked, saved back."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

from cluster.answerer import best_spans
from cluster.config.load import load
from cluster.config.pretrained import MASKED
from cluster.data.windows import FIRST, LAST, Flat, golden, windows_of
from cluster.errors import RecipeError
from cluster.export import export_huggingface
from cluster.models.build import build_model, load_for_inference
from cluster.plan.memory import parameter_count
from cluster.predictor import Predictor
from cluster.tasks.build import build_for_inference
from cluster.text.raw.asked import Question, Reference
from cluster.text.tokens.pipeline import Encoder
from tests.conftest import asked_things
from tests.models.test_family import bits, resume_here, stop_in_the_middle, train_here

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own
TOLERANCE = 1e-5
"""Of the largest logit, in float32."""
WINDOW, STRIDE, ASKED = 36, 10, 12
"""Tokens, in a model of 40 places."""
QUESTIONS = [
    Question("so dull?", "a film"),
    Question("the [SEP] film", "a warm and witty film. " * 6),
    Question("Wer?", "Größe, 漢字 🌉! Cafe\u0301 " * 3),
]


@pytest.fixture(scope="module")
def asking(asking_recipe_of, tmp_path_factory):
    """Writes a recipe for a few questions about short contexts, some of which are longer than a window."""
    folder = tmp_path_factory.mktemp("asked")
    for seed, (split, questions) in enumerate({"train": 24, "validation": 8, "test": 11}.items()):
        rows = [json.dumps(row) + "\n" for row in asked_things(questions, seed, longest=3)]
        (folder / f"{split}.jsonl").write_text("".join(rows))

    def write(before, **sections):
        sections = {
            "model": {"folder": str(before)},
            "data": {split: str(folder / f"{split}.jsonl") for split in ("train", "validation", "test")},
            "task": {"window_tokens": WINDOW, "stride_tokens": STRIDE, "question_tokens": ASKED, "answer_tokens": 9},
            "train": {"steps": 2, "step_size": "8 examples", "checkpoint_steps": 2},
            "optim": {"learning_rate": 0.01},
        } | sections
        return asking_recipe_of("pretrained", **sections)

    return write


@pytest.fixture(scope="module", params=MASKED)
def tuned(request, pool, asking, pretrained_folder, tmp_path_factory):
    """(family, run, exported folder) of two steps on two ranks, stopped and resumed between them; the model's folder is
    gone since."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(pretrained_folder(request.param), folder / "before")
    recipe = str(asking(folder / "before"))
    assert pool.run(2, train_here, recipe=recipe, run=str(folder / "whole")) == [0, 0]
    assert pool.run(2, stop_in_the_middle, recipe=recipe, run=str(folder / "halves")) == [85, 85]
    shutil.rmtree(folder / "before")
    assert pool.run(2, resume_here, run=str(folder / "halves")) == [0, 0]
    assert bits(folder / "halves", 2) == bits(folder / "whole", 2)
    export_huggingface(folder / "halves", folder / "hf")
    return request.param, folder / "halves", folder / "hf"


def windows_for(run, question):
    """What our model reads of a question, and the settings that say so."""
    description = load_for_inference(run / "model")[1]
    encoder, task = Encoder.load(run / "model"), build_for_inference(description)
    made = encoder.encode([question])
    batch = windows_of(Flat(made.tokens, made.lengths, made.beside, made.contexts, made.flags), task.shape)
    return {name: torch.from_numpy(value.astype(np.int64)) for name, value in batch.items()}, encoder, task.shape


def test_windows_are_what_transformers_makes_of_question_and_context(tuned):
    family, run, folder = tuned
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    assert ("token_type_ids" in tokenizer("a", "b")) == (family == "bert")
    windows = []
    for asked in QUESTIONS:
        ours, encoder, shape = windows_for(run, asked)
        cut = len(tokenizer(asked.question, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        assert cut <= ASKED
        theirs = tokenizer(
            asked.question, asked.context, split_special_tokens=True, truncation="only_second", max_length=WINDOW,
            stride=WINDOW - cut - shape.marks - STRIDE, return_overflowing_tokens=True, return_token_type_ids=True,
        )  # fmt: skip
        ids = encoder.pieces.kept.ids_of_rows
        lengths = ours["lengths"].tolist()
        rows = [row[:length] for row, length in zip(ours["tokens"].tolist(), lengths, strict=True)]
        assert [[ids[one] for one in row] for row in rows] == theirs["input_ids"]
        types = [row[:length] for row, length in zip((ours["beside"] - 1).tolist(), lengths, strict=True)]
        assert types == theirs["token_type_ids"]
        windows.append(len(types))
    assert windows[0] == 1 < windows[1]


def test_the_exported_folder_gives_the_same_logits(tuned):
    family, run, folder = tuned
    theirs, about = transformers.AutoModelForQuestionAnswering.from_pretrained(str(folder), output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"] and not about["mismatched_keys"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    model = load_for_inference(run / "model")[0]
    for asked in QUESTIONS:
        ours, encoder, _ = windows_for(run, asked)
        lengths = ours["lengths"]
        seen = torch.arange(int(lengths.max())) < lengths[:, None]
        read = {"input_ids": torch.tensor(encoder.pieces.kept.ids_of_rows)[ours["tokens"]]}
        if family == "bert":
            read["token_type_ids"] = (ours["beside"] - 1).clamp(min=0)
        if len(lengths) == 1:
            read = tokenizer(asked.question, asked.context, return_tensors="pt")
        with torch.no_grad():
            wanted = model(ours["tokens"], lengths, ours["beside"])
            found = theirs.eval()(**{"attention_mask": seen.long()} | dict(read))
        found = torch.stack([found.start_logits, found.end_logits], dim=-1)
        assert (found - wanted)[seen].abs().max() <= TOLERANCE * wanted[seen].abs().max()


def test_it_is_scored_and_gives_characters_of_the_context(tuned):
    _, run, _ = tuned
    scores, said = json.loads((run / "evaluation.json").read_text()), np.load(run / "predictions.npz")
    assert scores["examples"] == 11 == said["start"].size and 0 <= scores["answer_f1"] <= 1
    predictor = Predictor(run)
    for asked, found in zip(QUESTIONS, predictor.predict(QUESTIONS), strict=True):
        assert 0 <= found["no_answer"] <= 1
        if found["answer"]:
            assert asked.context[found["start"] : found["end"]] == found["answer"] == found["answer"].strip()
    predictor.task.threshold = np.inf  # whatever having none says
    for asked, found in zip(QUESTIONS, predictor.predict(QUESTIONS), strict=True):
        assert found["answer"] and asked.context[found["start"] : found["end"]] == found["answer"]


def test_the_answer_is_where_training_is_told_that_it_is(tuned):
    """Of outputs that follow the labels the best span is the answer, to the letter."""
    _, run, _ = tuned
    encoder, task = Encoder.load(run / "model"), build_for_inference(load_for_inference(run / "model")[1])
    context = "Größe, 漢字 🌉! Cafe\u0301 " * 3 + "unwarm wit"
    for answer in ("漢字", "! Cafe\u0301", "wit"):
        made = encoder.encode([Question("so dull?", context, "", (Reference(answer, context.index(answer)),))])
        (located,) = made.located
        flags = golden(made.flags, 1, [located.spans], np.array([len(located.context.starts)]))
        batch = windows_of(Flat(made.tokens, made.lengths, made.beside, made.contexts, flags), task.shape)
        labels = torch.from_numpy(batch["labels"])
        outputs = torch.stack([(labels & flag > 0) * 20.0 for flag in (FIRST, LAST)], dim=-1)
        best = task.best(outputs, labels, 1)
        first, last = located.context.starts[int(best.first_B)], located.context.ends[int(best.last_B)]
        assert context[first:last] == answer
        assert task.loss_sum(outputs, labels) < 0.01


def test_no_answer_is_where_the_first_token_says_so(tuned):
    family, run, _ = tuned
    model, description = load_for_inference(run / "model")
    encoder, task = Encoder.load(run / "model"), build_for_inference(description)
    documents = encoder.encode(QUESTIONS)

    def first_wins(tokens, lengths, beside):
        outputs = model(tokens, lengths, beside)
        outputs[:, 0] += 50.0
        return outputs

    found, none = best_spans(first_wins, task, documents, 1000, "cpu")
    assert none.all() and (found[:, 3] > 0.99).all()


def test_its_size_is_predicted(tuned):
    _, run, _ = tuned
    config = load(str(run / "recipe.toml")).model
    model = build_model(config, Encoder.load(run / "model").rows, 2, each_token=True)
    assert parameter_count(config, 0, 2, each_token=True) == sum(one.numel() for one in model.parameters())


def test_ranks_agree(pool, asking, pretrained_folder, metrics_of, tmp_path):
    train = {"steps": 2, "step_size": "8 examples", "strict": True}
    recipe, losses, scores = str(asking(pretrained_folder("bert"), train=train)), [], []
    for ranks in (1, 2):
        run = tmp_path / str(ranks)
        assert pool.run(ranks, train_here, recipe=recipe, run=str(run)) == [0] * ranks
        losses.append([line["loss"] for line in metrics_of(run, "train")])
        scores.append(json.loads((run / "evaluation.json").read_text()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert scores[0]["examples"] == scores[1]["examples"] == 11
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], rel=1e-5)


@pytest.mark.parametrize(
    "family, overrides, says",
    [
        ("gpt2", [], "a gpt2 reads from left to right"),
        ("llama", [], "a llama reads from left to right"),
        ("bert", ["task.window_tokens=41"], "the model has 40 places, 3 of them for special tokens; use at most 40"),
        ("roberta", ["task.window_tokens=41"], "40 places, 4 of them"),
        ("roberta", ["task.question_tokens=23"], "beside 4 marks"),
        ("bert", ["text.max_tokens=30"], "all of every context is read"),
        ("bert", ["text.affixes=true"], "text.affixes = true"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(asking, pretrained_folder, family, overrides, says):
    with pytest.raises(RecipeError, match=re.escape(says)):
        load(str(asking(pretrained_folder(family))), overrides)


@pytest.mark.parametrize(
    "name, change, says",
    [
        ("tokenizer.json", {"post_processor": None}, "does not say how the model reads two texts"),
        ("config.json", {"type_vocab_size": 1}, "type_vocab_size = 1"),
    ],
)
def test_a_folder_that_cannot_read_two_texts_is_named(asking, pretrained_folder, tmp_path, name, change, says):
    shutil.copytree(pretrained_folder("bert"), tmp_path / "bert")
    path = tmp_path / "bert" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RecipeError, match=says):
        load(str(asking(tmp_path / "bert")))
