"""One node's facts, put together: each room of this folder reads its own."""

import time
from collections.abc import Mapping

from cluster.topology.calls import call
from cluster.topology.cpu import read_cpu, read_numa
from cluster.topology.gpus import read_gpus
from cluster.topology.host import read_host, read_software
from cluster.topology.memory import read_memory
from cluster.topology.network import read_network
from cluster.topology.node import Node
from cluster.topology.source import Live, Source
from cluster.topology.storage import read_storage


def probe(folders: Mapping[str, str], source: Source | None = None, name: str = "") -> Node:
    """The facts of one node: no root, no GPU, no torch needed; what cannot be read is marked with why.

    `folders`: the part each plays (data, runs, ...) to its path. `name`: what the scheduler calls the node, if it has a
    name of its own for it.
    """
    source = source or Live(call)
    began = time.monotonic()
    host = read_host(source)
    numa, network = read_numa(source), read_network(source)
    return Node(
        name=name or host.name.or_else("?"),
        host=host,
        software=read_software(source),
        cpu=read_cpu(source),
        numa=numa,
        memory=read_memory(source),
        gpus=read_gpus(source, network),
        network=network,
        storage=tuple(read_storage(source, role, path) for role, path in folders.items()),
        probe_seconds=time.monotonic() - began,
    )
