"""Jobs of several processes that measure between each other: started as a launcher would, each told who it is."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEMBER = Path(__file__).parent / "member.py"
END_SECONDS = 100


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def job(names, seconds, *, ranks_of_node=1, size=None, timeout=30, address="127.0.0.1", port=None, before=()):
    """Processes by rank, ended on the way out. `size`: more than come; `before`: the words in front of each command."""
    ranks = len(names) * ranks_of_node
    port = port or free_port()
    processes = []
    try:
        for rank in range(ranks):
            environment = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank % ranks_of_node),
                "WORLD_SIZE": str(size or ranks),
                "LOCAL_WORLD_SIZE": str(ranks_of_node),
                "MASTER_ADDR": address,
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(ROOT),
                "TORCH_CPP_LOG_LEVEL": "ERROR",
            }
            words = [sys.executable, str(MEMBER), ",".join(names), str(seconds), str(timeout)]
            processes.append(
                subprocess.Popen(
                    [*(before[rank] if before else ()), *words],
                    env=os.environ | environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def record(process):
    """What a process printed at its end."""
    out, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, err
    return json.loads(out)
