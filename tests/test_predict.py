import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cluster import predict as predict_module
from cluster.config.schema import Lstm, Mlp, Text
from cluster.errors import RunError
from cluster.models.build import build_model
from cluster.predict import Predictor, main
from cluster.text.pipeline import Encoder

WORDS = ["good", "bad", "film", "the", "a"]


@pytest.fixture(params=["mlp", "lstm"])
def kind(request):
    return request.param


@pytest.fixture
def model(tmp_path, kind):
    """The model/ folder of a run: small, with weights of chance."""
    return make_model(tmp_path / "model", kind)


def make_model(folder, kind):
    folder.mkdir()
    config = Mlp(hidden=(8,)) if kind == "mlp" else Lstm(embedding=6, hidden=8)
    encoder = Encoder(
        Text(weights="tfidf" if kind == "mlp" else "none"), WORDS, np.ones(len(WORDS)) if kind == "mlp" else None
    )
    torch.manual_seed(3)
    save_file(build_model(config, encoder.rows, 2).state_dict(), folder / "weights.safetensors")
    settings = {"kind": "mlp", "hidden": [8]} if kind == "mlp" else {"kind": "lstm", "embedding": 6, "hidden": 8}
    description = {
        "model": settings,
        "labels": ["neg", "pos"],
        "layout": "bag" if kind == "mlp" else "sequence",
        "vocabulary_rows": encoder.rows,
    }
    (folder / "model.json").write_text(json.dumps(description))
    encoder.save(folder)
    return folder


def answers(text):
    return [json.loads(line) for line in text.splitlines()]


def test_every_text_gets_probabilities_even_without_a_known_word(model, capsys):
    assert main([str(model), "good film", "zzz qqq", "the bad film the", "--json"]) == 0
    found = answers(capsys.readouterr().out)
    assert [one["text"] for one in found] == ["good film", "zzz qqq", "the bad film the"]
    for one in found:
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert one["probability"] == max(one["probabilities"].values()) == one["probabilities"][one["label"]]


def test_a_text_is_judged_the_same_alone_and_in_a_batch(model, monkeypatch):
    predictor = Predictor(model)
    texts = ["good", "bad film " * 30, "the", "unknown words here", "a good film"]
    together = predictor(texts)
    monkeypatch.setattr(predict_module, "FORWARD_TOKENS", 10)  # forwards of few rows, the longest alone
    np.testing.assert_allclose(predictor(texts), together, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([predictor([text]) for text in texts]), together, atol=1e-6)
    assert predictor([]).shape == (0, 2)


def test_from_file_to_file_nothing_is_lost(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH_TEXTS", 2)
    lines = [
        json.dumps({"id": 1, "text": "good film", "label": "gold"}),
        '{"text": "cut',
        json.dumps({"id": 3, "body": "x"}),
        "",
        json.dumps({"id": 5, "text": "ein Bär \ud800"}),
        json.dumps({"id": 6, "text": 7}),
        "[]",
        json.dumps({"id": 8, "text": "bad"}),
    ]
    source, target = tmp_path / "in.jsonl.gz", tmp_path / "out.jsonl"
    source.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n\xff\xfe\n"))
    assert main([str(model), "--input", str(source), "--output", str(target)]) == 2
    found = answers(target.read_text())
    assert [one.get("id", one.get("line")) for one in found] == [1, 2, 3, 5, 6, 7, 8, 9]
    assert found[0]["input_label"] == "gold" and found[0]["label"] in ("neg", "pos")
    assert found[3]["text"] == "ein Bär \ud800"
    bad = [one for one in found if "error" in one]
    assert [set(one) for one in bad] == [{"line", "error"}] * 5 and "no field 'text'" in bad[1]["error"]
    errors = capsys.readouterr().err
    assert f"{source}:2: broken JSON" in errors and f"{source}:9: invalid UTF-8" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl.gz", "model", "out.jsonl"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_short_lines_on_a_terminal(model, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    assert main([str(model), "good \x1b[31m film\nindeed", "a " * 80]) == 0
    first, second = sys.stdout.getvalue().splitlines()
    assert first.split()[0] in ("neg", "pos") and "\x1b" not in first and first.endswith("film indeed")
    assert len(second) == 40 and second.endswith("…")


def test_standard_input_holds_one_text_a_line_or_objects_with_a_field(model, monkeypatch, capsys):
    for content, options in (
        (b"good film\n\nbad\r\n", []),
        (b'{"body": "good film"}\n\n{"body": "bad"}\n', ["--field", "body"]),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert main([str(model), *options]) == 0
        found = answers(capsys.readouterr().out)
        assert [one.get("text", one.get("body")) for one in found] == ["good film", "bad"]


@pytest.mark.parametrize("kind", ["mlp"], indirect=True)
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "no run at nowhere"),
        (["{model}", "--input", "missing.jsonl"], "cannot read missing.jsonl"),
        (["{model}", "--input", "a.csv"], "not CSV"),
        (["{model}", "--input", "a.jsonl", "text"], "exclude each other"),
        (["{model}", "--input", "a.jsonl", "--output", "a.jsonl"], "is the input itself"),
        (["{model}", "x", "--output", "no/such/folder.jsonl"], "there is no folder"),
        (["{model}", ""], "argument:1: empty text"),
        (["{model}", "x", "--device", "cuda"], "no GPU"),
    ],
)
def test_wrong_input_is_said_and_destroys_nothing(model, tmp_path, capsys, monkeypatch, arguments, message):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text('{"text": "good"}\n')
    assert main([argument.format(model=model) for argument in arguments]) == 2
    assert message in capsys.readouterr().err
    assert Path("a.jsonl").read_text() == '{"text": "good"}\n'


@pytest.mark.parametrize("kind", ["mlp"], indirect=True)
def test_an_output_that_could_not_be_finished_leaves_the_old_one(model, tmp_path, monkeypatch):
    target = tmp_path / "out.jsonl"
    target.write_text("old\n")
    source = tmp_path / "in.jsonl.gz"
    packed = gzip.compress(b'{"text": "good"}\n' * 2000)
    source.write_bytes(packed[: len(packed) // 2])
    assert main([str(model), "--input", str(source), "--output", str(target)]) == 2
    assert target.read_text() == "old\n" and len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("kind", ["mlp"], indirect=True)
def test_files_of_two_runs_do_not_mix(model, tmp_path):
    Encoder(Text(weights="none"), WORDS, None).save(model)
    with pytest.raises(RunError, match="different runs"):
        Predictor(model)


@pytest.mark.parametrize("kind", ["mlp"], indirect=True)
def test_input_is_read_as_it_is_needed(model):
    taken = []

    def endless():
        number = 0
        while True:
            number += 1
            taken.append(number)
            yield predict_module.Request(number, "good film")

    class Enough(Exception):
        pass

    def answer(request, found):
        if request.line == 10:
            raise Enough

    with pytest.raises(Enough):
        predict_module.predict(Predictor(model), endless(), answer, batch_texts=4)
    assert len(taken) == 12


@pytest.mark.parametrize("kind", ["mlp"], indirect=True)
def test_a_reader_that_leaves_ends_it_quietly(model, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("good film\n" * 50_000)
    command = f"{sys.executable} -m cluster.predict {model} --input {source} | head -1; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=60)
    line, status = found.stdout.splitlines()
    assert json.loads(line)["text"] == "good film" and status == "0" and found.stderr == ""
