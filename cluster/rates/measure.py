"""The measured rates of a node, and those between nodes: parts that share a time, each of which may fail alone."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch

from cluster.rates import compute, curve, disk, gpu, memory, pairs, usable
from cluster.rates.wire import Wire, joined, place
from cluster.topology import limits
from cluster.topology.calls import call
from cluster.topology.host import Host, read_host
from cluster.topology.node import Cluster, Node
from cluster.topology.rate import Curve, Pair, Rate, Size
from cluster.topology.source import Live

Say = Callable[[str], None]
CURVE_SHARE = 0.6  # of the time between nodes; the pairs have the rest


class Part(NamedTuple):
    """Some figures that are measured together."""

    name: str
    weight: float
    """Its share of the time, beside the weights of the others."""
    run: Callable[[float], Iterator[Rate]]
    """Measures within so many seconds."""


def measure_node(node: Node, seconds: float, folders: Mapping[str, str], say: Say) -> Node:
    """The node with its rates: memory, matrix products, GPUs and the ways to them, the file systems of `folders`.

    Takes about `seconds`, more where a single trial of each part needs more. What fails is a line of `problems`.
    `say` hears of each part as it begins.
    """
    rates: list[Rate] = []
    problems: list[str] = []
    parts = [*_memory(node), *_compute(node), *_gpus(node, problems), *_disks(node, folders, problems)]
    whole = sum(part.weight for part in parts)
    for part in parts:
        share = seconds * part.weight / whole
        say(f"{part.name}, about {share:.1f} s")
        try:
            for rate in part.run(share):
                rates.append(rate)
        except Exception as error:
            problems.append(f"{part.name}: {_words(error)}")
    return dataclasses.replace(node, rates=node.rates + tuple(rates), problems=node.problems + tuple(problems))


def _memory(node: Node) -> Iterator[Part]:
    """Near each NUMA node, and of all together where there are several."""
    allowed = usable.cpus()
    near = [(f"numa {numa.number}", usable.near(numa)) for numa in node.numa]
    places = [(where, cpus) for where, cpus in near if cpus]
    if len(places) != 1:
        places.append(("cpu", allowed))
    for where, cpus in places:
        yield Part(f"memory of {where}", 3 / len(places), partial(memory.bandwidth, node, cpus, where))


def _compute(node: Node) -> Iterator[Part]:
    yield Part("matrix products of the CPU", 2, partial(compute.of_cpu, node))


def _gpus(node: Node, problems: list[str]) -> Iterator[Part]:
    if not torch.cuda.is_available():
        if node.gpus.devices:
            problems.append("GPUs: torch sees none of them, so that none was measured (torch.cuda.is_available())")
        return
    seen = gpu.seen(node)
    for one in seen:
        name = f"GPU {one.gpu.index}"
        yield Part(f"matrix products of {name}", 2, partial(compute.of_gpu, one.gpu, one.device))
        yield Part(f"memory of {name}", 0.5, partial(gpu.memory, one.gpu, one.device))
        yield Part(f"main memory to {name} and back", 1, partial(gpu.transfers, one.gpu, one.device))
    for a, b in itertools.permutations(seen, 2):
        weight = 4 / len(seen) ** 2
        yield Part(f"GPU {a.gpu.index} to GPU {b.gpu.index}", weight, partial(gpu.between, node, a, b))


def _disks(node: Node, folders: Mapping[str, str], problems: list[str]) -> Iterator[Part]:
    try:
        found = disk.systems(folders)
    except OSError as error:
        problems.append(f"disks: {_words(error)}")
        return
    for folder in found:
        yield Part(f"disk of {folder}", 3, partial(disk.speed, node, folder))


def measure_between(cluster: Cluster, seconds: float, say: Say) -> Cluster:
    """The cluster with its all-reduce curve and, of several nodes, its pairs: the same on all ranks.

    Called by every process of a job, as torch's launchers start them (RANK, WORLD_SIZE, MASTER_ADDR, ...). Collectives.
    A rank that is alone has nothing to measure. If some rank fails or does not answer, the others say so in `problems`
    after a timeout, and keep what is done. `say` is called on rank 0. Afterwards the process has to end by `leave` of
    `cluster/training/parallel.py`.
    """
    here = place()
    if here.size == 1:
        return cluster
    say = say if here.rank == 0 else _silent
    done = Between()
    try:
        with joined(own_name(cluster, read_host(Live(call)), here.rank // here.ranks_of_node), seconds) as wire:
            _measure(wire, seconds, say, done)
    except Exception as error:
        done.problems.append(f"between nodes: rank {here.rank} of {here.size}: {_words(error)}")
    return dataclasses.replace(
        cluster,
        curves=cluster.curves + done.curves(cluster),
        pairs=cluster.pairs + done.pairs(cluster),
        problems=cluster.problems + tuple(done.problems),
    )


def _silent(_: str) -> None:
    pass


class Between:
    """What was measured between ranks so far: it outlives an error."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.sizes: list[Size] = []
        self.met: list[pairs.Met] = []
        self.problems: list[str] = []

    def curves(self, cluster: Cluster) -> tuple[Curve, ...]:
        if self.wire is None or not self.sizes:
            return ()
        names = tuple(dict.fromkeys(self.wire.nodes))
        known = {node.name: node for node in cluster.nodes}
        limit = limits.Limit(None, _missing(names, known))
        if not limit.reason:
            nodes = [known[name] for name in names]
            limit = limits.reduction(nodes, self.wire.backend, self.wire.size, _interfaces(self.wire))
        curve = Curve(
            collective="all_reduce",
            backend=self.wire.backend,
            ranks=self.wire.size,
            nodes=len(names),
            rank_nodes=self.wire.nodes,
            interface=", ".join(dict.fromkeys(filter(None, self.wire.interfaces))),
            latency_seconds=self.sizes[0].median_seconds,
            sizes=tuple(sorted(self.sizes, key=lambda size: size.message_bytes)),
            limit=limit.value,
            limit_reason=limit.reason,
        )
        return (curve,)

    def pairs(self, cluster: Cluster) -> tuple[Pair, ...]:
        known = {node.name: node for node in cluster.nodes}
        found = []
        for met in self.met:
            limit = limits.Limit(None, _missing((met.a, met.b), known))
            if self.wire is not None and not limit.reason:
                limit = limits.pair(known[met.a], known[met.b], self.wire.backend, _interfaces(self.wire))
            found.append(Pair(**met._asdict(), limit=limit.value, limit_reason=limit.reason))
        return tuple(found)


def _measure(wire: Wire, seconds: float, say: Say, done: Between) -> None:
    """Collectives."""
    done.wire = wire
    nodes = len(dict.fromkeys(wire.nodes))
    share = seconds * (CURVE_SHARE if nodes > 1 else 1.0)
    say(f"all-reduce over {wire.size} ranks on {nodes} nodes ({wire.backend}), about {share:.1f} s")
    for size in curve.sizes(wire, share):
        done.sizes.append(size)
    if nodes < 2:
        return
    say(f"pairs of {nodes} nodes, about {seconds - share:.1f} s")
    largest = max(done.sizes, key=lambda size: size.message_bytes)
    for step in pairs.met(wire, largest.bus_bytes_per_second, seconds - share):
        if isinstance(step, str):
            done.problems.append(f"between nodes: {step}")
        else:
            done.met.extend(step)


def own_name(cluster: Cluster, host: Host, index: int) -> str:
    """What the record calls this node: by the machine that it is, else by its number among the nodes."""
    if len(cluster.nodes) == 1:
        return cluster.nodes[0].name
    same = [node for node in cluster.nodes if host.boot.known and _identity(node.host) == _identity(host)]
    if len(same) == 1:
        return same[0].name
    return cluster.nodes[index].name if index < len(cluster.nodes) else host.name.or_else(os.uname().nodename)


def _identity(host: Host) -> tuple[str | None, str | None]:
    """Containers of one machine have its boot id and network namespaces of their own."""
    return host.boot.value, host.network_namespace.value


def _interfaces(wire: Wire) -> dict[str, str]:
    """By name of the node."""
    return dict(zip(wire.nodes, wire.interfaces, strict=True))


def _missing(names: Sequence[str], known: Mapping[str, Node]) -> str:
    strangers = [name for name in names if name not in known]
    return f"the facts of {', '.join(strangers)} are not in this record" if strangers else ""


def _words(error: BaseException) -> str:
    """The first line: torch adds stacks to its errors."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first if isinstance(error, OSError | TimeoutError) else f"{type(error).__name__}: {first}"
