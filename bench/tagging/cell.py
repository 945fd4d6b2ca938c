"""One trainer, one process: prints its figures as JSON on the last line.

python -m bench.tagging.cell "muster"|"spaCy" FOLDER EPOCHS THREADS
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

Sentences = list[tuple[list[str], list[str]]]
"""Words and their tags."""
TAGGED_TOGETHER = 2_000
"""Sentences that muster is given at once."""


def read(path: Path) -> Sentences:
    with open(path) as file:
        rows = map(json.loads, file)
        return [(row["tokens"], row["tags"]) for row in rows]


def words_of(sentences: Sentences) -> int:
    return sum(len(words) for words, _ in sentences)


def figures(right: int, test: Sentences, tagging_seconds: float, trained_words_per_second: float) -> dict[str, float]:
    total = words_of(test)
    return {
        "accuracy": right / total,
        "trained_words_per_second": trained_words_per_second,
        "tagged_words_per_second": total / tagging_seconds,
    }


def spacy(folder: Path, epochs: int) -> dict[str, float]:
    """A blank pipeline with a tagger, trained in the loop that spaCy documents."""
    import spacy
    from spacy.tokens import Doc
    from spacy.training import Example
    from spacy.training.batchers import minibatch_by_words
    from spacy.util import compounding, fix_random_seed

    fix_random_seed(1)
    language = spacy.blank("en")
    language.add_pipe("tagger")
    train, test = read(folder / "train.jsonl"), read(folder / "test.jsonl")
    examples = [Example(Doc(language.vocab, words), Doc(language.vocab, words, tags=tags)) for words, tags in train]
    optimizer = language.initialize(lambda: examples)
    optimizer.learn_rate = 0.001
    chance, sizes = random.Random(1), compounding(100, 1000, 1.001)
    began, updates = time.perf_counter(), 0
    for _ in range(epochs):
        chance.shuffle(examples)
        for batch in minibatch_by_words(examples, size=sizes):
            language.update(batch, sgd=optimizer, drop=0.1)
            updates += 1
    trained = epochs * words_of(train) / (time.perf_counter() - began)
    documents = [Doc(language.vocab, words) for words, _ in test]
    began = time.perf_counter()
    tagged = list(language.pipe(documents))
    seconds = time.perf_counter() - began
    right = sum(
        token.tag_ == tag
        for document, (_, tags) in zip(tagged, test, strict=True)
        for token, tag in zip(document, tags, strict=True)
    )
    layers = language.get_pipe("tagger").model.walk()
    parameters = sum(layer.get_param(name).size for layer in layers for name in layer.param_names)
    return figures(right, test, seconds, trained) | {"updates": updates, "parameters": parameters}


def muster(folder: Path, epochs: int, threads: int) -> dict[str, float]:
    """The shipped recipe, by the command that everybody uses."""
    from safetensors.numpy import load_file

    from cluster.predictor import Predictor

    test = read(folder / "test.jsonl")
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as scratch:
        run = Path(scratch) / "run"
        settings = [
            f"data.train={folder / 'train.jsonl'}", f"data.test={folder / 'test.jsonl'}", f"train.epochs={epochs}",
            "train.log_steps=1", "evaluate.baseline=false", "launch.ranks=1", f"launch.threads={threads}",
        ]  # fmt: skip
        command = [sys.executable, "-m", "launch", "train", "pos-brown", *settings, "--run", str(run)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        steps = [line for line in lines if line["kind"] == "step"]
        trained = statistics.median(line["tokens_per_second"] for line in steps)
        weights = load_file(run / "model/weights.safetensors").values()
        size = {"updates": steps[-1]["step"], "parameters": sum(value.size for value in weights)}
        predictor = Predictor(run)
    predictor.predict([words for words, _ in test[:8]])  # what is loaded at the first call
    began = time.perf_counter()
    answers = []
    for first in range(0, len(test), TAGGED_TOGETHER):
        answers += predictor.predict([words for words, _ in test[first : first + TAGGED_TOGETHER]])
    seconds = time.perf_counter() - began
    right = sum(
        mine == tag
        for answer, (_, tags) in zip(answers, test, strict=True)
        for mine, tag in zip(answer["tags"], tags, strict=True)
    )
    return figures(right, test, seconds, trained) | size


def main(who: str, folder: str, epochs: str, threads: str) -> None:
    found = spacy(Path(folder), int(epochs)) if who == "spaCy" else muster(Path(folder), int(epochs), int(threads))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
