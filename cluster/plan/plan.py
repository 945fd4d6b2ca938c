"""From what the machine has and what the recipe asks for to what the run will use: a pure function."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cluster.config.schema import Recipe
from cluster.errors import DeviceError, PlanError

Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float64"]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a plan needs to know of this node."""

    cores: int
    """CPU cores that this process may use."""
    gpus: int
    """GPUs that torch can use."""
    gpu_name: str
    processor: str = ""
    """What computes: the GPU's name, or the CPU's; empty where nobody asked (a check before the start)."""
    torch: str = ""
    """Version of torch, likewise."""
    bfloat16_gains: bool
    """The GPUs multiply bfloat16 faster than float32 (compute capability 8.0 and later)."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the bits of a run depend on; fixed at its first start, stored in `plan.json`."""

    device: Device
    ranks: int
    threads: int
    """CPU threads of each rank."""
    precision: Precision
    processor: str
    torch: str

    def differences(self, stored: dict[str, Any]) -> list[str]:
        """What keeps a resumed run from the same bits, such as `threads 2 -> 1`."""
        return [
            f"{name} {stored.get(name)} -> {value}"
            for name, value in dataclasses.asdict(self).items()
            if stored.get(name) != value
        ]


class Ranks(Protocol):
    """The ranks that somebody else (torchrun) has started already."""

    @property
    def size(self) -> int: ...

    @property
    def ranks_of_node(self) -> int: ...


def together(machines: Mapping[str, Machine]) -> Machine:
    """The one machine by which several nodes are planned for: the least that each has. Raises PlanError for nodes that
    differ in their number of GPUs."""
    first, *others = machines.values()
    counts = {name: machine.gpus for name, machine in machines.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise PlanError(
            f"Every node of a run needs the same number of GPUs, but torch sees {listed}. Ask for equal ones "
            "(--gpus-per-node), or use launch.device=cpu."
        )
    return dataclasses.replace(
        first,
        cores=min(machine.cores for machine in machines.values()),
        bfloat16_gains=all(machine.bfloat16_gains for machine in machines.values()),
        processor=" + ".join(dict.fromkeys(machine.processor for machine in machines.values())),
        torch=" + ".join(dict.fromkeys(machine.torch for machine in machines.values())),
    )


def make_plan(recipe: Recipe, machine: Machine, ranks: Ranks | None = None, *, nodes: int = 1) -> Plan:
    """Decide device, ranks, threads and precision. `machine`: each of the nodes is like it.

    Raises DeviceError for a GPU that is not there, PlanError for more ranks than the run may ever use, others than
    were started, or a number that the nodes cannot share evenly.
    """
    device = _device(recipe, machine)
    asked = recipe.launch.ranks
    if ranks is not None:
        size, of_node = ranks.size, ranks.ranks_of_node
        if asked not in ("auto", size):
            raise PlanError(
                f"launch.ranks is {asked}, but the number of processes started is {size}: start {asked} (`muster "
                f"train` does so by itself), or use launch.ranks={size} or auto."
            )
    else:
        size = asked if asked != "auto" else nodes * (machine.gpus if device == "cuda" else 1)
        if size % nodes:
            raise PlanError(
                f"launch.ranks ({size}) cannot be shared evenly among {nodes} nodes: use a multiple of {nodes}, or "
                "auto."
            )
        of_node = size // nodes
        if device == "cuda" and of_node > machine.gpus:
            where = "this machine" if nodes == 1 else f"{nodes} nodes with {machine.gpus} each"
            raise DeviceError(
                f"launch.ranks ({size}) exceeds the GPUs of {where} ({nodes * machine.gpus}): each rank needs its own. "
                f"Use launch.ranks={nodes * machine.gpus}, or launch.device=cpu."
            )
    limit = recipe.train.max_ranks
    if size > limit:
        raise PlanError(
            f"launch.ranks ({size}) exceeds train.max_ranks ({limit}): a step has at most {limit} "
            "micro-batches to share out. "
            f"Use at most {limit} ranks, or start a new run with a larger train.max_ranks."
        )
    threads = recipe.launch.threads if recipe.launch.threads != "auto" else max(1, machine.cores // of_node)
    return Plan(
        device=device,
        ranks=size,
        threads=threads,
        precision=_precision(recipe, device, machine),
        processor=machine.processor,
        torch=machine.torch,
    )


def _device(recipe: Recipe, machine: Machine) -> Device:
    match recipe.launch.device:
        case "cpu":
            return "cpu"
        case "cuda" if machine.gpus == 0:
            raise DeviceError(
                "launch.device is cuda, but torch sees no GPU here. Use launch.device=auto or cpu, or check "
                "CUDA_VISIBLE_DEVICES, the driver (nvidia-smi) and that this torch was built for CUDA."
            )
        case "cuda":
            return "cuda"
        case "auto":
            return "cuda" if machine.gpus else "cpu"


def _precision(recipe: Recipe, device: Device, machine: Machine) -> Precision:
    precision = recipe.train.precision
    if recipe.train.strict:
        if precision == "bfloat16":
            raise PlanError("train.strict needs float32 or float64, train.precision is bfloat16: change one.")
        return "float32" if precision == "auto" else precision
    if precision == "auto":
        return "bfloat16" if device == "cuda" and machine.bfloat16_gains else "float32"
    return precision


def describe(plan: Plan, machine: Machine, *, nodes: int = 1) -> str:
    """The plan in one line, with the reason for the device."""
    ranks = "1 rank" if plan.ranks == 1 else f"{plan.ranks} ranks"
    if nodes > 1:
        ranks = f"{nodes} nodes, {ranks}"
    if plan.device == "cuda":
        return f"{ranks} on {machine.gpus} x {machine.gpu_name}, NCCL, {plan.precision}"
    why = "no GPU found" if machine.gpus == 0 else "launch.device=cpu"
    threads = "1 thread" if plan.threads == 1 else f"{plan.threads} threads"
    return f"CPU ({why}): {ranks} with {threads} each, {'gloo, ' if plan.ranks > 1 else ''}{plan.precision}"


def keep_stored(plan: Plan, stored: dict[str, Any], recipe: Recipe) -> Plan:
    """The plan of a later attempt: threads and precision of the first one where device and ranks are still the same."""
    if plan.device != stored.get("device") or plan.ranks != stored.get("ranks"):
        return plan
    threads = int(stored["threads"]) if recipe.launch.threads == "auto" else plan.threads
    return dataclasses.replace(plan, threads=threads, precision=stored["precision"])
