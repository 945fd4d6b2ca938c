"""The ranks of a measurement together: who they are, how they meet, and how their times come together.

Two groups where each rank has a GPU: gloo for what ranks tell each other, NCCL for what is measured. Numbers travel as
tensors. Every wait is bounded: by the group's timeout, or by ours where a GPU is waited for.
"""

import contextlib
import datetime
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psutil
import torch
import torch.distributed as dist
from torch import Tensor

NAME_BYTES = 256
INTERFACE_BYTES = 64
LEAST_TIMEOUT_SECONDS = 20.0
ELSEWHERE = "192.0.2.1"  # kept for documentation (RFC 5737): the route to it is the default one

_ended: list[Any] = []
"""Groups that are over, kept from being deleted: see `cluster/training/parallel.py`, where the same list says why. The
process that measured has to end by `leave` of that module."""


class Place(NamedTuple):
    """Where torch's launchers have put this process."""

    rank: int
    local_rank: int
    size: int
    ranks_of_node: int


def place() -> Place:
    """What torch's launchers export; one rank without a launcher."""
    names = ("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_WORLD_SIZE", "1")
    return Place(*(int(os.environ.get(name, otherwise)) for name, otherwise in names))


@dataclass(frozen=True)
class Wire:
    """This process among the ranks that measure."""

    rank: int
    size: int
    backend: str
    """Of what is measured: gloo or nccl."""
    device: torch.device
    group: Any
    timeout_seconds: float
    nodes: tuple[str, ...]
    """The node of each rank."""
    interfaces: tuple[str, ...]
    """What each rank reaches the others by, as far as we chose it."""

    def meet(self) -> None:
        """Wait for every rank. A collective."""
        dist.all_reduce(torch.zeros(1))

    def most(self, value: float) -> float:
        """The largest of all ranks' values. A collective."""
        told = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return float(told)

    def gathered(self, values: Sequence[float]) -> list[list[float]]:
        """Every rank's values, in order of ranks. A collective; all bring equally many."""
        own = torch.tensor(values, dtype=torch.float64)
        every = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(every, own)
        return [told.tolist() for told in every]

    def finish(self) -> None:
        """Wait for what was measured to end on the device. Raises TimeoutError."""
        if self.device.type != "cuda":
            return
        end = time.monotonic() + self.timeout_seconds
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        # synchronize() would wait for ever for a peer that is gone.
        while not event.query():  # type: ignore[no-untyped-call]
            if time.monotonic() > end:
                raise TimeoutError(f"the other ranks did not do their part in {self.timeout_seconds:.0f} s")

    def bounded(self, work: Callable[[], object]) -> None:
        """Work that may build a connection between GPUs, which has no timeout of its own. Raises TimeoutError."""
        if self.device.type != "cuda":
            work()
            return
        failed: list[BaseException] = []

        def run() -> None:
            try:
                torch.cuda.set_device(self.device)
                work()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(self.timeout_seconds)
        if thread.is_alive():
            raise TimeoutError(f"no connection between the GPUs came about in {self.timeout_seconds:.0f} s")
        if failed:
            raise failed[0]

    def all_reduce(self, tensor: Tensor) -> None:
        """What is measured. A collective."""
        dist.all_reduce(tensor, group=self.group)

    def send(self, tensor: Tensor, peer: int) -> None:
        """To one rank, which calls `receive`."""
        self._one_way(dist.isend, tensor, peer)

    def receive(self, tensor: Tensor, peer: int) -> None:
        """From one rank, which calls `send`."""
        self._one_way(dist.irecv, tensor, peer)

    def _one_way(self, way: Callable[..., Any], tensor: Tensor, peer: int) -> None:
        # As a batch of one, NCCL uses the connections of the group instead of a new group for each pair.
        for work in dist.batch_isend_irecv([dist.P2POp(way, tensor, peer, group=self.group)]):
            work.wait()
        self.finish()


@contextlib.contextmanager
def joined(name: str, seconds: float) -> Iterator[Wire]:
    """Meet the other ranks, as the environment says; leave them after all went well. Collectives.

    After an error or Ctrl-C the group is left as it is, since leaving politely could wait for the others: they notice
    when this process ends. `name`: of this node.
    """
    here = place()
    timeout_seconds = max(LEAST_TIMEOUT_SECONDS, seconds)
    timeout = datetime.timedelta(seconds=timeout_seconds)
    interface = os.environ.get("GLOO_SOCKET_IFNAME") or interface_towards(os.environ.get("MASTER_ADDR", ""))
    with _variable("GLOO_SOCKET_IFNAME", interface), _signal_ends():
        dist.init_process_group("gloo", timeout=timeout)
    try:
        device, backend, group = torch.device("cpu"), "gloo", dist.group.WORLD
        if _all_have_gpus(here):
            device, backend = torch.device("cuda", here.local_rank), "nccl"
            torch.cuda.set_device(device)
            # Its watchdog would end the process after a timeout; ours keeps the record (`finish`).
            with _variable("TORCH_NCCL_ASYNC_ERROR_HANDLING", os.environ.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0")):
                group = dist.new_group(backend="nccl", timeout=2 * timeout)
        told = _all_told(name, interface, here.size)
        nodes, interfaces = (tuple(words) for words in zip(*told, strict=True))
        wire = Wire(here.rank, here.size, backend, device, group, timeout_seconds, nodes, interfaces)
        wire.bounded(lambda: wire.all_reduce(torch.zeros(1, device=device)))  # the first one builds the connections
        wire.finish()
        yield wire
        wire.meet()  # nobody leaves while another still waits for an answer
    finally:
        _ended.append((dist.group.WORLD, group))
    dist.destroy_process_group()


def interface_towards(address: str) -> str:
    """The interface that the kernel takes to reach an address; "" where it cannot be told, and torch chooses.

    A name that means this machine itself (127.0.1.1 in many an /etc/hosts) says nothing of the way to the others:
    then the interface of the default route.
    """
    own = _own_address(address)
    if own.startswith("127.") and address != own and not address.startswith("127."):
        own = _own_address(ELSEWHERE) or own
    for name, entries in psutil.net_if_addrs().items():
        if own and any(entry.address.partition("%")[0] == own for entry in entries):
            return name
    return ""


def _own_address(address: str) -> str:
    """Ours, on the way to `address`; nothing is sent."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(address, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as way:
            way.connect(target)
            return str(way.getsockname()[0])
    except OSError:
        return ""


def _all_have_gpus(here: Place) -> bool:
    """Every rank has a GPU of its own. A collective."""
    own = dist.is_nccl_available() and torch.cuda.device_count() >= here.ranks_of_node
    told = torch.tensor([int(own)])
    dist.all_reduce(told, op=dist.ReduceOp.MIN)
    return bool(told)


def _all_told(name: str, interface: str, size: int) -> list[tuple[str, str]]:
    """Node and interface of each rank. A collective."""
    words = _padded(name, NAME_BYTES) + _padded(interface, INTERFACE_BYTES)
    own = torch.tensor(list(words), dtype=torch.uint8)
    every = [torch.empty_like(own) for _ in range(size)]
    dist.all_gather(every, own)
    told = [bytes(one.tolist()) for one in every]
    return [(_words(one[:NAME_BYTES]), _words(one[NAME_BYTES:])) for one in told]


def _padded(words: str, length: int) -> bytes:
    return words.encode()[:length].ljust(length, b"\0")


def _words(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode("utf-8", "replace")


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Inside, a variable of the environment has a value, if there is one for it."""
    before = os.environ.get(name)
    if value:
        os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _signal_ends() -> Iterator[None]:
    """Inside, Ctrl-C ends this process at once: Python's handler would wait for the other ranks to come."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
