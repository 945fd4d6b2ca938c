"""One trainer, one process: prints its figures as JSON on the last line.

python -m bench.vectors.cell muster|gensim TEXT EPOCHS THREADS
"""

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cluster.similarity import similarities
from cluster.wordvectors import WordVectors

RECIPE = """
[data]
train = "{text}"
validation = "none"
test = "none"

[text]
punctuation = "drop"
min_count = 5
vocabulary_size = 1_000_000

[task]
kind = "embed"

[model]
kind = "skipgram"

[optim]
kind = "adagrad"
learning_rate = 0.4
schedule = "linear"

[train]
epochs = {epochs}
step_size = "32 examples"
checkpoint_steps = 1_000_000
log_steps = 100

[evaluate]
baseline = false

[launch]
device = "cpu"
ranks = 1
threads = {threads}
"""


def figures(vectors: WordVectors, words: int, wall_seconds: float, cpu_seconds: float) -> dict[str, float]:
    """`words`: of all epochs."""
    found = similarities(vectors)
    scores = {name: found[name]["spearman"] for name in ("wordsim353", "simlex999")}
    return {
        **scores,
        "analogies": found["analogies"]["accuracy"],
        "vocabulary": len(vectors),
        "words_per_second": words / wall_seconds,
        "words_per_cpu_second": words / cpu_seconds,
    }


def gensim(texts: list[list[str]], epochs: int, threads: int) -> dict[str, float]:
    from gensim.models import Word2Vec

    model = Word2Vec(vector_size=100, window=5, negative=5, sg=1, min_count=5, sample=1e-3, seed=1, workers=threads)
    model.build_vocab(texts)
    began, used = time.perf_counter(), time.process_time()
    model.train(texts, total_examples=model.corpus_count, epochs=epochs)
    seconds = time.perf_counter() - began, time.process_time() - used
    vectors = WordVectors(model.wv.index_to_key, model.wv.vectors)
    return figures(vectors, epochs * sum(map(len, texts)), *seconds)


def muster(text: Path, words: int, epochs: int, threads: int) -> dict[str, float]:
    """By the trainer that every run uses, in this process."""
    from cluster import train as program
    from cluster.training import loop

    times: list[tuple[float, float]] = []
    step = loop.train_step

    def timed(trainer: Any, loaded: Any) -> Any:
        found = step(trainer, loaded)
        times.append((time.perf_counter(), time.process_time()))
        return found

    loop.train_step = timed
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as scratch:
        recipe, run = Path(scratch) / "vectors.toml", Path(scratch) / "run"
        recipe.write_text(RECIPE.format(text=text, epochs=epochs, threads=threads))
        with contextlib.redirect_stdout(sys.stderr):
            code = program.main([str(recipe), "--run", str(run)])
        if code:
            sys.exit(f"muster ended with code {code}")
        seconds = [last - first for first, last in zip(times[0], times[-1], strict=True)]
        its_words = round(epochs * words * (len(times) - 1) / len(times))
        return figures(WordVectors.of_run(run), its_words, *seconds)


def main(who: str, text: str, epochs: str, threads: str) -> None:
    texts = [json.loads(line)["text"].split() for line in Path(text).read_text().splitlines()]
    if who == "gensim":
        found = gensim(texts, int(epochs), int(threads))
    else:
        words = sum(map(len, texts))
        del texts
        found = muster(Path(text), words, int(epochs), int(threads))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
