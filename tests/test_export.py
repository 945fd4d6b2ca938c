"""Exported folders, read by transformers itself: the same logits, the same tokens, the same words."""

import json

import pytest
import torch
from safetensors.torch import load_file

from cluster.config.load import load
from cluster.errors import RecipeError
from cluster.export import export_huggingface
from cluster.predictor import Predictor
from cluster.sampling import Sampling
from cluster.speaker import Speaker
from cluster.text.raw.asked import Question
from tests.conftest import sampled

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own
TOLERANCE = 1e-5
"""Of the largest logit, in float32."""

CASES = {
    "swiglu, pieces": ("gpt", {"activation": "swiglu"}, {"tokens": "bpe", "lower": False, "vocabulary_size": 300}),
    "geglu, words": ("gpt", {"activation": "geglu", "key_heads": "heads"}, {"tokens": "words"}),
    "masked, pieces": ("bert", {}, {"tokens": "bpe", "lower": True, "vocabulary_size": 300}),
    "masked, words": ("bert", {}, {"tokens": "words"}),
}


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")


@pytest.fixture(scope="module", params=sampled(CASES, "swiglu, pieces", "masked, words"))
def exported(request, recipe_of, here, pool, tmp_path_factory):
    """(kind, run folder, exported folder, what `muster export` said) of a run of 30 steps."""
    kind, model, text = CASES[request.param]
    folder = tmp_path_factory.mktemp("exported")
    train = {"steps": 30, "step_size": "32 examples", "log_steps": 30, "checkpoint_steps": 30}
    recipe = recipe_of(kind, model=model, text=text, train=train, optim={"learning_rate": 0.02})
    assert pool.run(1, train_here, recipe=str(recipe), run=str(folder / "run")) == [0]
    ended = here("export", folder / "run", "--format", "huggingface", "--output", folder / "hf")
    assert ended.code == 0, ended.err
    return kind, folder / "run", folder / "hf", ended


def train_here(recipe, run):
    from cluster.train import main

    return main([recipe, "--run", run])


def test_the_logits_are_ours(exported, transformers):
    kind, run, folder, _ = exported
    speaker = Speaker(run)
    reads = transformers.AutoModelForCausalLM if kind == "gpt" else transformers.AutoModelForMaskedLM
    theirs, about = reads.from_pretrained(str(folder), output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"] and not about["mismatched_keys"]
    assert type(theirs).__name__ == ("LlamaForCausalLM" if kind == "gpt" else "BertForMaskedLM")
    rng = torch.Generator().manual_seed(1)
    tokens = torch.randint(2, speaker.encoder.rows, (5, 16), generator=rng)
    tokens[:, 0] = speaker.encoder.rows - 2
    with torch.no_grad():
        wanted = speaker.model(tokens, torch.full((5,), 16), None).scores()
        found = theirs.eval()(tokens).logits
    assert found.shape == wanted.shape == (5, 16, speaker.encoder.rows)
    assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max()
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in speaker.model.parameters()) + (
        0 if kind == "gpt" else 2 * 16  # segments, which we have not
    )


def test_the_tokenizer_is_ours_or_its_absence_is_said(exported, transformers, recipe_of):
    kind, run, folder, ended = exported
    encoder = Speaker(run).encoder
    if encoder.pieces is None:
        assert not (folder / "tokenizer.json").exists() and "without a tokenizer" in ended.err
        named = json.loads((folder / "vocabulary.json").read_text())
        assert len(named) == encoder.rows and named[2:-2] == encoder.words
        with pytest.raises(RecipeError, match="train the language model with that, and export it"):
            load(str(recipe_of("pretrained", model={"folder": str(folder)})))
        return
    assert "tokenizer" not in ended.err
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    for text in ("the film and a story", " Two  spaces,\ttabs\n\nand lines ", "Größe 漢字 🦊", "x"):
        assert tokenizer(text)["input_ids"] == encoder.encode([text]).tokens.tolist()
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == (
            text if not encoder.text.lower else text.lower()
        )
    if kind == "bert":
        ids = tokenizer("the [MASK] and")["input_ids"]
        assert ids.count(tokenizer.mask_token_id) == 1 and tokenizer.mask_token_id == encoder.rows - 1
        speaker = Speaker(run)
        assert ids == speaker._with_masks("the [MASK] and")[0]


def test_it_writes_what_we_write(exported, transformers):
    kind, run, folder, _ = exported
    encoder = Speaker(run).encoder
    if kind != "gpt" or encoder.pieces is None:
        return  # nothing to write, or nothing to write it with
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(str(folder))
    given = tokenizer("the film", return_tensors="pt")
    never = [[row] for row in (0, 1, encoder.rows - 1)]
    said = theirs.generate(
        input_ids=given["input_ids"], attention_mask=given["attention_mask"], max_new_tokens=8, do_sample=False,
        bad_words_ids=never,
    )[0]  # fmt: skip
    ours = "".join(Speaker(run).continued("the film", Sampling(temperature=0.0, most_tokens=8)))
    assert tokenizer.decode(said, skip_special_tokens=True) == "the film" + ours


def test_bad_input_is_named(exported, here, tmp_path):
    _, run, folder, _ = exported
    for arguments, said in [
        ((run, "--format", "huggingface", "--output", folder), "is there already"),
        ((run, "--format", "huggingface", "--output", tmp_path / "no" / "where"), "there is no folder"),
        ((run, "--format", "onyx", "--output", tmp_path / "out"), "huggingface"),
        ((tmp_path, "--format", "huggingface", "--output", tmp_path / "out"), "no run of muster"),
    ]:
        ended = here("export", *arguments)
        assert ended.code == 2 and said in ended.err and "Traceback" not in ended.err, ended.err
    assert not (tmp_path / "out").exists()


def test_a_classifier_has_no_equal(muster, recipe_of, pool, tmp_path):
    recipe = recipe_of("mlp", train={"steps": 2})
    assert pool.run(1, train_here, recipe=str(recipe), run=str(tmp_path / "run")) == [0]
    ended = muster("export", tmp_path / "run", "--format", "huggingface", "--output", tmp_path / "out")
    assert ended.code == 2 and '"mlp"' in ended.err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_a_language_model_of_ours_learns_another_task_as_a_pretrained_one(
    kind, transformers, pool, recipe_of, asking_recipe_of, tmp_path
):
    pieces = {"tokens": "bpe", "lower": False, "vocabulary_size": 300}
    brief = {"steps": 2, "step_size": "32 examples"}
    language = recipe_of(kind, model={"context": 40}, text=pieces, train=brief)
    assert pool.run(1, train_here, recipe=str(language), run=str(tmp_path / "language")) == [0]
    export_huggingface(tmp_path / "language", tmp_path / "hf")
    how = {"model": {"folder": str(tmp_path / "hf")}, "train": brief, "optim": {"learning_rate": 1e-5}}
    recipe = (asking_recipe_of if kind == "bert" else recipe_of)("pretrained", **how)
    assert pool.run(1, train_here, recipe=str(recipe), run=str(tmp_path / "tuned")) == [0]
    before, after = (
        load_file(tmp_path / "hf/model.safetensors"),
        load_file(tmp_path / "tuned/model/weights.safetensors"),
    )
    taken = [name for name in before if "model." + name in after]
    assert len(taken) > 15
    for name in taken:  # two small steps away from what it learned as a language model
        torch.testing.assert_close(after["model." + name], before[name], atol=1e-4, rtol=0)
    asked = Question("What has the colour1 box?", "The colour1 box has dull.") if kind == "bert" else "a warm film"
    (answer,) = Predictor(tmp_path / "tuned").predict([asked])
    assert set(answer) >= ({"answer", "no_answer"} if kind == "bert" else {"label", "probabilities"})
