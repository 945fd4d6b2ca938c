"""The words nearest to a word, by the vectors of a run.

python -m cluster.neighbours RUN WORD [- WORD] [+ WORD] [--count N] [--json]
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.errors import EXIT_DONE, DataError, exit_code_of


def parsed(said: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words to add and words to take away, of `king - man + woman`, as one argument or several. Raises DataError."""
    words: tuple[list[str], list[str]] = [], []
    sign = 0
    awaited = True
    for part in " ".join(said).split():
        if part in ("+", "-"):
            sign, awaited = int(part == "-"), True
        elif not awaited:
            raise DataError(f"{' '.join(said)!r}: put + or - between two words, as in king - man + woman.")
        else:
            words[sign].append(part)
            awaited = False
    if awaited or not words[0]:
        raise DataError("name a word, or a sum of words, as in king - man + woman.")
    return words


def _run(options: argparse.Namespace) -> int:
    plus, minus = parsed(options.words)
    from cluster.wordvectors import WordVectors

    found = WordVectors.of_run(options.run).nearest_to(plus, minus, options.count)
    if options.json:
        asked = {"plus": plus, "minus": minus}
        neighbours = [{"word": word, "cosine": round(cosine, 6)} for word, cosine in found]
        print(json.dumps(asked | {"neighbours": neighbours}, ensure_ascii=False))
        return EXIT_DONE
    wide = max((len(word) for word, _ in found), default=0)
    print("\n".join(f"{word:<{wide}}  {cosine:.4f}" for word, cosine in found))
    return EXIT_DONE


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, at least 1")
    return int(text)


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="muster neighbours", description="The words nearest to a word, by cosine.")
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a finished run, or its model/ folder")
    parser.add_argument("words", metavar="WORD", nargs="+", help="a word, or a sum of words: king - man + woman")
    parser.add_argument("--count", metavar="N", type=_count, default=10, help="how many (default: 10)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_intermixed_args(arguments)
    return exit_code_of(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
