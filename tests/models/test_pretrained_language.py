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
from tests.models.test_family import bits, resume_here, stop_in_the_middle, train_here

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own
TOLERANCE = 1e-5
"""Of the largest logit, in float32."""
NEW_TOKENS = 6


@pytest.fixture(scope="module", params=["gpt2", "llama", "bert"])
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


def test_it_is_scored(tuned):
    family, run = tuned
    scores = json.loads((run / "evaluation.json").read_text())
    assert scores["objective"] == ("causal" if family in CAUSAL else "masked")
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
    assert 0 < scores["loss"] < 8 and 0 <= scores["accuracy"] <= 1


def test_it_writes_or_fills_in(tuned):
    family, run = tuned
    speaker = Speaker(run)
    if family in CAUSAL:
        pieces = [*speaker.continued("the warm", Sampling(temperature=0.0, most_tokens=NEW_TOKENS))]
        assert "".join(pieces).strip()
    else:
        best, *_ = speaker.filled("the warm [MASK] and a story")["masks"][0]
        assert 0 < best["probability"] <= 1


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
