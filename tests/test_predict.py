import contextlib
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save_file

from cluster import crew as crew_module
from cluster import predictor as predictor_module
from cluster.answers import Form
from cluster.config.models import Lstm, Mlp
from cluster.config.schema import Text
from cluster.crew import Crew, chunks, written
from cluster.errors import RunError
from cluster.models.build import build_model
from cluster.predict import main
from cluster.predictor import Predictor
from cluster.text.raw.requests import Request, from_file
from cluster.text.tokens.pipeline import Encoder
from tests.conftest import sampled

ROOT = Path(__file__).parents[1]
WORDS = ["good", "bad", "film", "the", "a"]


@pytest.fixture(params=["mlp", "lstm"])
def kind(request):
    return request.param


@pytest.fixture
def model(tmp_path, kind):
    """The model/ folder of a run: small, with weights of chance."""
    return make_model(tmp_path / "model", kind)


def make_model(folder, kind, task=None):
    """`task` is that of model.json: two labels, or for a regression none."""
    folder.mkdir()
    regress = task is not None and task["kind"] == "regress"
    config = Mlp(hidden=(8,)) if kind == "mlp" else Lstm(embedding=6, hidden=8)
    encoder = Encoder(
        Text(weights="tfidf" if kind == "mlp" else "none"), WORDS, np.ones(len(WORDS)) if kind == "mlp" else None
    )
    torch.manual_seed(3)
    save_file(build_model(config, encoder.rows, 1 if regress else 2).state_dict(), folder / "weights.safetensors")
    settings = {"kind": "mlp", "hidden": [8]} if kind == "mlp" else {"kind": "lstm", "embedding": 6, "hidden": 8}
    description = {
        "model": settings,
        "labels": [] if regress else ["neg", "pos"],
        "layout": "bag" if kind == "mlp" else "sequence",
        "vocabulary_rows": encoder.rows,
        "tag_rows": 0,
    }
    if task is not None:
        description["task"] = task
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
    monkeypatch.setattr(predictor_module, "FORWARD_TOKENS", 10)  # forwards of few rows, the longest alone
    np.testing.assert_allclose(predictor(texts), together, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([predictor([text]) for text in texts]), together, atol=1e-6)
    assert predictor([]).shape == (0, 2)


def test_from_file_to_file_nothing_is_lost(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(crew_module, "CHUNK_TEXTS", 2)
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


def test_tables_go_in_too(model, tmp_path, capsys):
    source = tmp_path / "in.csv"
    source.write_text('id,text,label\n1,"good, film",gold\n2,,gold\n3,bad,gold\n')
    assert main([str(model), "--input", str(source)]) == 2
    found = answers(capsys.readouterr().out)
    assert [one.get("text", one.get("line")) for one in found] == ["good, film", 3, "bad"]
    assert found[0]["id"] == "1" and found[0]["input_label"] == "gold"


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
        (["{model}", "--input", "a.csv"], "a.csv has no column"),
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
    Path("a.csv").write_text("body,label\ngood,pos\n")
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


def test_several_labels_from_the_threshold_on(tmp_path, capsys, monkeypatch):
    model = make_model(tmp_path / "model", "mlp", {"kind": "multilabel", "threshold": 0.4})
    predictor = Predictor(model)
    for both in ([0.39999, 0.4], [0.1, 0.2]):
        monkeypatch.setattr(predictor, "of", lambda documents, both=both: np.array([both]))
        (answer,) = predictor.predict(["good film"])
        assert answer["labels"] == [label for label, p in zip(["neg", "pos"], both, strict=True) if p >= 0.4]
        assert answer["probabilities"] == {"neg": both[0], "pos": both[1]}
    probabilities = Predictor(model)(["good film", "bad"])
    assert probabilities.shape == (2, 2) and not np.allclose(probabilities.sum(axis=1), 1)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main([str(model), "good film"]) == 0
    labels = Predictor(model).predict(["good film"])[0]["labels"]
    line = sys.stdout.getvalue()
    assert all(label in line for label in labels) and line.endswith("  good film\n")


def test_a_regression_gives_a_value(tmp_path, capsys, monkeypatch):
    model = make_model(tmp_path / "model", "lstm", {"kind": "regress", "mean": 40.0, "deviation": 9.0})
    values = Predictor(model)(["good film", "bad"])
    assert values.shape == (2,)
    description = json.loads((model / "model.json").read_text())
    description["task"] |= {"mean": 41.0}
    (model / "model.json").write_text(json.dumps(description))
    assert Predictor(model)(["good film", "bad"]) == pytest.approx(values + 1.0)  # in the unit of the targets
    values = values + 1.0
    assert main([str(model), "good film", "bad"]) == 0
    assert [one["value"] for one in answers(capsys.readouterr().out)] == pytest.approx(values.tolist(), abs=1e-6)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main([str(model), "good film"]) == 0
    assert sys.stdout.getvalue().split() == [f"{values[0]:.4g}", "good", "film"]


@pytest.mark.parametrize("kind", ["mlp"], indirect=True)
def test_input_is_read_as_it_is_needed(model):
    taken = []

    def endless():
        while True:
            taken.append(len(taken) + 1)
            yield Request(taken[-1], "good film")

    with Crew(model, Form(True), workers=0) as crew:
        found = written(endless(), Predictor(model), Form(True), crew)
        for _ in range(3 + crew_module.SMALL_CHUNKS):
            assert len(answers(next(found).text)) == crew_module.CHUNK_TEXTS
    assert len(taken) <= (4 + crew_module.SMALL_CHUNKS) * crew_module.CHUNK_TEXTS


def test_chunks_are_cut_by_number_and_by_size(monkeypatch):
    monkeypatch.setattr(crew_module, "CHUNK_LETTERS", 100)
    requests = [Request(n, "x" * 30 if n < 10 else "x") for n in range(20)]
    found = list(chunks(requests, most_texts=6))
    assert sum(found, []) == requests
    assert [len(chunk) for chunk in found] == [4, 4, 6, 6]


BAD_LINES = (3_000, 8_001)


@pytest.fixture
def many(tmp_path):
    """10,000 lines, two of them bad; more than one process answers at once, so workers take their share."""
    source = tmp_path / "many.jsonl"
    with open(source, "w") as file:
        for number in range(1, 10_001):
            text = " ".join(WORDS[i % 5] for i in range(number % 7, number % 7 + 1 + number % 11))
            file.write('{"broken\n' if number in BAD_LINES else json.dumps({"id": number, "text": text}) + "\n")
    return source


@pytest.mark.parametrize("kind", ["mlp", "lstm"], indirect=True)
def test_workers_answer_as_one_process_does(model, many, tmp_path, monkeypatch, capsys):
    one, several = tmp_path / "one.jsonl", tmp_path / "several.jsonl"
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert main([str(model), "--input", str(many), "--output", str(one)]) == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    handed_out = []
    handing_out = Crew._handed_out
    monkeypatch.setattr(Crew, "_handed_out", lambda *a: handed_out.append(1) or handing_out(*a))
    # Wait for the workers, which in so short a test would come too late to have a share.
    monkeypatch.setattr(Crew, "_are_ready", lambda crew: all(warm.result() is None for warm in crew._warm))
    assert main([str(model), "--input", str(many), "--output", str(several)]) == 2
    assert handed_out
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4 and all(f"{many}:{n}: broken JSON" in errors[i] for i, n in enumerate(BAD_LINES * 2))
    found = answers(several.read_text())
    assert [answer.get("id", answer.get("line")) for answer in found] == list(range(1, 10_001))
    assert ["error" in answer for answer in found].count(True) == 2
    expected = answers(one.read_text())
    for answer, other in zip(found, expected, strict=True):
        assert answer.get("probability", 0) == pytest.approx(other.get("probability", 0), abs=2e-6)


@pytest.mark.parametrize("kind", ["mlp", "lstm"], indirect=True)
def test_beside_a_gpu_workers_encode_and_this_process_runs_the_model(model, many, monkeypatch):
    monkeypatch.setattr(Crew, "_are_ready", lambda crew: all(warm.result() is None for warm in crew._warm))
    requests = list(from_file(many, None))[:6000]
    # A device that is not called "cpu" is taken for a GPU, and this one is everywhere.
    predictor, form = Predictor(model, "cpu:0"), Form(True)
    with Crew(model, form, workers=1) as crew:
        found = answers("".join(some.text for some in written(requests, predictor, form, crew)))
    expected = Predictor(model)([request.text for request in requests if not request.error])
    assert [one.get("id", one.get("line")) for one in found] == list(range(1, 6001))
    probabilities = [list(one["probabilities"].values()) for one in found if "error" not in one]
    np.testing.assert_allclose(probabilities, expected, atol=2e-6)


@dataclass
class Endless:
    """The command at work on lines that never end."""

    process: subprocess.Popen
    workers: list[psutil.Process]
    errors: Path


@pytest.fixture
def endless(model, many, tmp_path):
    errors = tmp_path / "errors"
    command = [sys.executable, "-m", "cluster.predict", str(model), "--field", "text"]
    with contextlib.ExitStack() as stack:
        feeder = stack.enter_context(
            subprocess.Popen(["sh", "-c", 'while cat "$0"; do :; done', str(many)], stdout=subprocess.PIPE)
        )
        process = subprocess.Popen(
            [*command, "--output", str(tmp_path / "out.jsonl")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=feeder.stdout,
            stderr=stack.enter_context(open(errors, "w")),
            start_new_session=True,
            # What a shell started in the background inherits a SIGINT that is ignored; a terminal's programs do not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        stack.enter_context(process)
        stack.callback(process.kill)
        feeder.stdout.close()
        parent, deadline = psutil.Process(process.pid), time.monotonic() + 180
        found = []
        while not found and time.monotonic() < deadline:
            found = [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]
            time.sleep(0.05)
        assert found, errors.read_text()
        yield Endless(process, found, errors)


ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: no workers are started")


@needs_two_cores
@pytest.mark.parametrize("kind", ["mlp"], indirect=True)
def test_a_worker_that_dies_is_named_and_the_old_output_stays(endless, tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("old\n")
    endless.workers[0].kill()
    assert endless.process.wait(timeout=60) == 75
    said = f"Process {endless.workers[0].pid}, which predicts a share of the texts, was killed by SIGKILL"
    assert said in endless.errors.read_text()
    assert target.read_text() == "old\n" and not list(tmp_path.glob(".out*"))


@needs_two_cores
@pytest.mark.parametrize("kind", ["mlp"], indirect=True)
@pytest.mark.parametrize(
    "number", sampled([signal.SIGINT, signal.SIGTERM, signal.SIGKILL], signal.SIGINT, signal.SIGKILL)
)
def test_no_worker_outlives_the_command(endless, tmp_path, number):
    if number == signal.SIGINT:
        os.killpg(endless.process.pid, number)  # as a terminal does
    else:
        endless.process.send_signal(number)
    assert endless.process.wait(timeout=60) == (128 + number if number != signal.SIGKILL else -number)
    assert psutil.wait_procs(endless.workers, timeout=30)[1] == []
    assert "Traceback" not in endless.errors.read_text()
    if number != signal.SIGKILL:
        assert "leaked" not in endless.errors.read_text()
        assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("kind", ["mlp"], indirect=True)
def test_a_reader_that_leaves_ends_it_quietly(model, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("good film\n" * 50_000)
    command = f"{sys.executable} -m cluster.predict {model} --input {source} | head -1; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=60)
    line, status = found.stdout.splitlines()
    assert json.loads(line)["text"] == "good film" and status == "0" and found.stderr == ""
