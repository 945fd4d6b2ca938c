"""What can be told of a recipe before anything is started: are its sources there, has this machine what it asks for."""

import contextlib
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.config.schema import Recipe
from cluster.config.settings import nearest
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

WORDS = ("auto", "none")  # of data.validation and data.test: no source
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


def missing_sources(recipe: Recipe) -> list[str]:
    """One line for each source that is no file, matches nothing, and is no set of the catalogue."""
    unresolved = [
        (slot, source)
        for slot, sources in (
            ("train", recipe.data.train),
            ("validation", recipe.data.validation),
            ("test", recipe.data.test),
        )
        for source in ([sources] if isinstance(sources, str) else sources)
        if not (source in WORDS and slot != "train") and not _on_disk(source)
    ]
    if not unresolved:
        return []
    catalogue = {entry["name"]: entry for entry in local.answer("cluster.text.sets.catalogue", ["list", "--json"])}
    return [line for slot, source in unresolved if (line := _missing(slot, source, catalogue))]


def _on_disk(source: str) -> bool:
    return Path(source).is_file() or any(Path(match).is_file() for match in glob.iglob(source, recursive=True))


def _missing(slot: str, source: str, catalogue: dict[str, Any]) -> str:
    if source in catalogue:
        splits: Sequence[str] = list(catalogue[source]["splits"])
        if slot in splits:
            return ""
        return f'data.{slot} = "{source}": the set {source} has no {slot} split, only {" and ".join(splits)}'
    close = nearest(source, catalogue)
    hint = f"; did you mean {close}?" if close else f" ({', '.join(catalogue)})"
    return f'data.{slot} = "{source}": no such file, no file matches, and it is no set of the catalogue{hint}'


def check_sources(recipe: Recipe) -> None:
    """Raises DataError naming every source that is not there."""
    if lines := missing_sources(recipe):
        raise DataError("\n".join(["Sources that cannot be found:", *(f"  {line}" for line in lines)]))
