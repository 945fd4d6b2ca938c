"""Exact scores of a finished run, on its test split or on a file: starts the ranks, gives what they counted.

python -m cluster.evaluation RUN [--data FILE] [launch.ranks=2]
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from cluster.config.load import from_toml_with
from cluster.config.schema import Recipe
from cluster.config.tasks import prepared_for
from cluster.data.manifest import open_prepared
from cluster.elastic import Meeting, failures_told, run_ranks
from cluster.errors import DataError, Interrupted, MusterError, exit_code_of
from cluster.plan.placement import place
from cluster.plan.plan import describe, make_plan
from cluster.processes import STOP_SIGNALS, die_with_parent
from cluster.runs import RunFolder, open_run, read_json
from cluster.supervision.outcome import LEFT_IN_GOOD_ORDER, Report, conclude
from cluster.topology.listening import own_port
from cluster.training.parallel import machine
from cluster.training.site import hand_down, node_of

LOOPBACK = "127.0.0.1"


def main(arguments: list[str] | None = None) -> None:
    """Print the scores as one line of JSON. Raises MusterError."""
    parser = argparse.ArgumentParser(prog="python -m cluster.evaluation", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="launch.KEY=VALUE")
    parser.add_argument("--data", type=Path, help="a file instead of the test split")
    options = parser.parse_intermixed_args(arguments)
    die_with_parent(signal.SIGTERM)
    run = open_run(options.run)
    recipe = from_toml_with(run.recipe.read_text(), options.overrides)
    print(json.dumps(evaluate(run, recipe, options.data, options.overrides)))


def evaluate(run: RunFolder, recipe: Recipe, data: Path | None, overrides: list[str]) -> dict[str, Any]:
    """Scores of a finished run on its test split, or on a file. Raises MusterError."""
    with tempfile.TemporaryDirectory(prefix="muster-evaluate-") as scratch:
        prepared, unknown = _evaluation_data(run, recipe, data, Path(scratch) / "data")
        here = machine()
        plan = make_plan(recipe, here)
        placement = place(node_of(run.path, prepared), plan, recipe, ranks_of_node=plan.ranks)
        hand_down(plan, placement)
        print(describe(plan, here), file=sys.stderr, flush=True)
        output = Path(scratch) / "scores.json"
        logs = RunFolder(Path(scratch))
        logs.attempt_logs(0).mkdir(parents=True)
        module = ["cluster.evaluate", str(run.path), *overrides, "--prepared", str(prepared), "--output", str(output)]
        stop = _ending_ranks()
        port = own_port()
        failures = run_ranks(logs, 0, plan, plan.ranks, module, Meeting(LOOPBACK, port))
        if stop:
            raise Interrupted("The evaluation was stopped; nothing was changed.")
        if failures or not output.exists():
            ranks = [{"rank": rank, "phase": LEFT_IN_GOOD_ORDER, "step": 0} for rank in range(plan.ranks)]
            ending = conclude(logs, 0, [Report(node="", failures=failures_told(failures), ranks=ranks)], "")
            error = MusterError(ending.message + (f"\n{ending.traceback}" if ending.traceback else ""))
            error.exit_code = ending.exit_code
            raise error
        return {**json.loads(output.read_bytes()), "unknown_labels": unknown}


def _evaluation_data(run: RunFolder, recipe: Recipe, data: Path | None, scratch: Path) -> tuple[Path, dict[str, int]]:
    """The folder that holds the split to score, and its labels that the model was never taught."""
    if data is None:
        manifest = open_prepared(Path(read_json(run.record)["prepared"]))
        if "test" not in manifest.splits:
            raise DataError(f"{run.path} has no test split (data.test is none): name a file with --data FILE.")
        return manifest.folder, dict(manifest.report.get("unknown_labels", {}).get("test", {}))
    from cluster.prepare import prepare_evaluation  # spaCy: only where text is read
    from cluster.text.raw.read import resolve
    from cluster.text.tokens.pipeline import Encoder

    labels = json.loads((run.model / "model.json").read_bytes())["labels"]
    try:
        files = resolve(str(data), "test")
    except DataError as error:
        raise DataError(f"--data {data}: {str(error).removeprefix('data.test: ')}") from error
    encoder, kind = Encoder.load(run.model), prepared_for(recipe.task)
    report = prepare_evaluation(encoder, labels, files, recipe.data, scratch, _say, task=kind)
    return scratch, dict(report.get("unknown_labels", {}))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _ending_ranks() -> list[int]:
    """From now on a request to stop ends the ranks, which have nothing to save. Gives the signals, as they come."""
    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)
        for rank in psutil.Process(os.getpid()).children(recursive=True):
            with suppress(psutil.Error):
                rank.terminate()

    for number in STOP_SIGNALS:
        signal.signal(number, hear)
    return heard


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
