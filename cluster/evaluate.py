"""Exact evaluation: every example once, on any number of ranks.

muster evaluate RUN [--data FILE] [launch.ranks=2]
"""

import argparse
import json
from pathlib import Path

from cluster.config.load import from_toml_with
from cluster.data.durable import write_atomically
from cluster.data.pairs import Pairs
from cluster.data.reading import reader_of
from cluster.models.build import load_for_inference
from cluster.plan.plan import make_plan
from cluster.pulse.phase import Phase
from cluster.runs import open_run
from cluster.tasks.build import build_for_inference
from cluster.tasks.rewrite import Rewrite
from cluster.training.checkpoint import verify_folder
from cluster.training.faults import run_rank
from cluster.training.parallel import environment, leave, machine, started
from cluster.training.pulse import Pulse
from cluster.training.scoring import evaluate
from cluster.training.site import handed_down
from cluster.training.writing import write_split


def main(arguments: list[str] | None = None) -> int:
    """One rank of an evaluation; started by `cluster.evaluation`."""
    parser = argparse.ArgumentParser(prog="python -m cluster.evaluate", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("overrides", nargs="*", help="launch.* settings")
    parser.add_argument("--prepared", type=Path, required=True, help="prepared folder that holds the split")
    parser.add_argument("--split", default="test")
    parser.add_argument("--output", type=Path, required=True, help="where rank 0 writes the scores as JSON")
    options = parser.parse_args(arguments)
    return run_rank(lambda pulse: _evaluate_run(options, pulse), options.output.parent)


def _evaluate_run(options: argparse.Namespace, pulse: Pulse) -> None:
    run = open_run(options.run)
    recipe = from_toml_with(run.recipe.read_text(), options.overrides)
    decided = handed_down()
    plan, placement = decided or (make_plan(recipe, machine(), ranks=environment()), None)
    verify_folder(run.model)
    with started(plan, recipe.train.strict, placement) as world:
        model, description = load_for_inference(run.model, str(world.device))
        if plan.precision == "float64":
            model = model.double()
        reader = reader_of(options.prepared, options.split, recipe)
        task = build_for_inference(description)
        with pulse.phase(Phase.SCORE):
            figures = evaluate(model, task, reader, world, plan, recipe.train.micro_batch_tokens, pulse)
            if isinstance(task, Rewrite) and isinstance(reader, Pairs):
                figures |= write_split(model, task, reader, options.split, world, plan, pulse).figures
        if world.rank == 0:
            write_atomically(options.output, json.dumps(figures).encode())
        pulse.leave()


if __name__ == "__main__":
    leave(main())
