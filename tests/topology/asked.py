"""The host's facts, asked in a process of its own: under a quota, in namespaces, as another user. Prints a record."""

import dataclasses
import json
import os
import subprocess
import sys
import typing
from pathlib import Path

from cluster.topology.calls import call
from cluster.topology.cpu import read_cpu, read_numa
from cluster.topology.fact import LIVE, Fact
from cluster.topology.host import read_host, read_software
from cluster.topology.memory import read_memory
from cluster.topology.node import Node, node_from_json, to_json
from cluster.topology.source import Live
from cluster.topology.storage import read_storage

ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534


def facts(source, folders=()):
    """A record of what the rooms of the host read; those of GPUs and of the network have tests of their own."""
    return Node(
        name="here",
        host=read_host(source),
        software=read_software(source),
        cpu=read_cpu(source),
        numa=read_numa(source),
        memory=read_memory(source),
        storage=tuple(read_storage(source, "data", str(folder)) for folder in folders),
    )


def here(*folders):
    return facts(Live(call), folders)


def asked(*before, folders=(), user=None, **environment):
    """The record of a child process; `before`: words that start it in its own way, as in `taskset -c 0`."""
    words = [*before, sys.executable, "-m", "tests.topology.asked", str(user or ""), *map(str, folders)]
    child = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120, env=os.environ | environment)
    assert child.returncode == 0, child.stderr
    assert "Traceback" not in child.stderr
    return node_from_json(json.loads(child.stdout), "a child")


def after(shell):
    """Words that run a child behind some shell commands: `asked(*after("ulimit -n 64"))`."""
    return "bash", "-c", f'set -e; {shell}; exec "$@"', "bash"


def every_fact(record, where=""):
    """Each fact below a record with its place, and whether it changes by itself."""
    hints = typing.get_type_hints(type(record), include_extras=True)
    for field in dataclasses.fields(record):
        value, place = getattr(record, field.name), f"{where}.{field.name}".lstrip(".")
        if isinstance(value, Fact):
            yield place, value, LIVE in getattr(hints[field.name], "__metadata__", ())
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if dataclasses.is_dataclass(item):
                    yield from every_fact(item, f"{place}[{index}]")
        elif dataclasses.is_dataclass(value):
            yield from every_fact(value, place)


def said(record):
    """Every fact of the host has a value or a reason, and says where it was looked for."""
    rooms = {"host", "software", "cpu", "memory"}
    for place, fact, _ in every_fact(record):
        if place.split(".")[0].split("[")[0] in rooms | {"numa", "storage"}:
            assert fact.source, place
            assert fact.why != "not asked", place
            assert fact.known or (fact.status != "ok" and fact.why and fact.value is None), place
    return record


def main(user, *folders):
    record = to_json(here(*folders))
    if user:  # only now, with all modules loaded: that user may not read where Python lies
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
        record = to_json(here(*folders))
    print(json.dumps(record))


if __name__ == "__main__":
    main(*sys.argv[1:])
