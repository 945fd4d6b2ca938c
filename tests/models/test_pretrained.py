"""Folders that transformers saved: read, fine-tuned on ranks, saved back with the same logits, and refused if wrong."""

import json
import shutil

import numpy as np
import pytest
import torch

from cluster.config.load import load
from cluster.export import export_huggingface
from cluster.models.build import load_for_inference
from cluster.predictor import Predictor
from cluster.text.tokens.given import Words
from cluster.text.tokens.pipeline import Encoder
from tests.models.folders import FAMILIES, PLACES

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own
TOLERANCE = 1e-5
"""Of the largest logit, in float32."""
TASKS = {"bert": "classify", "roberta": "tag", "distilbert": "multilabel", "gpt2": "classify", "llama": "tag"}
BY_COMMAND = "bert"
"""Exported and asked by the real command; the others in this process, which has loaded torch and transformers once."""
TEXTS = ["a warm and witty film", "so dull", "The [SEP] Größe, 漢字!", "people " * 60]


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


@pytest.fixture(scope="module", params=FAMILIES)
def tuned(request, pool, recipe_of, tagging_recipe_of, pretrained_folder, muster, tmp_path_factory):
    """(family, run folder, exported folder) of a run of three steps on two ranks, whose folder is gone since."""
    family = request.param
    folder = tmp_path_factory.mktemp(family)
    shutil.copytree(pretrained_folder(family), folder / "before")
    sections = {
        "model": {"folder": str(folder / "before")},
        "train": {"steps": 3, "step_size": "32 examples", "strict": True},
        "optim": {"learning_rate": 0.01},
    }
    if TASKS[family] == "tag":
        recipe = tagging_recipe_of("pretrained", **sections, data={"predicate": ""})
    else:
        recipe = recipe_of("pretrained", **sections, task={"kind": TASKS[family]})
    assert pool.run(2, train_here, recipe=str(recipe), run=str(folder / "run")) == [0, 0]
    shutil.rmtree(folder / "before")
    if family == BY_COMMAND:
        ended = muster("export", folder / "run", "--format", "huggingface", "--output", folder / "hf")
        assert ended.code == 0, ended.err
    else:
        export_huggingface(folder / "run", folder / "hf")
    return family, folder / "run", folder / "hf"


def test_the_exported_folder_gives_the_same_logits(tuned):
    family, run, folder = tuned
    model, description = load_for_inference(run / "model")
    tags = TASKS[family] == "tag"
    reads = transformers.AutoModelForTokenClassification if tags else transformers.AutoModelForSequenceClassification
    theirs, about = reads.from_pretrained(str(folder), output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"] and not about["mismatched_keys"]
    assert list(theirs.config.id2label.values()) == description["labels"]
    encoder = Encoder.load(run / "model")
    documents = encoder.encode([Words(text.split()) if tags else text for text in TEXTS])
    lengths = torch.from_numpy(documents.lengths.astype(np.int64))
    seen = torch.arange(int(lengths.max())) < lengths[:, None]
    rows = torch.zeros(seen.shape, dtype=torch.int64)
    rows[seen] = torch.from_numpy(documents.tokens.astype(np.int64))
    ids = torch.tensor(encoder.pieces.kept.ids_of_rows)[rows]
    with torch.no_grad():
        wanted, found = model(rows, lengths), theirs.eval()(input_ids=ids, attention_mask=seen.long()).logits
    real = seen if tags else ...
    assert (found - wanted)[real].abs().max() <= TOLERANCE * wanted.abs().max()


def test_a_text_becomes_what_transformers_makes_of_it(tuned):
    family, run, folder = tuned
    encoder, tokenizer = Encoder.load(run / "model"), transformers.AutoTokenizer.from_pretrained(str(folder))
    ids = encoder.pieces.kept.ids_of_rows
    for text in TEXTS:
        tags = TASKS[family] == "tag"
        # In byte-level pieces a given word has a space before it.
        text = " " + text if tags and family == "roberta" else text
        documents = encoder.encode([Words(text.split()) if tags else text])
        wanted = tokenizer(text, split_special_tokens=True)["input_ids"]
        found = [ids[row] for row in documents.tokens.tolist()]
        if not (tags and family == "llama"):  # which joins pieces over spaces, if it does not get single words
            assert found == wanted if len(wanted) <= PLACES else len(found) == PLACES, text
        if tags:
            assert not documents.begins_word[0] and documents.begins_word[1]  # <s>, and the first word
            assert documents.cut or documents.begins_word.sum() == len(text.split())


def test_predict_needs_the_run_alone(tuned, muster):
    family, run, _ = tuned
    if family == BY_COMMAND:
        done = muster("predict", run, "a warm and witty film", "--json")
        assert done.code == 0, done.err
        answer = json.loads(done.out)
    else:
        (answer,) = Predictor(run).predict(["a warm and witty film"])
    assert len(answer["tags"]) == 5 if TASKS[family] == "tag" else answer["probabilities"]


@pytest.mark.parametrize("family", ["roberta", "gpt2"])
def test_numbers_are_learned_and_saved_with_their_unit(family, pool, recipe_of, pretrained_folder, corpus, tmp_path):
    for split in ("train", "validation", "test"):
        texts = [json.loads(line)["text"] for line in (corpus / f"{split}.jsonl").read_text().splitlines()]
        rows = [json.dumps({"text": text, "label": 1000 + len(text.split())}) + "\n" for text in texts]
        (tmp_path / f"{split}.jsonl").write_text("".join(rows))
    recipe = recipe_of(
        "pretrained",
        data={split: str(tmp_path / f"{split}.jsonl") for split in ("train", "validation", "test")},
        model={"folder": str(pretrained_folder(family))},
        task={"kind": "regress"},
        train={"steps": 3},
    )
    run = tmp_path / "run"
    assert pool.run(1, train_here, recipe=str(recipe), run=str(run)) == [0]
    scores = json.loads((run / "evaluation.json").read_text())
    assert scores["examples"] == 101 and scores["mae"] < 100  # numbers of the unit, from 1003 to 1040
    export_huggingface(run, tmp_path / "hf")
    theirs, about = transformers.AutoModelForSequenceClassification.from_pretrained(
        str(tmp_path / "hf"), output_loading_info=True
    )
    assert not about["missing_keys"] and not about["unexpected_keys"] and not about["mismatched_keys"]
    settings, tokenizer = theirs.config, transformers.AutoTokenizer.from_pretrained(str(tmp_path / "hf"))
    assert settings.num_labels == 1 and settings.problem_type == "regression"
    texts = ["a warm and witty film", "so dull"]
    for text, answer in zip(texts, Predictor(run).predict(texts), strict=True):
        with torch.no_grad():
            logit = theirs.eval()(**tokenizer(text, return_tensors="pt")).logits.item()
        number = logit * settings.target_deviation + settings.target_mean
        assert number == pytest.approx(answer["value"], rel=1e-5) and 900 < number < 1100


def test_ranks_agree(pool, recipe_of, metrics_of, tmp_path):
    losses = []
    recipe = recipe_of("pretrained", train={"steps": 3, "step_size": "32 examples", "strict": True})
    for ranks in (1, 3):
        run = tmp_path / str(ranks)
        assert pool.run(ranks, train_here, recipe=str(recipe), run=str(run)) == [0] * ranks
        losses.append([line["loss"] for line in metrics_of(run, "train")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def changed(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


BROKEN = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
    "torn JSON": (lambda folder: (folder / "config.json").write_text("{"), "JSON"),
    "another family": (lambda folder: changed(folder, "config.json", model_type="t5"), "'t5'"),
    "small vocabulary": (lambda folder: changed(folder, "config.json", vocab_size=50), "vocab_size = 50"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
    "pickles": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "model.pickled",
    ),
    "torn weights": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100]),
        "cut off",
    ),
    "other weights": (lambda folder: changed(folder, "config.json", hidden_size=32), "not those of its config.json"),
}


@pytest.mark.parametrize("damage, said", BROKEN.values(), ids=BROKEN)
def test_a_bad_folder_is_named(damage, said, pretrained_folder, recipe_of, tmp_path, capfd):
    folder = tmp_path / "bert"
    shutil.copytree(pretrained_folder("bert"), folder)
    damage(folder)
    recipe = recipe_of("pretrained", model={"folder": str(folder)})
    from cluster.train import main

    assert main([str(recipe), "--run", str(tmp_path / "run")]) == 2
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    "sections, said",
    [
        ({"text": {"tokens": "bpe"}}, 'use "model"'),
        ({"text": {"min_count": 2}}, "text.min_count = 2"),
        ({"text": {"stop_words": "drop"}}, "text.stop_words"),
        ({"text": {"max_tokens": 39}}, "at most 38"),
        ({"model": {"start_from": "runs/other"}}, "model.folder both"),
        ({"task": {"kind": "language"}, "model": {"context": 41}}, "40 places"),
        ({"model": {"folder": "/nowhere"}}, "no such folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused(sections, said, recipe_of):
    from cluster.errors import RecipeError

    with pytest.raises(RecipeError, match=said):
        load(str(recipe_of("pretrained", **sections)))


def test_tokens_of_a_model_need_one(recipe_of):
    from cluster.errors import RecipeError

    with pytest.raises(RecipeError, match="no tokenizer of its own"):
        load(str(recipe_of("lstm", text={"tokens": "model"})))


def test_pickles_are_read_if_asked_for(pretrained_folder, recipe_of, tmp_path):
    folder = tmp_path / "bert"
    shutil.copytree(pretrained_folder("bert"), folder)
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    recipe = recipe_of("pretrained", model={"folder": str(folder), "pickled": True}, train={"steps": 1})
    assert train_here(str(recipe), str(tmp_path / "run")) == 0
