"""The benchmarks run and say what they should; their figures are nobody's test."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PEERS = ["transformers", "lightning", "accelerate"]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`bench` is run from the root of the repository, not installed."""
    monkeypatch.syspath_prepend(str(ROOT))


def last_json(*module: str) -> Any:
    ended = subprocess.run([sys.executable, "-m", *module], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_transcription_scores_the_same_packed_and_padded(tmp_path: Path) -> None:
    rows = [{"text": f"a {word} film " * (1 + i % 4), "label": word} for i in range(40) for word in ("good", "bad")]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    scores = {
        states: last_json("bench.seed_transcription", str(file), str(file), "--epochs", "5", "--states", states)[
            "accuracy"
        ]
        for states in ("packed", "gathered")
    }
    assert scores == {"packed": 1.0, "gathered": 1.0}


@pytest.mark.parametrize(
    "ratio, accuracy, failures",
    [
        (1.5, 0.75, 0),
        (1.5, 0.735, 0),  # lower, but within the spread
        (1.5, 0.72, 1),
        (1.2, 0.75, 1),
        (1.2, 0.72, 2),
    ],
)
def test_seed_verdict(ratio: float, accuracy: float, failures: int) -> None:
    from bench.seed import verdict

    reference = {"ratio": ratio, "accuracy": 0.74, "spread": 0.01}
    assert len(verdict([reference, {"ratio": 1.0, "accuracy": accuracy, "spread": 0.0}])) == failures


def test_best_of_a_column_is_marked_whoever_it_is() -> None:
    from bench.trainers.__main__ import table

    mine = {
        "case": "c", "trainer": "muster", "tokens_per_second": 2000.0, "padding_share": 0.01,
        "first_step_seconds": 5.0, "peak_memory_bytes": 2**30, "accuracy": 0.7,
    }  # fmt: skip
    _, first, second = table([mine, mine | {"trainer": "peer", "first_step_seconds": 4.0, "tokens_per_second": 10.0}])
    assert "2,000*" in first and "5.0*" not in first
    assert "4.0*" in second and "10*" not in second


@pytest.mark.skipif(
    not all(importlib.util.find_spec(peer) for peer in PEERS), reason="needs the peers: pip install -e .[bench]"
)
def test_every_trainer_makes_the_same_steps() -> None:
    report = last_json("bench.trainers", "--quick", "--json", "--device", "cpu", "--case", "lstm, movie-sentences")
    assert {row["trainer"] for row in report["cpu"]} == {"muster", "hf-trainer", "lightning", "accelerate"}
    assert all(row["tokens_per_second"] > 0 and 0 <= row["padding_share"] < 1 for row in report["cpu"])
