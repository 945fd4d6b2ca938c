"""The same classifiers in muster, HF Trainer, Lightning and Accelerate: one table.

    python -m bench.trainers [--trials 2] [--quick] [--device auto|cpu|cuda] [--json]

The same model (muster's own modules), prepared token ids, batches of 64, fused Adam and number of steps. Padding and
order are each trainer's own: muster buckets, HF Trainer runs with group_by_length, Lightning and Accelerate with a
shuffling DataLoader, as their users write it. Every run is a process of its own; they alternate, and figures are
medians.

Needs the extra `bench`; a peer that is not installed is left out. The best figure of a column is marked with *.
Tokens are real ones, padding not counted; the time to the first step begins with the process; memory is the peak of the
process, on a GPU that of torch's allocator.
"""

import argparse
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.machine import described
from bench.trainers.cases import CASES, write_recipe

ROOT = Path(__file__).parents[2]
# trainer -> the module that must be there
TRAINERS = {"muster": "torch", "hf-trainer": "transformers", "lightning": "lightning", "accelerate": "accelerate"}
QUICK_STEPS = 6
# figure -> heading, how it is shown, whether more is better
COLUMNS = {
    "tokens_per_second": ("tokens/s", "{:,.0f}", True),
    "padding_share": ("padding", "{:.1%}", False),
    "first_step_seconds": ("first step, s", "{:.1f}", False),
    "peak_memory_bytes": ("memory, MiB", "{:,.0f}", False),
    "accuracy": ("accuracy", "{:.4f}", True),
}


def run(who: str, recipe: Path, device: str) -> dict[str, Any]:
    """One process's figures; ends the comparison if it failed."""
    command = [sys.executable, "-m", "bench.trainers.cell", who, str(recipe), "--device", device]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(command[1:])} failed with code {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    figures: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return figures


def prepare(recipe: Path) -> None:
    subprocess.run([sys.executable, "-c", PREPARE, str(recipe)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


PREPARE = """
import sys
from cluster.config.load import load
from cluster.prepare import prepare
if __name__ == "__main__":
    prepare(load(sys.argv[1], []), lambda line: None)
"""


def compare(cases: list[str], trials: int, steps: int | None, device: str) -> list[dict[str, Any]]:
    """A row for each case and trainer."""
    trainers = [who for who, module in TRAINERS.items() if importlib.util.find_spec(module)]
    chance = random.Random(1)
    rows = []
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as scratch:
        for case in cases:
            recipe = write_recipe(case, Path(scratch), steps)
            prepare(recipe)
            runs: dict[str, list[dict[str, Any]]] = {who: [] for who in trainers}
            for trial in range(trials):
                for who in chance.sample(trainers, len(trainers)):
                    runs[who].append(run(who, recipe, device))
                    print(f"{case}: {who}, trial {trial + 1} of {trials}", file=sys.stderr, flush=True)
            for who, its in runs.items():
                figures = {name: statistics.median(one[name] for one in its) for name in COLUMNS}
                rows.append({"case": case, "trainer": who, "version": its[0]["version"], "trials": its} | figures)
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The rows as text, the best of each column within a case marked."""
    shown = {"peak_memory_bytes": 2**20}
    lines = [f"{'':30}{'':12}" + "".join(f"{heading:>16}" for heading, _, _ in COLUMNS.values())]
    for row in rows:
        rivals = [other for other in rows if other["case"] == row["case"]]
        cells = ""
        for name, (_, form, more) in COLUMNS.items():
            best = (max if more else min)(other[name] for other in rivals)
            mark = "*" if row[name] == best else " "
            cells += f"{form.format(row[name] / shown.get(name, 1)) + mark:>16}"
        lines.append(f"{row['case']:30}{row['trainer']:12}{cells}")
    return lines


def found_device() -> str:
    """`cuda` if torch sees a GPU; asked of another process, so that this one stays small."""
    asked = "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')"
    return subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.trainers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2, help="runs of each trainer and case (default: 2)")
    parser.add_argument("--quick", action="store_true", help=f"one trial of {QUICK_STEPS} steps, short texts only")
    parser.add_argument("--case", choices=list(CASES), action="append", help="only this one (may be repeated)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU too, if any")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cases = options.case or list(CASES)[: 2 if options.quick else None]
    device = options.device
    devices = sorted({"cpu", found_device()}) if device == "auto" else [device]
    reports = {}
    for device in devices:
        trials, steps = (1, QUICK_STEPS) if options.quick else (options.trials, None)
        reports[device] = compare(cases, trials, steps, device)
    if options.json:
        print(json.dumps(reports))
        return 0
    for device, rows in reports.items():
        peers = ", ".join(sorted({row["version"] for row in rows}))
        print(f"{device} · {described()} · {peers} · medians of {len(rows[0]['trials'])}, * best of its column")
        print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
