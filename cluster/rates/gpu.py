"""Ways into, within and between GPUs: device memory, host to device and back, device to device."""

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from cluster.rates import usable
from cluster.rates.load import watched
from cluster.rates.trials import Work, rate, timed
from cluster.topology.cpulist import parsed
from cluster.topology.fact import Fact
from cluster.topology.gpu import Gpu
from cluster.topology.limits import between_gpus, device_memory, host_link
from cluster.topology.node import Node
from cluster.topology.rate import Rate

MEBIBYTE = 1 << 20
DEVICE_BYTES = 1024 * MEBIBYTE  # far above the largest L2 cache of a GPU
HOST_BYTES = 256 * MEBIBYTE
COPIES = 8  # of one trial: several follow each other without a gap, as a loader's do


class Seen(NamedTuple):
    """A GPU that torch sees, with its facts."""

    device: torch.device
    gpu: Gpu


def seen(node: Node) -> list[Seen]:
    """In torch's order; by UUID, because CUDA and NVML number differently. A MIG slice is its GPU."""
    found = []
    for index in range(torch.cuda.device_count()):
        uuid = _bare(str(torch.cuda.get_device_properties(index).uuid))
        gpu = next((gpu for gpu in node.gpus.devices if uuid in _uuids(gpu)), None)
        found.append(Seen(torch.device("cuda", index), gpu or Gpu(index=index, uuid=Fact(f"GPU-{uuid}"))))
    return found


def _uuids(gpu: Gpu) -> set[str]:
    own = [gpu.uuid.or_else(""), *(part.uuid for part in gpu.mig_devices.or_else(()))]
    return {_bare(uuid) for uuid in own if uuid}


def _bare(uuid: str) -> str:
    """Without the word in front, which CUDA leaves out."""
    return uuid.removeprefix("GPU-").removeprefix("MIG-")


def memory(gpu: Gpu, device: torch.device, seconds: float) -> Iterator[Rate]:
    """A copy within the GPU's memory: what is read and what is written count."""
    free, _ = torch.cuda.mem_get_info(device)
    size = min(DEVICE_BYTES, free // 4)
    source, to = (torch.empty(size, dtype=torch.uint8, device=device) for _ in range(2))
    yield _copies("device_memory", _uuid(gpu), "copy, 2 arrays counted", to, source, seconds, gpu, within=True)


def transfers(gpu: Gpu, device: torch.device, seconds: float) -> Iterator[Rate]:
    """Between main memory and the GPU, from the CPUs near it."""
    with _on(parsed(gpu.cpus.or_else(""))):
        on_device = torch.empty(HOST_BYTES, dtype=torch.uint8, device=device)
        for how, pinned in (("pinned", True), ("pageable", False)):
            on_host = torch.empty(HOST_BYTES, dtype=torch.uint8, pin_memory=pinned)
            on_host.fill_(1)  # pages come with the first write
            for what, to, source in (
                ("host_to_device", on_device, on_host),
                ("device_to_host", on_host, on_device),
            ):
                yield _copies(what, _uuid(gpu), how, to, source, seconds / 4, gpu)


def between(node: Node, a: Seen, b: Seen, seconds: float) -> Iterator[Rate]:
    """From one GPU's memory to another's, one way."""
    direct = torch.cuda.can_device_access_peer(a.device, b.device)
    source = torch.empty(HOST_BYTES, dtype=torch.uint8, device=a.device)
    to = torch.empty(HOST_BYTES, dtype=torch.uint8, device=b.device)
    with watched(_uuid(a.gpu)) as load:
        taken = timed(_copying(to, source), seconds)
    yield rate(
        "device_to_device",
        f"{_uuid(a.gpu)} -> {_uuid(b.gpu)}",
        "peer" if direct else "through host",
        amount=COPIES * HOST_BYTES,
        unit="bytes/s",
        seconds=taken,
        limit=between_gpus(node.gpus, a.gpu, b.gpu),
        under_load=load or None,
    )


def _copies(
    what: str, where: str, how: str, to: Tensor, source: Tensor, seconds: float, gpu: Gpu, within: bool = False
) -> Rate:
    with watched(where) as load:
        taken = timed(_copying(to, source), seconds)
    return rate(
        what,
        where,
        how,
        amount=COPIES * source.numel() * (2 if within else 1),
        unit="bytes/s",
        seconds=taken,
        limit=device_memory(gpu) if within else host_link(gpu),
        under_load=load or None,
    )


def _copying(to: Tensor, source: Tensor) -> Work:
    def copy() -> None:
        for _ in range(COPIES):
            to.copy_(source, non_blocking=True)
        for tensor in (to, source):
            if tensor.is_cuda:
                torch.cuda.synchronize(tensor.device)  # the host waits: the time of a trial is that of the copies

    return copy


@contextlib.contextmanager
def _on(cpus: list[int]) -> Iterator[None]:
    """Inside, this thread runs on those of some CPUs that it may use, and its new memory lies near them."""
    allowed = usable.cpus()
    chosen = set(cpus) & set(allowed)
    if not chosen or not hasattr(os, "sched_setaffinity"):
        yield
        return
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _uuid(gpu: Gpu) -> str:
    return gpu.uuid.or_else(f"GPU {gpu.index}")
