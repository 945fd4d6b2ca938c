"""GPUs of two records: the same ones, those that were replaced, went to another node, are gone or new."""

from collections.abc import Iterator, Mapping

from cluster.topology.difference.change import Change
from cluster.topology.difference.facts import of_part
from cluster.topology.difference.matching import Key, matched
from cluster.topology.gpu import Gpu
from cluster.topology.node import Cluster, Node
from cluster.topology.parts import Part

FOLLOWS = frozenset({"cuda_index"})
"""Other GPUs get another number when one goes."""


def moves(a: Cluster, b: Cluster, names: Mapping[str, str]) -> dict[str, Change]:
    """Of each GPU that is on another node now, by UUID. `names`: what a node of the first is called in the second."""
    ours, theirs = _homes(a), _homes(b)
    return {
        uuid: Change("changed", "", Part("GPU", _described(gpu, slot=False), gpu), "moved", home, theirs[uuid][0])
        for uuid, (home, gpu) in ours.items()
        if uuid in theirs and theirs[uuid][0] != names.get(home, home)
    }


def _homes(cluster: Cluster) -> dict[str, tuple[str, Gpu]]:
    return {
        gpu.uuid.value: (node.name, gpu)
        for node in cluster.nodes
        for gpu in node.gpus.devices
        if gpu.uuid.value is not None
    }


def of_node(before: Node, after: Node, name: str, same: bool, moved: Mapping[str, Change]) -> Iterator[Change]:
    ours, theirs = _staying(before, moved), _staying(after, moved)
    as_many = frozenset() if len(before.gpus.devices) == len(after.gpus.devices) else FOLLOWS
    both: list[tuple[Gpu, Gpu]] = []
    if same:
        both, ours, theirs = matched(ours, theirs, [lambda gpu: gpu.uuid.value])
    places: list[Key[Gpu]] = [lambda gpu: gpu.bus_id.value]
    if not same:
        places.append(lambda gpu: gpu.index)
    in_slot, ours, theirs = matched(ours, theirs, places)
    for a, b in [*both, *in_slot]:
        if same and a.uuid.known and b.uuid.known and a.uuid.value != b.uuid.value:
            slot = Part("slot", a.bus_id.or_else("?"), a)
            yield Change("changed", name, slot, "GPU replaced", _described(a, slot=False), _described(b, slot=False))
        else:
            yield from of_part(Part("GPU", str(a.index), a), Part("GPU", str(b.index), b), name, same, as_many)
    for gpu in ours:
        yield Change("lost", name, Part("GPU", str(gpu.index), gpu), "", _described(gpu), "")
    for gpu in theirs:
        yield Change("new", name, Part("GPU", str(gpu.index), gpu), "", "", _described(gpu))


def _staying(node: Node, moved: Mapping[str, Change]) -> list[Gpu]:
    return [gpu for gpu in node.gpus.devices if gpu.uuid.or_else("") not in moved]


def _described(gpu: Gpu, slot: bool = True) -> str:
    """GPU-1234 (serial 165, slot 0000:3b:00.0)"""
    told = [f"serial {gpu.serial.value}"] if gpu.serial.known else []
    told += [f"slot {gpu.bus_id.value}"] if slot and gpu.bus_id.known else []
    name = gpu.uuid.or_else("") or gpu.name.or_else("of unknown name")
    return name + (f" ({', '.join(told)})" if told else "")
