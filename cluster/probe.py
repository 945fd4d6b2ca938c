"""What this machine is, or all nodes that this is started on: facts, and with --measure rates.

    python -m cluster.probe [--json] [--folder ROLE=PATH ...] [--measure [SECONDS]] [--wait SECONDS]
    srun -N 4 python -m cluster.probe
    torchrun --nnodes 4 --nproc-per-node 1 ... -m cluster.probe

One process of each node probes it; node 0 merges the records and prints them as one JSON document. A node that does not
answer in time is named in it, not waited for.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from cluster.errors import EXIT_DONE, DataError, exit_code_of
from cluster.text.sets.catalogue import cache_folder
from cluster.topology.calls import call
from cluster.topology.fact import Unread
from cluster.topology.gather import Gathered, bring, brought, gathered, of_head
from cluster.topology.head import Head
from cluster.topology.listening import free_port
from cluster.topology.member import Member
from cluster.topology.node import Cluster, Node, expect_many, to_bytes
from cluster.topology.place import LOOPBACK, Place, addresses_of, place_among_nodes
from cluster.topology.probe import probe
from cluster.topology.source import Live, Recorder, Source, read_recording, write_recording
from cluster.topology.tokens import left_in

WAIT_SECONDS = 20.0
MEASURE_SECONDS = 30.0
NODE_SHARE = 0.6
"""Of the time to measure; the ways between ranks have the rest."""
SPARE_SECONDS = 60.0
"""Beyond what a measurement was given: its last trials may be long ones."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What is to be probed, and how."""

    folders: Mapping[str, str]
    wait_seconds: float
    measure_seconds: float
    """0: facts alone."""
    source: Source
    now: Callable[[], float]
    """This node's clock."""


@dataclass(frozen=True)
class Part:
    """This process's part in the measurement between ranks."""

    rank: int
    ranks: int
    address: str
    port: int
    name: str
    """What the record calls its node."""


def main(words: Sequence[str]) -> int:
    """Prints the record on node 0, and nothing elsewhere."""
    options = _options(words)
    expect_many()
    place = place_among_nodes(os.environ)
    signal.signal(signal.SIGTERM, _end)  # so that what it left in folders is taken away
    source: Source = read_recording(options.replay) if options.replay else Live(call)
    recorder = Recorder(source) if options.record else None
    wish = Wish(
        folders={**_default_folders(), **dict(options.folder)},
        wait_seconds=options.wait,
        measure_seconds=options.measure,
        source=recorder or source,
        now=time.time if options.replay else lambda: float(source.call("time")),
    )
    cluster = probe_together(place, wish, _say if place.is_head else _silent)
    if recorder and place.probes:
        _keep(_own_file(options.record, place), recorder)
    if cluster is not None:
        print(to_bytes(cluster).decode(), flush=True)
    if wish.measure_seconds and place.ranks > 1:
        from cluster.training.parallel import leave

        leave(EXIT_DONE)
    return EXIT_DONE


def probe_together(place: Place, wish: Wish, say: Say) -> Cluster | None:
    """The record of all nodes on node 0, None elsewhere. Raises InfrastructureError if node 0 cannot be reached."""
    together = place.nodes > 1 or (wish.measure_seconds > 0 and place.ranks > 1)
    if place.is_head:
        cluster = _lead(place, wish, say) if together else _alone(place, wish, say)
        return dataclasses.replace(cluster, muster=_version(wish.source), probed=_now())
    if together and (place.probes or wish.measure_seconds):
        _follow(place, wish)
    return None


def _alone(place: Place, wish: Wish, say: Say) -> Cluster:
    node = probe(wish.folders, wish.source, place.node_name)
    return Cluster(nodes=(_measured(node, wish, wish.measure_seconds, say),))


def _lead(place: Place, wish: Wish, say: Say) -> Cluster:
    node = probe(wish.folders, wish.source, place.node_name)
    with left_in(wish.folders) as left, Head(place, node.name, left, wish.now) as head:
        if place.nodes > 1:
            node = of_head(node, left)
        node = _measured(node, wish, wish.measure_seconds * NODE_SHARE, say)
        merged = gathered(place, node, head, wish.wait_seconds, everybody=wish.measure_seconds > 0)
        parts = _parts(place, head, merged) if wish.measure_seconds else {}
        head.tell({who: {"go": dataclasses.asdict(parts[who]) if who in parts else None} for who in head.here()})
    if len(parts) < 2:
        return merged.cluster
    return _between(place, parts[0, 0], merged.cluster, wish, say)


def _follow(place: Place, wish: Wish) -> None:
    # Facts first: a thousand processes that only wait would be a thousand that load node 0.
    node = probe(wish.folders, wish.source, place.node_name) if place.probes else None
    name = node.name if node else place.node_name
    with Member(place, name, addresses_of(place.head, wish.source), wish.wait_seconds) as member:
        if node:
            node = brought(member, node, wish.now) if place.nodes > 1 else node
            bring(member, _measured(node, wish, wish.measure_seconds * NODE_SHARE, _silent))
        if not wish.measure_seconds:
            return
        go = member.hear(wish.measure_seconds + wish.wait_seconds + SPARE_SECONDS)["go"]
    if go:
        part = Part(**go)
        address = member.address if place.node else part.address
        part = dataclasses.replace(part, address=address)
        _between(place, part, Cluster(nodes=(Node(name=part.name),)), wish, _silent)


def _parts(place: Place, head: Head, merged: Gathered) -> dict[tuple[int, int], Part]:
    """Ranks for those who are here, in order of nodes: a node that is missing does not keep the others from it."""
    names = dict(zip(merged.numbers, (node.name for node in merged.cluster.nodes), strict=True))
    here = [(0, 0), *(who for who in head.here() if who[0] in names)]
    port = free_port(place.ports, head.port)
    return {
        (node, local): Part(rank, len(here), head.address or LOOPBACK, port, names[node])
        for rank, (node, local) in enumerate(here)
    }


def _measured(node: Node, wish: Wish, seconds: float, say: Say) -> Node:
    if not seconds:
        return node
    from cluster.rates.measure import measure_node  # imports torch

    return measure_node(node, seconds, wish.folders, say)


def _between(place: Place, part: Part, cluster: Cluster, wish: Wish, say: Say) -> Cluster:
    """A collective."""
    from cluster.rates.measure import measure_between

    os.environ.update(
        RANK=str(part.rank),
        WORLD_SIZE=str(part.ranks),
        LOCAL_RANK=str(place.local_rank),
        LOCAL_WORLD_SIZE=str(place.local_ranks),
        MASTER_ADDR=part.address,
        MASTER_PORT=str(part.port),
    )
    os.environ.pop("TORCHELASTIC_USE_AGENT_STORE", None)  # torchrun's store counts on the ranks that it started
    return measure_between(cluster, wish.measure_seconds * (1 - NODE_SHARE), say)


def _default_folders() -> dict[str, str]:
    folders = {"runs": os.path.abspath("runs"), "temporary": tempfile.gettempdir()}
    with contextlib.suppress(DataError):  # a user without a home has no such folder
        folders["data"] = str(cache_folder())
    return folders


def _own_file(path: Path, place: Place) -> Path:
    """Nodes that share a folder do not overwrite each other's recording."""
    if place.nodes == 1:
        return path
    return path.with_name(f"{path.stem}-{place.node_name or place.node}{path.suffix}")


def _keep(path: Path, recorder: Recorder) -> None:
    """Raises DataError."""
    try:
        write_recording(path, f"real: recorded by muster's probe, {_now()}", recorder.answers)
    except OSError as error:
        raise DataError(
            f"--record writes a file, but {path} cannot be written: {error.strerror}. Name another one."
        ) from error


def _version(source: Source) -> str:
    try:
        return str(source.call("version", "muster-train"))
    except Unread:
        return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _say(words: str) -> None:
    print(f"muster: {words}", file=sys.stderr, flush=True)


def _silent(_: str) -> None:
    pass


def _end(number: int, _: object) -> NoReturn:
    """Once: Slurm sends a signal again while we are leaving, which would interrupt that too."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cluster.probe", description="Facts of this node, or of all nodes.")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output: always so")
    parser.add_argument("--folder", metavar="ROLE=PATH", type=_folder, action="append", default=[])
    parser.add_argument("--wait", metavar="SECONDS", type=_seconds, default=WAIT_SECONDS, help="for the other nodes")
    parser.add_argument("--measure", metavar="SECONDS", type=_seconds, nargs="?", const=MEASURE_SECONDS, default=0.0)
    recording = parser.add_mutually_exclusive_group()
    recording.add_argument("--record", metavar="FILE", type=Path, help="keep all that this machine was asked")
    recording.add_argument("--replay", metavar="FILE", type=Path, help="probe a recorded machine instead of this one")
    return parser.parse_args(words)


def _folder(words: str) -> tuple[str, str]:
    role, equals, path = words.partition("=")
    if not (role and equals and path):
        raise argparse.ArgumentTypeError(f"a folder is given as ROLE=PATH (data=/scratch/texts), not {words!r}")
    return role, os.path.abspath(os.path.expanduser(path))


def _seconds(words: str) -> float:
    try:
        seconds = float(words)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 86400:
        raise argparse.ArgumentTypeError(f"seconds are a number from 0 to 86400, not {words!r}")
    return seconds


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
