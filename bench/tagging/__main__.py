"""Parts of speech of Brown: the recipe `pos-brown` beside spaCy's own trainable tagger, on the same sentences.

    python -m bench.tagging [--epochs 1] [--threads 1] [--json]

spaCy's is the component `tagger` with its default model (spacy.io/api/tagger: `HashEmbedCNN`, width 96, depth 4), the
words given, Adam with a rate of 0.001, dropout of 0.1 and batches that grow from 100 to 1,000 words, as its quickstart
has them: about as many updates as muster's steps of 1,024. Both go through the training sentences equally often, each
in a process of its own. Accuracy is over the words
of the held-out texts. Words a second are of training and of tagging the test, without start-up, imports and
preparation. The best of a column is marked with *.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bench.machine import described, versions
from bench.table import ROOT, measured, table

TRAINERS = ("muster", "spaCy")
# figure -> heading, how it is shown
COLUMNS = {
    "accuracy": ("accuracy", "{:.4f}"),
    "trained_words_per_second": ("training, words/s", "{:,.0f}"),
    "tagged_words_per_second": ("tagging, words/s", "{:,.0f}"),
}
SIZES = {"updates": ("updates", "{:,}"), "parameters": ("parameters", "{:,}")}


def data_folder() -> Path:
    """The set's two JSON lines files; fetched if they are not there."""
    for verb in ("fetch", "path"):
        command = [sys.executable, "-m", "launch", "data", verb, "brown"]
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Path(said.stdout.strip())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.tagging", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=1, help="of each training (default: 1, the recipe's)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (default: 1)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = data_folder()
    cell = [str(folder), str(options.epochs)]
    rows = [measured("bench.tagging.cell", who, cell, options.threads) for who in TRAINERS]
    if options.json:
        print(json.dumps(rows))
        return 0
    print(f"{described()}, threads {options.threads} · {versions('torch', 'spacy')} · epochs {options.epochs}")
    print("\n".join(table(rows, COLUMNS, SIZES)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
