"""The record to show: of this node, of the nodes of the step that this is a task of, or of a whole allocation."""

import argparse
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence

from cluster.errors import InfrastructureError
from cluster.processes import command, environment
from cluster.topology.node import Cluster, cluster_from_json
from cluster.topology.place import place_among_nodes
from launch import local

ENTRY = "cluster.probe"


def ask(options: argparse.Namespace) -> Cluster:
    """Has the nodes probed and merged. A task that is not the first of its step brings its part and does not return.

    Raises InfrastructureError if node 0 gave no record, ChildFailed if it has told why.
    """
    arguments = _arguments(options)
    place = place_among_nodes(os.environ)
    if len(place.allocation) > 1 and not options.replay:
        return _of_step(len(place.allocation), arguments)
    if not place.is_head:
        local.become(ENTRY, arguments)
    return cluster_from_json(local.answer(ENTRY, arguments), "what this machine says")


def _arguments(options: argparse.Namespace) -> list[str]:
    """For the program that asks."""
    given = [
        f"--{name}={value}" for name in ("wait", "measure", "record", "replay") if (value := getattr(options, name))
    ]
    return ["--json", *given, *(f"--folder={folder}" for folder in options.folder)]


def _of_step(nodes: int, arguments: Sequence[str]) -> Cluster:
    """A step of one task on each node of the allocation that this process is in (slurm.schedmd.com/srun.html).

    `--overlap`: beside whatever holds the allocation; `--cpu-bind=none`: each task sees all CPUs of its node.
    """
    step = [
        "srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--overlap", "--cpu-bind=none",
        "--mpi=none", *command(ENTRY, arguments),
    ]  # fmt: skip
    local.say(f"probing the {nodes} nodes of the allocation")
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                step, stdin=subprocess.DEVNULL, stdout=output, env=environment(), start_new_session=True
            )
        except OSError as error:
            raise InfrastructureError(
                f"The nodes of the allocation are probed by srun, which cannot be started ({error.strerror}): "
                "install Slurm's client here, or start `muster probe` on each node."
            ) from error
        with local.forwarding_signals(process, local.say, "stopping") as asked:
            process.wait()
        output.seek(0)
        words = output.read().decode("utf-8", "replace").strip()
    if asked and process.returncode:
        raise local.ChildFailed(128 + asked[0])
    try:
        # A node that failed makes srun fail; the others are in the record all the same, and so is the one.
        return cluster_from_json(json.loads(words.rpartition("\n")[2]), "what node 0 says")
    except ValueError as error:
        told = signal.Signals(-process.returncode).name if process.returncode < 0 else str(process.returncode)
        raise InfrastructureError(
            f"srun ended with {told} and node 0 gave no record. Are all nodes up (sinfo)? Its words are above."
        ) from error
