"""Where this process runs: its node's record and its place there, handed down by the agent or found out by itself."""

import dataclasses
import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from cluster.config.schema import Recipe
from cluster.data.durable import write_atomically
from cluster.errors import InfrastructureError
from cluster.plan.fitness import refuse_unfit
from cluster.plan.placement import Placement, place
from cluster.plan.plan import Plan
from cluster.runs import RunFolder
from cluster.topology.health.judge import judge
from cluster.topology.node import Cluster, Node, cluster_of, node_from_bytes, to_bytes
from cluster.topology.probe import probe
from cluster.training.parallel import World, environment

DECISIONS = "MUSTER_DECISIONS"
"""Set by the agent for its ranks: the plan and the placement that the supervisor has told."""


def node_of(run: Path, prepared: Path) -> Node:
    """The facts of this node, with the folders of a run."""
    return probe({"runs": str(run), "data": str(prepared), "temporary": tempfile.gettempdir()})


def hand_down(plan: Plan, placement: Placement) -> None:
    """Give the ranks that this process starts what has been decided for them."""
    os.environ[DECISIONS] = json.dumps({"plan": dataclasses.asdict(plan), "placement": dataclasses.asdict(placement)})


def handed_down() -> tuple[Plan, Placement] | None:
    """What the supervisor has decided, if an agent started this process. Raises InfrastructureError if the launcher has
    made another number of ranks of it."""
    words = os.environ.get(DECISIONS)
    if words is None:
        return None
    decisions = json.loads(words)
    plan = Plan(**decisions["plan"])
    if plan.ranks != environment().size:
        raise InfrastructureError(
            f"The plan has {plan.ranks} ranks, but WORLD_SIZE is {environment().size}: the nodes have not all met. See "
            "the logs of the other nodes' ranks."
        )
    return plan, placement_of(decisions["placement"])


def placement_of(fields: dict[str, Any]) -> Placement:
    """From JSON."""
    return Placement(**fields | {name: tuple(fields[name]) for name in ("cpus", "reasons")})


def find_out(run: Path, prepared: Path, plan: Plan, recipe: Recipe) -> tuple[Placement, Node]:
    """Where torch's own launcher has started this rank: its placement, and its node's record, which nobody else has."""
    node = node_of(run, prepared)
    where = environment()
    several = where.size > where.ranks_of_node
    address = address_towards(os.environ["MASTER_ADDR"]) if several else ""
    return place(node, plan, recipe, ranks_of_node=where.ranks_of_node, address=address), node


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
