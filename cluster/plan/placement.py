"""From the record of a node to where its ranks run (CPUs, threads, the network interface), with a reason for each: pure
functions."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.config.schema import Recipe, Train
from cluster.plan.plan import Device, Plan
from cluster.topology.cpulist import parsed, written
from cluster.topology.network import Port
from cluster.topology.node import Node

LOADER_THREADS = 2
"""Threads that gather steps ahead for a GPU: one gathers while the other copies."""
INTERFACE_VARIABLE = {"cpu": "GLOO_SOCKET_IFNAME", "cuda": "NCCL_SOCKET_IFNAME"}
"""docs.pytorch.org/docs/stable/distributed.html, "Choosing the network interface to use"."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the ranks of one node run; none of it changes the bits of a run, but `Plan.threads`, which is stored."""

    cpus: tuple[str, ...]
    """CPUs of each rank of the node, as in 0-15; empty: any."""
    loader_threads: int
    interface: str
    """Network interface of the ranks' collectives; empty: the library chooses."""
    reasons: tuple[str, ...]
    """One for each decision."""


def cores_of(node: Node) -> tuple[int, str]:
    """Cores that this process may use, and why so many: physical ones within its affinity, no more than its quota.

    Hardware threads of one core share its multipliers, so torch too counts cores
    (github.com/pytorch/pytorch/pull/125963).
    """
    usable = parsed(node.cpu.usable.or_else(""))
    physical = _cores(node, usable)
    cores, reason = len(usable), f"{_count(len(usable), 'CPU')} may be used"
    if 0 < physical < len(usable):
        cores, reason = physical, f"{reason}, two or more to a core"
    if not usable:
        cores, reason = 1, f"the CPUs that may be used are not known ({node.cpu.usable.why})"
    quota = node.cpu.quota.value
    if isinstance(quota, float | int) and quota < cores:
        cores, reason = max(1, int(quota)), f"{reason}, a quota of {quota:g} CPUs' time"
    return cores, reason


def place(node: Node, plan: Plan, recipe: Recipe, *, ranks_of_node: int, address: str = "") -> Placement:
    """Decide what `launch` leaves to us. `address`: the one of this node from which it reaches rank 0's node, if the
    ranks are on several nodes."""
    cpus, why_cpus = _cpus(node, plan, recipe, ranks_of_node)
    loader, why_loader = _loader(recipe, plan)
    interface, why_interface = _interface(node, plan, recipe, ranks_of_node, address)
    reasons = (_why_threads(node, plan, recipe, ranks_of_node), why_cpus, why_loader, why_interface)
    return Placement(
        cpus=cpus, loader_threads=loader, interface=interface, reasons=tuple(reason for reason in reasons if reason)
    )


def _why_threads(node: Node, plan: Plan, recipe: Recipe, ranks_of_node: int) -> str:
    cores, reason = cores_of(node)
    if recipe.launch.threads != "auto":
        return f"threads {plan.threads}: launch.threads"
    if plan.threads != max(1, cores // ranks_of_node):
        return f"threads {plan.threads}: as at the run's first start"
    return f"threads {plan.threads}: {reason}, {_count(ranks_of_node, 'rank')} here"


def _cpus(node: Node, plan: Plan, recipe: Recipe, ranks_of_node: int) -> tuple[tuple[str, ...], str]:
    """A rank is kept on whole NUMA nodes, never on single cores, which another run on this machine may have taken."""
    unbound = ("",) * ranks_of_node
    if recipe.launch.bind == "none":
        return unbound, "CPUs not bound: launch.bind=none"
    usable = set(parsed(node.cpu.usable.or_else("")))
    near = {numa.number: sorted(usable & set(parsed(numa.cpus.or_else("")))) for numa in node.numa}
    homes = [number for number, cpus in sorted(near.items()) if cpus]
    if len(homes) < 2:
        return unbound, "CPUs not bound: one NUMA node" if homes else "CPUs not bound: the NUMA nodes are not known"
    if plan.device == "cuda":
        return _beside_gpus(node, near, ranks_of_node)
    if ranks_of_node < 2:
        return unbound, f"CPUs not bound: one rank has all {len(homes)} NUMA nodes"
    shares = [_share(homes, rank, ranks_of_node) for rank in range(ranks_of_node)]
    bound = tuple(written(cpu for number in share for cpu in near[number]) for share in shares)
    return bound, "CPUs: " + _lines(shares)


def _beside_gpus(node: Node, near: dict[int, list[int]], ranks_of_node: int) -> tuple[tuple[str, ...], str]:
    """Each rank on the NUMA node of its GPU; local rank i has CUDA's GPU i."""
    homes = {gpu.cuda_index.value: gpu.numa_node.value for gpu in node.gpus.devices}
    found = [homes.get(rank) for rank in range(ranks_of_node)]
    known = [home if home is not None and near.get(home) else None for home in found]
    bound = tuple("" if home is None else written(near[home]) for home in known)
    if not any(bound):
        return bound, "CPUs not bound: the NUMA nodes of the GPUs are not known"
    return bound, "CPUs: " + _lines([[] if home is None else [home] for home in known], "with its GPU")


def _share(homes: Sequence[int], rank: int, ranks: int) -> list[int]:
    """NUMA nodes of one rank: an equal run of them, or the one that its place among the ranks falls on."""
    first = rank * len(homes) // ranks
    return list(homes[first : max(first + 1, (rank + 1) * len(homes) // ranks)])


def _lines(shares: Sequence[Sequence[int]], why: str = "") -> str:
    """`ranks 0-3 on NUMA node 0, ranks 4-7 on NUMA node 1`."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for rank, share in enumerate(shares):
        groups.setdefault(tuple(share), []).append(rank)
    parts = []
    for share, ranks in groups.items():
        who = f"rank{'s' if len(ranks) > 1 else ''} {written(ranks)}"
        parts.append(f"{who} on NUMA node{'s' if len(share) > 1 else ''} {written(share)}" if share else f"{who} free")
    return ", ".join(parts) + (f" {why}" if why else "")


def loader_threads(train: Train, device: Device, threads: int) -> int:
    """Threads that gather ahead for one rank of so many threads. None on a CPU unless asked for: there they take their
    time from the cores that train (measured on 2 cores: half again as long a step for a small model)."""
    if train.loader_threads != "auto":
        return train.loader_threads
    return min(LOADER_THREADS, max(1, threads - 1)) if device == "cuda" else 0


def _loader(recipe: Recipe, plan: Plan) -> tuple[int, str]:
    threads = loader_threads(recipe.train, plan.device, plan.threads)
    if recipe.train.loader_threads != "auto":
        return threads, f"loader threads {threads}: train.loader_threads"
    if plan.device == "cpu":
        return threads, f"loader threads {threads}: on a CPU they would take their time from the training"
    return threads, f"loader threads {threads}: steps are gathered while the GPU works"


def _interface(node: Node, plan: Plan, recipe: Recipe, ranks_of_node: int, address: str) -> tuple[str, str]:
    if plan.ranks == 1:
        return "", ""
    variable = INTERFACE_VARIABLE[plan.device]
    wish = node.software.environment.or_else({}).get(variable, "")
    if recipe.launch.interface != "auto":
        return recipe.launch.interface, f"interface {recipe.launch.interface}: launch.interface"
    if wish:
        return wish, f"interface {wish}: {variable} is set"
    if plan.ranks == ranks_of_node:
        inside = next((port for port in node.network.ports if port.kind.value == "loopback"), None)
        if plan.device == "cuda" or inside is None:
            return "", ""  # NCCL goes over NVLink, PCIe or memory
        return inside.name, f"interface {inside.name}: all ranks are on this node"
    port = next((port for port in node.network.ports if address in _addresses(port)), None)
    if port is None:
        return "", f"interface left to the library: none of this node's has the address {address or 'that leads there'}"
    faster = _faster(node.network.ports, port)
    hint = f" ({faster.name} is faster: launch.interface={faster.name})" if faster else ""
    return port.name, f"interface {port.name}: the way to rank 0's node{hint}"


def _addresses(port: Port) -> set[str]:
    return {str(ipaddress.ip_interface(address).ip) for address in port.addresses.or_else(())}


def _faster(ports: Sequence[Port], chosen: Port) -> Port | None:
    """One that is up, has an address, and a speed that is known to be higher."""
    speed = chosen.speed_bits_per_second.value
    able = [
        port
        for port in ports
        if speed and port.state.value == "up" and _addresses(port) and port.speed_bits_per_second.or_else(0) > speed
    ]
    return max(able, key=lambda port: port.speed_bits_per_second.or_else(0), default=None)


def _cores(node: Node, usable: Sequence[int]) -> int:
    mine = set(usable)
    return sum(1 for core in node.cpu.siblings.or_else(()) if mine & set(parsed(core)))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
