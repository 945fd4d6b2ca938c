"""The data path's benchmark runs and says what it should; its figures are nobody's test."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import long_series

ROOT = Path(__file__).parents[2]


def rows(*arguments: str) -> Any:
    command = [sys.executable, "-m", "bench.data", *arguments, "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


@long_series
def test_loaders_are_checked_and_compared() -> None:
    arguments = ["--tokens", "3_000_000", "--rounds", "1", "--seconds", "0.05"]
    found, said = rows("loader", *arguments, "--only", "muster", "limit", "torch")
    assert "is not the documents" not in said
    assert {(row["workload"], row["loader"]) for row in found} == {
        (workload, loader) for workload in ("padded", "fixed") for loader in ("muster", "limit", "torch")
    }
    assert all(row["muster_times"] > 0 for row in found)


def test_padding_is_what_the_order_plans() -> None:
    found, _ = rows("padding", "--tokens", "3_000_000")
    assert [row["step"] for row in found] == ["262144 tokens", "1048576 tokens", "64 examples"]
    assert all(0.95 < row["efficiency"] <= 1 for row in found)


def test_a_loader_that_gives_other_tokens_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    import numpy as np

    from bench.data.one import digest

    tokens, lengths = np.array([[1, 2, 3], [4, 5, 0]]), np.array([3, 2])
    assert digest(tokens, lengths) == digest(tokens[::-1], lengths[::-1])
    assert digest(tokens, lengths) == digest(np.pad(tokens, ((0, 0), (0, 2))), lengths)
    for other in ([[1, 3, 2], [4, 5, 0]], [[1, 2, 4], [4, 5, 0]], [[1, 2, 3], [1, 2, 3]]):
        assert digest(np.array(other), lengths) != digest(tokens, lengths)
