"""What can be told of a recipe before anything is started: are its sources there, has this machine what it asks for."""

import contextlib
import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from cluster.config.schema import Recipe
from cluster.config.settings import nearest
from cluster.errors import DataError
from cluster.plan.plan import Machine
from launch import local

WORDS = ("auto", "none")  # of data.validation and data.test: no source
BFLOAT16_GAINS_FROM = (8, 0)  # compute capability


def machine() -> Machine:
    """What the driver says of this machine, without torch: a torch built without CUDA still finds no GPU."""
    names, gains = _gpus()
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1
    return Machine(cores=cores, gpus=len(names), gpu_name=names[0] if names else "", bfloat16_gains=gains)


def _gpus() -> tuple[list[str], bool]:
    """Names of the GPUs this process may use, and whether all of them gain by bfloat16."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return [], False  # no driver, or no rights to ask it
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        names = [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
        capable = [
            tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)) >= BFLOAT16_GAINS_FROM for handle in handles
        ]
    except pynvml.NVMLError:
        return [], False
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    seen = visible(len(names), os.environ.get("CUDA_VISIBLE_DEVICES"))
    return names[:seen], all(capable[:seen]) and seen > 0


def visible(gpus: int, wish: str | None) -> int:
    """How many of a machine's GPUs CUDA shows; `wish` is CUDA_VISIBLE_DEVICES. CUDA stops at the first bad entry."""
    if wish is None:
        return gpus
    count = 0
    for entry in wish.split(","):
        number = entry.strip()
        if not (number.startswith(("GPU-", "MIG-")) or (number.isdigit() and int(number) < gpus)):
            break
        count += 1
    return min(count, gpus)


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
