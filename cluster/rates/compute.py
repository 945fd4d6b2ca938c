"""How fast square matrices are multiplied, on the CPU and on a GPU, in each precision that models train in."""

import contextlib
from collections.abc import Iterator

import torch

from cluster.rates import usable
from cluster.rates.load import watched
from cluster.rates.trials import Work, lasted, rate, timed
from cluster.topology.gpu import Gpu
from cluster.topology.limits import cpu_product, gpu_product
from cluster.topology.node import Node
from cluster.topology.rate import Rate

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ON_CPU = ("float32", "bfloat16")
ON_GPU = ("float32", "tf32", "bfloat16", "float16")
SMALLEST = 256
LARGEST = 16384
FULL_SECONDS = 0.02  # a product that lasts so long keeps every core busy, and its start does not count


def of_cpu(node: Node, seconds: float) -> Iterator[Rate]:
    threads = usable.threads(usable.cpus(), node.cpu)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for kind in ON_CPU:
            size, taken = _products(kind, torch.device("cpu"), seconds / len(ON_CPU))
            yield rate(
                "matrix_product",
                "cpu",
                f"{kind}, {threads} thread{'s' if threads > 1 else ''}",
                amount=2.0 * size**3,
                unit="flop/s",
                seconds=taken,
                limit=cpu_product(node.cpu, kind, threads),
            )
    finally:
        torch.set_num_threads(before)


def of_gpu(gpu: Gpu, device: torch.device, seconds: float) -> Iterator[Rate]:
    uuid = gpu.uuid.or_else(f"cuda {device.index}")
    for kind in ON_GPU:
        if kind == "tf32" and torch.cuda.get_device_capability(device) < (8, 0):
            continue  # it would be float32 again
        with _float32_as(kind), watched(uuid) as load:
            size, taken = _products(kind, device, seconds / len(ON_GPU))
        yield rate(
            "matrix_product",
            uuid,
            kind,
            amount=2.0 * size**3,
            unit="flop/s",
            seconds=taken,
            limit=gpu_product(gpu, kind),
            under_load=load or None,
        )


def _products(kind: str, device: torch.device, seconds: float) -> tuple[int, list[float]]:
    """The size of the matrices that fill the device, and the seconds of each trial."""
    size = SMALLEST
    while True:
        work = _product(size, DTYPES[kind], device)
        lasted(work)
        once = min(lasted(work) for _ in range(3))  # one that waited for a core would stop the search too early
        # One twice as large takes eight times as long; a few of them must fit into the time.
        if once >= FULL_SECONDS or 2 * size > LARGEST or 8 * once > seconds / 4 or not _room(2 * size, device):
            return size, timed(work, seconds / 2)
        size *= 2


def _product(size: int, dtype: torch.dtype, device: torch.device) -> Work:
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty(size, size, dtype=dtype, device=device)

    def multiply() -> None:
        torch.mm(a, b, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the host waits: the time of a trial is that of the product

    return multiply


def _room(size: int, device: torch.device) -> bool:
    """Three matrices of float32, one of which is made from another of its size."""
    if device.type == "cpu":
        return size <= 8192
    free, _ = torch.cuda.mem_get_info(device)
    return 4 * size**2 * 4 < free / 2


@contextlib.contextmanager
def _float32_as(kind: str) -> Iterator[None]:
    """Inside, products of float32 matrices are rounded to TF32, or not."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
