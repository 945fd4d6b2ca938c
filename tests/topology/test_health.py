import dataclasses
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.topology.fact import UNREAD
from cluster.topology.gpu import GpuProcess, Gpus, RemappedRows, Xid
from cluster.topology.health.judge import before_start, exclude_line, health_json, health_schema, judge
from cluster.topology.health.rules import CLUSTER_RULES, FACT_RULES, LOAD_RULES
from cluster.topology.hosts import compressed
from cluster.topology.node import Cluster, Missing
from cluster.topology.peers import deviation, low, most_common
from cluster.topology.probe import probe
from tests.topology.machines import FOLDERS, KINDS, machine
from tests.topology.synthetic import (
    GIB,
    absent,
    all_pairs,
    bus_id,
    cpu_node,
    curve,
    denied,
    gpu,
    h100_node,
    ok,
    synthetic_cluster,
    unsupported,
    uuid,
    with_gpu,
    with_load,
    with_part,
    with_port,
    with_rate,
    with_rdma,
    with_storage,
)

ERROR = dataclasses.replace(absent("the GPU has fallen off the bus (NVML: GpuIsLost)"), status="error")
RESET = dataclasses.replace(absent("the GPU needs a reset (NVML: ResetRequired)"), status="error")


def unlisted(index):
    """A fault: NVML has one GPU less than the bus."""

    def fault(node):
        devices = node.gpus.devices
        return with_part("gpus", devices=devices[:index] + devices[index + 1 :])(node)

    return fault


def off_bus(index):
    """A fault: one GPU is not even on the bus."""

    def fault(node):
        node = unlisted(index)(node)
        places = node.gpus.on_bus.value
        return with_part("gpus", on_bus=ok(places[:index] + places[index + 1 :]))(node)

    return fault


def link_down(node):
    first, *others = gpu(1, 3).nvlinks.value
    return with_gpu(3, nvlinks=ok((dataclasses.replace(first, active=False), *others)))(node)


def xid(code, words="what the driver wrote"):
    return ok((Xid(code, bus_id(3), 860_400.0, words),))


def software(**versions):
    return with_part("software", **versions)


FAULTS = [
    # rule, level, what is wrong with n1 of four nodes, words of what was seen, words of the way out
    ("gpu-lost", "fail", unlisted(3), [bus_id(3), "7 of 8"], "gpu-reset"),
    ("gpu-lost", "fail", with_gpu(3, name=ERROR, temperature_celsius=ERROR, processes=ERROR),
     ["GPU 3", "fallen"], "reboot"),
    ("gpu-lost", "fail", with_gpu(3, memory_bytes=RESET), ["GPU 3", "needs a reset"], "gpu-reset"),
    ("gpu-ecc", "fail", with_gpu(3, ecc_uncorrected=ok(2)), ["GPU 3", "2 uncorrectable"], "reset"),
    ("gpu-memory-rows", "fail", with_gpu(3, remapped_rows=ok(RemappedRows(0, 1, True, False))),
     ["GPU 3", "wait"], "reset"),
    ("gpu-memory-rows", "fail", with_gpu(3, remapped_rows=ok(RemappedRows(3, 9, False, True))),
     ["12 rows"], "replaced"),
    ("gpu-memory-rows", "fail", with_gpu(3, retired_pages_pending=ok(True)), ["GPU 3", "retired"], "reset"),
    ("gpu-ecc-setting", "warning", with_gpu(3, ecc=ok(False), ecc_pending=ok(False)), ["GPU 3", "off", "on"], "-e 1"),
    ("gpu-ecc-setting", "warning", with_gpu(3, ecc_pending=ok(False)), ["on and will be off"], "reboot"),
    ("gpu-xid", "fail", with_gpu(3, xids=xid(79)),
     ["GPU 3", "Xid 79", "60 min ago", "what the driver wrote"], "xid-errors"),
    ("gpu-xid", "warning", with_gpu(3, xids=xid(32)), ["Xid 32"], "xid-errors"),
    ("gpu-xid", "fail", with_part("gpus", other_xids=xid(79)), [bus_id(3), "Xid 79"], "reset"),
    ("gpu-hot", "warning", with_gpu(3, temperature_celsius=ok(84)), ["GPU 3", "84 °C", "87 °C"], "fans"),
    ("gpu-slot", "warning", with_gpu(3, pcie_generation_slot=ok(3)), ["GPU 3", "PCIe 5", "PCIe 3"], "slot"),
    ("gpu-slot", "warning", with_gpu(3, pcie_width_slot=ok(8)), ["GPU 3", "16 lanes", "has 8"], "slot"),
    ("gpu-nvlink", "fail", link_down, ["GPU 3", "17 active", "0 down", "18"], "nvlink -s"),
    ("gpu-nvlink", "fail", with_gpu(3, nvlinks=ok(())), ["GPU 3", "0 active", "18"], "nvlink -s"),
    ("gpu-fabric", "fail", with_gpu(3, fabric=ok("in progress, cluster 0, clique 0")), ["in progress"], "fabric"),
    ("gpu-fabric", "warning", with_gpu(3, fabric=ok("completed, cluster 0, clique 0, bandwidth degraded")),
     ["GPU 3", "degraded"], "fabricmanager"),
    ("gpu-held-back", "warning", with_gpu(3, power_limit_watts=ok(500.0)), ["GPU 3", "500 W", "700 W"], "-pl 700"),
    ("gpu-held-back", "warning", with_gpu(3, clock_set_mhz=ok(1200)), ["GPU 3", "1200 MHz", "1980 MHz"], "-rac"),
    ("gpu-persistence", "warning", with_gpu(3, persistence=ok(False)), ["GPU 3"], "persistenced"),
    ("gpu-compute-mode", "warning", with_gpu(3, compute_mode=ok("exclusive_process")),
     ["exclusive_process"], "-c DEFAULT"),
    ("gpu-compute-mode", "fail", with_gpu(3, compute_mode=ok("prohibited")), ["prohibited"], "-c DEFAULT"),
    ("gpu-processes", "warning", with_gpu(3, processes=ok((GpuProcess(77, "python", 3 * GIB, False),))),
     ["GPU 3", "77 python", "3.0 GiB"], "kill PID"),
    ("port-down", "fail", with_port(state=ok("down"), carrier=ok(False)), ["ens1", "most other nodes"], "cable"),
    ("rdma-down", "fail", with_rdma(3, state=ok("DOWN"), physical_state=ok("Polling")),
     ["mlx5_3/1", "DOWN", "Polling"], "cable"),
    ("rdma-down", "fail", with_rdma(3, state=ok("INIT")), ["mlx5_3/1", "INIT"], "subnet manager"),
    ("rdma-slow", "fail", with_rdma(3, rate_bits_per_second=ok(200 * 10**9), rate=ok("200 Gb/sec (4X HDR)")),
     ["mlx5_3/1", "200 Gb/sec", "400 Gb/s"], "cable"),
    ("port-errors", "warning", with_rdma(3, symbol_errors=ok(4321)), ["mlx5_3/1", "4,321 symbol errors"], "cable"),
    ("port-errors", "warning", with_rdma(3, link_downed=ok(12)), ["12 times the link went down"], "cable"),
    ("port-errors", "warning", with_port(errors=ok(99)), ["ens1", "99 frames"], "cable"),
    ("disk-full", "fail", with_storage("runs", free_bytes=ok(0)), ["runs folder /scratch/runs", "0 bytes"], "Remove"),
    ("disk-full", "warning", with_storage("data", free_bytes=ok(5 * GIB)), ["data folder", "5 GiB"], "Remove"),
    ("disk-inodes", "fail", with_storage("runs", inodes_free=ok(10)), ["10 more files"], "Remove"),
    ("disk-read-only", "fail", with_storage("runs", writable=ok(False)), ["/scratch/runs"], "another folder"),
    ("disk-read-only", "warning", with_storage("data", writable=ok(False)), ["/scratch/data"], "another folder"),
    ("disk-not-shared", "fail", with_storage("runs", shared=ok(False)), ["/scratch/runs", "lustre"], "Mount"),
    ("shm-small", "fail", with_part("memory", shm_bytes=ok(64 << 20)), ["64 MiB", "Docker"], "--shm-size"),
    ("shm-small", "warning", with_part("memory", shm_bytes=ok(512 << 20)), ["512 MiB"], "--shm-size"),
    ("shm-small", "warning", with_part("memory", shm_free_bytes=ok(200 << 20)), ["nearly full", "200 MiB"], "/dev/shm"),
    ("memlock", "fail", with_part("memory", locked_limit_bytes=ok(8 << 20)), ["8 MiB", "unlimited"], "ulimit -l"),
    ("memlock", "warning", with_part("memory", locked_limit_bytes=ok(64 * GIB)), ["64 GiB"], "ulimit -l"),
    ("open-files", "warning", with_part("memory", open_files_limit=ok(1024)), ["1,024", "65,536"], "ulimit -n 65536"),
    ("group-memory",
     "warning", with_part("memory", group_limit_bytes=ok(10 * GIB), group_used_bytes=ok(int(9.5 * GIB))),
     ["9.5 GiB", "10 GiB", "95 %"], "--mem="),
    ("memory-low", "warning", with_part("memory", available_bytes=ok(20 * GIB)), ["20 GiB", "1.97 TiB"], "rss"),
    ("cpu-quota", "warning", with_part("cpu", quota=ok(4.5)), ["4.5 CPUs", "192"], "--cpus-per-task"),
    ("busy", "warning", with_part("cpu", load=ok(150.0)), ["150", "192 CPUs"], "--exclusive"),
    ("gpu-throttled", "fail", with_load(3, throttle="hw_slowdown, power_cap"), ["GPU 3", "hw_slowdown"], "fans"),
    ("gpu-throttled", "fail", with_load(3, throttle="power_brake"), ["GPU 3", "power_brake"], "power"),
    ("gpu-throttled", "warning", with_load(3, throttle="sw_thermal"), ["GPU 3", "too hot"], "fans"),
    ("gpu-hot-under-load", "warning", with_load(3, temperature_celsius=85), ["GPU 3", "85 °C", "87 °C"], "fans"),
    ("gpu-pcie", "fail", with_load(3, pcie_width=8), ["GPU 3", "PCIe 5 x8", "PCIe 5 x16"], "reseat"),
    ("gpu-pcie", "fail", with_load(3, pcie_generation=3), ["PCIe 3 x16", "PCIe 5 x16"], "reseat"),
    ("versions", "fail", software(driver=ok("550.54")), ["driver 550.54", "3 others (n[0,2-3])", "570.86.15"], "same"),
    ("versions", "fail", software(nccl=ok("2.28.9")), ["nccl 2.28.9", "2.29.7"], "same"),
    ("versions", "fail", software(torch=ok("2.11.0")), ["torch 2.11.0", "2.13.0"], "same"),
    ("versions", "fail", software(muster=ok("0.0.9")), ["muster 0.0.9", "0.1.0"], "same"),
    ("versions", "fail", software(nccl=absent("this torch has none")), ["nccl none", "2.29.7"], "same"),
    ("versions", "warning", software(kernel=ok("6.1.0")), ["kernel 6.1.0", "5.15.0"], "same"),
    ("versions", "warning", software(python=ok("3.12.1")), ["python 3.12.1", "3.11.9"], "same"),
    ("versions", "warning", software(cuda=ok("12.6")), ["cuda 12.6", "13.0"], "same"),
    ("gpus-differ", "fail", off_bus(3), ["7 GPUs", "8 GPUs"], "lspci"),
    ("gpus-differ", "fail", with_gpu(3, name=ok("NVIDIA H200")), ["NVIDIA H100 80GB HBM3 and NVIDIA H200"], "one kind"),
    ("clock", "fail", with_part("host", clock_skew_seconds=ok(-30.0)), ["30 s behind"], "timedatectl"),
    ("clock", "warning", with_part("host", clock_skew_seconds=ok(2.0)), ["2 s ahead"], "timedatectl"),
    ("node-slow", "fail", with_rate("memory_copy", 0.6), ["memory copy (48 threads)", "39 % below"], "alone"),
    ("node-slow", "warning", with_rate("disk_write", 0.7), ["disk write", "29 % below"], "alone"),
    ("node-slow", "fail", with_rate("matrix_product", 0.7, how="bfloat16"),
     ["matrix product (bfloat16)", "median of 4"], "alone"),
    ("gpu-slow", "warning", with_rate("device_memory", 0.85, where=uuid(1, 3)), ["GPU 3", "14 % below", "32"], "alone"),
]  # fmt: skip


@pytest.mark.parametrize(
    "rule, level, fault, seen, remedy", FAULTS, ids=[f"{row[0]} {' '.join(row[3])}"[:60] for row in FAULTS]
)
def test_each_fault_is_found_and_nothing_else(rule, level, fault, seen, remedy):
    health = judge(synthetic_cluster(4, {"n1": fault}, rates=True))
    assert {(one.node, one.level, one.rule) for one in health.findings} == {("n1", level, rule)}
    finding = health.findings[0]
    for words in seen:
        assert words in finding.what
    assert remedy in finding.remedy
    assert finding.why and finding.facts
    assert health.verdicts == {"n0": "pass", "n1": level, "n2": "pass", "n3": "pass"}
    assert health.verdict == level
    assert exclude_line(health) == ("--exclude=n1" if level == "fail" else "")


BETWEEN = {"missing", "rate-low", "network-slow", "link-slow", "network-below-limit", "nvml", "measured"}
"""Rules with tests of their own below."""


def test_every_rule_is_tested():
    names = {rule.name for rule in (*FACT_RULES, *LOAD_RULES, *CLUSTER_RULES)}
    assert names | {"gpu-slow", "link-slow"} == {row[0] for row in FAULTS} | BETWEEN


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("node", [h100_node, cpu_node])
def test_a_healthy_cluster_has_no_finding(count, node):
    health = judge(synthetic_cluster(count, node=node, rates=True, pairs=count > 1))
    assert health.findings == () and health.unjudged == ()
    assert set(health.verdicts.values()) == {"pass"} and exclude_line(health) == ""


def test_a_node_that_did_not_answer_fails():
    cluster = dataclasses.replace(synthetic_cluster(2), missing=(Missing(name="n7", why="no record in 30 s"),))
    health = judge(cluster)
    assert health.verdicts["n7"] == "fail" and exclude_line(health) == "--exclude=n7"
    assert "no record in 30 s" in health.findings[0].what


def test_what_is_no_name_of_a_host_is_not_for_slurm_to_leave_out():
    cluster = synthetic_cluster(2, {"n1": link_down})
    gone = tuple(Missing(name=name, why="it did not call within 20 s") for name in ("node 3", "x#1", "b.site-2"))
    health = judge(dataclasses.replace(cluster, missing=gone))
    assert [health.verdicts[one.name] for one in gone] == ["fail"] * 3
    assert exclude_line(health) == "--exclude=b.site-2,n1"


def test_idle_links_and_normal_reasons_are_no_fault():
    """An idle GPU has PCIe 1; idleness and the power cap are how every GPU works."""
    node = with_gpu(0, throttle=ok(("idle", "power_cap")), pcie_generation=ok(1))(h100_node(0))
    assert before_start(node).findings == ()


@pytest.mark.parametrize("code", [13, 31, 43, 45])
def test_errors_of_a_program_are_not_the_gpus(code):
    assert before_start(with_gpu(3, xids=xid(code))(h100_node(0))).findings == ()


# What is not known


def without_nvml(status, **facts):
    reason = dataclasses.replace(absent("the driver was upgraded: reboot"), status=status)
    return lambda node: dataclasses.replace(node, gpus=Gpus(nvml=reason, **facts))


@pytest.mark.parametrize(
    "fault, verdict",
    [
        (without_nvml("error", on_bus=ok((bus_id(0),))), "unknown"),
        (without_nvml("absent", on_bus=ok((bus_id(0),))), "unknown"),  # GPUs without a driver
        (without_nvml("error", on_bus=denied()), "unknown"),
        (without_nvml("absent", on_bus=denied()), "pass"),  # no driver, and no sign of a GPU
        (without_nvml("absent", on_bus=ok(())), "pass"),
    ],
)
def test_gpus_that_nobody_can_ask(fault, verdict):
    health = before_start(fault(h100_node(0)))
    assert health.verdict == verdict and not health.findings
    essential = [one for one in health.unjudged if one.essential]
    assert bool(essential) == (verdict == "unknown")
    assert all("reboot" in one.what and one.remedy for one in essential)


def test_a_log_that_cannot_be_read_is_not_passed():
    node = h100_node(0)
    for index in range(8):
        node = with_gpu(index, xids=denied("kernel.dmesg_restrict"))(node)
    health = before_start(node)
    assert [(one.rule, "kernel.dmesg_restrict" in one.what) for one in health.unjudged] == [("gpu-xid", True)]
    assert health.verdict == "pass"


def test_what_eight_gpus_do_not_tell_is_said_once():
    node = h100_node(0)
    for index in range(8):
        node = with_gpu(index, temperature_celsius=denied())(node)
    assert [one.what for one in before_start(node).unjudged] == ["temperature of GPU 0-7: denied: Permission denied"]


@pytest.mark.parametrize("part, name, rule", [
    ("memory", "shm_bytes", "shm-small"),
    ("memory", "locked_limit_bytes", "memlock"),
    ("memory", "open_files_limit", "open-files"),
    ("memory", "group_limit_bytes", "group-memory"),
    ("memory", "available_bytes", "memory-low"),
    ("cpu", "quota", "cpu-quota"),
    ("cpu", "load", "busy"),
])  # fmt: skip
@pytest.mark.parametrize("fact", [denied(), UNREAD, unsupported()])
def test_a_missing_fact_is_listed_and_not_passed_over(part, name, rule, fact):
    health = before_start(with_part(part, **{name: fact})(h100_node(0)))
    assert [(one.rule, one.essential) for one in health.unjudged] == [(rule, False)]
    assert health.verdict == "pass"


def test_a_version_that_one_node_does_not_tell():
    health = judge(synthetic_cluster(3, {"n1": software(driver=denied())}, rates=True))
    assert [(one.node, one.rule) for one in health.unjudged] == [("n1", "versions")] and not health.findings


def test_what_was_not_measured_is_said():
    health = judge(synthetic_cluster(3))
    assert [(one.rule, one.node) for one in health.unjudged] == [("measured", "")]
    assert "n[0-2]" in health.unjudged[0].what and "--measure" in health.unjudged[0].remedy


def test_gpus_that_were_given_to_others_are_not_judged():
    facts = ("uuid", "temperature_celsius", "ecc_uncorrected", "processes", "compute_mode", "remapped_rows", "nvlinks")
    node = with_gpu(3, **dict.fromkeys(facts, denied()))(h100_node(0))
    health = before_start(node)
    assert health.findings == () and [one.what for one in health.unjudged] == ["GPU 3: not granted to this process"]


# Whole machines, probed


def probed(kind="h100x8", *faults):
    return probe(FOLDERS, machine(kind, faults))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_healthy_machine_of_each_kind(kind):
    health = before_start(probed(kind))
    assert health.findings == ()
    assert health.verdict == ("unknown" if kind == "no-driver" else "pass")


@pytest.mark.parametrize(
    "faults, expected",
    [
        (["lost:3"], {("fail", "gpu-lost"), ("fail", "gpu-xid")}),
        (["handle:3:GpuIsLost"], {("fail", "gpu-lost")}),
        (["handle:3:ResetRequired"], {("fail", "gpu-lost")}),
        (["unlisted:3"], {("fail", "gpu-lost")}),
        (["ecc:3:2"], {("fail", "gpu-ecc")}),
        (["pending_rows:3"], {("fail", "gpu-memory-rows")}),
        (["failed_rows:3"], {("fail", "gpu-memory-rows")}),
        (["ecc_off:3"], {("warning", "gpu-ecc-setting")}),
        (["hot:3"], {("warning", "gpu-hot")}),
        (["old_slot:3:3"], {("warning", "gpu-slot")}),
        (["nvlink_down:3:7"], {("fail", "gpu-nvlink")}),
        (["fabric_stuck:3"], {("fail", "gpu-fabric")}),
        (["clock_set:3:1200"], {("warning", "gpu-held-back")}),
        (["power_limit:3:500"], {("warning", "gpu-held-back")}),
        (["persistence_off:3"], {("warning", "gpu-persistence")}),
        (["process:3:999"], {("warning", "gpu-processes")}),
        (["xid:3:79"], {("fail", "gpu-xid")}),
        (["xid:3:31"], set()),
        (["port_down:ib3"], {("warning", "rdma-down")}),
        (["port_slow:ib3"], {("warning", "rdma-slow")}),
        (["full:/data"], {("warning", "disk-full")}),
        (["full:/runs"], {("fail", "disk-full")}),
        (["memlock:8388608"], {("fail", "memlock")}),
        (["throttle:3:8"], set()),  # not under load
    ],
)
def test_a_machine_with_a_fault(faults, expected):
    health = before_start(probed("h100x8", *faults))
    assert {(one.level, one.rule) for one in health.findings} == expected


def test_probed_nodes_among_each_other():
    faults = [(), ("unplugged:3",), (), ("driver:550.54",), ("port_slow:ib3",)]
    nodes = [probe(FOLDERS, machine("h100x8", some, number), f"n{number}") for number, some in enumerate(faults)]
    found = {(one.node, one.level, one.rule) for one in judge(Cluster(nodes=tuple(nodes))).findings}
    assert found == {("n1", "fail", "gpus-differ"), ("n3", "fail", "versions"), ("n4", "fail", "rdma-slow")}


# Between nodes


def test_two_sides_of_which_nobody_knows_the_right_one():
    old = software(driver=ok("550.54"))
    health = judge(synthetic_cluster(4, {"n1": old, "n2": old}, rates=True))
    (finding,) = health.findings
    assert finding.node == "" and finding.between == ("n0", "n1", "n2", "n3")
    assert "570.86.15 on n[0,3]" in finding.what and "550.54 on n[1-2]" in finding.what
    assert "--exclude=n[0,3]" in finding.remedy and "--exclude=n[1-2]" in finding.remedy
    assert health.verdict == "fail" and set(health.verdicts.values()) == {"warning"} and exclude_line(health) == ""


def test_two_clocks_that_differ():
    (finding,) = judge(
        synthetic_cluster(2, {"n1": with_part("host", clock_skew_seconds=ok(60.0))}, rates=True)
    ).findings
    assert finding.between == ("n0", "n1") and "cannot be told" in finding.what


def test_the_merging_nodes_own_clock_may_be_wrong():
    others = {f"n{number}": with_part("host", clock_skew_seconds=ok(100.0)) for number in range(1, 5)}
    health = judge(synthetic_cluster(5, {**others, "n0": with_part("host", clock_skew_seconds=ok(0.0))}, rates=True))
    assert [(one.node, one.rule) for one in health.findings] == [("n0", "clock")]


@pytest.mark.parametrize(
    "count, slow_nodes, slow_links, expected",
    [
        (9, {3: 0.5}, {}, [("fail", "n3", (), "network-slow")]),
        (9, {}, {(3, 5): 0.5}, [("warning", "", ("n3", "n5"), "link-slow")]),
        (9, {1: 0.4, 2: 0.4}, {(3, 5): 0.5},
         [("fail", "n1", (), "network-slow"), ("fail", "n2", (), "network-slow"),
          ("warning", "", ("n3", "n5"), "link-slow")]),
        (4, {3: 0.5}, {}, [("fail", "n3", (), "network-slow")]),
        (4, {}, {(0, 3): 0.5}, [("warning", "", ("n0", "n3"), "link-slow")]),
        (3, {2: 0.5}, {}, [("warning", "n2", (), "network-slow")]),  # too few to say how much is chance
        (3, {}, {(0, 2): 0.5}, [("warning", "", ("n0", "n2"), "link-slow")]),
        (2, {1: 0.5}, {}, [("warning", "", ("n0", "n1"), "network-below-limit")]),
        (9, {}, {(3, 5): 0.95}, []),
    ],
)  # fmt: skip
def test_a_slow_node_and_a_slow_link(count, slow_nodes, slow_links, expected):
    cluster = dataclasses.replace(
        synthetic_cluster(count, rates=True),
        pairs=all_pairs(count, slow_nodes, slow_links),
        curves=(curve(45e9, ranks=8 * count),),
    )
    health = judge(cluster)
    assert [(one.level, one.node, one.between, one.rule) for one in health.findings] == expected


def test_of_one_pair_nobody_knows_which_end_is_slow():
    cluster = dataclasses.replace(synthetic_cluster(2, rates=True), pairs=all_pairs(2, {1: 0.3}), curves=(curve(45e9),))
    (finding,) = judge(cluster).findings
    assert "cannot be told from one pair" in finding.what and "27 %" not in finding.what
    assert "50 GB/s (ib0: 400 Gb/s)" in finding.what


def test_late_messages():
    pairs = tuple(
        dataclasses.replace(pair, latency_seconds=80e-6) if "n3" in (pair.a, pair.b) else pair for pair in all_pairs(6)
    )
    (finding,) = judge(dataclasses.replace(synthetic_cluster(6, rates=True), pairs=pairs)).findings
    assert finding.node == "n3" and "80" in finding.what and finding.level == "warning"


@pytest.mark.parametrize(
    "speed, limit, backend, found",
    [
        (20e9, 50e9, "nccl", True),
        (40e9, 50e9, "nccl", False),
        (1.0e9, 12.5e9, "gloo", False),  # gloo copies on one core: a faster line is not its measure
        (0.3e9, 12.5e9, "gloo", True),
        (20e9, None, "nccl", False),
    ],
)
def test_a_collective_below_what_the_lines_allow(speed, limit, backend, found):
    health = judge(dataclasses.replace(synthetic_cluster(2, rates=True), curves=(curve(speed, limit, backend),)))
    assert [one.rule for one in health.findings] == (["network-below-limit"] if found else [])
    assert health.verdict == ("warning" if found else "pass")


@pytest.mark.parametrize("factor, level", [(0.6, "warning"), (0.3, "fail")])
def test_a_rate_below_its_limit_on_a_node_alone(factor, level):
    cluster = synthetic_cluster(1, {"n0": with_rate("host_to_device", factor)}, rates=True)
    health = judge(cluster)
    assert {(one.level, one.rule) for one in health.findings} == {(level, "rate-low")}
    assert "63 GB/s" in health.findings[0].what and "GPU 0" in health.findings[0].what


def test_two_nodes_differ_only_if_grossly():
    assert judge(synthetic_cluster(2, {"n1": with_rate("memory_copy", 0.85)}, rates=True)).findings == ()
    (finding,) = judge(synthetic_cluster(2, {"n1": with_rate("memory_copy", 0.6)}, rates=True)).findings
    assert (finding.node, finding.level, finding.rule) == ("n1", "warning", "node-slow")


def test_a_port_that_is_down_everywhere_may_be_meant_so():
    unused = with_rdma(3, state=ok("DOWN"), physical_state=ok("Polling"))
    health = judge(synthetic_cluster(3, {f"n{number}": unused for number in range(3)}, rates=True))
    assert {(one.level, one.rule) for one in health.findings} == {("warning", "rdma-down")}


def test_a_slow_port_of_a_node_alone():
    health = before_start(with_rdma(3, rate_bits_per_second=ok(200 * 10**9))(h100_node(0)))
    assert [(one.level, one.rule) for one in health.findings] == [("warning", "rdma-slow")]


def test_a_network_card_without_a_cable_is_no_fault():
    node = with_port(state=ok("down"), speed_bits_per_second=unsupported())(h100_node(0))
    assert before_start(node).findings == ()
    node = with_port(state=ok("down"))(h100_node(0))
    assert [(one.level, one.rule) for one in before_start(node).findings] == [("warning", "port-down")]


# The whole


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.sampled_from(range(len(FAULTS))), max_size=4))
def test_the_order_of_nodes_does_not_matter(chance, which):
    faults = {f"n{number}": FAULTS[row][2] for number, row in enumerate(which)}
    cluster = dataclasses.replace(synthetic_cluster(6, faults, rates=True), pairs=all_pairs(6, {2: 0.5}))
    nodes, pairs = list(cluster.nodes), list(cluster.pairs)
    chance.shuffle(nodes)
    chance.shuffle(pairs)
    shuffled = dataclasses.replace(cluster, nodes=tuple(nodes), pairs=tuple(pairs))
    assert json.dumps(health_json(judge(shuffled))) == json.dumps(health_json(judge(cluster)))


def test_health_as_json_has_a_schema():
    health = judge(synthetic_cluster(3, {"n1": link_down}))
    plain = json.loads(json.dumps(health_json(health)))
    schema = health_schema()
    assert set(plain) == set(schema["properties"])
    assert (
        plain["findings"][0]["rule"] == "gpu-nvlink"
        and "description" in schema["$defs"]["Finding"]["properties"]["what"]
    )


def test_a_node_before_its_start_is_not_blamed_for_rates():
    node = synthetic_cluster(1, {"n0": with_rate("host_to_device", 0.1)}, rates=True).nodes[0]
    assert before_start(node).findings == () and before_start(node).unjudged == ()


@pytest.mark.parametrize(
    "values, expected",
    [
        ([10, 10, 10, 10], []),
        ([10, 10, 10, 9.5], []),  # ties: the deviation is zero, the floor is not
        ([10, 10, 10, 8.9], [3]),
        ([10, 10, 10, 10, 10, 10, 5, 5], [6, 7]),
        ([10, 10, 5, 5], []),  # half and half: nobody is odd
        ([10, 9, 8, 7, 6, 5], []),  # spread out: no odd one
        ([10], []),
        ([10, 8], []),
        ([10, 7], [1]),
        ([10, 10, 7], [2]),
        ([1e12, 1, 1, 1], []),  # only what is low is looked for
        ([], []),
    ],
)
def test_odd_ones(values, expected):
    assert sorted(low(dict(enumerate(values)))) == expected


def test_the_middle_of_distances():
    assert deviation([1, 1, 2, 2, 4, 6, 9]) == 1


def test_what_most_have():
    assert most_common({1: "a", 2: "b", 3: "a"}) == "a"
    assert most_common({1: "a", 2: "b"}) is None
    assert most_common({}) is None


@pytest.mark.parametrize(
    "names, words",
    [
        ([], ""),
        (["n3"], "n3"),
        (["n9", "n3", "n7", "n8"], "n[3,7-9]"),
        (["n9", "n10", "n11"], "n[9-11]"),
        (["n0", "n1", "n2"], "n[0-2]"),
        (["gpu-009", "gpu-010", "gpu-100", "gpu-101"], "gpu-[009-010,100-101]"),
        (["n1", "n01"], "n01,n1"),
        (["login", "n1.site", "n2.site"], "login,n[1-2].site"),
        (["rack1-n2", "rack2-n2"], "rack1-n2,rack2-n2"),
    ],
)
def test_names_of_nodes_written_short(names, words):
    assert compressed(names) == words
    random.Random(0).shuffle(names)
    assert compressed(names) == words
