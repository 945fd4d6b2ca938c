"""Exported folders of models that write texts of others: transformers gives the same logits and writes the same."""

import copy
import json
from collections import Counter
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from cluster.config.models import Seq2Seq, Seq2SeqLstm
from cluster.config.schema import Text
from cluster.decoding import MOST_BEYOND, Search, written
from cluster.models.build import build_model
from cluster.overlap import Overlap
from cluster.rewriter import Rewriter
from cluster.tasks.rewrite import Rewrite
from cluster.text.tokens.pieces import Stretches, learn
from cluster.text.tokens.pipeline import Encoder

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own
TOLERANCE = 1e-5
"""Of the largest logit, in float32."""
LEARNED = ["the old fox takes a hen and gladly sees the red cheese"] * 3
TEXTS = ["the red fox sees", "a hen", "", " Two  spaces,\nand more </s> of <pad> Größe 漢字 🦊 ", "fox " * 30]
PIECES = {"tokens": "bpe", "lower": False, "vocabulary_size": 280}
CASES = {
    "pieces": (Seq2Seq(embedding=24, heads=4, encoder_layers=2, decoder_layers=1, feed_forward=40), PIECES),
    "words, odd width": (
        Seq2Seq(embedding=15, heads=3, encoder_layers=1, decoder_layers=2, feed_forward=20), {"tokens": "words"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")


def write_model(folder, config, **settings):
    """`model/` as a run leaves it, every parameter by chance: no bias is zero, and what it writes does not repeat."""
    text = Text(weights="none", **{"max_tokens": 60} | settings)
    if text.tokens == "bpe":
        pieces = learn(Counter(one for found, _ in Stretches(text).each(LEARNED) for one in found), text)
        encoder = Encoder(text, pieces.words, None, pieces, "pairs")
    else:
        encoder = Encoder(text, sorted(set(LEARNED[0].split())), None, None, "pairs")
    torch.manual_seed(5)
    weights = build_model(config, encoder.rows, 1).state_dict()
    for name, values in weights.items():
        values += torch.randn_like(values) * (2.0 if "norm" in name and name.endswith("weight") else 0.3)
    folder.mkdir()
    save_file(weights, folder / "weights.safetensors")
    task = Rewrite(Search(), Overlap()).describe()
    description = {"model": asdict(config), "task": task, "labels": [], "vocabulary_rows": encoder.rows}
    (folder / "model.json").write_text(json.dumps(description))
    encoder.save(folder)
    return folder


@pytest.fixture(scope="module", params=CASES)
def exported(request, here, transformers, tmp_path_factory):
    """(rewriter, exported folder, the model as transformers loads it, what `muster export` said)."""
    config, text = CASES[request.param]
    folder = tmp_path_factory.mktemp("written")
    model = write_model(folder / "model", config, **text)
    ended = here("export", model, "--format", "huggingface", "--output", folder / "hf")
    assert ended.code == 0, ended.err
    theirs, about = transformers.AutoModelForSeq2SeqLM.from_pretrained(str(folder / "hf"), output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"] and not about["mismatched_keys"]
    assert type(theirs).__name__ == "PegasusForConditionalGeneration" and "PegasusFor" in ended.out
    return Rewriter(model), folder / "hf", theirs.eval(), ended


def read(rewriter, texts):
    """Tokens (B, S), padded, and lengths (B)."""
    documents = rewriter.encoder.encode(texts)
    rows = torch.from_numpy(documents.tokens.astype("int64")).split(documents.lengths.tolist())
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor(documents.lengths.tolist())


def seen(tokens, lengths):
    return (torch.arange(tokens.shape[1]) < lengths[:, None]).long()


def test_the_logits_are_ours(exported):
    rewriter, _, theirs, _ = exported
    rows = rewriter.encoder.rows
    tokens, lengths = read(rewriter, TEXTS)
    before = torch.randint(2, rows - 2, (len(TEXTS), 40), generator=torch.Generator().manual_seed(1))
    before[:, 0] = rows - 2
    with torch.no_grad():
        wanted = rewriter.model(tokens, lengths, before).scores()
        found = theirs(input_ids=tokens, attention_mask=seen(tokens, lengths), decoder_input_ids=before).logits
    assert found.shape == wanted.shape == (len(TEXTS), 40, rows)
    assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max()


def test_it_can_be_trained_on(exported):
    """Labels are what the tokenizer gives; they begin with our mark, end with our end."""
    rewriter, _, theirs, _ = exported
    tokens, lengths = read(rewriter, TEXTS[:1])
    labels, _ = read(rewriter, TEXTS[1:2])
    before = torch.cat([torch.tensor([[rewriter.encoder.rows - 2]]), labels[:, :-1]], 1)
    with torch.no_grad():
        scores = rewriter.model(tokens, lengths, before).scores()
        found = theirs(input_ids=tokens, labels=labels).loss
    assert float(found) == pytest.approx(float(torch.nn.functional.cross_entropy(scores[0], labels[0])), rel=1e-5)


def test_it_writes_what_we_write(exported):
    rewriter, _, theirs, _ = exported
    tokens, lengths = read(rewriter, TEXTS)
    most = lengths + MOST_BEYOND - 1
    said = theirs.generate(
        input_ids=tokens, attention_mask=seen(tokens, lengths), max_new_tokens=int(most.max()), num_beams=1
    )
    ours = written(rewriter.model, tokens, lengths, Search(beam=1))
    assert any(len(its) < limit for its, limit in zip(ours, most.tolist(), strict=True))  # some text ends by itself
    assert len({row for its in ours for row in its}) > 4
    end = rewriter.encoder.rows - 1
    for row, its, limit in zip(said.tolist(), ours, most.tolist(), strict=True):
        assert row[0] == rewriter.encoder.rows - 2
        text = row[1:] + [end]
        assert text[: text.index(end)][:limit] == its


def test_the_longest_text_fits(exported):
    """As many tokens as the recipe allows, and a model that never ends: every position is there. transformers can make
    more."""
    rewriter, _, theirs, _ = exported
    tokens, lengths = read(rewriter, ["fox " * 200])
    assert tokens.shape == (1, 61)
    theirs.generation_config.suppress_tokens.append(rewriter.encoder.rows - 1)
    said = theirs.generate(input_ids=tokens, attention_mask=seen(tokens, lengths))
    theirs.generation_config.suppress_tokens.pop()
    assert said.shape == (1, 1 + 61 + MOST_BEYOND - 1)
    longer = copy.deepcopy(theirs)
    longer.resize_position_embeddings(200)
    tokens, before = tokens[:, :-1].repeat(1, 3), torch.full((1, 190), 3)
    with torch.no_grad():
        wanted = rewriter.model(tokens, torch.tensor([180]), before).scores()
        found = longer(input_ids=tokens, decoder_input_ids=before).logits
    assert (found - wanted).abs().max() <= 1e-3 * wanted.abs().max()  # its positions are rounded otherwise


def test_the_tokenizer_is_ours_or_its_absence_is_said(exported, transformers):
    rewriter, folder, theirs, ended = exported
    encoder = rewriter.encoder
    if encoder.pieces is None:
        assert not (folder / "tokenizer.json").exists() and "without a tokenizer" in ended.err
        named = json.loads((folder / "vocabulary.json").read_text())
        assert len(named) == encoder.rows and named[2:-2] == encoder.words and named[-2:] == ["<mark>", "<end>"]
        return
    assert "tokenizer" not in ended.err
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    wanted, lengths = read(rewriter, [*TEXTS, "fox " * 200])
    given = tokenizer([*TEXTS, "fox " * 200], padding=True, truncation=True, return_tensors="pt")
    assert torch.equal(given["input_ids"], wanted)
    assert torch.equal(given["attention_mask"], seen(wanted, lengths))
    assert set(given) == {"input_ids", "attention_mask"}  # which is all that the model takes
    text = "a red fox"
    said = theirs.generate(
        **tokenizer(text, return_tensors="pt"), max_new_tokens=len(tokenizer(text)["input_ids"]) + 49
    )
    assert tokenizer.decode(said[0], skip_special_tokens=True).strip() == rewriter.rewritten([text], Search(beam=1))[0]


REFUSED = {
    "an LSTM": (Seq2SeqLstm(embedding=8, hidden=8), {}, ['"seq2seq-lstm"', "no equal"]),
    "texts without end": (CASES["pieces"][0], {"max_tokens": 10**9}, ["text.max_tokens (1,000,000,000)", "position"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_equal_is_refused_with_a_reason(here, tmp_path, name):
    config, text, says = REFUSED[name]
    ended = here(
        "export", write_model(tmp_path / "model", config, **text), "--format", "huggingface", "--output",
        tmp_path / "out",
    )  # fmt: skip
    assert ended.code == 2 and all(words in ended.err for words in says) and "Traceback" not in ended.err, ended.err
    assert [one.name for one in tmp_path.iterdir()] == ["model"]
