"""Word vectors of muster and of gensim, of the same words: one table.

    python -m bench.vectors [--words 7_700_000] [--epochs 5] [--threads 1] [--json]

Paragraphs of books, manuals, a dictionary and descriptions of programs (`bench/corpora.py`), in lower case and without
what is no letter, in an order of chance. Both learn by skip-gram with negative sampling: width 100, windows of 5, 5
words drawn by chance, words less frequent than 5 left out, frequent ones thinned out at 0.001, the same epochs.

Each trains in a process of its own. Quality is what `muster evaluate` tells: Spearman's correlation with people's
ratings in WordSim-353 and SimLex-999, and the share of analogies that is right. Words a second are the text's words,
times epochs, over the time of the training, without preparation, imports and the first count of words; by the clock on
the wall, and by that of the process (all threads). The best of a column is marked with *.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.corpora import corpus
from bench.machine import described, versions
from bench.table import ROOT, measured, table

TRAINERS = ("muster", "gensim")
CORPORA = ("faq", "dictionary", "descriptions", "kernel", "python")
WORD = re.compile(r"[a-z]+")
LEAST_WORDS = 5
"""Of a paragraph."""
# figure -> heading, how it is shown
COLUMNS = {
    "vocabulary": ("vocabulary", "{:,.0f}"),
    "wordsim353": ("WordSim-353", "{:.3f}"),
    "simlex999": ("SimLex-999", "{:.3f}"),
    "analogies": ("analogies", "{:.3f}"),
    "words_per_second": ("words/s", "{:,.0f}"),
    "words_per_cpu_second": ("words/CPU s", "{:,.0f}"),
}


def write_text(path: Path, most_words: int) -> int:
    """Paragraphs as JSON lines, up to so many words; how many those are."""
    paragraphs = [WORD.findall(text.lower()) for name in CORPORA for text in corpus(name)]
    random.Random(1).shuffle(paragraphs)
    written = 0
    with open(path, "w") as file:
        for words in paragraphs:
            if len(words) < LEAST_WORDS:
                continue
            if written >= most_words:
                break
            file.write(json.dumps({"text": " ".join(words)}) + "\n")
            written += len(words)
    return written


def fetch_questions() -> None:
    """The pairs and analogies that vectors are compared by."""
    for name in ("wordsim353", "simlex999", "analogies"):
        subprocess.run(
            [sys.executable, "-m", "launch", "data", "fetch", name], cwd=ROOT, check=True, capture_output=True
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.vectors", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, default=7_700_000, help="of the text, at most (default: 7,700,000)")
    parser.add_argument("--epochs", type=int, default=5, help="of each training (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (default: 1)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    fetch_questions()
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as scratch:
        text = Path(scratch) / "text.jsonl"
        words = write_text(text, options.words)
        cell = [str(text), str(options.epochs)]
        rows = [measured("bench.vectors.cell", who, cell, options.threads) for who in TRAINERS]
    if options.json:
        print(json.dumps(rows))
        return 0
    print(f"{described()}, threads {options.threads} · {versions('torch', 'gensim')}")
    print(f"{words:,} words, epochs {options.epochs}")
    print("\n".join(table(rows, COLUMNS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
