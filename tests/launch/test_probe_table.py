import dataclasses
import sys

import pytest

from cluster.topology.compare import differences
from cluster.topology.fact import unknown
from cluster.topology.health.judge import judge
from launch.probe.rows import unknowns
from launch.probe.table import differences_table, table
from tests.topology import sample, synthetic
from tests.topology.sample import finding, health

FOUND = finding("n1", "fail", "GPU 3: PCIe x4 where card and slot can x16", "Copies are slow.", "Reseat the card.")


def lines(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_node_is_told_in_lines():
    shown = lines(table(sample.cluster(sample.plain()), health(finding("vm", "warning", "/dev/shm has 64 MiB"))))
    for line in (
        "vm: warning",
        "warning: /dev/shm has 64 MiB",
        "It matters. Do something.",
        "CPU Intel Xeon Processor @ 2.60GHz, 1 socket, 2 cores, 4 CPUs",
        "usable CPUs 0-3 (4 of 4), quota 1.5, load ?",
        "GPUs none that answers: no NVIDIA driver: libnvidia-ml.so.1 is not installed",
        "0 0-1,2-3 13 GiB 10.5 GiB 10",
        "runs /data/runs ext4 4 GiB 100 GiB ? ?",
        "matrix product, fp32 141 Gflop/s 332 Gflop/s 42 % cpu",
        "memory copy, 1 thread 9.1 GB/s – – numa 0",
        "not known: interface eth0: speed, because unsupported: virtio tells no speed",
    ):
        assert line in shown


def test_every_gpu_and_port_has_its_line():
    shown = lines(table(sample.two(), health(FOUND)))
    assert shown[0] == "2 nodes: 1 fail, 1 pass"
    gpu = "NVIDIA H100 80GB HBM3 0000:61:00.0 0 79.6 GiB 0 bytes"
    assert f"3 {gpu} PCIe 1 x16 PCIe 5 x16 18 of 18 31 °C 72 of 700 W on none" in shown
    assert f"3 {gpu} PCIe 1 x4 PCIe 5 x16 18 of 18 31 °C 72 of 700 W on none" in shown
    assert sum(line.startswith("mlx5_") for line in shown) == 16
    assert any("21–8" in line and line.endswith("GPU 3 (low)") for line in shown)
    assert "n0 n1 44.9 GB/s 4.95 µs 90 %" in shown


def test_columns_line_up():
    shown = table(sample.two(), None).splitlines()
    start = next(index for index, line in enumerate(shown) if line.lstrip().startswith("GPU  model"))
    place = shown[start].index("bus id")
    assert [line[place : place + 5] for line in shown[start + 1 : start + 9]] == ["0000:"] * 8


def test_many_nodes_are_told_by_kind():
    shown = lines(table(sample.many(64), judge(sample.many(64))))
    assert shown[0] == "64 nodes: 1 no answer, 1 fail, 63 pass"
    assert "n64 gave no answer: no answer within 20 s" in shown
    assert "B n17: GPU 3 PCIe width max 4 instead of 16" in shown
    assert "n[0-16,18-39,41-63]: 62 nodes like this: pass" in shown
    assert "n17: fail" in shown and "--exclude=n[17,64]" in shown
    assert len(shown) < 150


def test_why_facts_are_not_known():
    node = synthetic.h100_node(0)
    for index in range(8):
        node = synthetic.with_gpu(index, xids=unknown("denied", "dmesg is for root"))(node)
    reasons = {why: (none_here, names) for none_here, why, names in unknowns(node)}
    assert reasons["denied: dmesg is for root"] == (False, "GPUs 0-7: xids")
    assert reasons["there is none here"][0]  # bare metal: no hypervisor, no container
    assert list(reasons)[-1] == "there is none here"


def test_what_was_never_asked_is_not_called_absent():
    shown = table(sample.cluster(sample.Node(name="n0")), None)
    assert "because not asked" in shown and "not there" not in shown


def test_a_name_cannot_move_the_cursor():
    node = dataclasses.replace(sample.plain(), name="a\x1b[2Jb\nc\rd")
    shown = table(sample.cluster(node), None)
    assert "\x1b" not in shown and "\r" not in shown
    assert shown.splitlines()[0] == "a␛[2Jb c␍d: not judged"


def test_colours_on_a_terminal_only(monkeypatch):
    cluster = sample.cluster(sample.plain())
    plain = table(cluster, None)
    assert "\x1b" not in plain
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1m" in table(cluster, None)
    monkeypatch.setenv("NO_COLOR", "1")
    assert table(cluster, None) == plain


@pytest.mark.parametrize("curve", [synthetic.curve(10e9), synthetic.curve(10e9, limit=None)])
def test_a_curve_is_told_size_by_size(curve):
    shown = lines(table(sample.cluster(sample.plain(), curves=(curve,)), None))
    assert any(line.startswith("All-reduce over 16 ranks on 2 nodes, nccl") for line in shown)
    assert sum(line.endswith("rank 0 on n0") for line in shown) == len(curve.sizes)


def test_what_changed_is_told_worst_first():
    before, after = sample.two(), sample.two()
    assert differences_table(differences(before, after)) == "Nothing has changed."
    first = synthetic.with_gpu(2, vbios=synthetic.ok("96.00.99"))(after.nodes[0])
    devices = first.gpus.devices[:7]
    first = dataclasses.replace(first, gpus=dataclasses.replace(first.gpus, devices=devices))
    after = dataclasses.replace(after, nodes=(first, after.nodes[1]))
    shown = lines(differences_table(differences(before, after)))
    assert shown[0] == "where what before after"
    assert any(line.startswith("lost n0 GPU") for line in shown)
    changed = next(line for line in shown if "VBIOS" in line)
    assert changed.startswith("changed n0 ") and changed.endswith("96.00.74.00.01 96.00.99")
    assert shown.index(changed) > 1


def test_what_no_rule_could_judge_is_no_pass():
    cluster = sample.cluster(sample.Node(name="n0"))
    shown = table(cluster, judge(cluster))
    assert "not judged" in shown
