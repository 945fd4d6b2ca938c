"""Merging over TCP, in one process: who belongs to a probe, who does not, and who does not come."""

import contextlib
import dataclasses
import itertools
import json
import os
import resource
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import InfrastructureError
from cluster.topology import frames, head, member
from cluster.topology.fact import Fact, unknown
from cluster.topology.frames import Garbled, Inbox, packed
from cluster.topology.gather import bring, brought, distinct, gathered, merged, of_head
from cluster.topology.head import Head
from cluster.topology.member import Member
from cluster.topology.node import Node, cluster_from_json, to_json
from cluster.topology.place import Place, candidate_ports
from cluster.topology.storage import Storage
from cluster.topology.tokens import left_in, sees

probes = itertools.count()
to_json(Node(name="n"))  # how it is read is found once; threads that find it at once meet CPython 3.11's issue 106905
WAIT = 20.0


class Probe:
    """The places of some nodes of one probe, and what they do."""

    def __init__(self, nodes, local_ranks=1, folders=None):
        name = f"test {os.getpid()} {next(probes)}"
        self.folders = folders or {}
        self.places = [
            Place(
                launcher="srun",
                ranks=nodes * local_ranks,
                local_ranks=local_ranks,
                node=node,
                nodes=nodes,
                node_name=f"n{node}",
                names=tuple(f"n{node}" for node in range(nodes)),
                ports=candidate_ports(name, taken=0),
                name=name,
            )
            for node in range(nodes)
        ]

    @contextlib.contextmanager
    def head(self, now=time.time):
        with left_in(self.folders) as left, Head(self.places[0], "n0", left, now) as started:
            self.port = started.port
            self.left = left
            yield started

    def merge(self, head, wait=WAIT):
        return gathered(self.places[0], of_head(self.record(0), self.left), head, wait, everybody=False).cluster

    def record(self, node, folders=None):
        folders = self.folders if folders is None else folders
        return Node(name=f"n{node}", storage=tuple(Storage(role=role, path=path) for role, path in folders.items()))

    def member(self, node, wait=WAIT):
        return Member(self.places[node], f"n{node}", ["127.0.0.1"], wait)

    def bring(self, node, now=time.time, folders=None):
        with self.member(node) as joined:
            bring(joined, brought(joined, self.record(node, folders), now))

    def stranger(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def hello(self, node=1, rank=0, **changes):
        place = self.places[0]
        return {"hello": {"name": place.name, "node": node, "rank_of_node": rank, "node_name": "x"} | changes}


def until(ready, seconds=20):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.01)


def answer(connection):
    """What node 0 says, or None when it hangs up."""
    inbox = Inbox(frames.RECORD_BYTES)
    while (message := inbox.next()) is None:
        chunk = connection.recv(1 << 16)
        if not chunk:
            return None
        inbox.take(chunk)
    return message


def test_records_come_together_in_the_order_of_nodes():
    probe = Probe(4)
    with probe.head() as started, ThreadPoolExecutor() as pool:
        done = [pool.submit(probe.bring, node) for node in (3, 1, 2)]
        cluster = probe.merge(started)
        for one in done:
            one.result()
    assert [node.name for node in cluster.nodes] == ["n0", "n1", "n2", "n3"]
    assert (cluster.missing, cluster.problems) == ((), ())
    assert cluster_from_json(json.loads(json.dumps(to_json(cluster))), "the test") == cluster


def test_who_does_not_come_is_named_with_what_is_known_of_it():
    probe = Probe(5)
    with probe.head() as started:
        probe.bring(2)
        with probe.member(1), probe.member(3) as leaving:
            leaving._socket.close()
            until(lambda: "left" in started.heard_of(3))
            cluster = probe.merge(started, wait=0.2)
    assert [node.name for node in cluster.nodes] == ["n0", "n2"]
    why = {missing.name: missing.why for missing in cluster.missing}
    assert list(why) == ["n1", "n3", "n4"]
    assert why["n1"] == "it called from 127.0.0.1, and brought no record within 0.2 s"
    assert why["n3"] == "it called from 127.0.0.1, but left, and brought no record within 0.2 s"
    assert why["n4"] == "it did not call within 0.2 s"


def test_who_comes_too_late_is_told():
    probe = Probe(3)
    with probe.head() as started, probe.member(1) as slow:
        cluster = probe.merge(started, wait=0.05)
        with pytest.raises(InfrastructureError, match="came after"):
            bring(slow, probe.record(1))
        with pytest.raises(InfrastructureError, match="came after"):
            probe.bring(2)
    assert [missing.name for missing in cluster.missing] == ["n1", "n2"]


STRANGE = [
    (b"GET / HTTP/1.0\r\n\r\n", "a message of 1195725856 bytes"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "a message of"),  # TLS
    (b"\x00\x00\x00\x03abc", "no JSON"),
    (b"\x00\x00\x00\x02\xff\xfe", "no JSON"),
    (b"\x00\x00\x00\x02[]", "JSON, but no object"),
    (packed({"hello": 1}), "not to be said here"),
    (packed({"record": {}}), "not to be said here"),
    (packed({"clock": 1}), "not to be said here"),
    (packed({"hello": {}}), "no hello of this version"),
    (packed({"hello": {"name": "another", "node": 1}}), "another probe"),
    (b"\x00\x00\x01\x00" + b"[" * 256, "no JSON"),
]


@pytest.mark.parametrize("words, why", STRANGE)
def test_a_stranger_is_refused_and_harms_nobody(words, why):
    probe = Probe(2)
    with probe.head() as started:
        with probe.stranger() as stranger:
            stranger.sendall(words)
            assert "refused" in answer(stranger)
        probe.bring(1)
        cluster = probe.merge(started)
    assert [node.name for node in cluster.nodes] == ["n0", "n1"]
    (problem,) = cluster.problems
    assert problem.startswith("127.0.0.1: refused: ") and why in problem


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"name": "srun 8.0"}, "another probe"),
        ({"node": 2}, "no process 0 of node 2"),
        ({"node": -1}, "no process"),
        ({"node": 0}, "no process 0 of node 0"),  # that is node 0 itself
        ({"node": "1"}, "no hello"),
        ({"rank_of_node": 99}, "no process 99"),
    ],
)
def test_who_is_not_expected_is_refused(changes, why):
    probe = Probe(2)
    with probe.head() as started, probe.stranger() as stranger:
        stranger.sendall(packed(probe.hello(**changes)))
        assert why in answer(stranger)["refused"]
        probe.bring(1)
        cluster = probe.merge(started)
    assert len(cluster.nodes) == 2 and why in cluster.problems[0]


def test_half_a_message_and_a_broken_connection_harm_nobody():
    probe = Probe(3)
    with probe.head() as started:
        with probe.stranger() as stranger:
            stranger.sendall(b"\x00\x00")
        with probe.stranger() as caller:
            caller.sendall(packed(probe.hello(2)))
            assert "welcome" in answer(caller)
            caller.sendall(packed({"record": to_json(probe.record(2))})[:100])
        until(lambda: len(started.problems) == 2)
        probe.bring(1)
        cluster = probe.merge(started, wait=0.3)
    assert [node.name for node in cluster.nodes] == ["n0", "n1"]
    assert "it left in the middle of a message" in cluster.missing[0].why
    assert all("in the middle of a message" in problem for problem in cluster.problems)


def test_who_was_cut_off_may_come_again():
    probe = Probe(2)
    with probe.head() as started:
        with probe.stranger() as caller:
            caller.sendall(packed(probe.hello(1)))
            answer(caller)
        until(lambda: not started.here())
        probe.bring(1)
        assert len(probe.merge(started).nodes) == 2


def test_who_stalls_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(head, "HELLO_SECONDS", 0.05)
    monkeypatch.setattr(head, "LOOK_SECONDS", 0.01)
    probe = Probe(2)
    with probe.head() as started, probe.stranger() as mute, probe.stranger() as slow:
        slow.sendall(b"\x00")
        assert answer(mute) is None and answer(slow) is None  # turned out
        probe.bring(1)
        cluster = probe.merge(started)
    assert len(cluster.nodes) == 2
    assert len(cluster.problems) == 2 and "said nothing whole within" in cluster.problems[0]


def test_a_member_that_never_reads_does_not_hold_up_the_others():
    probe = Probe(2)
    with probe.head() as started, probe.stranger() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(packed(probe.hello(1)))
        until(lambda: started.here())
        deaf.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(10000):
                deaf.send(packed({"clock": True}) * 100)
        cluster = probe.merge(started, wait=0.5)
    assert [missing.name for missing in cluster.missing] == ["n1"]


def test_a_second_one_of_the_same_node_is_refused():
    probe = Probe(2)
    with probe.head() as started:
        with probe.member(1) as first:
            with pytest.raises(InfrastructureError, match="here already"):
                probe.bring(1)
            bring(first, probe.record(1))
        until(lambda: not started.here())
        with pytest.raises(InfrastructureError, match="has brought its record already"):
            probe.bring(1)
        cluster = probe.merge(started)
    assert len(cluster.nodes) == 2 and len(cluster.problems) == 2


@pytest.mark.parametrize(
    "record, where",
    [
        (b'{"name":5}', "name"),
        (b'{"name":"n1"', "the whole"),
        (b'{"name":"n1","numa":' + 5000 * b"[" + b"}", "the whole"),
        (b'"\xff"', "the whole"),
        (b"", "the whole"),
    ],
    ids=["a wrong value", "cut off", "nested", "no UTF-8", "nothing"],
)
def test_what_is_no_record_is_refused_with_the_place_where(record, where):
    probe = Probe(2)
    with probe.head() as started:
        with probe.member(1) as joined, pytest.raises(InfrastructureError, match=f"no record of a probe: {where}"):
            joined.bring(record, WAIT)
        cluster = probe.merge(started, wait=0.1)
    assert cluster.nodes[0].name == "n0"
    assert "was refused" in cluster.missing[0].why and "no record of a probe" in cluster.problems[0]


def test_only_one_process_of_a_node_brings_its_record():
    probe = Probe(2, local_ranks=2)
    with probe.head() as started, probe.stranger() as second:
        second.sendall(packed(probe.hello(1, rank=1)) + packed({"record": to_json(probe.record(1))}))
        assert "welcome" in answer(second)
        probe.bring(1)
        assert len(probe.merge(started).nodes) == 2


def test_many_strangers_are_counted_and_some_are_told():
    probe = Probe(2)
    with probe.head() as started:
        for _ in range(head.PROBLEMS + 7):
            with probe.stranger() as stranger:
                stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer(stranger)
        probe.bring(1)
        cluster = probe.merge(started)
    assert len(cluster.nodes) == 2
    assert len(cluster.problems) == head.PROBLEMS + 1 and "7 more" in cluster.problems[-1]


@pytest.mark.parametrize("off", [0.0, 7.0, -3600.0])
def test_a_clock_that_is_off_shows(off):
    probe = Probe(2)
    with probe.head() as started:
        probe.bring(1, now=lambda: time.time() + off)
        cluster = probe.merge(started)
    skews = [node.host.clock_skew_seconds for node in cluster.nodes]
    assert skews[0].value == 0.0
    assert abs(skews[1].value - off) < 1.0
    assert (skews[1].unit, "n0" in skews[1].source, "±" in skews[1].source) == ("s", True, True)


def test_folders_that_every_node_sees_and_folders_that_some_do_not(tmp_path):
    for name in ("common", "one", "other"):
        (tmp_path / name).mkdir()
    mine = {"data": str(tmp_path / "common"), "temporary": str(tmp_path / "one"), "runs": "/proc/self"}
    theirs = mine | {"temporary": str(tmp_path / "other"), "own": str(tmp_path)}
    probe = Probe(2, folders=mine)
    with probe.head() as started:
        probe.bring(1, folders=theirs)
        cluster = probe.merge(started)
    first, second = ({storage.role: storage.shared for storage in node.storage} for node in cluster.nodes)
    assert (first["data"].value, first["temporary"].value) == (True, True)
    assert (second["data"].value, second["temporary"].value) == (True, False)
    for shared in (first["runs"], second["runs"]):  # nobody can leave a file there: unknown, not False
        assert shared.value is None and "n0 could leave no file there" in shared.why
    assert second["own"].status == "absent"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_does_not_exist_yet_stands_for_the_one_that_will_hold_it(tmp_path):
    with left_in({"runs": str(tmp_path / "a" / "b")}) as left:
        assert len(list(tmp_path.iterdir())) == 1 and not (tmp_path / "a").exists()
        assert sees(str(tmp_path / "a" / "b"), left["runs"], "n0").value is True
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_made_meanwhile_changes_nothing(tmp_path):
    runs = tmp_path / "a" / "b"
    with left_in({"runs": str(runs)}) as left:
        runs.mkdir(parents=True)
        assert sees(str(runs), left["runs"], "n0").value is True
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_left_above_a_folder_for_another_part_is_not_taken_for_its_own(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    with left_in({"data": str(inner), "temporary": str(tmp_path)}) as left:
        (inner / left["data"].value).unlink()  # as on a node that has another file system there
        assert sees(str(inner), left["data"], "n0").value is False


def test_two_parts_may_share_a_folder(tmp_path):
    with left_in({"data": str(tmp_path), "runs": str(tmp_path)}) as left:
        assert all(fact.known for fact in left.values())
        assert all(sees(str(tmp_path), fact, "n0").value is True for fact in left.values())
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_passed_over_by_both_sides(monkeypatch):
    monkeypatch.setattr(member, "ANSWER_SECONDS", 0.2)
    probe, another = Probe(2), Probe(2)
    another.places = [dataclasses.replace(place, ports=probe.places[0].ports[1:]) for place in another.places]
    mute = socket.create_server(("", probe.places[0].ports[0]))  # lets in, and says nothing
    with mute, another.head() as other, probe.head() as started:
        assert (other.port, started.port) == (probe.places[0].ports[1], probe.places[0].ports[2])
        probe.bring(1)
        cluster = probe.merge(started)
        assert len(cluster.nodes) == 2 and cluster.problems == ()
        assert len(other.problems) == 1 and "another probe" in other.problems[0]


def test_no_port_to_be_had():
    probe = Probe(2)
    with contextlib.ExitStack() as taken:
        for port in probe.places[0].ports:
            taken.enter_context(socket.create_server(("", port)))
        with pytest.raises(InfrastructureError, match="8 candidate ports"), probe.head():
            pass


def test_no_node_0_to_be_found():
    with pytest.raises(InfrastructureError) as refused, Probe(2).member(1, wait=0.1):
        pass
    assert "Connection refused" in str(refused.value) and "firewall" in str(refused.value)
    assert refused.value.exit_code == 75


def test_node_0_that_falls_silent():
    probe = Probe(2)
    with probe.head(), probe.member(1) as joined, pytest.raises(InfrastructureError, match="said nothing whole"):
        joined.hear(0.1)


def test_node_0_that_is_gone():
    probe, stack = Probe(2), contextlib.ExitStack()
    stack.enter_context(probe.head())
    with probe.member(1) as joined:
        stack.close()
        with pytest.raises(InfrastructureError, match="hung up"):
            joined.hear(10)


def test_words_for_all_reach_all():
    probe = Probe(3)
    with probe.head() as started, probe.member(1) as one, probe.member(2) as other:
        assert started.here() == [(1, 0), (2, 0)]
        started.tell({(1, 0): {"go": 1}, (2, 0): {"go": 2}, (7, 0): {"go": 3}})
        assert (one.hear(10), other.hear(10)) == ({"go": 1}, {"go": 2})


def test_what_was_said_last_arrives_though_node_0_leaves():
    probe, stack = Probe(2), contextlib.ExitStack()
    started = stack.enter_context(probe.head())
    with probe.member(1) as joined, ThreadPoolExecutor() as pool:
        heard = pool.submit(joined.hear, 20)
        started.tell({(1, 0): {"go": "x" * 3_000_000}})
        stack.close()
        assert len(heard.result()["go"]) == 3_000_000


def test_a_thousand_nodes_at_once():
    nodes = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3 * nodes:
        pytest.skip(f"this process may open {hard} files: a thousand nodes in one process need {3 * nodes}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3 * nodes), hard))
    probe = Probe(nodes)
    record = to_json(probe.record(1))
    try:
        with probe.head() as started, contextlib.ExitStack() as open_ones:
            connections = []
            for node in range(1, nodes):
                connection = open_ones.enter_context(probe.stranger())
                connection.sendall(packed(probe.hello(node)) + packed({"record": record | {"name": f"n{node}"}}))
                connections.append(connection)
            cluster = probe.merge(started, wait=60)
            for connection in connections:
                assert "welcome" in answer(connection)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [node.name for node in cluster.nodes] == [f"n{node}" for node in range(nodes)]
    assert (cluster.missing, cluster.problems) == ((), ())


def test_a_clock_does_not_wait_for_all_the_records_that_came_before(monkeypatch):
    reads, nodes = head.node_from_bytes, 100

    def slowly(*what):
        time.sleep(0.1)
        return reads(*what)

    monkeypatch.setattr(head, "node_from_bytes", slowly)
    probe = Probe(nodes)
    record = to_json(probe.record(1))
    with probe.head() as started, contextlib.ExitStack() as open_ones, probe.member(1) as asking:
        connections = [open_ones.enter_context(probe.stranger()) for _ in range(2, nodes)]
        for node, connection in enumerate(connections, start=2):
            connection.sendall(packed(probe.hello(node)))
        until(lambda: len(started.here()) == nodes - 1)
        for connection in connections:
            connection.sendall(packed({"record": record}))
        assert asking.skew(time.time).round_trip_seconds < member.ANSWER_SECONDS


def test_who_brings_record_upon_record_is_refused():
    probe = Probe(3)
    record = packed({"record": to_json(probe.record(1))})
    with probe.head() as started, probe.stranger() as double:
        double.sendall(packed(probe.hello(1)) + 3 * record)
        until(lambda: started.problems)
        (problem,) = started.problems
    assert "x (node 1, 127.0.0.1): refused: " in problem


def test_a_record_counts_though_its_node_hung_up_at_once():
    probe = Probe(2)
    with probe.head() as started:
        with probe.stranger() as hasty:
            hasty.sendall(packed(probe.hello(1)) + packed({"record": to_json(probe.record(1))}))
        cluster = probe.merge(started)
    assert [node.name for node in cluster.nodes] == ["n0", "n1"]


TORCHRUN = Place(launcher="torchrun", nodes=3)
SLURMS = dataclasses.replace(TORCHRUN, names=("a", "b", "c"))
SRUN = dataclasses.replace(SLURMS, launcher="srun")


@pytest.mark.parametrize(
    "place, names, here, missing",
    [
        (SRUN, {0: "vm", 1: "vm", 2: "vm"}, ["a", "b", "c"], []),  # the scheduler's names count
        (SRUN, {0: "vm", 2: "vm"}, ["a", "c"], ["b"]),
        (TORCHRUN, {0: "x", 1: "y", 2: "z"}, ["x", "y", "z"], []),
        (TORCHRUN, {0: "x", 1: "x", 2: "y"}, ["x#0", "x#1", "y"], []),
        (TORCHRUN, {0: "x"}, ["x"], ["node 1", "node 2"]),
        (SLURMS, {0: "c", 2: "a"}, ["c", "a"], ["b"]),  # torchrun counts its nodes in an order of its own
    ],
)
def test_names_of_who_is_here_and_who_is_not(place, names, here, missing):
    records = {number: Node(name=name) for number, name in names.items()}
    cluster = merged(place, records, {node: "why" for node in range(3) if node not in names}, [])
    assert [node.name for node in cluster.nodes] == here
    assert [gone.name for gone in cluster.missing] == missing


def test_names_become_distinct():
    assert distinct(["a", "b", "a", "c"]) == ["a#0", "b", "a#1", "c"]


MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=30), max_size=4), max_size=5)


@given(MESSAGES, st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_messages_survive_any_cutting(messages, cuts):
    stream = b"".join(map(packed, messages))
    inbox, found, at = Inbox(1 << 20), [], 0
    for cut in itertools.chain(cuts, itertools.repeat(1000)):
        inbox.take(stream[at : at + cut])
        at += cut
        while (message := inbox.next()) is not None:
            found.append(message)
        if at >= len(stream):
            break
    assert found == messages and not inbox.is_amid


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_garbled_or_not_whole(chunk):
    inbox = Inbox(1 << 12)
    inbox.take(chunk)
    with contextlib.suppress(Garbled):
        while (message := inbox.next()) is not None:
            assert isinstance(message, dict)


def test_why_no_file_was_left_is_told_by_who_would_look_for_it():
    left: Fact[str] = unknown("denied", "Permission denied: /data", "a file left there")
    fact = sees("/data", left, "n0")
    assert (fact.status, fact.value) == ("denied", None) and "Permission denied" in fact.why
