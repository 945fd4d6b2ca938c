"""Translation in muster and in a plain loop around torch's nn.Transformer: one table.

    python -m bench.rewrite [--steps 600] [--threads 1] [--trials 1] [--json]

The same tokens of the set `help-de`, pairs of a step, sizes of the model, optimizer, schedule, clipping, smoothing and
number of updates. "nn.Transformer" takes shuffled pairs, padded; "by length" sorts a hundred batches together. muster
sorts 65,536 pairs, and makes each step of several pieces of them (`train.micro_batch_tokens`), each of about one
length; "muster, one length" makes it of one. BLEU is of the test split, the most probable token each time. Every
training is a process of its own; with several trials they alternate, and figures are medians.

Tokens a second are real ones of both sides, padding not counted, over all steps after a warm-up, by the clock on the
wall; and by that of the process (all threads), which tells more where others want the cores too. The best of a column
is marked with *.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.machine import described, versions
from bench.rewrite.peers import PEERS

ROOT = Path(__file__).parents[2]
RECIPE = """
[data]
train = "help-de"
validation = "none"
test = "help-de"

[text]
tokens = "bpe"
lower = false
vocabulary_size = 4000
max_tokens = 128

[task]
kind = "rewrite"
beam = 1

[model]
kind = "seq2seq"
embedding = 128
encoder_layers = 2
decoder_layers = 2
heads = 4
feed_forward = 512

[optim]
learning_rate = 3e-3
beta2 = 0.98
warmup_steps = {warmup}
schedule = "cosine"
clip_norm = 1.0

[train]
steps = {steps}
step_size = "128 examples"
max_ranks = 2
micro_batch_tokens = {micro_batch_tokens}
seed = {seed}
precision = "float32"
checkpoint_steps = 1_000_000
log_steps = 50

[evaluate]
baseline = false

[launch]
device = "cpu"
threads = {threads}
"""
# Tokens of a micro-batch, on each side: a step of 128 pairs holds several of the small ones.
MUSTERS = {"muster": 512, "muster, one length": 16_384}
# figure -> heading, how it is shown, whether more is better
COLUMNS = {
    "bleu": ("test BLEU", "{:.4f}", True),
    "tokens_per_second": ("tokens/s", "{:,.0f}", True),
    "tokens_per_cpu_second": ("tokens/CPU s", "{:,.0f}", True),
    "peak_memory_bytes": ("memory, MiB", "{:,.0f}", False),
}


def run(who: str, recipe: Path) -> dict[str, Any]:
    """One process's figures; ends the comparison if it failed."""
    command = [sys.executable, "-m", "bench.rewrite.cell", who, str(recipe)]
    ended = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(command[1:])} failed with code {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    figures: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    print(f"{who}: {figures}", file=sys.stderr, flush=True)
    return figures


def compare(steps: int, threads: int, trials: int) -> list[dict[str, Any]]:
    """A row for each trainer; each trial has a seed of its own."""
    runs: dict[str, list[dict[str, Any]]] = {who: [] for who in (*MUSTERS, *PEERS)}
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as scratch:
        for trial in range(trials):
            for who, its in runs.items():
                recipe = Path(scratch) / "rewrite.toml"
                recipe.write_text(
                    RECIPE.format(
                        steps=steps, warmup=max(1, steps // 10), threads=threads, seed=trial + 1,
                        micro_batch_tokens=MUSTERS.get(who, MUSTERS["muster"]),
                    )
                )  # fmt: skip
                its.append(run(who.partition(",")[0] if who in MUSTERS else who, recipe))
    return [
        {"trainer": who, "parameters": its[0]["parameters"], "trials": its}
        | {name: statistics.median(one[name] for one in its) for name in COLUMNS}
        for who, its in runs.items()
    ]


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'':26}{'parameters':>12}" + "".join(f"{heading:>16}" for heading, _, _ in COLUMNS.values())]
    for row in rows:
        cells = ""
        for name, (_, form, more) in COLUMNS.items():
            best = (max if more else min)(other[name] for other in rows)
            shown = form.format(row[name] / (2**20 if name == "peak_memory_bytes" else 1))
            cells += f"{shown + ('*' if row[name] == best else ' '):>16}"
        lines.append(f"{row['trainer']:26}{row['parameters']:>12,}{cells}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.rewrite", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=600, help="updates of each training (default: 600)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (default: 1)")
    parser.add_argument("--trials", type=int, default=1, help="trainings of each, with other seeds (default: 1)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = compare(options.steps, options.threads, options.trials)
    if options.json:
        print(json.dumps(rows))
        return 0
    print(f"{described()}, {options.threads} threads · {versions('torch')} · {options.steps} updates")
    print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
