"""Rules over the ways out of one node, with what is usual on the others."""

from collections.abc import Iterator
from typing import Any

from cluster.topology.fact import Fact
from cluster.topology.health.finding import Missed, Peers, Said, Wrong, unread
from cluster.topology.network import RdmaPort
from cluster.topology.node import Node
from cluster.topology.peers import most_common
from cluster.topology.words import rate

# ibqueryerrors(8) gives 10 as its example of a threshold, for symbol errors and for links that had to recover.
MANY_ERRORS = 10
COUNTERS = {
    "link_downed": "times the link went down",
    "symbol_errors": "symbol errors",
    "receive_errors": "packets received with errors",
}
REAL = ("physical", "virtual")
"""Kinds of interfaces that lead out of a machine."""


def down(node: Node, peers: Peers) -> Iterator[Said]:
    told = {port.interface.value for port in node.network.rdma if port.state.value != "ACTIVE"}  # by `rdma_down`
    for port in node.network.ports:
        if port.state.value != "down" or port.kind.value not in REAL or port.name in told:
            continue
        speed = port.speed_bits_per_second.value
        facts = (f"network.ports[{port.name}].state",)
        if port.name in peers.ports_up:
            what = f"interface {port.name} is down, on most other nodes it is up"
            yield Wrong(level="fail", what=what, facts=facts)
        elif speed:
            what = f"interface {port.name} is down, though it has a speed ({rate(speed, 'bits/s')})"
            yield Wrong(level="warning", what=what, facts=facts)


def rdma_down(node: Node, peers: Peers) -> Iterator[Said]:
    for port in node.network.rdma:
        state = port.state.value
        if state is None:
            yield from unread(port.state, f"state of the RDMA port {_named(port)}")
        elif state != "ACTIVE":
            usual = (port.device, port.port) in peers.rdma_active
            waits = port.physical_state.value == "LinkUp"
            what = f"RDMA port {_named(port)} is {state}" + (
                f" (physically {port.physical_state.value})" if port.physical_state.known else ""
            )
            yield Wrong(
                level="fail" if usual or waits else "warning",
                what=what + (", on most other nodes it is ACTIVE" if usual else ""),
                facts=_place(port, "state", "physical_state"),
                remedy="The cable is well, but no subnet manager has set the port up: ask for the fabric's (opensm)."
                if waits
                else "",
            )


def rdma_slow(node: Node, peers: Peers) -> Iterator[Said]:
    """By the same port of other nodes; on a node alone, by its other ports."""
    here = {
        (port.device, port.port): port.rate_bits_per_second.value
        for port in node.network.rdma
        if port.state.value == "ACTIVE" and port.rate_bits_per_second.value
    }
    usual_here = most_common(here) if len(here) > 2 else None
    for port in node.network.rdma:
        key = (port.device, port.port)
        speed = here.get(key)
        usual = peers.rdma_rates.get(key) if peers.nodes > 1 else usual_here
        if speed is not None and usual is not None and speed < usual:
            who = "the same port of most other nodes" if peers.nodes > 1 else "most ports of this node"
            what = f"RDMA port {_named(port)} runs at {port.rate.or_else(rate(speed, 'bits/s'))}, {who} at "
            yield Wrong(
                level="fail" if peers.nodes > 1 else "warning",
                what=what + rate(usual, "bits/s"),
                facts=_place(port, "rate_bits_per_second"),
            )


def errors(node: Node, peers: Peers) -> Iterator[Said]:
    for port in node.network.rdma:
        counts: dict[str, Fact[Any]] = {name: getattr(port, name) for name in COUNTERS}
        many = {name: fact.value for name, fact in counts.items() if (fact.value or 0) > MANY_ERRORS}
        if many:
            told = ", ".join(f"{value:,} {COUNTERS[name]}" for name, value in many.items())
            yield Wrong(level="warning", what=f"RDMA port {_named(port)}: {told}", facts=_place(port, *many))
    for interface in node.network.ports:
        if interface.kind.value in REAL and (interface.errors.value or 0) > MANY_ERRORS:
            what = f"interface {interface.name}: {interface.errors.value:,} frames with errors since it came up"
            yield Wrong(level="warning", what=what, facts=(f"network.ports[{interface.name}].errors",))
    hidden = {fact.why for port in node.network.rdma for fact in [port.symbol_errors] if any(unread(fact, ""))}
    for why in sorted(hidden):
        yield Missed(what=f"error counters of the RDMA ports: {why}")


def _named(port: RdmaPort) -> str:
    return f"{port.device}/{port.port}"


def _place(port: RdmaPort, *names: str) -> tuple[str, ...]:
    return tuple(f"network.rdma[{port.device}, {port.port}].{name}" for name in names)
