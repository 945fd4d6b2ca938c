"""A whole script as tutorials have it: unchanged but for the import, and on two ranks with the lines we ask for."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from cluster.compat.torchtext.ranks import DDP_LINES

SCRIPT = Path(__file__).parent / "tutorial.py"
ROOT = SCRIPT.parent.parent.parent
KEPT = []


def test_it_runs_and_learns(corpus):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(corpus)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    losses = [float(found) for found in re.findall(r"train (\d\.\d+)", done.stdout)]
    assert len(losses) == 4 and losses[-1] < 0.7 * losses[0]
    assert float(re.search(r"test \d\.\d+ (\d\.\d+)", done.stdout)[1]) > 0.75
    assert done.stderr.count("spacy.blank('en')") == 1


def with_our_lines():
    """The script with the lines of the error where they say that they belong."""
    parts = re.split(r"\n *# .*\n", textwrap.dedent(DDP_LINES))
    script = SCRIPT.read_text()
    for mark, part in zip(("(process group)", "(model)", "(end)"), (parts[0] + parts[1], *parts[2:]), strict=True):
        assert script.count(f"# {mark}") == 1
        script = script.replace(f"# {mark}", part)
    return script


def test_the_page_shows_these_lines():
    assert textwrap.dedent(DDP_LINES) in (ROOT / "docs/torchtext.md").read_text()


def run_here(script, folder):
    import runpy

    sys.argv = [script, folder]
    found = runpy.run_path(script, run_name="__main__")
    KEPT.append(found)  # the model's group must not be deleted: see `_ended` in cluster/training/parallel.py
    weights = sum(float(one.detach().double().sum()) for one in found["model"].parameters())
    return {"loss": found["train_loss"], "weights": weights, "batches": len(found["train_iterator"])}


def test_two_ranks_train_one_model(pool, corpus, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(with_our_lines())
    one, other = pool.run(2, run_here, script=str(script), folder=str(corpus))
    assert one["weights"] == other["weights"] and one["loss"] != other["loss"]  # one model, each its own examples
    assert one["batches"] == other["batches"] == 7  # 400 examples, 2 x 32 a step
    assert (one["loss"] + other["loss"]) / 2 < 0.6
