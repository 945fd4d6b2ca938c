"""The parts of a node's record, and which of their facts are each machine's own, as the comparing rooms need them."""

import operator
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from cluster.topology.cpulist import written
from cluster.topology.fact import LIVE, Fact
from cluster.topology.network import Port
from cluster.topology.node import Node
from cluster.topology.words import amount, label

INDIVIDUAL = {
    "Host": {"name", "boot", "network_namespace"},
    "Gpu": {"uuid", "serial", "bus_id", "ecc_uncorrected_lifetime"},
    "Gpus": {"visible", "on_bus"},
    "Port": {"name", "mac", "addresses", "bus_id"},
    "RdmaPort": {"guid", "bus_id", "interface"},
    "Storage": {"device"},
}
"""Facts by which equal machines differ all the same."""
OF_ONE_JOB = {
    "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_JOB_PARTITION", "SLURM_NODEID", "SLURM_NNODES", "SLURM_RESTART_COUNT",
    "TORCHELASTIC_RUN_ID", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
}  # fmt: skip
"""Variables that say which job it is and what it was given, not what the machine is."""
NAMES = {"ecc": "ECC", "mig": "MIG", "pcie": "PCIe", "mtu": "MTU", "cpus": "CPUs", "cuda": "CUDA", "nccl": "NCCL",
         "shm": "/dev/shm", "numa": "NUMA", "vbios": "VBIOS", "nvml": "NVML", "cudnn": "cuDNN", "nvlinks": "NVLinks",
         "mac": "MAC", "guid": "GUID", "uuid": "UUID", "kernel": "kernel", "swap": "swap"}  # fmt: skip
ROUGH = {"total_bytes", "memory_bytes", "swap_bytes", "size_bytes", "inodes", "processes_limit"}
ALIKE = 0.02
"""Equal machines do not have quite the same memory: the firmware keeps back what it likes. Of `ROUGH` amounts."""
MATRICES = {"paths", "peers", "port_paths"}
"""Too large to be written out."""
LONGEST = 60


@dataclass(frozen=True, slots=True)
class Part:
    """A group of facts of one node, or one of several alike."""

    kind: str
    """As in `GPU`: what it is called among several."""
    number: str
    """Which of several; empty where there is one."""
    record: Any

    @property
    def name(self) -> str:
        return f"{self.kind} {self.number}".strip()


def parts(node: Node) -> Iterator[Part]:
    """In order of the record. Interfaces that come and go with containers (veth) are left out."""
    yield Part("host", "", node.host)
    yield Part("software", "", node.software)
    yield Part("CPU", "", node.cpu)
    for numa in node.numa:
        yield Part("NUMA node", str(numa.number), numa)
    yield Part("memory", "", node.memory)
    yield Part("GPUs", "", node.gpus)
    for gpu in node.gpus.devices:
        yield Part("GPU", str(gpu.index), gpu)
    for port in lasting(node.network.ports):
        yield Part("interface", port.name, port)
    for rdma in node.network.rdma:
        yield Part("RDMA port", f"{rdma.device}/{rdma.port}", rdma)
    yield Part("network", "", node.network)
    for storage in node.storage:
        yield Part("folder", storage.role, storage)


def lasting(ports: tuple[Port, ...]) -> list[Port]:
    return [port for port in ports if port.kind.value != "veth"]


class Facts(NamedTuple):
    """Which facts of a class of records count, and how to have them all at once: a thousand nodes have a million."""

    names: tuple[str, ...]
    of: Callable[[Any], tuple[Fact[Any], ...]]


_FACTS: dict[tuple[str, bool], Facts] = {}


def facts(record: Any, individual: bool = False) -> Facts:
    """Those that do not change by themselves; `individual`: those of one machine too."""
    key = (type(record).__name__, individual)
    if key not in _FACTS:
        names = _names(type(record), individual)
        _FACTS[key] = Facts(names, _getter(names))
    return _FACTS[key]


def _names(record: type[Any], individual: bool) -> tuple[str, ...]:
    own = set() if individual else INDIVIDUAL.get(record.__name__, set())
    hints = typing.get_type_hints(record, include_extras=True)
    return tuple(
        field.name
        for field in fields(record)
        if _is_fact(hints[field.name]) and LIVE not in _remarks(hints[field.name]) and field.name not in own
    )


def _is_fact(hint: Any) -> bool:
    inner = typing.get_args(hint)[0] if _remarks(hint) else hint
    return typing.get_origin(inner) is Fact


def _remarks(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__metadata__", ())


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Fact[Any], ...]]:
    if len(names) == 1:
        return lambda record: (getattr(record, names[0]),)
    return operator.attrgetter(*names)


def fact_words(name: str) -> str:
    """What a fact is called, in words."""
    return " ".join(NAMES.get(word, word) for word in label(name).split())


def stands_alone(part: Part) -> bool:
    """The names of its facts tell what they are of: `driver`, not `GPU 3: ECC`."""
    return part.kind in ("host", "software", "network", "GPUs")


def titled(part: Part, name: str) -> str:
    """A fact in words, with the part that it is of: `memory total`, `driver`."""
    return fact_words(name) if stands_alone(part) else f"{part.name} {fact_words(name)}"


def told(name: str, fact: Fact[Any]) -> str:
    """A fact's value in few words, or the kind of reason why there is none."""
    if not fact.known:
        return fact.status
    value: Any = fact.value
    if name == "nvlinks":
        return f"{sum(link.active for link in value)} of {len(value)} active"
    if name == "remapped_rows":
        states = [word for word, on in (("pending", value.pending), ("failed", value.failed)) if on]
        return f"{value.correctable + value.uncorrectable} rows" + (f", {' and '.join(states)}" if states else "")
    words = amount(name, value)
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"


def together(some: Sequence[Part]) -> Part:
    """One name for several parts of a kind: `GPUs 0-3`."""
    if len(some) == 1:
        return some[0]
    numbers = [part.number for part in some]
    words = written(map(int, numbers)) if all(number.isdecimal() for number in numbers) else ", ".join(numbers)
    return Part(f"{some[0].kind}s", words, some[0].record)
