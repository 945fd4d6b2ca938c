"""Language models that others trained: tuned, stopped, resumed without their folder, asked to write, saved back."""

import json
import math
import shutil

import pytest
import torch

from cluster.config.pretrained import CAUSAL
from cluster.export import export_huggingface
from cluster.sampling import Sampling
from cluster.speaker import Speaker
from tests.models.folders import FAMILIES
from tests.models.test_family import bits, resume_here, stop_in_the_middle, train_here

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own
TOLERANCE = 1e-5
"""Of the largest logit, in float32."""
NEW_TOKENS = 6


@pytest.fixture(scope="module", params=FAMILIES)
def tuned(request, pool, recipe_of, pretrained_folder, tmp_path_factory):
    """(family, run) of two steps on two ranks, stopped and resumed between them; the model's folder is gone since."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(pretrained_folder(request.param), folder / "before")
    recipe = recipe_of(
        "pretrained",
        model={"folder": str(folder / "before"), "context": 24},
        task={"kind": "language"},
        train={"steps": 2, "step_size": "16 examples", "checkpoint_steps": 2},
        optim={"learning_rate": 0.01},
    )
    assert pool.run(2, train_here, recipe=str(recipe), run=str(folder / "whole")) == [0, 0]
    assert pool.run(2, stop_in_the_middle, recipe=str(recipe), run=str(folder / "halves")) == [85, 85]
    shutil.rmtree(folder / "before")
    assert pool.run(2, resume_here, run=str(folder / "halves")) == [0, 0]
    assert bits(folder / "halves", 2) == bits(folder / "whole", 2)
    return request.param, folder / "halves"


@pytest.fixture(scope="module")
def exported(tuned, tmp_path_factory):
    """The run's model and tokenizer as transformers reads them."""
    family, run = tuned
    folder = tmp_path_factory.mktemp("exported") / "hf"
    export_huggingface(run, folder)
    reads = transformers.AutoModelForCausalLM if family in CAUSAL else transformers.AutoModelForMaskedLM
    model, about = reads.from_pretrained(str(folder), output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"] and not about["mismatched_keys"]
    return model.eval(), transformers.AutoTokenizer.from_pretrained(str(folder))


def as_learned(text, tokenizer, mark):
    """A text as the run's documents were laid out: a mark before it, and nothing behind it."""
    ids = torch.tensor([[mark, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_it_is_scored(tuned):
    family, run = tuned
    scores = json.loads((run / "evaluation.json").read_text())
    assert scores["objective"] == ("causal" if family in CAUSAL else "masked")
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
    assert 0 < scores["loss"] < 8 and 0 <= scores["accuracy"] <= 1


def test_it_writes_or_fills_in_what_the_exported_one_does(tuned, exported):
    family, run = tuned
    model, tokenizer = exported
    speaker = Speaker(run)
    if family in CAUSAL:
        ours = "".join(speaker.continued("the warm", Sampling(temperature=0.0, most_tokens=NEW_TOKENS)))
        special = speaker.encoder.pieces.kept.special
        never = [[one] for one in {special["pad"], special["unknown"]} - {special["mark"]}] or None
        asked = as_learned("the warm", tokenizer, special["mark"])
        ended_by = {"max_new_tokens": NEW_TOKENS, "eos_token_id": special["mark"]}
        said = model.generate(**asked, **ended_by, do_sample=False, bad_words_ids=never)[0]
        assert ours.strip() and "the warm" + ours == tokenizer.decode(said, skip_special_tokens=True)
        return
    asked = as_learned(f"the warm {tokenizer.mask_token} and a story", tokenizer, tokenizer.cls_token_id)
    missing = asked["input_ids"] == tokenizer.mask_token_id
    with torch.no_grad():
        scores = model(**asked).logits[missing][0]
    never = (tokenizer.pad_token, tokenizer.unk_token, tokenizer.cls_token, tokenizer.mask_token)
    scores[[tokenizer.convert_tokens_to_ids(name) for name in never]] = -torch.inf
    asked["input_ids"][missing] = scores.argmax()
    theirs = tokenizer.decode(asked["input_ids"][0], skip_special_tokens=True)
    assert speaker.filled("the warm [MASK] and a story")["filled"] == theirs


def test_tokens_behind_a_text_are_its_continuation(tuned, exported):
    """Wherever a text is cut, spaces are neither lost nor added."""
    _, run = tuned
    encoder, tokenizer = Speaker(run).encoder, exported[1]
    rows = encoder.encode(["the witty film and a graceful story"]).tokens.tolist()[1:]
    ids = [encoder.pieces.kept.ids_of_rows[row] for row in rows]
    whole = tokenizer.decode(ids)
    for cut in range(1, len(rows)):
        assert tokenizer.decode(ids[:cut]) + "".join(encoder.pieces.decoded(rows[cut:])) == whole


def test_the_exported_folder_gives_the_same_logits(tuned, exported):
    _, run = tuned
    speaker = Speaker(run)
    ids = torch.tensor(speaker.encoder.pieces.kept.ids_of_rows)
    chance = torch.Generator().manual_seed(1)
    rows = torch.randint(2, speaker.encoder.rows - 2, (3, 20), generator=chance)
    with torch.no_grad():
        wanted = speaker.model(rows, torch.full((3,), 20), None).scores()
        found = exported[0](input_ids=ids[rows]).logits[..., ids]
    said = wanted.isfinite().all(dim=(0, 1))  # an id with several rows is said by one of them alone
    assert said.sum() == len(set(ids.tolist()))
    assert (found - wanted)[..., said].abs().max() <= TOLERANCE * wanted[..., said].abs().max()


def test_a_document_in_company_is_the_same_as_alone(tuned):
    """Places begin anew with each, where the family has them begin."""
    speaker = Speaker(tuned[1])
    chance = torch.Generator().manual_seed(2)
    first, second = (torch.randint(2, speaker.encoder.rows - 2, (1, length), generator=chance) for length in (7, 9))
    numbers = torch.tensor([[0] * 7 + [1] * 9])
    with torch.no_grad():
        together = speaker.model(torch.cat([first, second], dim=1), torch.tensor([16]), numbers).scores()
        for document, found in ((first, together[:, :7]), (second, together[:, 7:])):
            alone = speaker.model(document, torch.tensor([document.shape[1]]), None).scores()
            torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
