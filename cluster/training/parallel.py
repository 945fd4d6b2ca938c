"""Who this process is among the ranks, how they start and end together, and how gradients are averaged."""

import contextlib
import datetime
import inspect
import os
import platform
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cluster.errors import DeviceError, Interrupted
from cluster.plan.placement import INTERFACE_VARIABLE, Placement, cores_of
from cluster.plan.plan import Device, Machine, Plan
from cluster.topology.calls import call
from cluster.topology.cpu import read_cpu
from cluster.topology.cpulist import parsed
from cluster.topology.node import Node
from cluster.topology.source import Live

BUCKET_MEBIBYTES = 25
"""Gradients are summed in buckets of this size (torch's default); the order of summation, so the bits, depend on it."""

_NO_FORWARD_SYNC: dict[str, Any] = {
    # torch 2.13 gave the option another name, and warns of the old one.
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers": False
}

_ended: list[Any] = []
"""Groups that are over, kept from being deleted: the last reference to a gloo group is DDP's, whose deletion joins
gloo's threads while it holds the interpreter's lock, and a thread that still lets go of a tensor wants that lock
(torch 2.13: about one end in ten hung). The process's end takes them along; see `leave`."""


def leave(exit_code: int) -> NoReturn:
    """End a rank's process at once, without the interpreter's own clearing up, which would delete `_ended`."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


@dataclass(frozen=True)
class World:
    """The one record of who this process is."""

    rank: int
    size: int
    device: torch.device

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over all ranks, in place. A collective."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather_bytes(self, words: bytes) -> list[bytes]:
        """What each rank says, on every rank. Two collectives."""
        if self.size == 1:
            return [words]
        sizes = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(words)], device=self.device))
        longest = max(int(size.item()) for size in sizes)  # the host waits for the device here
        padded = torch.zeros(max(longest, 1), dtype=torch.uint8)
        padded[: len(words)] = torch.frombuffer(bytearray(words), dtype=torch.uint8) if words else padded[:0]
        told = [torch.empty_like(padded, device=self.device) for _ in range(self.size)]
        dist.all_gather(told, padded.to(self.device))
        return [bytes(one[: int(size.item())].cpu().numpy()) for one, size in zip(told, sizes, strict=True)]

    def first_words(self, words: str) -> str:
        """What the lowest rank that has something to say says, on every rank; "" if none has. A collective."""
        if self.size == 1:
            return words
        teller = torch.tensor(self.rank if words else self.size, device=self.device)
        dist.all_reduce(teller, dist.ReduceOp.MIN)
        if (rank := int(teller.item())) == self.size:
            return ""
        said = bytearray(words.encode("utf-8", "surrogatepass"))  # a file name may be no text
        length = torch.tensor(len(said), device=self.device)
        dist.broadcast(length, src=rank)
        if rank != self.rank:
            said = bytearray(int(length.item()))
        letters = torch.frombuffer(said, dtype=torch.uint8).to(self.device)
        dist.broadcast(letters, src=rank)
        return bytes(letters.tolist()).decode("utf-8", "surrogatepass")

    def barrier(self) -> None:
        """Wait for every rank. A collective."""
        if self.size > 1:
            dist.all_reduce(torch.zeros(1, device=self.device))
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)


class Place(NamedTuple):
    """Where torch's launchers have put this process."""

    rank: int
    local_rank: int
    size: int
    ranks_of_node: int


def environment() -> Place:
    """What torch's launchers export; one rank without a launcher."""
    return Place(
        rank=int(os.environ.get("RANK", "0")),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        size=int(os.environ.get("WORLD_SIZE", "1")),
        ranks_of_node=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    )


def machine() -> Machine:
    """What torch and the operating system say of this node."""
    gpus = torch.cuda.device_count()
    return Machine(
        cores=cores_of(Node(name="", cpu=read_cpu(Live(call))))[0],
        gpus=gpus,
        gpu_name=torch.cuda.get_device_name(0) if gpus else "",
        processor=torch.cuda.get_device_name(0) if gpus else _processor(),
        torch=torch.__version__,
        bfloat16_gains=gpus > 0 and torch.cuda.get_device_capability(0) >= (8, 0),
    )


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def started(plan: Plan, strict: bool, placement: Placement | None = None) -> Iterator[World]:
    """Take this process's place among the ranks; leave it on any exit. Sets threads, device and determinism of torch,
    and what the placement says of this rank, if there is one."""
    rank, local_rank, size, _ = environment()
    if placement is not None:
        _settle(placement, local_rank, plan.device)
    torch.set_num_threads(plan.threads)
    # cuDNN's recurrent layers round float32 to TF32 unless told not to.
    torch.backends.cudnn.allow_tf32 = plan.precision == "bfloat16"
    if strict:
        # docs.nvidia.com/cuda/cublas, "Results reproducibility"
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    device = torch.device("cpu")
    if plan.device == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise DeviceError(
                f"Rank {rank} is number {local_rank} on its node, which has {torch.cuda.device_count()} GPUs: "
                "start one rank for each GPU (--nproc-per-node), or use launch.device=cpu."
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    world = World(rank, size, device)
    if size == 1:
        yield world
        return
    # A signal before the ranks have met ends this one at once: Python's handler would wait for the others to come.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    dist.init_process_group(
        "nccl" if plan.device == "cuda" else "gloo",
        device_id=device if plan.device == "cuda" else None,
        timeout=datetime.timedelta(minutes=30),
    )
    signal.signal(signal.SIGINT, before)
    try:
        yield world
    except Interrupted:  # all ranks have agreed to stop
        _leave_group()
        raise
    # After any other error the others may sit in a collective that this rank will never join: leaving politely could
    # wait for them, while the end of the process is noticed at once.
    _leave_group()


def _settle(placement: Placement, local_rank: int, device: Device) -> None:
    """Before torch starts threads, which run where the one that starts them may."""
    if cpus := placement.cpus[local_rank]:
        os.sched_setaffinity(0, parsed(cpus))
    if placement.interface:
        os.environ[INTERFACE_VARIABLE[device]] = placement.interface


def _leave_group() -> None:
    _ended.append(dist.group.WORLD)
    dist.destroy_process_group()


def wrapped(model: nn.Module, world: World) -> nn.Module:
    """The model on its device, as rank 0 has it, with gradients averaged over ranks if there are several.
    Collectives."""
    model = model.to(world.device)
    if world.size == 1:
        return model
    for buffer in model.buffers():  # DDP sees to the parameters alone
        dist.broadcast(buffer, src=0)
    return DistributedDataParallel(
        model,
        device_ids=[world.device.index] if world.device.type == "cuda" else None,
        bucket_cap_mb=BUCKET_MEBIBYTES,
        gradient_as_bucket_view=True,
        **_NO_FORWARD_SYNC,
    )


def unsynchronised(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Inside, a backward adds to this rank's gradients without averaging them."""
    if isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return contextlib.nullcontext()


def inner(model: nn.Module) -> nn.Module:
    """The model as it was built."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def autocast(plan: Plan, world: World) -> contextlib.AbstractContextManager[Any]:
    """Where the plan says bfloat16, multiply in it; weights, gradients and sums stay float32."""
    if plan.precision == "bfloat16":
        return torch.autocast(world.device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def seed_chance(device: torch.device, seed: int) -> None:
    """Seed the generator that dropout draws from (`torch.manual_seed` seeds every backend: 70 microseconds a call)."""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
