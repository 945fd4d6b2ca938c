"""A run's folder as training leaves it, made by hand in milliseconds. Every fifth document is predicted wrong."""

import hashlib
import json

import numpy as np

from cluster.config.load import to_toml
from cluster.config.models import Lstm
from cluster.config.schema import Data, Recipe
from cluster.config.tasks import Classify, Multilabel, Regress
from cluster.data.manifest import write_manifest
from cluster.data.writing import SplitWriter

TASKS = {"classify": Classify(), "multilabel": Multilabel(), "regress": Regress()}
METRICS = {"classify": "accuracy", "multilabel": "f1_micro", "regress": "mse"}
PLAN = {
    "device": "cpu",
    "ranks": 2,
    "threads": 1,
    "precision": "float32",
    "processor": "A Processor 9000",
    "torch": "2.13.0",
    "total_steps": 200,
}
BASELINE = {"model": "TF-IDF + linear (scikit-learn)", "split": "test", "accuracy": 0.75, "f1_macro": 0.74, "mse": 0.5}
VERDICT = {"verdict": "done", "exit_code": 0, "attempt": 0, "step": 200, "message": "Finished after 200 steps."}


def write_run(folder, task="classify", words=None, documents=40, classes=3, finished=True, **more):
    """A run in `folder/run`, its data in `folder/prepared`; `words(i)` is the text of the i-th document.

    `more`: files by name, to write in place of ours."""
    run, names, truth = folder / "run", [f"class-{index}" for index in range(classes)], np.arange(documents) % classes
    (run / "logs" / "attempt-000").mkdir(parents=True)
    source = _source(folder, task, words or (lambda i: f"document number {i}"), [names[one] for one in truth])
    prepared = _prepared(folder, task, source, names, truth)
    recipe = Recipe(data=Data(train=str(source), test="auto"), model=Lstm(hidden=24), task=TASKS[task])
    begun = {"format": 1, "created": "2026-01-02T03:04:05+00:00", "version": "0.1.0", "prepared": str(prepared)}
    files = {
        "run.json": begun,
        "plan.json": {**PLAN, "documents": documents},
        "metrics.jsonl": "".join(json.dumps(record) + "\n" for record in _records(METRICS[task])),
        "recipe.toml": to_toml(recipe),
    }
    if finished:
        (run / "model").mkdir()
        (run / "model" / "weights.safetensors").write_bytes(b"")
        scores = _scored(run, task, names, truth)
        score = {**scores, "task": task, "loss": 0.61, "examples": documents, "split": "test"}
        files |= {"verdict.json": VERDICT, "evaluation.json": score}
        (prepared / "baseline.json").write_text(json.dumps(BASELINE))
    for name, content in (files | more).items():
        (run / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return run


def _source(folder, task, words, labels):
    given = {"classify": lambda i: labels[i], "multilabel": lambda i: [labels[i]], "regress": lambda i: i / 7}[task]
    path = folder / "source.jsonl"
    rows = [json.dumps({"text": words(i), "label": given(i)}) + "\n" for i in range(len(labels))]
    path.write_text("".join(rows))
    return path


def _prepared(folder, task, source, names, truth):
    """Train and test split are the same: documents of 1 to 9 tokens, in the order of the source."""
    prepared, documents = folder / "prepared", len(truth)
    one_hot = np.eye(len(names), dtype=np.uint8)[truth]
    labels = {"classify": truth, "multilabel": one_hot, "regress": np.arange(documents) / 7}[task]
    lengths = np.arange(documents, dtype=np.uint32) % 9 + 1
    classes = len(names) if task == "multilabel" else 0
    splits = {}
    for split in ("train", "test"):
        shape = {"vocabulary_rows": 9, "layout": "sequence", "task": task, "classes": classes}
        with SplitWriter(prepared, split, **shape) as writer:
            numbers = np.arange(1, documents + 1, dtype=np.uint64)
            writer.append(np.ones(lengths.sum(), dtype=np.uint32), lengths, labels, numbers)
        splits[split] = writer.close()
    counts = {"documents": documents, "tokens": int(lengths.sum()), "unknown_tokens": 3, "cut": 0, "labels": {}}
    raw = source.read_bytes()
    held = {"split": "train", "path": str(source), "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    report = {"splits": {"train": {**counts, "labels": dict.fromkeys(names, 7)}, "test": counts}, "sources": [held]}
    about = {"fingerprint": "f" * 64, "layout": "sequence", "vocabulary_rows": 9, "task": task, "tags": []}
    contents = {**about, "labels": names if task != "regress" else [], "splits": splits, "report": report}
    write_manifest(prepared, contents)
    return prepared


def _records(metric):
    """20 lines of steps, each of a second; 4 evaluations and the final one of half a second; 4 checkpoints."""
    times = {"data": 0.1, "compute": 0.6, "communication": 0.2, "other": 0.1}
    records = []
    for step in range(10, 201, 10):
        at = {"step": step, "epoch": step // 51}
        figures = {"loss": 1 / step, "learning_rate": 1e-3, "tokens_per_second": 9e4 + step, "seconds": times}
        records.append({"kind": "step", **at, **figures})
        if step % 50 == 0:
            scores = {"split": "validation", "loss": 2 / step, metric: step / 250, "best": True, "seconds": 0.5}
            records.append({"kind": "evaluation", **at, **scores})
            records.append({"kind": "checkpoint", "step": step, "seconds": 0.25, "bytes": 1000})
    return [*records, {"kind": "scored", "step": 200, "split": "test", "seconds": 0.5}]


def _scored(run, task, names, truth):
    """Writes the predictions; returns the scores."""
    documents, classes = len(truth), len(names)
    wrong = np.arange(documents) % 5 == 0
    predicted = np.where(wrong, (truth + 1) % classes, truth)
    columns = {
        "classify": {"predicted": predicted.astype(np.int32), "probability": np.full(documents, 0.9)},
        "multilabel": {"probabilities": np.where(np.eye(classes)[predicted] > 0, 0.9, 0.1)},
        "regress": {"predicted": np.arange(documents) / 7 + np.where(wrong, 1.0, 0.1)},
    }[task]
    np.savez(run / "predictions.npz", loss=np.where(wrong, 2.0 + np.arange(documents) / 100, 0.1), **columns)
    if task == "regress":
        return {"mse": 0.25, "mae": 0.4, "r2": 0.9, "spearman": 0.95, "mean_target": 2.8}
    averages = {"macro": 0.81, "micro": 0.82, "weighted": 0.83, "per_class": dict.fromkeys(names, 0.5)}
    scores = dict.fromkeys(("precision", "recall", "f1"), averages)
    scores |= {"accuracy": 0.8, "labels": names, "support": dict.fromkeys(names, 9)}
    if task == "classify":
        confusion = np.zeros((classes, classes), dtype=int)
        np.add.at(confusion, (truth, predicted), 1)
        scores["confusion"] = confusion.tolist()
    return scores
