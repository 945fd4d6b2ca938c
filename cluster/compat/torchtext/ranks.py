"""Which of several ranks this process is, and that all of them hold the same data and begin the same epoch."""

import json
import warnings
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist

from cluster.errors import DataError, InputError, PlanError
from cluster.training.parallel import World, environment

DDP_LINES = """\
    import os
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    # before the iterators are made
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))

    # behind model.to(device), before the optimizer; what was model.embedding is model.module.embedding then
    model = DistributedDataParallel(model)

    # the last line of the script
    dist.destroy_process_group()
"""
SAMPLED = 256
"""Examples that are compared between ranks: two random splits of one file differ in nearly all of their places."""


def world() -> World:
    """The ranks of the default process group; this process alone if there is none. Raises PlanError where a launcher
    has started several that have not joined one."""
    if dist.is_available() and dist.is_initialized():
        on_gpu = dist.get_backend() == "nccl"
        device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        return World(dist.get_rank(), dist.get_world_size(), device)
    if (size := environment().size) > 1:
        raise PlanError(
            f"WORLD_SIZE is {size}, but there is no process group: each rank would train a model of its own on all of "
            "the data. Start the script without a launcher, or add to it:\n\n" + DDP_LINES
        )
    return World(0, 1, torch.device("cpu"))


def tell(message: str) -> None:
    """Warns on the first rank alone. (That each line of code warns once is Python's own habit.)"""
    if environment().rank == 0:
        warnings.warn(message, stacklevel=1)


def common_seed(ranks: World, examples: list[Any], vocabularies: Iterable[list[Any]]) -> int:
    """The first rank's `torch.initial_seed()`, from 0 to 2**63 - 1. A collective.

    Raises DataError if not all ranks hold the same examples and vocabularies.
    """
    seed = torch.initial_seed() & ((1 << 63) - 1)
    if ranks.size == 1:
        return seed
    own = {
        "seed": seed,
        "examples": len(examples),
        "data": _sum_of([_plain(vars(one)) for one in _sample(examples)]),
        "vocabulary": _sum_of([_plain(words) for words in vocabularies]),
    }
    told = [json.loads(words) for words in ranks.gather_bytes(json.dumps(own).encode())]
    for rank, other in enumerate(told):
        for name in ("examples", "data", "vocabulary"):
            if other[name] != told[0][name]:
                raise DataError(
                    f"all ranks must hold the same data, but rank {rank} has other {_NAMES[name]} than rank 0 "
                    f"({told[0]['examples']:,} examples there, {other['examples']:,} here). Dataset.split() draws from "
                    "Python's `random`: call random.seed(1234) before it; read the same files on every rank."
                )
    return int(told[0]["seed"])


_NAMES = {"examples": "numbers of examples", "data": "examples", "vocabulary": "vocabularies"}


def begin_together(ranks: World, epoch: int, given: int) -> None:
    """Raises InputError if the ranks are not at the same batch of the same epoch. A collective."""
    told = [json.loads(words) for words in ranks.gather_bytes(json.dumps([epoch, given]).encode())]
    for rank, place in enumerate(told):
        if place != told[0]:
            raise InputError(
                f"rank 0 begins at epoch {told[0][0]}, batch {told[0][1]} of an iterator, rank {rank} at epoch "
                f"{place[0]}, batch {place[1]}: they would read other shuffles. Loop over it equally often on every "
                "rank; take it out of `if rank == 0`."
            )


def _sample(examples: list[Any]) -> list[Any]:
    return examples[:: max(len(examples) // SAMPLED, 1)]


def _plain(value: Any) -> Any:
    """What JSON can say of a value; of one that it cannot, the type (addresses differ between processes)."""
    match value:
        case str() | int() | float() | None:
            return value
        case Mapping():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return type(value).__name__


def _sum_of(values: Any) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())
