"""Who this process is among those that probe together: one of the processes that torchrun or srun started, or alone.

Read from the environment alone (docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables";
slurm.schedmd.com/srun.html, "OUTPUT ENVIRONMENT VARIABLES"). A batch script and an interactive shell inside an
allocation are no tasks of a step: they could start one, on the nodes of `allocation`.
"""

import hashlib
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cluster.errors import InfrastructureError, PlanError
from cluster.topology.fact import Unread
from cluster.topology.hostlist import expanded
from cluster.topology.listening import FIRST_PORT, LAST_PORT, PORT_STRIDE
from cluster.topology.source import Source

CANDIDATE_PORTS = 8
TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
SPECIAL_STEPS = 0xFFFF0000
"""Numbers from here on are the batch script, the interactive shell and the like (slurm.h, SLURM_BATCH_SCRIPT)."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One process among the nodes of a probe."""

    launcher: Literal["none", "torchrun", "srun"] = "none"
    ranks: int = 1
    local_rank: int = 0
    local_ranks: int = 1
    node: int = 0
    nodes: int = 1
    node_name: str = ""
    """What the scheduler calls this node; empty where there is none, and the host's name serves."""
    names: tuple[str, ...] = ()
    """What the scheduler calls the nodes, in its order; empty where it cannot be told."""
    head: str = LOOPBACK
    """Name or address of node 0."""
    ports: tuple[int, ...] = ()
    """Where node 0 may listen, in this order."""
    name: str = ""
    """The same for all these processes, and another for all others: it tells them apart, and proves nothing."""
    allocation: tuple[str, ...] = ()
    """Nodes on which this process, which is no task of a step, could start one."""

    @property
    def probes(self) -> bool:
        """Is this the one process of its node that probes?"""
        return self.local_rank == 0

    @property
    def is_head(self) -> bool:
        """Does this process merge what the others bring?"""
        return self.node == 0 and self.local_rank == 0


def place_among_nodes(environment: Mapping[str, str]) -> Place:
    """Raises PlanError if the launcher's variables contradict each other."""
    try:
        if all(environment.get(name) for name in TORCHRUN):
            return _of_torchrun(environment)
        if _is_task(environment):
            return _of_srun(environment)
        return Place(node_name=environment.get("SLURMD_NODENAME", ""), allocation=_allocation(environment))
    except (ValueError, LookupError) as error:
        raise PlanError(
            f"The launcher's variables should place this process among the others, but do not hold: {error}. "
            "Start it with torchrun or srun, or unset what was exported by hand (RANK, WORLD_SIZE, SLURM_...)."
        ) from error


def _of_torchrun(environment: Mapping[str, str]) -> Place:
    rank, ranks, local_rank = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    local_ranks = int(environment.get("LOCAL_WORLD_SIZE", "1"))
    _check("rank", rank, ranks)
    _check("local rank", local_rank, local_ranks)
    # Other launchers of torch's kind know no groups: there all nodes have equally many ranks.
    node = int(environment.get("GROUP_RANK", rank // local_ranks))
    nodes = int(environment.get("GROUP_WORLD_SIZE", -(-ranks // local_ranks)))
    _check("node", node, nodes)
    kept = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
    name = _name("torchrun", environment, kept)
    listed = _names(environment, "SLURM_STEP_NODELIST") or _names(environment, "SLURM_JOB_NODELIST")
    return Place(
        launcher="torchrun",
        ranks=ranks,
        local_rank=local_rank,
        local_ranks=local_ranks,
        node=node,
        nodes=nodes,
        node_name=environment.get("SLURMD_NODENAME", ""),
        names=listed if len(listed) == nodes else (),
        head=environment["MASTER_ADDR"],
        ports=candidate_ports(name, int(environment["MASTER_PORT"])),
        name=name,
    )


def _is_task(environment: Mapping[str, str]) -> bool:
    if not {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"} <= environment.keys():
        return False
    step = environment.get("SLURM_STEP_ID", "0")
    return not (step.isdigit() and int(step) >= SPECIAL_STEPS)


def _of_srun(environment: Mapping[str, str]) -> Place:
    ranks, node = int(environment["SLURM_STEP_NUM_TASKS"]), int(environment["SLURM_NODEID"])
    names = _names(environment, "SLURM_STEP_NODELIST")
    _check("node (SLURM_NODEID, in SLURM_STEP_NODELIST)", node, len(names))
    each = tasks_per_node(environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))
    local_rank, local_ranks = int(environment["SLURM_LOCALID"]), each[min(node, len(each) - 1)]
    _check("task of its node", local_rank, local_ranks)
    name = _name("srun", environment, ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"))
    return Place(
        launcher="srun",
        ranks=ranks,
        local_rank=local_rank,
        local_ranks=local_ranks,
        node=node,
        nodes=len(names),
        node_name=names[node],
        names=names,
        head=names[0] if len(names) > 1 else LOOPBACK,
        ports=candidate_ports(name, int(environment.get("MASTER_PORT") or 0)),
        name=name,
    )


def tasks_per_node(words: str) -> list[int]:
    """Slurm's `2(x3),1`: 2, 2, 2, 1. Raises ValueError."""
    counts: list[int] = []
    for part in words.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip())
        if match is None:
            raise ValueError(f"tasks per node are written like 2(x3),1, not {words!r}")
        counts.extend([int(match[1])] * int(match[2] or 1))
    return counts


def candidate_ports(name: str, taken: int) -> tuple[int, ...]:
    """Ports for processes that share a name, never `taken`."""
    span = LAST_PORT - FIRST_PORT + 1
    begin = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % span
    ports = (FIRST_PORT + (begin + index * PORT_STRIDE) % span for index in range(CANDIDATE_PORTS + 1))
    return tuple(port for port in ports if port != taken)[:CANDIDATE_PORTS]


def addresses_of(host: str, source: Source) -> list[str]:
    """IP addresses of a node by its name: as the system resolves it, else as Slurm knows it.

    Raises InfrastructureError if there is none.
    """
    try:
        return _resolved(host)
    except OSError as unresolved:
        try:
            return _resolved(_node_address(source.call("program", "scontrol", "show", "node", host)))
        except (OSError, Unread, ValueError) as error:
            raise InfrastructureError(
                f"The name of node 0 has to lead to it, but {host!r} does not resolve here ({unresolved}), nor does "
                f"Slurm tell its address ({error}). Enter it in DNS or /etc/hosts, or give torchrun an address "
                "(--master-addr, --rdzv-endpoint)."
            ) from error


def _resolved(host: str) -> list[str]:
    """Raises OSError."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise OSError(f"no name of a host: {error}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _node_address(words: str) -> str:
    """From what `scontrol show node` prints. Raises ValueError."""
    match = re.search(r"\bNodeAddr=(\S+)", words)
    if match is None:
        raise ValueError("scontrol shows no NodeAddr")
    return match[1]


def _allocation(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Empty within a step whose tasks have been started already."""
    if "SLURM_JOB_ID" not in environment or _is_task(environment):
        return ()
    return _names(environment, "SLURM_JOB_NODELIST")


def _names(environment: Mapping[str, str], variable: str) -> tuple[str, ...]:
    return tuple(expanded(environment.get(variable, "")))


def _name(launcher: str, environment: Mapping[str, str], variables: tuple[str, ...]) -> str:
    return " ".join([launcher, *(environment.get(variable, "") for variable in variables)])


def _check(what: str, number: int, count: int) -> None:
    """Raises ValueError."""
    if not 0 <= number < count:
        raise ValueError(f"{what} {number} of {count}")
