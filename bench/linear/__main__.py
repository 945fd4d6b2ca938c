"""TF-IDF with a linear layer: muster beside scikit-learn, on the very same matrices.

    python -m bench.linear [--set movie-sentences reuters-r8 newsgroups] [--epochs 5] [--threads 1] [--json]

muster prepares the words and trains `model.kind = "linear"` by Adam. The two of scikit-learn get the same weights of
the same words (`muster export --format npz`): LogisticRegression(C=10), which goes on until it has converged, and
SGDClassifier (logistic loss), which goes through the documents as often as muster. Each has a process of its own.
Accuracy is on the sets' test documents. Documents a second are those of the training set by the seconds of the whole
training, without start-up, imports and preparation. The best of a column is marked with *.
"""

import argparse
import json
import sys

from bench.linear.cell import SCIKIT
from bench.machine import described, versions
from bench.table import measured, table

# figure -> heading, how it is shown
COLUMNS = {"accuracy": ("accuracy", "{:.4f}"), "documents_per_second": ("documents/s", "{:,.0f}")}
SETS = ("movie-sentences", "reuters-r8", "newsgroups")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.linear", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", nargs="+", choices=SETS, default=SETS, help="(default: all)")
    parser.add_argument("--epochs", type=int, default=5, help="of muster and SGDClassifier (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (default: 1)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {
        name: [
            measured("bench.linear.cell", who, [name, str(options.epochs)], options.threads)
            for who in ("muster", *SCIKIT)
        ]
        for name in options.set
    }
    if options.json:
        print(json.dumps(found))
        return 0
    print(f"{described()}, threads {options.threads} · {versions('torch', 'scikit-learn')} · epochs {options.epochs}")
    for name, rows in found.items():
        print("\n".join([f"\n{name}", *table(rows, COLUMNS)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
