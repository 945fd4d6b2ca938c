"""Scores of recipes, kept."""

import json
import subprocess
import sys

from tests.conftest import ROOT


def test_what_is_kept_is_shown_and_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from bench.recipes import digest, scores_of

    evaluation = {"task": "classify", "accuracy": 0.75, "f1": {"macro": 0.5, "per_class": {"a": 1.0}}, "examples": 4}
    scores = scores_of(evaluation)
    assert scores == {"accuracy": 0.75, "f1 macro": 0.5}
    row = {
        "recipe": "sentiment",
        "seed": 7,
        "threads": 1,
        "seconds": 3.0,
        "scores": scores,
        "baseline": {"accuracy": 0.7},
    }
    file = tmp_path / "scores.jsonl"
    older = row | {"sha256": "of another recipe", "machine": "a"}
    file.write_text(
        "".join(json.dumps(one) + "\n" for one in (older, row | {"sha256": digest("sentiment"), "machine": "b"}))
    )
    words = ["sentiment", "--seeds", "7", "--kept", str(file)]
    done = subprocess.run([sys.executable, "-m", "bench.recipes", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "sentiment, seed 7: 3 s, threads 1, b"
    assert done.stdout.splitlines()[1].split() == ["accuracy", "0.7500", "0.7000"]
