"""From torch's flight recorder to who is behind."""

import json

import pytest

from cluster.pulse.collectives import Entered, behind, entered_last, in_disagreement


def record(number, operation="all_reduce", retired=True, state="scheduled", group="0", p2p=False):
    return {
        "collective_seq_id": number,
        "profiling_name": f"gloo:{operation}",
        "retired": retired,
        "state": state,
        "process_group": [group, "default_pg"],
        "is_p2p": p2p,
        "input_sizes": [[10, 2]],
    }


def told(*entries):
    return json.dumps({"entries": entries, "version": "2.10"}).encode()


@pytest.mark.parametrize(
    "words, number, finished, operation",
    [
        (told(), 0, 0, ""),
        (b"{}", 0, 0, ""),
        (told(record(1)), 1, 1, "all_reduce"),
        (told(record(1), record(2, "broadcast", retired=False)), 2, 1, "broadcast"),
        (told(record(1, retired=False)), 1, 0, "all_reduce"),
        (told(record(7, retired=False), record(8, retired=False)), 8, 6, "all_reduce"),  # the record has forgotten 1-6
        (told(record(7, retired=False, state="completed"), record(8, retired=False)), 8, 7, "all_reduce"),  # NCCL
        (told(record(3), record(9, group="1"), record(9, p2p=True)), 3, 3, "all_reduce"),
        (told(record(4, retired=False), record(3)), 4, 3, "all_reduce"),  # a ring: not in order
    ],
)
def test_the_last_collective(words, number, finished, operation):
    last = entered_last(5, words)
    assert (last.rank, last.number, last.finished, last.operation, last.unknown) == (5, number, finished, operation, "")


@pytest.mark.parametrize(
    "words, why",
    [
        (b'{"unknown": "torch 2.3 has no _dump_fr_trace_json"}', "torch 2.3 has no _dump_fr_trace_json"),
        (b"", "cannot be read"),
        (b'{"entries": [', "cannot be read"),
        (b"[1, 2]", "cannot be read"),
        (b'{"entries": [{"state": "scheduled"}]}', "cannot be read"),
        (b'{"entries": 3}', "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_unknown(words, why):
    assert why in entered_last(0, words).unknown


def ranks(*numbers):
    return [Entered(rank=rank, number=n) if n is not None else Entered(rank=rank, unknown="?")
            for rank, n in enumerate(numbers)]  # fmt: skip


@pytest.mark.parametrize(
    "entered, expected",
    [
        (ranks(), []),
        (ranks(7), []),
        (ranks(7, 7, 7), []),  # all are there: nobody is behind
        (ranks(8, 7, 8), [1]),
        (ranks(7, 8, 7), [0, 2]),
        (ranks(9, 7, 8), [1]),
        (ranks(8, 0), [1]),
        (ranks(8, None, 8), []),  # of who gives no answer nothing is said
        (ranks(8, None, 7), [2]),
        (ranks(None, None), []),
    ],
)
def test_behind(entered, expected):
    assert behind(entered) == expected


def test_the_same_number_but_another_collective():
    alike = [Entered(rank=rank, number=9, operation="all_reduce", sizes=[[4]]) for rank in range(2)]
    other = Entered(rank=2, number=9, operation="broadcast", sizes=[[4]])
    larger = Entered(rank=2, number=9, operation="all_reduce", sizes=[[5]])
    assert in_disagreement(alike) == []
    assert [one.rank for one in in_disagreement([*alike, other])] == [0, 1, 2]
    assert [one.rank for one in in_disagreement([*alike, larger])] == [0, 1, 2]
    assert in_disagreement([*alike, Entered(rank=2, number=8, operation="broadcast")]) == []  # who is behind says it
