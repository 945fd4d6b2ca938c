"""Where this process runs: its node's record and its place there, handed down by the agent or found out by itself."""

import dataclasses
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.config.schema import Recipe
from cluster.data.durable import write_atomically
from cluster.errors import InfrastructureError
from cluster.plan.placement import Placement, place
from cluster.plan.plan import Plan
from cluster.runs import RunFolder
from cluster.topology.health.judge import Health, exclude_line, judge
from cluster.topology.node import Cluster, Node, cluster_of, node_from_bytes, to_bytes
from cluster.topology.probe import probe
from cluster.training.parallel import World, environment

PLACEMENT = "MUSTER_PLACEMENT"
"""Set by the agent for its ranks: the placement that it has told."""


def node_of(run: Path, prepared: Path) -> Node:
    """The facts of this node, with the folders of a run."""
    return probe({"runs": str(run), "data": str(prepared), "temporary": tempfile.gettempdir()})


def hand_down(placement: Placement) -> None:
    """Give the ranks that this process starts their placement."""
    os.environ[PLACEMENT] = json.dumps(dataclasses.asdict(placement))


def handed_down() -> Placement | None:
    """What the agent has decided, if an agent started this process."""
    words = os.environ.get(PLACEMENT)
    if words is None:
        return None
    fields = json.loads(words)
    return Placement(**fields | {name: tuple(fields[name]) for name in ("cpus", "reasons")})


def arrive(run: Path, prepared: Path, plan: Plan, recipe: Recipe) -> tuple[Placement, Node | None]:
    """This rank's placement: what the agent has decided; where torch's own launcher has started it, what it finds out
    by itself, and then its node's record, which nobody else has."""
    placement = handed_down()
    if placement is not None:
        return placement, None
    node = node_of(run, prepared)
    where = environment()
    several = where.size > where.ranks_of_node
    address = address_towards(os.environ["MASTER_ADDR"]) if several else ""
    return place(node, plan, recipe, ranks_of_node=where.ranks_of_node, address=address), node


def refuse_unfit(health: Health, recipe: Recipe, say: Callable[[str], None]) -> None:
    """Before the ranks start: a node that fails is a reason not to (`launch.health`); what is no more than a warning is
    counted. Raises InfrastructureError."""
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
    raise InfrastructureError(f"Not fit to train:\n{told}\nlaunch.health=warn starts all the same.{out}")


def keep_record(run: RunFolder, recipe: Recipe, node: Node, world: World) -> None:
    """Rank 0 stores the records of all nodes, each as the first rank of a node knows it; all ranks judge them alike.
    Collectives. Raises InfrastructureError on every rank for a node that is not fit."""
    first = environment().local_rank == 0
    told = world.gather_bytes(to_bytes(node) if first else b"")
    cluster = cluster_of([node_from_bytes(words, "a rank's record") for words in told if words])
    if world.rank == 0:
        write_record(run, cluster)
    say = print_line if world.rank == 0 else silent
    refuse_unfit(judge(cluster), recipe, say)


def print_line(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def silent(_: str) -> None:
    pass


def write_record(run: RunFolder, cluster: Cluster) -> None:
    write_atomically(run.topology, to_bytes(cluster) + b"\n")


def address_towards(host: str) -> str:
    """The address of this node from which the kernel reaches another; "" if the name does not resolve. Nothing is
    sent."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe_socket:
            probe_socket.connect(target)
            return str(probe_socket.getsockname()[0])
    except OSError:
        return ""
