"""The ranks of one node, through torch's elastic launcher in this process: started once, never restarted by it.

Restarts are the supervisor's (cluster/supervision/): each attempt has an agent, a store and a port of its own, so that
no rank can read the addresses of a dead attempt (torch 2.13, gloo).
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from cluster.plan.plan import Plan
from cluster.processes import PARENT
from cluster.runs import RunFolder
from cluster.training.faults import ATTEMPT

SHUTDOWN_SECONDS = 120
"""How long ranks may take to end after one of them has failed before they are killed."""
MEETING_SECONDS = 120
"""How long the nodes may wait for each other at the start: each has said before that it is ready."""


class Meeting(NamedTuple):
    """Where the ranks meet: an address of node 0 that every node reaches, and a port that is free there."""

    address: str
    port: int
    node: int = 0
    nodes: int = 1


class RankLogs(LogsSpecs):
    """`rank-N.log` for each rank of an attempt, in the run folder."""

    def __init__(self, run: RunFolder, attempt: int) -> None:
        super().__init__(str(run.attempt_logs(attempt)))
        self.run = run
        self.attempt = attempt

    @property
    def root_log_dir(self) -> str:
        return str(self.run.attempt_logs(self.attempt))

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        logs = {local: str(self.run.rank_log(self.attempt, int(env.get("RANK", local)))) for local, env in envs.items()}
        nowhere = dict.fromkeys(envs, "")
        for local in envs:
            envs[local]["TORCHELASTIC_ERROR_FILE"] = ""  # a rank leaves `rank-N.failure.json` instead
        return LogsDest(stdouts=logs, stderrs=dict(nowhere), error_files=dict(nowhere))


def run_ranks(
    run: RunFolder, attempt: int, plan: Plan, ranks_of_node: int, module: Sequence[str], meeting: Meeting
) -> dict[int, ProcessFailure]:
    """Start the ranks of this node and wait for them. Returns who failed, by global rank; nobody is {}.

    Signals are not handled here: torch's handler would raise an exception wherever the main thread is, and twice if a
    signal comes twice, as Slurm's do. Who wants the ranks to stop signals them.
    """
    _quieten_torch()
    os.environ[ATTEMPT] = str(attempt)
    os.environ["OMP_NUM_THREADS"] = str(plan.threads)
    # How long an idle OpenMP thread spins before it sleeps. libgomp's default lets a step take 30 times as long as soon
    # as another process wants one of the cores; this costs 1-3 % where none does (measured with an LSTM on 2 cores).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # The loader's threads share the heap: with heaps of their own, as glibc has them, a rank grew by 12 MB in 10^5
    # batches instead of 4 (`bench.data growth`).
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    os.environ[PARENT] = str(os.getpid())
    host = f"[{meeting.address}]" if ":" in meeting.address else meeting.address
    config = LaunchConfig(
        min_nodes=meeting.nodes,
        max_nodes=meeting.nodes,
        nproc_per_node=ranks_of_node,
        run_id=f"muster-{attempt}",
        rdzv_backend="static",
        rdzv_endpoint=f"{host}:{meeting.port}",
        rdzv_configs={"rank": meeting.node, "timeout": MEETING_SECONDS},
        local_addr=meeting.address,
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=RankLogs(run, attempt),
        signals_to_handle="none",
    )
    if hasattr(config, "shutdown_timeout"):  # from torch 2.12
        config.shutdown_timeout = SHUTDOWN_SECONDS
    try:
        elastic_launch(config, sys.executable)("-m", *module)
    except ChildFailedError as error:
        return dict(error.failures)
    return {}


def failures_told(failures: dict[int, ProcessFailure]) -> list[dict[str, Any]]:
    """As JSON can tell them."""
    return [
        {"rank": rank, "exit_code": failure.exitcode, "pid": failure.pid, "time": float(failure.timestamp)}
        for rank, failure in failures.items()
    ]


def _quieten_torch() -> None:
    """The verdict says it better. Each module of torch's launcher has a logger with a level of its own."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
