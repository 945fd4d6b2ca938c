"""Scores of shipped recipes on their test splits, kept as they come: one line of JSON for each training.

    python -m bench.recipes pos-brown translate-de [--seeds 1 2 3] [--threads 1] [--kept bench/scores.jsonl]

Each is `muster train RECIPE`, a process of its own, in a folder that goes afterwards. What is kept already for the same
recipe, to the letter, and the same seed is not trained again: what was stopped goes on. The table shows the figures of
the recipes named, each beside its baseline's.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.machine import described, versions
from bench.table import ROOT

KEPT = ROOT / "bench/scores.jsonl"


def scores_of(report: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a report that stand for all of a split, those of `f1` and its like by name (`f1 macro`)."""
    found = {}
    for name, value in report.items():
        if isinstance(value, float):
            found[name] = value
        elif name in ("f1", "precision", "recall"):
            found |= {f"{name} {how}": share for how, share in value.items() if isinstance(share, float)}
    return found


def trained(recipe: str, seed: int, threads: int) -> dict[str, Any]:
    """Train one; ends the whole if it failed."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as scratch:
        words = [
            "train",
            recipe,
            f"train.seed={seed}",
            f"launch.threads={threads}",
            "--run",
            f"{scratch}/run",
            "--json",
        ]
        ended = subprocess.run([sys.executable, "-m", "launch", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if ended.returncode != 0:
        sys.exit(f"muster {' '.join(words)} ended with code {ended.returncode}")
    told = json.loads(ended.stdout)
    return {
        "recipe": recipe, "seed": seed, "threads": threads, "sha256": digest(recipe), "seconds": told["seconds"],
        "scores": scores_of(told["evaluation"]), "baseline": scores_of(told["baseline"] or {}),
        "machine": described(), "versions": versions("torch", "spacy"),
    }  # fmt: skip


def digest(recipe: str) -> str:
    return hashlib.sha256((ROOT / "launch/recipes" / f"{recipe}.toml").read_bytes()).hexdigest()


def kept(path: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The newest line for each recipe, its text and seed."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(row["recipe"], row["sha256"], row["seed"]): row for row in map(json.loads, lines)}


def shown(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"{row['recipe']}, seed {row['seed']}: {row['seconds']:,.0f} s, threads {row['threads']}, {row['machine']}"
    for name, value in row["scores"].items():
        beside = f"{row['baseline'][name]:>12.4f}" if name in row["baseline"] else ""
        yield f"  {name:20}{value:>12.4f}{beside}"


def main() -> int:
    shipped = sorted(path.stem for path in (ROOT / "launch/recipes").glob("*.toml"))
    parser = argparse.ArgumentParser(
        prog="python -m bench.recipes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", metavar="RECIPE", nargs="+", choices=shipped, help="as `muster recipes` has them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=1, help="of each training (default: 1)")
    parser.add_argument("--kept", type=Path, default=KEPT, help="file of the figures (default: bench/scores.jsonl)")
    options = parser.parse_args()
    for recipe in options.recipes:
        for seed in options.seeds:
            key = (recipe, digest(recipe), seed)
            if key not in kept(options.kept):
                row = trained(recipe, seed, options.threads)
                with open(options.kept, "a") as file:
                    file.write(json.dumps(row) + "\n")
            print("\n".join(shown(kept(options.kept)[key])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
