"""The rates between ranks, on two, three and four gloo processes of this machine, and what the others say when one of
them fails."""

import os
import signal
import socket
import time

import pytest

from cluster.rates import curve, pairs, wire
from cluster.rates.measure import measure_between, own_name
from cluster.topology.fact import Fact
from cluster.topology.host import Host
from cluster.topology.node import Cluster, Node, to_json
from tests.rates.jobs import job, record

KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20


def measured(seconds):
    """On a rank of the pool."""
    cluster = measure_between(Cluster(nodes=(Node(name="here"),)), seconds, lambda _: None)
    return {"record": to_json(cluster), "left": os.environ.get("GLOO_SOCKET_IFNAME")}


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_curve_of_ranks_on_one_node(pool, ranks):
    answers = pool.run(ranks, measured, seconds=1.0)
    first = answers[0]["record"]
    assert all(answer["record"] == first for answer in answers)
    assert first["problems"] == [] and first["pairs"] == []
    (drawn,) = first["curves"]
    assert (drawn["collective"], drawn["backend"], drawn["ranks"], drawn["nodes"]) == ("all_reduce", "gloo", ranks, 1)
    assert drawn["rank_nodes"] == ["here"] * ranks
    assert drawn["interface"] == "lo" or "GLOO_SOCKET_IFNAME" in os.environ
    assert drawn["limit"] is None and drawn["limit_reason"]
    assert {answer["left"] for answer in answers} == {os.environ.get("GLOO_SOCKET_IFNAME")}
    sizes = drawn["sizes"]
    lengths = [size["message_bytes"] for size in sizes]
    assert len(lengths) >= 7 and lengths[0] == KIBIBYTE and lengths == sorted(set(lengths))
    assert drawn["latency_seconds"] == sizes[0]["median_seconds"]
    for size in sizes:
        assert size["trials"] >= 3
        assert 0 < size["min_seconds"] <= size["median_seconds"]
        assert len(size["rank_seconds"]) == ranks
        expected = size["message_bytes"] * 2 * (ranks - 1) / ranks / size["median_seconds"]
        assert size["bus_bytes_per_second"] == pytest.approx(expected)
        assert size["best_bus_bytes_per_second"] >= size["bus_bytes_per_second"]


def test_four_nodes_meet_in_pairs():
    names = ["a", "b", "c", "d"]
    with job(names, 2.0) as processes:
        records = [record(process) for process in processes]
    assert all(other == records[0] for other in records)
    assert records[0]["problems"] == []
    assert records[0]["curves"][0]["rank_nodes"] == names
    found = {(pair["a"], pair["b"]) for pair in records[0]["pairs"]}
    assert found == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")}
    assert all(pair["bytes_per_second"] > 0 and pair["latency_seconds"] > 0 for pair in records[0]["pairs"])


def test_one_process_of_each_node_meets_the_others():
    with job(["a", "b"], 1.0, ranks_of_node=2) as processes:
        first = record(processes[0])
    assert first["curves"][0]["rank_nodes"] == ["a", "a", "b", "b"]
    assert (first["curves"][0]["ranks"], first["curves"][0]["nodes"]) == (4, 2)
    assert [(pair["a"], pair["b"]) for pair in first["pairs"]] == [("a", "b")]


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "freezes"])
def test_a_rank_that_fails_is_told_by_the_others_in_bounded_time(signal_):
    with job(["a", "b", "c"], 6.0, timeout=3) as processes:
        assert "all-reduce over 3 ranks" in processes[0].stderr.readline()
        time.sleep(0.5)
        processes[2].send_signal(signal_)
        for rank in (0, 1):
            (problem,) = record(processes[rank])["problems"]
            assert problem.startswith(f"between nodes: rank {rank} of 3: ")


def test_a_rank_that_never_comes_is_told_in_bounded_time():
    with job(["a", "b"], 1.0, size=3, timeout=3) as processes:
        for rank in (0, 1):
            told = record(processes[rank])
            assert told["curves"] == []
            assert told["problems"][0].startswith(f"between nodes: rank {rank} of 3: ")


def test_one_rank_alone_has_nothing_to_measure(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    cluster = Cluster(nodes=(Node(name="alone"),))
    assert measure_between(cluster, 10, lambda _: None) is cluster


@pytest.mark.parametrize(
    "size, last, seconds, expected",
    [
        (4 * MEBIBYTE, 0.1, 2.1, True),  # five messages of 0.4 s
        (4 * MEBIBYTE, 0.1, 1.9, False),
        (512 * KIBIBYTE, 0.1, 0.3, True),
    ],
)
def test_a_size_is_measured_if_its_fewest_trials_fit(size, last, seconds, expected):
    assert curve.fits(size, curve.size_of(MEBIBYTE, [[last], [last]]), seconds) == expected


def test_a_trial_lasts_as_long_as_its_slowest_rank():
    size = curve.size_of(1_000_000, [[0.1, 0.2, 0.1], [0.1, 0.1, 0.4]])
    assert (size.trials, size.min_seconds, size.median_seconds) == (3, 0.1, 0.2)
    assert size.rank_seconds == (0.1, 0.1)
    assert size.bus_bytes_per_second == pytest.approx(5e6)  # two ranks: each link carries the message once
    assert size.best_bus_bytes_per_second == pytest.approx(1e7)


@pytest.mark.parametrize(
    "speed, seconds, expected",
    [
        (25e6, 1.0, 3_125_000),
        (25e6, 0.001, 65_536),
        (50e9, 1.0, 67_108_864),
    ],
)
def test_messages_of_pairs_fit_into_their_round(speed, seconds, expected):
    assert pairs.message_bytes(speed, seconds) == expected


def test_a_node_finds_itself_in_the_record():
    def host(boot, namespace):
        return Host(name=Fact("same"), boot=Fact(boot), network_namespace=Fact(namespace))

    nodes = (Node(name="a", host=host("1", "x")), Node(name="b", host=host("1", "y")), Node(name="c"))
    assert own_name(Cluster(nodes=nodes), host("1", "y"), 0) == "b"
    assert own_name(Cluster(nodes=nodes), host("2", "x"), 2) == "c"  # not to be told apart: by its number
    assert own_name(Cluster(nodes=nodes[:1]), host("7", "z"), 5) == "a"  # it holds itself alone
    assert own_name(Cluster(), host("7", "z"), 5) == "same"


def test_the_interface_is_that_of_the_route():
    assert wire.interface_towards("127.0.0.1") == "lo"
    assert wire.interface_towards("no such host.invalid") == ""


def test_a_name_that_means_this_machine_is_no_way_to_the_others(monkeypatch):
    real = socket.getaddrinfo
    monkeypatch.setattr(
        wire.socket,
        "getaddrinfo",
        lambda host, *rest, **how: real("127.0.1.1" if host == "head" else host, *rest, **how),
    )
    outside = wire.interface_towards(wire.ELSEWHERE)
    assert wire.interface_towards("head") == (outside or "lo")
