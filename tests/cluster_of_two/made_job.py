"""A recipe in a folder of a Slurm's, and `muster` run there, as on a login node."""

import contextlib
import json
import sys

from tests.conftest import write_corpus
from tests.waiting import until

RECIPE = """\
[data]
train = "{folder}/corpus/train.jsonl"
validation = "{folder}/corpus/validation.jsonl"
test = "{folder}/corpus/test.jsonl"
[model]
kind = "mlp"
hidden = [16]
[train]
steps = 20
step_size = "32 examples"
checkpoint_steps = 10
[evaluate]
baseline = false
[launch]
device = "cpu"
"""


def write_recipe(slurm):
    """`my.toml`, which is trained in a second or two; its name."""
    corpus = slurm.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for seed, name in enumerate(("train", "validation", "test")):
        write_corpus(corpus / f"{name}.jsonl", 200, seed=seed)
    (slurm.folder / "my.toml").write_text(RECIPE.format(folder=slurm.folder))
    return "my.toml"


def muster(slurm, *words, timeout=60, **environment):
    return slurm.run(sys.executable, "-m", "launch", *words, timeout=timeout, **environment)


def answer(slurm, *words):
    done = muster(slurm, words[0], "--json", *words[1:])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextlib.contextmanager
def without_jobs(slurm):
    """No job is left afterwards."""
    try:
        yield
    finally:
        slurm.run("scancel", "--user=root")
        until(lambda: not slurm.output("squeue", "--noheader"))
