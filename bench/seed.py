"""The recipe `seed-lstm` beside a plain transcription of the same set-up in torch, from raw file to final score.

    python -m bench.seed [--seeds 3] [--trials 1] [--json]

Each run is a process of its own, in turn, the order drawn anew for each seed: `bench/seed_transcription.py` with packed
batches (what the tutorials do) and with padded ones (which torch trains faster on a CPU), and `muster train seed-lstm`
with nothing prepared. All read the same two JSON lines files. A figure is the median of the paired ratios of wall time.

Exit code 1 if muster is less than 1.3 times as fast as the packed transcription, or its mean accuracy is lower by more
than the spread (largest less smallest) of the transcription's seeds.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import described, versions

DATA = "movie-sentences"
LEAST_RATIO = 1.3
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Run:
    seconds: float
    """Wall time of the process, from its start to its end."""
    accuracy: float


def data_folder() -> Path:
    """The set's two JSON lines files; fetched if they are not there."""
    for verb in ("fetch", "path"):
        said = subprocess.run(
            [sys.executable, "-m", "launch", "data", verb, DATA], cwd=ROOT, check=True, capture_output=True, text=True
        )
    return Path(said.stdout.strip())


def transcription(states: str, data: Path, seed: int, epochs: int) -> Run:
    files = [str(data / "train.jsonl"), str(data / "test.jsonl")]
    settings = ["--seed", str(seed), "--epochs", str(epochs), "--states", states]
    seconds, output = timed(["bench.seed_transcription", *files, *settings], dict(os.environ))
    return Run(seconds, json.loads(output.splitlines()[-1])["accuracy"])


def muster(data: Path, seed: int, epochs: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as scratch:
        run = Path(scratch) / "run"
        overrides = [f"data.train={data / 'train.jsonl'}", f"data.test={data / 'test.jsonl'}", f"train.seed={seed}"]
        command = ["launch", "train", "seed-lstm", *overrides, f"train.epochs={epochs}", "--run", str(run)]
        seconds, _ = timed(command, {**os.environ, "MUSTER_CACHE": str(Path(scratch) / "cache")})
        return Run(seconds, json.loads((run / "evaluation.json").read_bytes())["accuracy"])


def timed(module: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Wall seconds and standard output of `python -m MODULE ...`; ends the comparison if it failed."""
    before = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", *module], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - before
    if ended.returncode != 0:
        sys.exit(f"python -m {' '.join(module)} failed with code {ended.returncode}:\n{ended.stderr}")
    return seconds, ended.stdout


def compare(seeds: int, trials: int, epochs: int) -> dict[str, Any]:
    """All runs, in pairs, and what they come to."""
    data = data_folder()
    runners: dict[str, Callable[[int], Run]] = {
        "transcription": lambda seed: transcription("packed", data, seed, epochs),
        "transcription, padded": lambda seed: transcription("gathered", data, seed, epochs),
        "muster": lambda seed: muster(data, seed, epochs),
    }
    runs: dict[str, list[Run]] = {who: [] for who in runners}
    chance = random.Random(1)
    for seed in range(1, seeds + 1):
        for _ in range(trials):
            for who in chance.sample(list(runners), len(runners)):
                runs[who].append(runners[who](seed))
                print(f"seed {seed}: {who} {runs[who][-1].seconds:.1f} s", file=sys.stderr, flush=True)
    rows = []
    for who, its in runs.items():
        accuracies = [run.accuracy for run in its[::trials]]  # one of each seed
        paired = [run.seconds / mine.seconds for run, mine in zip(its, runs["muster"], strict=True)]
        rows.append(
            {
                "who": who,
                "seconds": [run.seconds for run in its],
                "ratio": statistics.median(paired),
                "accuracies": accuracies,
                "accuracy": statistics.mean(accuracies),
                "spread": max(accuracies) - min(accuracies),
            }
        )
    return {"rows": rows, "verdict": verdict(rows), "machine": described(), "versions": versions("torch", "spacy")}


def verdict(rows: list[dict[str, Any]]) -> list[str]:
    """What does not hold; nothing if all does."""
    reference, ours = rows[0], rows[-1]
    wrong = []
    if reference["ratio"] < LEAST_RATIO:
        wrong.append(f"muster is {reference['ratio']:.2f} times as fast, less than {LEAST_RATIO}")
    if ours["accuracy"] < reference["accuracy"] - reference["spread"]:
        wrong.append(f"accuracy {ours['accuracy']:.4f} is below {reference['accuracy']:.4f} by more than the spread")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.seed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N (default: 3)")
    parser.add_argument("--trials", type=int, default=1, help="runs of each seed (default: 1)")
    parser.add_argument("--epochs", type=int, default=10, help="the set-up has 10; fewer for a quick look")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = compare(options.seeds, options.trials, options.epochs)
    if options.json:
        print(json.dumps(report))
        return 1 if report["verdict"] else 0
    print(f"seed-lstm, {options.epochs} epochs, raw files to final score · {report['machine']} · {report['versions']}")
    print(f"{'':24}{'seconds, median':>16}{'over muster':>13}{'accuracy':>10}{'spread':>9}   by seed")
    for row in report["rows"]:
        by_seed = " ".join(f"{value:.4f}" for value in row["accuracies"])
        print(
            f"{row['who']:24}{statistics.median(row['seconds']):16.1f}{row['ratio']:12.2f}x{row['accuracy']:10.4f}"
            f"{row['spread']:9.4f}   {by_seed}"
        )
    for line in report["verdict"]:
        print(f"FAILED: {line}")
    return 1 if report["verdict"] else 0


if __name__ == "__main__":
    sys.exit(main())
