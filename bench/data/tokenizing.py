"""spaCy's tokens as numbers: muster's tokenizer beside `nlp.tokenizer.pipe`, the same texts, in turn."""

import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench.corpora import corpus

TEXTS_AT_ONCE = 8192


def measured(names: list[str], processes: int, rounds: int) -> list[dict[str, Any]]:
    """MB/s of both, medians; each run in a process of its own, which knows no chunk."""
    for name in names:
        corpus(name)
    seconds: dict[str, list[float]] = {"muster": [], "spacy": []}
    for _ in range(rounds):
        for who, times in seconds.items():
            command = [sys.executable, "-m", "bench.data.tokenizing", who, str(processes), *names]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            times.append(float(done.stdout))
    size = sum(len(text.encode()) for name in names for text in corpus(name)) / 1e6
    mine, theirs = (statistics.median(seconds[who]) for who in ("muster", "spacy"))
    return [
        {
            "corpora": "+".join(names), "mb": size, "processes": processes, "muster_mb_per_s": size / mine,
            "spacy_mb_per_s": size / theirs, "times": theirs / mine,
        }
    ]  # fmt: skip


def numbered(texts: list[str], tokenizer: Any = None) -> int:
    """Tokens of the texts, by muster."""
    from cluster.text.tokens.numbering import number
    from cluster.text.tokens.words.tokenizer import Tokenizer

    tokenizer = tokenizer or Tokenizer(text_settings())
    parts = (texts[first : first + TEXTS_AT_ONCE] for first in range(0, len(texts), TEXTS_AT_ONCE))
    return sum(number(part, tokenizer, text_settings())[0].tokens_N.size for part in parts)


def text_settings() -> Any:
    from cluster.config.schema import Text

    return Text(lower=False, max_tokens=1_000_000)


def run(who: str, processes: int, texts: list[str]) -> float:
    """Seconds: of one core's time with one process, whose tokenizer is there when it begins and knows no chunk; else of
    the clock on the wall, from the start of the processes on."""
    import spacy

    from cluster.text.tokens.words.tokenizer import Tokenizer

    clock = time.process_time if processes == 1 else time.perf_counter
    if who == "muster" and processes == 1:
        tokenizer = Tokenizer(text_settings())
        began = clock()
        numbered(texts, tokenizer)
    elif who == "muster":
        began = clock()
        with ProcessPoolExecutor(processes) as pool:
            list(pool.map(numbered, [texts[first::processes] for first in range(processes)]))
    else:
        nlp = spacy.blank("en")
        began = clock()
        for doc in nlp.tokenizer.pipe(texts) if processes == 1 else nlp.pipe(texts, n_process=processes):
            doc.to_array("ORTH")
    return clock() - began


if __name__ == "__main__":
    who, processes, *names = sys.argv[1:]
    print(run(who, int(processes), [text for name in names for text in corpus(name)]))
