"""What can be told of a recipe before anything is started: are its sources there, has this machine what it asks for."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from cluster.config.models import Embeds
from cluster.config.schema import Recipe
from cluster.errors import DataError
from cluster.plan.placement import cores_of
from cluster.plan.plan import Machine
from cluster.topology.calls import call
from cluster.topology.cpu import read_cpu
from cluster.topology.cuda import VISIBLE, Device, chosen
from cluster.topology.fact import Unread
from cluster.topology.node import Node
from cluster.topology.nvidia import asker, slices
from cluster.topology.source import Live, Source
from launch import local

BFLOAT16_GAINS_FROM = (8, 0)  # compute capability


def machine() -> Machine:
    """What the driver says of this machine, without torch: a torch built without CUDA still finds no GPU."""
    source = Live(call)
    names, gains = gpus(source)
    cores, _ = cores_of(Node(name="", cpu=read_cpu(source)))
    return Machine(cores=cores, gpus=len(names), gpu_name=names[0] if names else "", bfloat16_gains=gains)


def gpus(source: Source) -> tuple[list[str], bool]:
    """Names of the GPUs this process may use, and whether all of them gain by bfloat16."""
    try:
        source.call("nvmlInit")
        askers = [asker(source, index) for index in range(source.call("nvmlDeviceGetCount"))]
    except Unread:
        return [], False  # no driver, or no rights to ask it
    devices: list[Device] = []
    gains: dict[str, tuple[str, bool]] = {}
    for one in askers:
        with contextlib.suppress(Unread):  # lost, or not granted: CUDA does not show it either
            capable = tuple(one.ask("nvmlDeviceGetCudaComputeCapability")) >= BFLOAT16_GAINS_FROM
            name, pieces = str(one.ask("nvmlDeviceGetName")), [piece.uuid for piece in slices(one)]
            devices.append(Device(str(one.ask("nvmlDeviceGetUUID")), name, "", tuple(pieces)))
            gains |= {uuid: (name, capable) for uuid in (devices[-1].uuid, *pieces)}
    shown = [gains[uuid] for uuid in chosen(devices, source.call("environment").get(VISIBLE))]
    return [name for name, _ in shown], bool(shown) and all(capable for _, capable in shown)


def check_sources(recipe: Recipe, name: str, overrides: Sequence[str]) -> None:
    """Raises DataError naming every source that a preparation would refuse, and a file of word vectors that is not
    there. `name` and `overrides` are what the recipe was loaded from."""
    lines = list(local.answer("cluster.text.raw.glance", [name, *overrides]))
    vectors = recipe.model.vectors if isinstance(recipe.model, Embeds) else ""
    if vectors and not Path(vectors).is_file():
        lines.append(f'model.vectors = "{vectors}": no such file')
    if lines:
        raise DataError("\n".join(["Sources that cannot be used:", *(f"  {line}" for line in lines)]))
