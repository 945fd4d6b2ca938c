"""The record: all that is known of one node, or of several; as JSON, and back."""

import datetime
import functools
import gc
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from cluster.errors import DataError
from cluster.topology.cpu import Cpu, NumaNode
from cluster.topology.fact import record
from cluster.topology.gpu import Gpus
from cluster.topology.host import Host, Software
from cluster.topology.memory import Memory
from cluster.topology.network import Network
from cluster.topology.rate import Curve, Pair, Rate
from cluster.topology.storage import Storage

T = TypeVar("T")

FORMAT = 1


@record
class Node:
    """All that one node says of itself."""

    name: str
    """What the other nodes and the scheduler call it."""
    probe_seconds: float = 0.0
    """How long its facts took."""
    host: Host = Host()
    software: Software = Software()
    cpu: Cpu = Cpu()
    numa: tuple[NumaNode, ...] = ()
    memory: Memory = Memory()
    gpus: Gpus = Gpus()
    network: Network = Network()
    storage: tuple[Storage, ...] = ()
    rates: tuple[Rate, ...] = ()
    """Empty unless it was measured."""
    problems: tuple[str, ...] = ()
    """What of the measurement failed, and why."""


@record
class Missing:
    """A node that should have answered, and did not."""

    name: str
    why: str


@record
class Cluster:
    """The nodes of one probe, merged."""

    format: int = FORMAT
    muster: str = ""
    """Version that wrote it."""
    probed: str = ""
    """When, in UTC."""
    nodes: tuple[Node, ...] = ()
    missing: tuple[Missing, ...] = ()
    curves: tuple[Curve, ...] = ()
    pairs: tuple[Pair, ...] = ()
    problems: tuple[str, ...] = ()
    """Who was turned away while the records came together, what of the measurement between nodes failed, and why."""


@functools.cache
def _of_node() -> TypeAdapter[Node]:
    return TypeAdapter(Node)


@functools.cache
def _of_cluster() -> TypeAdapter[Cluster]:
    return TypeAdapter(Cluster)


def expect_many() -> None:
    """For a process that is there for records: a thousand nodes are millions of objects without a cycle, and Python,
    left to itself, goes through all of them again and again to find one: two thirds of the time to read them."""
    gc.set_threshold(100_000, 50, 100)


def cluster_of(nodes: Sequence[Node]) -> Cluster:
    """Records of nodes as one, with who made it and when."""
    return Cluster(
        muster=importlib.metadata.version("muster-train"),
        probed=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        nodes=tuple(nodes),
    )


def to_json(whole: Cluster | Node) -> dict[str, Any]:
    """As JSON, every fact with value, unit, source, status and why."""
    adapter: TypeAdapter[Any] = _of_cluster() if isinstance(whole, Cluster) else _of_node()
    plain: dict[str, Any] = adapter.dump_python(whole, mode="json")
    return plain


def to_bytes(whole: Cluster | Node) -> bytes:
    """The same, written: one line of JSON."""
    adapter: TypeAdapter[Any] = _of_cluster() if isinstance(whole, Cluster) else _of_node()
    return adapter.dump_json(whole)


def node_from_bytes(words: bytes, where: str) -> Node:
    """Of JSON as it is written. Raises DataError if `words`, which came from `where`, are no record of a node."""
    return _checked(_of_node().validate_json, words, where)


def node_from_json(plain: Any, where: str) -> Node:
    """Raises DataError if `plain`, which came from `where`, is no record of a node."""
    return _checked(_of_node().validate_python, plain, where)


def cluster_from_json(plain: Any, where: str) -> Cluster:
    """Raises DataError if `plain`, which came from `where`, is no record of a cluster, or one of another format."""
    if isinstance(plain, dict) and "nodes" in plain and plain.get("format") != FORMAT:
        raise DataError(
            f"{where} has format {plain.get('format')!r}, this version of muster reads {FORMAT}: probe again."
        )
    return _checked(_of_cluster().validate_python, plain, where)


def read_record(path: Path) -> Cluster:
    """What `muster probe --json` or `--save` wrote, or a run's `topology.json`. Raises DataError."""
    try:
        plain = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a record of `muster probe`: {error}") from error
    if not isinstance(plain, dict) or "nodes" not in plain:
        raise DataError(
            f"{path} is no record of a probe (it lists no nodes): make one with `muster probe --save FILE`."
        )
    return cluster_from_json(plain, str(path))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a record (json-schema.org, draft 2020-12)."""
    shape = _of_cluster().json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape}


def _checked(read: Callable[[Any], T], given: Any, where: str) -> T:
    try:
        return read(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise DataError(f"{where} is no record of a probe: {place}: {first['msg']}. Probe again.") from error
