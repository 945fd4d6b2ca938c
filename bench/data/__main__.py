"""muster's data path beside its peers, and against its own marks.

    python -m bench.data loader  [--tokens 250_000_000] [--rounds 5] [--seconds 3] [--only NAME ...]
    python -m bench.data tokens  [--corpus faq ...] [--processes 1]
    python -m bench.data resume | growth | padding

Add --json for the figures. Peers get a virtual environment each in the cache folder, with the torch of this one.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import tokenizing
from bench.data.made import Documents, make
from bench.data.one import digest
from bench.data.subjects import SUBJECTS, WORKLOADS, Raw, settings
from bench.machine import described, versions
from cluster.data.manifest import write_manifest
from cluster.data.order import Order, StepSize, costs
from cluster.data.writing import SplitWriter
from cluster.text.sets.catalogue import cache_folder

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["loader", "tokens", "resume", "growth", "padding"])
    parser.add_argument("--tokens", type=int, default=250_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--corpus", nargs="+", default=["faq", "descriptions", "help"])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    measures: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
        "loader": loader, "resume": resume, "growth": growth, "padding": padding,
        "tokens": lambda chosen: tokenizing.measured(chosen.corpus, chosen.processes, chosen.rounds),
    }  # fmt: skip
    print(f"{described()}; {versions('torch', 'numpy', 'spacy', 'pyarrow')}", file=sys.stderr)
    rows = measures[chosen.what](chosen)
    if chosen.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print("  ".join(f"{name} {shown(value)}" for name, value in row.items()))


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return str(value)


def loader(chosen: argparse.Namespace) -> list[Row]:
    """Real tokens a second of each loader, the better of 0 and 2 workers; medians over rounds in chance order."""
    folder = cache_folder() / "bench" / f"documents-{chosen.tokens}"
    documents = make(folder, chosen.tokens)
    pythons, rows = {}, []
    for name in chosen.only:
        try:
            pythons[name] = python_of(name)
            if not (folder / f"{name}.written").exists():
                run(pythons[name], name, folder, "padded", 0, 0)
                (folder / f"{name}.written").touch()
            if name != "limit":
                for workload in WORKLOADS:
                    check(pythons[name], name, folder, workload, documents)
        except subprocess.CalledProcessError as error:
            pythons.pop(name, None)
            rows.append({"loader": name, "error": told(error)})
    found: dict[tuple[str, str, int], list[Row]] = {}
    cases = [(workload, name, workers) for workload in WORKLOADS for name in pythons for workers in (0, 2)]
    chance = random.Random(1)
    for _ in range(chosen.rounds):
        for workload, name, workers in chance.sample(cases, len(cases)):
            if name == "limit" and workers:
                continue
            try:
                row = run(pythons[name], name, folder, workload, workers, chosen.seconds)
            except subprocess.CalledProcessError as error:
                rows.append({"loader": name, "workload": workload, "workers": workers, "error": told(error)})
                continue
            found.setdefault((workload, name, workers), []).append(row)
    for workload in WORKLOADS:
        best: dict[str, Row] = {}
        for (of, name, workers), runs in found.items():
            speeds = [one["tokens_per_second"] for one in runs]
            row = {
                "workload": workload, "loader": name, "workers": workers,
                "tokens_per_second": statistics.median(speeds), "spread": max(speeds) - min(speeds),
                "efficiency": statistics.median(one["efficiency"] for one in runs),
            }  # fmt: skip
            if of == workload and row["tokens_per_second"] > best.get(name, {}).get("tokens_per_second", 0):
                best[name] = row
        mine = best.get("muster", {}).get("tokens_per_second")
        for row in sorted(best.values(), key=lambda row: -row["tokens_per_second"]):
            rows.append(row | ({"muster_times": mine / row["tokens_per_second"]} if mine else {}))
    return rows


def told(error: subprocess.CalledProcessError) -> str:
    return " ".join((error.stderr or str(error)).split())[-300:]


def check(python: str, name: str, folder: Path, workload: str, documents: Documents) -> None:
    """Are the first batches every document of an epoch once, its tokens in order? Says so if not."""
    raw = Raw(folder, workload)
    found = run(python, name, folder, workload, 0, -len(raw))
    expected = 0
    for start, length in zip(raw.starts.tolist(), raw.lengths.tolist(), strict=True):
        one = np.asarray(documents.tokens[start : start + length])[None]
        expected = (expected + digest(one, np.array([length]))) & ((1 << 61) - 1)
    if found["digest"] != expected:
        print(f"{name}, {workload}: its first epoch is not the documents", file=sys.stderr)


def run(python: str, name: str, folder: Path, workload: str, workers: int, seconds: float) -> Row:
    command = [python, "-m", "bench.data.one", name, str(folder), workload, str(workers), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def python_of(name: str) -> str:
    """An interpreter that has the peer; torch and numpy are those of this environment."""
    package = SUBJECTS[name].package  # type: ignore[attr-defined]
    if not package:
        return sys.executable
    place = cache_folder() / "bench" / name
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        venv.create(place, with_pip=True)
        paths = [sysconfig.get_paths()["purelib"], str(Path.cwd())]
        library = next(place.glob("lib/python*/site-packages"))
        (library / "shared.pth").write_text("\n".join(paths))
        install = [str(python), "-m", "pip", "install", "-q", *package.split()]
        subprocess.run(install, capture_output=True, text=True, check=True)
        (place / "ready").touch()
    return str(python)


def resume(chosen: argparse.Namespace) -> list[Row]:
    """From nothing but imports to the first batch in the middle of an epoch."""
    rows = []
    for documents in (100_000, 1_000_000, 10_000_000, 50_000_000):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            sparse(folder, documents)
            before = sorted(path.name for path in folder.iterdir())
            times = []
            for _ in range(chosen.rounds):
                command = [sys.executable, "-m", "bench.data.resuming", scratch]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                times.append(float(done.stdout))
            written = sorted(path.name for path in folder.iterdir()) != before
            rows.append({"documents": documents, "ms": 1e3 * statistics.median(times), "index_files_written": written})
    return rows


def sparse(folder: Path, documents: int) -> None:
    """That many documents of one or two tokens each."""
    with SplitWriter(folder, "train", layout="sequence", vocabulary_rows=100, tag_rows=0) as writer:
        for first in range(0, documents, 1_000_000):
            numbers = np.arange(first, min(first + 1_000_000, documents), dtype=np.uint64)
            lengths = (1 + numbers % np.uint64(2)).astype(np.uint32)
            tokens = np.ones(int(lengths.sum()), dtype=np.uint32)
            writer.append(tokens, lengths, np.zeros(len(numbers), dtype=np.int32), numbers, None)
    described = {"fingerprint": "bench", "layout": "sequence", "vocabulary_rows": 100, "labels": ["a", "b"], "tags": []}
    write_manifest(folder, described | {"splits": {"train": writer.close()}, "report": {}})


def growth(chosen: argparse.Namespace) -> list[Row]:
    """Memory of its own that a process takes over 100,000 batches, after the first 5,000, in ranks' environment."""
    folder = cache_folder() / "bench" / f"documents-{min(chosen.tokens, 20_000_000)}"
    make(folder, min(chosen.tokens, 20_000_000))
    rows = []
    for threads in (0, 2):
        command = [sys.executable, "-m", "bench.data.growing", str(folder / "muster"), str(threads)]
        heap = os.environ | {"MALLOC_ARENA_MAX": "1"}  # as cluster/agent.py has it
        grown = [
            float(subprocess.run(command, capture_output=True, text=True, check=True, env=heap).stdout)
            for _ in range(chosen.rounds)
        ]
        rows.append({"threads": threads, "uss_growth_mb": statistics.median(grown), "most": max(grown)})
    return rows


def padding(chosen: argparse.Namespace) -> list[Row]:
    """Real tokens of all places in the first epoch's micro-batches."""
    folder = cache_folder() / "bench" / f"documents-{min(chosen.tokens, 20_000_000)}"
    lengths = make(folder, min(chosen.tokens, 20_000_000)).lengths
    rows = []
    for step in ("262144 tokens", "1048576 tokens", "64 examples"):
        order = Order(replace(settings(), step=StepSize.parse(step)), lengths)
        real = places = 0
        for planned in order.steps():
            places += sum(costs(planned.micro_batches, lengths, True))
            real += int(lengths[np.concatenate(planned.micro_batches)].sum())
            if planned.ends_epoch:
                break
        rows.append({"step": step, "efficiency": real / places})
    return rows


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    began = time.perf_counter()
    main()
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)
