"""One trainer, one process: prints its figures as JSON on the last line.

python -m bench.rewrite.cell "muster"|"nn.Transformer"|"nn.Transformer, by length" RECIPE.toml
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.rewrite.peers import PEERS, Pair, Schedule, Size, Translator, greedy, train
from bench.trainers.clock import peak_memory_bytes
from cluster.config.load import load
from cluster.config.models import Seq2Seq
from cluster.config.schema import Recipe
from cluster.config.tasks import Rewrite
from cluster.data.pairs import Pairs
from cluster.data.references import read_references
from cluster.data.shards import ShardReader
from cluster.overlap import Overlap
from cluster.prepare import prepare
from cluster.text.tokens.pipeline import Encoder
from cluster.text.tokens.spelling import text_of

WARM_STEPS = 10


class Steps:
    """When each step ended, by the clock on the wall and by that of the process, and the tokens that it took."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.process: list[float] = []
        self.tokens: list[int] = []

    def stepped(self, tokens: int) -> None:
        self.wall.append(time.perf_counter())
        self.process.append(time.process_time())
        self.tokens.append(tokens)

    def figures(self) -> dict[str, float]:
        """Over all steps after a warm-up together: some are of long pairs, some of short ones."""
        warm = min(WARM_STEPS, len(self.wall) // 2)
        tokens = sum(self.tokens[warm + 1 :])
        return {
            "tokens_per_second": tokens / (self.wall[-1] - self.wall[warm]),
            "tokens_per_cpu_second": tokens / (self.process[-1] - self.process[warm]),
        }


def with_muster(path: Path, steps: Steps) -> tuple[float, int]:
    """BLEU on the test split, and parameters. The training program as `muster train` starts it."""
    import cluster.train as program
    from cluster.training import loop

    step = loop.train_step

    def counted(trainer: Any, loaded: Any) -> Any:
        found = step(trainer, loaded)
        steps.stepped(loaded.tokens)
        return found

    loop.train_step = counted
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        if code := program.main([str(path), "--run", str(run)]):
            raise RuntimeError(f"muster ended with code {code}")
        from safetensors.torch import load_file

        size = sum(value.numel() for value in load_file(run / "model/weights.safetensors").values())
        return float(json.loads((run / "evaluation.json").read_text())["bleu"]), size


def pairs_of(folder: Path, split: str) -> list[Pair]:
    reader = ShardReader(folder, split)
    pairs = Pairs(reader)
    tokens, lengths, _ = reader.flat(np.arange(reader.documents))
    documents = torch.from_numpy(tokens.astype(np.int64)).split(lengths.tolist())
    return [(one[:source], one[source:]) for one, source in zip(documents, pairs.sources.tolist(), strict=True)]


def with_peer(who: str, recipe: Recipe, folder: Path, steps: Steps) -> tuple[float, int]:
    config, task = recipe.model, recipe.task
    assert isinstance(config, Seq2Seq) and isinstance(task, Rewrite)
    assert recipe.launch.threads != "auto" and recipe.train.steps != "auto"
    torch.set_num_threads(recipe.launch.threads)
    torch.manual_seed(recipe.train.seed)
    size = Size(
        rows=ShardReader(folder, "train").manifest.vocabulary_rows,
        width=config.embedding,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        heads=config.heads,
        feed_forward=config.feed_forward,
        dropout=config.dropout,
    )
    how = Schedule(
        steps=recipe.train.steps,
        batch=int(recipe.train.step_size.split()[0]),
        rate=recipe.optim.learning_rate,
        warmup=recipe.optim.warmup_steps,
        beta2=recipe.optim.beta2,
        clip=recipe.optim.clip_norm,
        smoothing=task.label_smoothing,
        seed=recipe.train.seed,
    )
    model = Translator(size)
    train(model, PEERS[who](pairs_of(folder, "train"), how.batch, how.seed), how, steps.stepped)
    reader, encoder = ShardReader(folder, "test"), Encoder.load(folder)
    texts = [text_of(encoder, rows) for rows in greedy(model, [source for source, _ in pairs_of(folder, "test")])]
    figures = Overlap(task.scores, task.score_tokens).of(texts, read_references(reader.manifest, "test"))
    return float(figures["bleu"]), sum(p.numel() for p in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rewrite.cell", description=__doc__)
    parser.add_argument("trainer", choices=["muster", *PEERS])
    parser.add_argument("recipe", type=Path)
    options = parser.parse_args()
    recipe = load(str(options.recipe), [])
    folder, steps = prepare(recipe, lambda line: None), Steps()
    if options.trainer == "muster":
        bleu, parameters = with_muster(options.recipe, steps)
    else:
        bleu, parameters = with_peer(options.trainer, recipe, folder, steps)
    print(
        json.dumps({"bleu": bleu, "parameters": parameters, "peak_memory_bytes": peak_memory_bytes()} | steps.figures())
    )


if __name__ == "__main__":
    main()
