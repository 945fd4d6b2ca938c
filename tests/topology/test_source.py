"""What a machine answers is kept, and answered again."""

import dataclasses
import json

import pytest

from cluster.errors import DataError
from cluster.topology import calls, source
from cluster.topology.fact import Unread
from tests.topology.asked import every_fact, facts, said


def asked_of(machine):
    """Three questions with an answer, two without."""
    outcomes = []
    for ask in (
        lambda: machine.text("/here"),
        lambda: machine.names("/folder"),
        lambda: machine.call("limit", "memlock"),
        lambda: machine.text("/denied"),
        lambda: machine.call("version", "torch"),
    ):
        try:
            outcomes.append(ask())
        except OSError as error:
            outcomes.append((error.errno, error.strerror, error.filename))
        except Unread as unread:
            outcomes.append((unread.status, unread.why))
    return outcomes


class Told:
    def text(self, path):
        if path == "/denied":
            raise PermissionError(13, "Permission denied", path)
        return "words"

    def names(self, folder):
        return ["a", "b"]

    def real(self, path):
        return path

    def call(self, name, *arguments):
        if name == "version":
            raise Unread("absent", "not installed")
        return "unlimited"


def test_a_recording_answers_as_the_machine_did(tmp_path):
    recorder = source.Recorder(Told())
    told = asked_of(recorder)
    source.write_recording(tmp_path / "machine.json", "composed", recorder.answers)
    assert asked_of(source.read_recording(tmp_path / "machine.json")) == told
    assert told[3] == (13, "Permission denied", "/denied")
    assert told[4] == ("absent", "not installed")
    assert json.loads((tmp_path / "machine.json").read_bytes())["about"] == "composed"


def test_what_was_not_recorded_is_not_there():
    machine = source.Replay({})
    for ask in (machine.text, machine.names, machine.real):
        with pytest.raises(FileNotFoundError):
            ask("/sys/x")
    with pytest.raises(Unread, match="affinity is not in the recording"):
        machine.call("affinity")


@pytest.mark.parametrize("contents", ["", "[]", "{}", '{"answers": [1]}', '{"answers": {"text /x": 1}}'])
def test_other_files_are_refused(tmp_path, contents):
    (tmp_path / "other.json").write_text(contents)
    with pytest.raises(DataError, match=r"other\.json"):
        source.read_recording(tmp_path / "other.json")
    with pytest.raises(DataError, match=r"none\.json"):
        source.read_recording(tmp_path / "none.json")


def test_this_machine_recorded_has_the_same_facts(tmp_path):
    recorder = source.Recorder(source.Live(calls.call))
    now = facts(recorder, [tmp_path, "/dev/shm", "/nowhere/at/all"])
    source.write_recording(tmp_path / "machine.json", "this machine", recorder.answers)
    again = said(facts(source.read_recording(tmp_path / "machine.json"), [tmp_path, "/dev/shm", "/nowhere/at/all"]))
    assert dict(lasting(now)) == dict(lasting(again))
    assert len(dict(lasting(now))) > 60


def test_a_machine_of_which_nothing_was_recorded_has_a_reason_for_every_fact():
    nothing = said(facts(source.Replay({}), ["/data"]))
    known = [place for place, fact, _ in every_fact(nothing) if fact.known]
    assert known == []


def lasting(record):
    return ((place, dataclasses.astuple(fact)) for place, fact, live in every_fact(record) if not live)
