"""One trainer, one process: prints its figures as JSON on the last line.

python -m bench.linear.cell "muster"|"logistic"|"sgd" SET EPOCHS THREADS
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.linear_model import LogisticRegression, SGDClassifier

from cluster.config.load import load
from cluster.matrices import write_matrices
from cluster.prepare import prepare

RECIPE = """
[data]
train = "{name}"
validation = "none"
test = "{name}"

[text]
min_count = 2
weights = "tfidf"

[model]
kind = "linear"

[optim]
kind = "adam"
learning_rate = 2e-2
schedule = "linear"

[train]
epochs = {epochs}
step_size = "64 examples"
checkpoint_steps = 1_000_000
log_steps = 10

[evaluate]
baseline = false

[launch]
device = "cpu"
ranks = 1
threads = {threads}
"""
SCIKIT: dict[str, Callable[[int], Any]] = {
    "logistic": lambda epochs: LogisticRegression(C=10, max_iter=1000),
    "sgd": lambda epochs: SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=epochs, tol=None, random_state=1),
}


def muster(recipe: Path, scratch: Path) -> dict[str, float]:
    """By the training program, as `muster train` starts it."""
    from cluster import train as program

    run = scratch / "run"
    if code := program.main([str(recipe), "--run", str(run)]):
        raise RuntimeError(f"muster ended with code {code}")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    seconds = sum(sum(line["seconds"].values()) for line in steps)
    documents = sum(line["examples_per_second"] * sum(line["seconds"].values()) for line in steps)
    epochs = load(str(recipe), []).train.epochs
    return {
        "accuracy": json.loads((run / "evaluation.json").read_text())["accuracy"],
        "documents_per_second": documents / float(epochs) / seconds,
    }


def scikit(built: Any, prepared: Path, scratch: Path) -> dict[str, float]:
    matrices = scratch / "matrices"
    matrices.mkdir()
    write_matrices(prepared, "tfidf", matrices)
    (train, train_labels), (test, test_labels) = (
        (scipy.sparse.load_npz(matrices / f"{split}.npz"), np.load(matrices / f"{split}.labels.npy"))
        for split in ("train", "test")
    )
    began = time.perf_counter()
    built.fit(train, train_labels)
    seconds = time.perf_counter() - began
    return {
        "accuracy": float((built.predict(test) == test_labels).mean()),
        "documents_per_second": train.shape[0] / seconds,
    }


def main(who: str, name: str, epochs: str, threads: str) -> None:
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
        recipe = Path(folder) / "linear.toml"
        recipe.write_text(RECIPE.format(name=name, epochs=epochs, threads=threads))
        prepared = prepare(load(str(recipe), []), lambda line: None)
        if who == "muster":
            found = muster(recipe, Path(folder))
        else:
            found = scikit(SCIKIT[who](int(epochs)), prepared, Path(folder))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
