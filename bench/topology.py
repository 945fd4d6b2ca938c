"""A cluster of many nodes, from their records to the picture: seconds of each part, and of all of them.

    python -m bench.topology [--nodes 1000] [--rounds 3] [--json]

The records are made up (nodes with eight GPUs and eight InfiniBand ports, some with faults). Each node is a client of
its own that brings its record to node 0 over TCP on this machine, as `muster probe` does on a cluster: what the nodes
would do by themselves and all at once (their clocks, their JSON) is done here by a few processes on the same cores, and
counts.
"""

import argparse
import contextlib
import gc
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from typing import TypeVar

from bench.machine import described, versions
from cluster.topology.compare import differences
from cluster.topology.draw.picture import picture
from cluster.topology.gather import bring, brought, gathered
from cluster.topology.head import Head
from cluster.topology.health.judge import judge
from cluster.topology.kinds import kinds
from cluster.topology.member import Member
from cluster.topology.node import Cluster, Node, cluster_from_json, expect_many, to_bytes
from cluster.topology.place import LOOPBACK, Place, candidate_ports
from tests.topology.synthetic import ok, synthetic_cluster, with_gpu, with_part, with_rdma

MARK_SECONDS = 5.0
MARK_NODES = 1000
PROCESSES = 4
CALLERS = 16
"""Clients at once in each process."""
WAIT_SECONDS = 120.0
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=MARK_NODES)
    parser.add_argument("--rounds", type=int, default=3, help="each figure is the median of so many")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    print(f"{described()}; {versions('pydantic', 'pydantic-core')}", file=sys.stderr)
    rounds = [measured(chosen.nodes) for _ in range(chosen.rounds)]
    seconds = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    seconds["all"] = statistics.median(sum(one.values()) for one in rounds)
    if chosen.json:
        print(json.dumps(seconds))
        return
    for name, taken in seconds.items():
        print(f"{name:8} {taken:6.2f} s")
    if chosen.nodes == MARK_NODES:
        print(f"{'mark':8} {MARK_SECONDS:6.2f} s")


def measured(count: int) -> dict[str, float]:
    """Seconds of each part, by its name, for so many nodes."""
    expect_many()
    today, before = two_days(count)
    gc.freeze()  # what is made for the measurement is not there on a cluster
    taken: dict[str, float] = {}

    def clocked(name: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        done = work()
        taken[name] = time.perf_counter() - began
        return done

    with callers(today.nodes) as meet:
        merged = clocked("merge", meet)
    words = clocked("write", lambda: to_bytes(merged))
    cluster = clocked("read", lambda: cluster_from_json(json.loads(words), "what node 0 wrote"))
    health = clocked("judge", lambda: judge(cluster))
    groups = clocked("group", lambda: kinds(cluster.nodes))
    changes = clocked("compare", lambda: differences(before, cluster))
    drawn = clocked("draw", lambda: picture(cluster, health))
    if not (len(cluster.nodes) == count and len(groups) > 1 and changes and drawn.startswith("<svg")):
        raise RuntimeError(f"{len(cluster.nodes)} of {count} nodes: {merged.problems}, {merged.missing[:3]}")
    return taken


def two_days(count: int) -> tuple[Cluster, Cluster]:
    """The same nodes, today with three that have something."""
    faults = {
        f"n{count // 4}": with_gpu(3, pcie_width=ok(4)),
        f"n{count // 2}": with_part("software", driver=ok("560.35.03")),
        f"n{count - 1}": with_rdma(2, state=ok("DOWN")),
    }
    return synthetic_cluster(count, faults), synthetic_cluster(count)


@contextlib.contextmanager
def callers(nodes: tuple[Node, ...]) -> Iterator[Callable[[], Cluster]]:
    """Processes that have the records of all nodes but node 0's ready, and what has them merged."""
    to_bytes(nodes[0])  # the shape of a record is made once in each process: here for all of them
    context = multiprocessing.get_context("fork")  # they begin with what was made here
    go = context.Event()
    name = f"bench {time.time_ns()}"

    def place(node: int) -> Place:
        names = tuple(each.name for each in nodes)
        return Place(
            launcher="srun", ranks=len(nodes), node=node, nodes=len(nodes), node_name=names[node], names=names,
            head=LOOPBACK, ports=candidate_ports(name, 0), name=name,
        )  # fmt: skip

    shares = [range(1 + first, len(nodes), PROCESSES) for first in range(PROCESSES)]
    shared = [[(place(number), nodes[number]) for number in share] for share in shares]
    processes = [context.Process(target=call, args=(go, share)) for share in shared]
    for process in processes:
        process.start()

    def meet() -> Cluster:
        with Head(place(0), nodes[0].name, {}, time.time) as head:
            go.set()
            return gathered(place(0), nodes[0], head, WAIT_SECONDS, everybody=False).cluster

    try:
        yield meet
    finally:
        for process in processes:
            process.join(WAIT_SECONDS)
            process.kill()


def call(go: Event, share: list[tuple[Place, Node]]) -> None:
    """In a process of its own: each of these nodes brings its record."""
    go.wait()

    def one(place: Place, node: Node) -> None:
        with Member(place, node.name, [LOOPBACK], WAIT_SECONDS) as member:
            bring(member, brought(member, node, time.time))

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda each: one(*each), share))


if __name__ == "__main__":
    main()
