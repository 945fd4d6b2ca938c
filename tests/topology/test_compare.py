import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cluster.topology.compare import differences
from cluster.topology.difference.change import Difference
from cluster.topology.gpu import RemappedRows
from cluster.topology.kinds import kinds
from cluster.topology.node import Cluster, Missing
from tests.topology.synthetic import (
    GIB,
    absent,
    all_pairs,
    cpu_node,
    curve,
    denied,
    gpu,
    h100_node,
    numa,
    ok,
    port,
    synthetic_cluster,
    uuid,
    with_gpu,
    with_part,
    with_port,
    with_rate,
    with_rdma,
    with_storage,
)


def alone(node):
    return Cluster(nodes=(node,))


def told(a, b):
    return [one.words for one in differences(a, b)]


def without_gpu(*indices):
    def fault(node):
        left = tuple(one for one in node.gpus.devices if one.index not in indices)
        return with_part("gpus", devices=left)(node)

    return fault


def both(*faults):
    def fault(node):
        for one in faults:
            node = one(node)
        return node

    return fault


def link_down(node):
    first, *others = gpu(1, 3).nvlinks.value
    return with_gpu(3, nvlinks=ok((dataclasses.replace(first, active=False), *others)))(node)


def path_changed(node):
    rows = [list(row) for row in node.gpus.paths.value]
    rows[0][1] = rows[1][0] = "PIX"
    return with_part("gpus", paths=ok(tuple(map(tuple, rows))))(node)


def with_network(**parts):
    return lambda node: dataclasses.replace(node, network=dataclasses.replace(node.network, **parts))


CHANGES = [
    # what happened to n1 of four nodes, what is said of it
    (with_part("software", driver=ok("580.1")), ["driver 570.86.15 -> 580.1 on n1"]),
    (with_part("software", driver=denied()), ["driver 570.86.15 -> denied (Permission denied) on n1"]),
    (with_part("software", environment=ok({"NCCL_ALGO": "Ring", "NCCL_DEBUG": "WARN", "SLURM_JOB_ID": "8"})),
     ["NCCL_ALGO not set -> Ring on n1"]),
    (with_part("host", boot=ok("another")), ["restarted on n1"]),
    (with_part("host", network_namespace=ok("net:[7]")), []),
    (with_gpu(3, ecc=ok(False)), ["GPU 3: ECC yes -> no on n1"]),
    (with_gpu(3, temperature_celsius=ok(80), throttle=ok(("hw_slowdown",)), ecc_corrected=ok(4)), []),  # live
    (both(with_gpu(2, vbios=ok("97")), with_gpu(3, vbios=ok("97"))), ["GPUs 2-3: VBIOS 96.00.74.00.01 -> 97 on n1"]),
    (link_down, ["GPU 3: NVLinks 18 of 18 active -> 17 of 18 active on n1"]),
    (with_gpu(3, remapped_rows=ok(RemappedRows(0, 2, True, False))),
     ["GPU 3: remapped rows 0 rows -> 2 rows, pending on n1"]),
    (path_changed, ["paths 0-1 NV18, 1-0 NV18 -> 0-1 PIX, 1-0 PIX on n1"]),
    (with_gpu(3, uuid=ok("GPU-new"), serial=ok("777")),
     [f"slot 0000:61:00.0: GPU replaced {uuid(1, 3)} (serial 1650000010003) -> GPU-new (serial 777) on n1"]),
    (without_gpu(3), [f"GPU 3 {uuid(1, 3)} (serial 1650000010003, slot 0000:61:00.0) gone from n1"]),
    (with_gpu(3, bus_id=ok("0000:aa:00.0")), ["GPU 3: bus id 0000:61:00.0 -> 0000:aa:00.0 on n1"]),
    (with_gpu(3, uuid=denied(), serial=denied()),
     [f"GPU 3: UUID {uuid(1, 3)} -> denied (Permission denied) on n1",
      "GPU 3: serial 1650000010003 -> denied (Permission denied) on n1"]),
    (with_rdma(3, rate=ok("200 Gb/sec (4X HDR)")),
     ["RDMA port mlx5_3/1: rate 400 Gb/sec (4X NDR) -> 200 Gb/sec (4X HDR) on n1"]),
    (with_port(addresses=ok(("10.9.9.9/16",))), ["interface ens1: addresses 10.0.0.2/16 -> 10.9.9.9/16 on n1"]),
    (with_network(ports=()), ["interface ens1 gone from n1"]),
    (with_network(ports=(port(1), port(7, "veth77", kind=ok("veth")))), []),  # comes and goes with a container
    (with_network(ports=(port(1), port(7, "ens9", bus_id=ok("0000:f0:00.0")))), ["interface ens9 new on n1"]),
    (with_part("memory", total_bytes=ok(1007 * GIB)), ["memory: total 1.97 TiB -> 1,007 GiB on n1"]),
    (with_part("memory", total_bytes=ok(2014 * GIB), available_bytes=ok(3)), []),  # the kernel keeps back what it likes
    (with_storage("runs", writable=ok(False)), ["folder runs: writable yes -> no on n1"]),
    (lambda node: dataclasses.replace(node, numa=(numa(0),)), ["NUMA node 1 gone from n1"]),
    (with_rate("matrix_product", 0.8, how="float32"),
     ["CPU: matrix product (float32) 4.92 Tflop/s -> 3.94 Tflop/s, slower on n1"]),
    (with_rate("matrix_product", 0.95), []),
    (with_rate("disk_write", 1.5),
     ["folder /scratch/runs: disk write (sequential, fsync) 2.02 GB/s -> 3.03 GB/s, faster on n1"]),
]  # fmt: skip


@pytest.mark.parametrize(
    "fault, expected", CHANGES, ids=[" ".join(row[1])[:60] or f"same {place}" for place, row in enumerate(CHANGES)]
)
def test_each_change_is_told(fault, expected):
    before = synthetic_cluster(4, rates=True)
    after = synthetic_cluster(4, {"n1": fault}, rates=True)
    assert told(before, after) == expected


def mirrored(one):
    levels = {"lost": "new", "new": "lost", "slower": "faster", "faster": "slower", "changed": "changed"}
    return dataclasses.replace(one, level=levels[one.level], before=one.after, after=one.before)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(range(len(CHANGES))), max_size=4), st.randoms(use_true_random=False))
def test_there_and_back(which, chance):
    """Nothing differs from itself; the way back is the way there, turned round; the order of nodes does not matter."""
    faults = {f"n{number}": CHANGES[row][0] for number, row in enumerate(which)}
    a, b = synthetic_cluster(4, rates=True, pairs=True), synthetic_cluster(4, faults, rates=True)
    b = dataclasses.replace(b, pairs=all_pairs(4, {3: 0.5}))
    assert differences(a, a) == [] and differences(b, b) == []
    there, back = differences(a, b), differences(b, a)
    key = repr
    assert sorted(map(mirrored, there), key=key) == sorted(back, key=key)
    nodes = list(b.nodes)
    chance.shuffle(nodes)
    assert differences(a, dataclasses.replace(b, nodes=tuple(nodes))) == there


def test_the_same_on_many_nodes_is_said_once():
    new = {f"n{number}": with_part("software", driver=ok("580.1")) for number in range(62)}
    assert told(synthetic_cluster(64), synthetic_cluster(64, new)) == [
        "driver 570.86.15 -> 580.1 on 62 nodes (n[0-61])"
    ]


def test_a_gpu_that_went_to_another_node():
    moved = with_gpu(0, uuid=ok(uuid(1, 0)), serial=ok("1650000010000"))
    after = synthetic_cluster(3, {"n1": without_gpu(0), "n2": moved})
    assert told(synthetic_cluster(3), after) == [
        f"GPU 0 {uuid(2, 0)} (serial 1650000020000, slot 0000:1b:00.0) gone from n2",
        f"GPU {uuid(1, 0)} (serial 1650000010000): moved n1 -> n2",
    ]


def test_nodes_that_are_gone_and_new():
    before = synthetic_cluster(3)
    gone = dataclasses.replace(before, nodes=before.nodes[:2])
    missing = dataclasses.replace(gone, missing=(Missing(name="n2", why="no record in 30 s"),))
    assert told(before, gone) == ["node there gone from n2"]
    assert told(gone, before) == ["node there new on n2"]
    (lost,) = differences(before, missing)
    assert (lost.level, lost.nodes, lost.after) == ("lost", ("n2",), "no answer: no record in 30 s")


def test_two_nodes_of_one_kind_are_equal():
    """Serials, UUIDs, addresses and names are each machine's own."""
    assert told(alone(h100_node(0, "a")), alone(h100_node(1, "b"))) == []


def test_two_nodes_of_two_kinds():
    odd = both(with_part("software", driver=ok("580.1")), without_gpu(7))(h100_node(1, "b"))
    said = told(alone(h100_node(0, "a")), alone(odd))
    assert said == [
        f"GPU 7 {uuid(0, 7)} (serial 1650000000007, slot 0000:df:00.0) gone from a -> b",
        "driver 570.86.15 -> 580.1 on a -> b",
    ]
    assert "CUDA 13.0 -> absent (there is none here) on a -> c" in told(
        alone(h100_node(0, "a")), alone(cpu_node(1, "c"))
    )


def test_a_node_that_was_renamed_is_the_same_machine():
    before, after = h100_node(0, "a"), with_gpu(2, serial=ok("9"))(h100_node(0, "b"))
    said = told(alone(before), alone(after))
    assert "GPU 2: serial 1650000000002 -> 9 on a -> b" in said and "name a -> b on a -> b" in said


def test_a_way_between_nodes_and_a_collective():
    before = dataclasses.replace(synthetic_cluster(2), pairs=all_pairs(2), curves=(curve(40e9),))
    after = dataclasses.replace(synthetic_cluster(2), pairs=all_pairs(2, {1: 0.5}), curves=(curve(20e9),))
    pair, collective = sorted(differences(before, after), key=lambda one: not one.nodes)
    assert pair.level == "slower" and pair.nodes == ("n0", "n1") and "GB/s" in pair.before
    assert collective.level == "slower" and collective.nodes == ()
    assert "all_reduce over 16 ranks (nccl) at 1 GiB and 7 other sizes" in collective.words
    assert "40 GB/s -> 20 GB/s" in collective.words


def test_a_spread_of_trials_is_no_difference():
    def noisy(node):
        rates = tuple(dataclasses.replace(one, low=0.7 * one.value, high=1.3 * one.value) for one in node.rates)
        return dataclasses.replace(node, rates=rates)

    slower = both(with_rate("matrix_product", 0.8), noisy)
    assert told(synthetic_cluster(1, {"n0": noisy}, rates=True), synthetic_cluster(1, {"n0": slower}, rates=True)) == []


def test_many_slower_figures_are_told_by_their_medians():
    slower = {f"n{number}": with_rate("device_memory", 0.5) for number in range(3)}
    (one,) = differences(synthetic_cluster(4, rates=True), synthetic_cluster(4, slower, rates=True))
    assert (one.part, one.level, one.nodes) == ("24 GPUs", "slower", ("n0", "n1", "n2"))
    assert "median of 24" in one.before and "TB/s" in one.before


def test_differences_as_json():
    found = differences(synthetic_cluster(2), synthetic_cluster(2, {"n1": link_down}))
    adapter = TypeAdapter(list[Difference])
    assert adapter.validate_json(adapter.dump_json(found)) == found
    assert json.loads(adapter.dump_json(found))[0]["nodes"] == ["n1"]


# Nodes that are alike


def test_62_nodes_like_this_and_2_that_differ():
    faults = {"n3": with_gpu(2, ecc=ok(False)), "n10": both(with_part("software", driver=ok("550")), without_gpu(7))}
    found = kinds(synthetic_cluster(64, faults).nodes)
    assert [(len(one.nodes), one.differs) for one in found] == [
        (62, ()),
        (1, ("GPU 2 ECC no instead of yes",)),
        (1, ("driver 550 instead of 570.86.15", "7 GPUs instead of 8")),
    ]
    assert found[0].sample.name == "n0" and found[1].nodes == ("n3",)


@pytest.mark.parametrize("fault, expected", [
    (with_gpu(3, temperature_celsius=ok(80), ecc_uncorrected_lifetime=ok(3)), None),
    (with_gpu(3, remapped_rows=ok(RemappedRows(3, 0, False, False))), None),
    (with_gpu(3, remapped_rows=ok(RemappedRows(3, 0, True, False))),
     "GPU 3 remapped rows 3 rows, pending instead of 0 rows"),
    (with_part("memory", total_bytes=ok(2014 * GIB)), None),
    (with_part("memory", total_bytes=ok(1007 * GIB)), "memory total 1,007 GiB instead of 1.97 TiB"),
    (with_part("software", environment=ok({"SLURM_JOB_ID": "7", "SLURM_NODEID": "5", "NCCL_DEBUG": "WARN"})), None),
    (with_part("software", driver=denied()), "driver denied instead of 570.86.15"),
    (with_gpu(3, fabric=ok("completed 11111111-2222-3333-4444-555555555555 0")), None),
    (link_down, "GPU 3 NVLinks 17 of 18 active instead of 18 of 18 active"),
    (path_changed, "paths otherwise"),
    (with_network(ports=(port(1, "eth7"),)), None),
    (with_network(ports=(port(1), port(7, "veth77", kind=ok("veth")))), None),
    (with_network(rdma=()), "0 RDMA ports instead of 8"),
    (with_part("host", container=ok("docker")), "container docker instead of absent"),
])  # fmt: skip
def test_what_makes_another_kind(fault, expected):
    found = kinds(synthetic_cluster(3, {"n1": fault}).nodes)
    assert [one.differs for one in found[1:]] == ([(expected,)] if expected else [])


def test_kinds_do_not_depend_on_the_order_of_nodes():
    nodes = synthetic_cluster(6, {"n3": link_down, "n4": with_part("host", hypervisor=absent())}).nodes
    assert kinds(nodes) == kinds(nodes[::-1])
    assert kinds(()) == []
