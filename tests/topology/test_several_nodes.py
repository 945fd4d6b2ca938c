"""`cluster.probe` on several nodes with addresses of their own: network namespaces, as torchrun and srun start it."""

import contextlib
import json
import subprocess
import sys
import time

import pytest

from tests.topology.namespaces import Nodes, ip, why_not

SECONDS = 60


@pytest.fixture
def nodes(tmp_path):
    if why := why_not():
        pytest.skip(why)
    made = []

    def make(count):
        made.append(Nodes(count, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ended(process):
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def record_of(processes):
    """What node 0 printed; the others print nothing."""
    (code, out, err), *others = [ended(process) for process in processes]
    assert code == 0, err
    for other in others:
        assert other == (0, "", ""), other
    return json.loads(out)


def addresses_of(node):
    """Of its eth0, IPv4."""
    (port,) = [port for port in node["network"]["ports"] if port["name"] == "eth0"]
    assert port["kind"]["value"] == "veth"
    return [address for address in port["addresses"]["value"] if "." in address]


def test_four_nodes_under_torchrun(nodes):
    four = nodes(4)
    cluster = record_of([four.probe(node, 4) for node in range(4)])
    assert [addresses_of(node) for node in cluster["nodes"]] == [[f"10.77.0.1{node}/24"] for node in range(4)]
    assert (cluster["missing"], cluster["problems"]) == ([], [])
    assert len({node["name"] for node in cluster["nodes"]}) == 4


def scontrol_in(folder):
    """A stand-in for Slurm's client, which answers `scontrol show node NAME`; the PATH to find it by."""
    (folder / "scontrol").write_text('#!/bin/sh\necho "NodeName=$3 NodeAddr=10.77.0.1${3#n} Port=6818"\n')
    (folder / "scontrol").chmod(0o755)
    return {"PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"}


def test_two_nodes_of_a_step_whose_names_slurm_alone_resolves(nodes, tmp_path):
    two = nodes(2)
    path = scontrol_in(tmp_path)
    command = (sys.executable, "-m", "cluster.probe", "--json")
    cluster = record_of([two.start(node, *command, **path, **two.srun(node, 2)) for node in range(2)])
    assert [node["name"] for node in cluster["nodes"]] == ["n0", "n1"]
    assert [addresses_of(node) for node in cluster["nodes"]] == [["10.77.0.10/24"], ["10.77.0.11/24"]]


def test_one_node_is_absent(nodes):
    three = nodes(3)
    cluster = record_of([three.probe(node, 3, "--wait", "6") for node in (0, 2)])
    assert len(cluster["nodes"]) == 2
    assert cluster["missing"] == [{"name": "node 1", "why": "it did not call within 6 s"}]


def test_a_cable_is_out(nodes):
    three = nodes(3)
    three.unplug(2)
    *present, cut_off = [three.probe(node, 3, "--wait", "6") for node in range(3)]
    cluster = record_of(present)
    assert [missing["name"] for missing in cluster["missing"]] == ["node 2"]
    code, out, err = ended(cut_off)
    assert (code, out) == (75, "") and "10.77.0.10" in err and "firewall" in err


def test_who_is_missing_is_reported_with_code_0_and_judged_with_75(nodes):
    two = nodes(2)
    alone = [("probe",), ("check", "--node")]
    told = {words[0]: ended(two.probe(0, 2, *words, "--wait", "1", module=("-m", "launch"))) for words in alone}
    assert told["probe"][0] == 0 and "node 1 gave no answer: it did not call within 1 s" in told["probe"][1]
    assert told["check"][0] == 75 and "node 1: fail" in told["check"][1]
    assert not any("--exclude" in out for _, out, _ in told.values())  # `node 1` is no name that Slurm knows


def test_a_file_of_a_probe_that_was_killed_does_no_harm_to_the_next(nodes, tmp_path):
    two, folder = nodes(2), tmp_path / "data"
    folder.mkdir()
    killed = two.probe(0, 2, "--folder", f"data={folder}", "--wait", "60")
    end = time.monotonic() + SECONDS
    while not list(folder.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    (left,) = folder.iterdir()
    assert left.name.startswith(".muster-probe-") and left.stat().st_size == 0
    cluster = record_of([two.probe(node, 2, "--folder", f"data={folder}") for node in range(2)])
    assert [fact["shared"]["value"] for node in cluster["nodes"] for fact in node["storage"]].count(False) == 0
    assert list(folder.iterdir()) == [left]


GARBAGE = """
import os, socket, time
from cluster.topology.place import place_among_nodes
place, end = place_among_nodes(os.environ), time.monotonic() + 30
while time.monotonic() < end:
    for port in place.ports:
        try:
            with socket.create_connection((place.head, port), timeout=1) as connection:
                connection.sendall(b"\\x00\\x00\\x01\\x00" + bytes(300))
                raise SystemExit(0)
        except OSError:
            pass
    time.sleep(0.05)
raise SystemExit(1)
"""


def test_one_node_sends_garbage(nodes):
    three = nodes(3)
    odd = {"module": ("-c", GARBAGE)}
    processes = [three.probe(node, 3, "--wait", "6", **(odd if node == 1 else {})) for node in range(3)]
    cluster = record_of(processes)
    assert [addresses_of(node) for node in cluster["nodes"]] == [["10.77.0.10/24"], ["10.77.0.12/24"]]
    assert cluster["missing"] == [{"name": "node 1", "why": "it did not call within 6 s"}]
    assert any(problem.startswith("10.77.0.11: refused: no JSON") for problem in cluster["problems"])


LATE = """
import time
from cluster import probe
from cluster.topology import calls
calls.CALLS["time"] = lambda: time.time() + 42
raise SystemExit(probe.main(["--json"]))
"""


def test_one_clock_is_off(nodes):
    two = nodes(2)
    cluster = record_of([two.probe(0, 2), two.probe(1, 2, module=("-c", LATE))])
    skews = [node["host"]["clock_skew_seconds"]["value"] for node in cluster["nodes"]]
    assert skews[0] == 0.0 and 41 < skews[1] < 43


def test_one_node_does_not_see_a_folder(nodes, tmp_path):
    three = nodes(3)
    data, runs = tmp_path / "data", tmp_path / "runs"
    data.mkdir()
    runs.mkdir()
    options = ("--folder", f"data={data}", "--folder", f"runs={runs}")
    hidden = f"mount -t tmpfs none {data}"
    cluster = record_of([three.probe(node, 3, *options, before=hidden if node == 2 else "") for node in range(3)])
    shared = [{storage["role"]: storage["shared"]["value"] for storage in node["storage"]} for node in cluster["nodes"]]
    assert [one["data"] for one in shared] == [True, True, False]
    assert [one["runs"] for one in shared] == [True, True, True]
    assert list(data.iterdir()) == list(runs.iterdir()) == []


def test_torchrun_itself_with_two_processes_a_node(nodes):
    two = nodes(2)
    options = ("--nnodes", "2", "--nproc-per-node", "2", "--master-addr", "10.77.0.10", "--master-port", "29501")
    command = (sys.executable, "-m", "torch.distributed.run", *options)
    started = [
        two.start(node, *command, "--node-rank", node, "-m", "cluster.probe", "--wait", "40", OMP_NUM_THREADS="1")
        for node in range(2)
    ]
    (code, out, err), (other_code, other_out, other_err) = [ended(process) for process in started]
    assert code == 0, err
    assert (other_code, other_out) == (0, ""), other_err
    cluster = json.loads(out)
    assert [addresses_of(node) for node in cluster["nodes"]] == [["10.77.0.10/24"], ["10.77.0.11/24"]]
    assert cluster["missing"] == []


READ = """
import json
from cluster.topology.calls import call
from cluster.topology.network import read_network
from cluster.topology.source import Live
kinds = {port.name: [port.kind.value, port.kind.why] for port in read_network(Live(call)).ports}
print(json.dumps(kinds))
"""
MADE = [
    "name dummy0 type dummy",
    "link eth0 name vlan5 type vlan id 5",
    "link eth0 name macvlan0 type macvlan",
    "name vxlan0 type vxlan id 9 dstport 4789",
    "name bond0 type bond",
    "name bridge0 type bridge",
    "name sit9 type sit remote 10.77.0.11 local 10.77.0.10",
    "name wg0 type wireguard",
]
OURS = {"sit": "tunnel", "vxlan": "tunnel", "wireguard": "tunnel"}


def test_kinds_of_interfaces_that_software_makes(nodes):
    one = nodes(1)
    name = one.namespace(0)
    for words in MADE:
        with contextlib.suppress(subprocess.CalledProcessError):  # not every kernel has every kind
            ip("-n", name, "link", "add", *words.split())
    code, out, err = ended(one.start(0, sys.executable, "-c", READ))
    assert code == 0, err
    told = json.loads(out)
    links = json.loads(subprocess.check_output(["ip", "-n", name, "-d", "-j", "link"], text=True))
    kinds = {link["ifname"]: link.get("linkinfo", {}).get("info_kind") for link in links}
    assert set(told) == set(kinds) and told["eth0"] == ["veth", ""]
    for link, (kind, why) in told.items():
        expected = OURS.get(kinds[link], kinds[link])
        assert link == "lo" or kind == expected or (kind is None and why), link


MEASURED = """
import dataclasses, os, sys, types
stand_in = types.ModuleType("cluster.rates.measure")
def measure_node(node, seconds, folders, say):
    return dataclasses.replace(node, problems=(f"{seconds:g} s for {sorted(folders)}",))
def measure_between(cluster, seconds, say):
    import torch, torch.distributed as dist
    os.environ["GLOO_SOCKET_IFNAME"] = "eth0"
    dist.init_process_group("gloo")
    names = [dist.get_rank() == rank for rank in range(dist.get_world_size())]
    told = torch.tensor(names, dtype=torch.float64)
    dist.all_reduce(told)
    kept = [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")]
    problems = str(told.tolist()), f"{seconds:g} s", " ".join(kept), cluster.nodes[0].name
    return dataclasses.replace(cluster, problems=problems)
stand_in.measure_node, stand_in.measure_between = measure_node, measure_between
sys.modules.update({"cluster.rates": types.ModuleType("cluster.rates"), "cluster.rates.measure": stand_in})
from cluster import probe
raise SystemExit(probe.main(["--measure", "10", "--wait", sys.argv[1], "--folder", "data=."]))
"""


def two_tasks_each(nodes, node, count):
    """Environments of two tasks on one node of a step."""
    step = {"SLURM_STEP_NUM_TASKS": str(2 * count), "SLURM_STEP_TASKS_PER_NODE": f"2(x{count})", "OMP_NUM_THREADS": "1"}
    return [
        nodes.srun(node, count) | step | {"SLURM_LOCALID": str(local), "SLURM_PROCID": str(2 * node + local)}
        for local in range(2)
    ]


@pytest.mark.parametrize("absent", [None, 1])
def test_all_processes_take_part_in_measuring_but_those_of_a_node_that_is_missing(nodes, tmp_path, absent):
    three = nodes(3)
    path = scontrol_in(tmp_path) | {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # names do not resolve here, which it tells
    here = [node for node in range(3) if node != absent]
    processes = [
        three.start(node, sys.executable, "-c", MEASURED, "6" if absent else "50", **path, **environment)
        for node in here
        for environment in two_tasks_each(three, node, 3)
    ]
    cluster = record_of(processes)
    ranks = 2 * len(here)
    assert cluster["problems"] == [str([1.0] * ranks), "4 s", f"0 {ranks} 0 2 10.77.0.10", "n0"]
    assert [node["name"] for node in cluster["nodes"]] == [f"n{node}" for node in here]
    assert all(node["problems"] == ["6 s for ['data', 'runs', 'temporary']"] for node in cluster["nodes"])
    assert [missing["name"] for missing in cluster["missing"]] == ([] if absent is None else [f"n{absent}"])
