"""What docs/python.md shows, run as it stands; and the ends that it does not show."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cluster import api
from cluster.errors import RunError, TrainingError

ROOT = Path(__file__).parents[1]


def test_the_example_of_the_docs_runs_as_it_stands(tmp_path):
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL).group(1)
    script = tmp_path / "example.py"
    script.write_text(example)
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=None, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^0 torch.Size", done.stdout, re.MULTILINE)
    assert "'label': 'positive'" in done.stdout
    assert (tmp_path / "runs/notebook/model/weights.safetensors").exists()


def test_steps_are_the_same_shared_out_and_from_the_middle(recipe_of):
    recipe = api.load(str(recipe_of("lstm")))
    prepared = api.prepare(recipe)

    def documents(first, rank, ranks):
        steps = api.steps(recipe, prepared, first=first, last=6, rank=rank, ranks=ranks)
        return [sum(len(batch.labels) for batch in step.batches if not batch.idle) for step in steps]

    whole = documents(0, 0, 1)
    assert whole == [32] * 6
    assert documents(4, 0, 1) == whole[4:]
    assert np.add(documents(0, 0, 2), documents(0, 1, 2)).tolist() == whole


def test_fit_shows_every_record_and_refuses_a_folder_in_use(recipe_of, tmp_path):
    recipe = api.load(str(recipe_of(train={"steps": 4, "log_steps": 1})))
    shown = []
    run = api.fit(recipe, tmp_path / "run", show=shown.append)
    assert shown == [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in shown if record["kind"] == "step"] == [1, 2, 3, 4]
    assert api.scores(run)["examples"] == 101
    assert api.resume(run) == run  # nothing is left to do
    with pytest.raises(RunError, match="holds a run already"):
        api.fit(recipe, run)


def test_a_run_that_fails_raises_what_the_verdict_says(recipe_of, tmp_path):
    recipe = api.load(str(recipe_of("cnn", optim={"learning_rate": 1e30})))
    with pytest.raises(TrainingError, match="loss"):
        api.fit(recipe, tmp_path / "run")
