"""Whether nodes are fit for a run: what their records' health means for its start."""

import os
from collections.abc import Callable

from cluster.config.schema import Recipe
from cluster.errors import InfrastructureError
from cluster.topology.health.judge import Health, exclude_line


class Unfit(InfrastructureError):
    """Nodes that are no place to train on."""

    def __init__(self, message: str, nodes: tuple[str, ...]) -> None:
        super().__init__(message)
        self.nodes = nodes


def refuse_unfit(health: Health, recipe: Recipe, say: Callable[[str], None]) -> None:
    """Before the ranks start: a node that fails is a reason not to (`launch.health`); what is no more than a warning is
    counted. Raises Unfit."""
    if recipe.launch.health == "off":
        return
    failures = [one for one in health.findings if one.level == "fail"]
    others = sorted({one.rule for one in health.findings if one.level != "fail"})
    if others:
        say(f"health: {', '.join(others)} could be better (`muster check --node` tells)")
    if not failures:
        return
    told = "\n".join(f"  {one.node or ', '.join(one.between)}: {one.what}. {one.remedy}" for one in failures)
    if recipe.launch.health == "warn":
        say(f"health: not fit to train, started all the same (launch.health=warn):\n{told}")
        return
    out = f" Leave it out with {line}." if (line := exclude_line(health)) and "SLURM_JOB_ID" in os.environ else ""
    nodes = tuple(name for name, verdict in health.verdicts.items() if verdict == "fail")
    raise Unfit(f"Not fit to train:\n{told}\nlaunch.health=warn starts all the same.{out}", nodes)
