"""Parts of speech of Brown: the recipe `pos-brown` beside spaCy's own trainable tagger, on the same sentences.

    python -m bench.tagging [--epochs 1] [--threads 1] [--json]

spaCy's is the component `tagger` with its default model (spacy.io/api/tagger: `HashEmbedCNN`, width 96, depth 4), the
words given, Adam with a rate of 0.001, dropout of 0.1 and batches that grow from 100 to 1,000 words, as its quickstart
has them. Both go through the training sentences equally often, each in a process of its own. Accuracy is over the words
of the held-out texts. Words a second are of training and of tagging the test, without start-up, imports and
preparation. The best of a column is marked with *.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.machine import described, versions

ROOT = Path(__file__).parents[2]
TRAINERS = ("muster", "spaCy")
# figure -> heading, how it is shown
COLUMNS = {
    "accuracy": ("accuracy", "{:.4f}"),
    "trained_words_per_second": ("training, words/s", "{:,.0f}"),
    "tagged_words_per_second": ("tagging, words/s", "{:,.0f}"),
}


def data_folder() -> Path:
    """The set's two JSON lines files; fetched if they are not there."""
    for verb in ("fetch", "path"):
        command = [sys.executable, "-m", "launch", "data", verb, "brown"]
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Path(said.stdout.strip())


def run(who: str, folder: Path, epochs: int, threads: int) -> dict[str, Any]:
    """One process's figures; ends the comparison if it failed."""
    command = [sys.executable, "-m", "bench.tagging.cell", who, str(folder), str(epochs), str(threads)]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"), str(threads))
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | limits, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(command[1:])} failed with code {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    figures: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    print(f"{who}: {figures}", file=sys.stderr, flush=True)
    return {"trainer": who} | figures


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'':10}" + "".join(f"{heading:>20}" for heading, _ in COLUMNS.values())]
    for row in rows:
        cells = ""
        for name, (_, form) in COLUMNS.items():
            best = max(other[name] for other in rows)
            cells += f"{form.format(row[name]) + ('*' if row[name] == best else ' '):>20}"
        lines.append(f"{row['trainer']:10}{cells}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.tagging", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=1, help="of each training (default: 1, the recipe's)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (default: 1)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = data_folder()
    rows = [run(who, folder, options.epochs, options.threads) for who in TRAINERS]
    if options.json:
        print(json.dumps(rows))
        return 0
    print(f"{described()}, threads {options.threads} · {versions('torch', 'spacy')} · epochs {options.epochs}")
    print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
