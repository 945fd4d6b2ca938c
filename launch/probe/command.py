"""`muster probe` and `muster check --node`: ask, judge, show."""

import argparse
import dataclasses
import json
from pathlib import Path

from cluster.errors import EXIT_DONE, EXIT_INFRASTRUCTURE, PlanError, RunError
from cluster.runs import RunFolder
from cluster.topology.compare import differences
from cluster.topology.draw.picture import picture
from cluster.topology.health.judge import exclude_line, health_json, judge, printed_schema
from cluster.topology.node import Cluster, read_record, to_bytes, to_json
from launch import local
from launch.probe.asking import ask
from launch.probe.page import html_page
from launch.probe.table import differences_table, health_table, table


def probe(options: argparse.Namespace) -> int:
    """What this machine is, or all nodes of the allocation; or what has changed between two records."""
    if options.schema:
        print(json.dumps(printed_schema(), indent=2))
        return EXIT_DONE
    cluster = ask(options)
    health = judge(cluster)
    if options.save:
        _write(options.save, to_bytes(cluster).decode() + "\n")
    if options.svg:
        _write(options.svg, picture(cluster, health))
    if options.html:
        _write(options.html, html_page(cluster, health))
    if options.json:
        print(json.dumps(to_json(cluster) | {"health": health_json(health)}))
    elif not (options.svg or options.html or options.save):
        print(table(cluster, health))
    return EXIT_DONE


def diff(options: argparse.Namespace) -> int:
    """What has changed between two records, or the machines of two runs."""
    _, before, after = options.words
    found = differences(_recorded(before), _recorded(after))
    if options.json:
        print(json.dumps([dataclasses.asdict(one) for one in found]))
    else:
        print(differences_table(found))
    return EXIT_DONE


def check(options: argparse.Namespace) -> int:
    """Is this node, or each of the allocation, fit to train? Code 75 if one is not."""
    health = judge(ask(options))
    line = exclude_line(health)
    if options.json:
        print(json.dumps(health_json(health) | {"exclude": line}))
    else:
        print(health_table(health))
        if line:
            print(f"\nLeave them out:  sbatch {line} ...")
    return EXIT_INFRASTRUCTURE if health.verdict == "fail" else EXIT_DONE


def _recorded(words: str) -> Cluster:
    """The record in a file, or of a run. Raises DataError, RunError."""
    path = Path(words)
    if not path.is_dir():
        return read_record(path)
    record = RunFolder(path).topology
    if not record.exists():
        raise RunError(f"{path} holds no {record.name}: name the folder of a run that has started, or a record.")
    return read_record(record)


def _write(path: Path, contents: str) -> None:
    try:
        path.write_text(contents, encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{path} cannot be written ({error.strerror}): name another file.") from error
    local.say(f"wrote {path}")
