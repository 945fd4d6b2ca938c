"""`muster probe` and `muster check --node` as a person uses them: this machine, composed ones, and two days."""

import json

import pytest

from cluster.topology.source import write_recording
from tests.topology.machines import machine, recorded


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Writes a composed machine to a file for --replay."""
    folder = tmp_path_factory.mktemp("recordings")

    def write(kind, faults=()):
        composed = machine(kind, faults=list(faults))
        path = folder / f"{kind}-{len(list(folder.iterdir()))}.json"
        write_recording(path, composed.about, recorded(composed))
        return path

    return write


def test_this_machine_is_told_and_every_unknown_has_its_reason(muster):
    ended = muster("probe")
    assert ended.code == 0, ended.err
    for words in ("CPU", "memory", "Network", "Folders"):
        assert words in ended.out
    node = muster("probe", "--json").json["nodes"][0]
    facts = [fact for part in node.values() if isinstance(part, dict) for fact in part.values()]
    unknown = [fact for fact in facts if isinstance(fact, dict) and "status" in fact and fact["status"] != "ok"]
    assert all(fact["why"] for fact in unknown)
    assert node["probe_seconds"] < 9  # its mark is 3


def test_what_is_printed_and_what_is_saved_follow_the_schema(muster, recording, tmp_path):
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema: pip install -e .[dev]")
    schema = muster("probe", "--schema").json
    assert schema["$schema"].endswith("2020-12/schema")
    jsonschema.Draft202012Validator.check_schema(schema)
    follows = jsonschema.Draft202012Validator(schema)
    saved = tmp_path / "saved.json"
    for options in ([], ["--replay", recording("h100x8", ["lost:3"])]):
        printed = muster("probe", "--json", "--save", saved, *options).json
        assert printed["health"]["verdicts"]
        for record in (printed, json.loads(saved.read_bytes())):
            assert list(follows.iter_errors(record)) == []
    del printed["nodes"][0]["cpu"]["model"]["status"]
    assert not follows.is_valid(printed)
    assert not follows.is_valid({})


def test_files_are_written_and_nothing_else_is_printed(muster, tmp_path):
    svg, page, record = (tmp_path / name for name in ("node.svg", "node.html", "node.json"))
    ended = muster("probe", "--svg", svg, "--html", page, "--save", record)
    assert (ended.code, ended.out) == (0, "")
    assert svg.read_text().startswith("<svg")
    assert "<!doctype html>" in page.read_text()[:20].lower()
    assert json.loads(record.read_bytes())["nodes"]


def test_a_recorded_machine_is_judged(muster, recording):
    whole = muster("check", "--node", "--replay", recording("h100x8"))
    assert whole.code == 0, whole.out
    lost = muster("check", "--node", "--replay", recording("h100x8", ["lost:3"]))
    assert lost.code == 75
    assert "GPU 3" in lost.out
    assert "--exclude=" in lost.out
    told = muster("check", "--node", "--json", "--replay", recording("h100x8", ["lost:3"]))
    assert told.json["verdict"] == "fail"
    assert told.json["exclude"].startswith("--exclude=")


def test_two_days_are_compared(muster, recording, tmp_path):
    monday, friday = tmp_path / "monday.json", tmp_path / "friday.json"
    muster("probe", "--replay", recording("h100x8"), "--save", monday)
    muster("probe", "--replay", recording("h100x8", ["lost:3"]), "--save", friday)
    assert muster("probe", "diff", monday, monday).out == "Nothing has changed.\n"
    changed = muster("probe", "diff", monday, friday)
    assert changed.code == 0
    assert "GPU" in changed.out
    assert {one["level"] for one in muster("probe", "diff", monday, friday, "--json").json} <= {"lost", "changed"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["probe", "everything"], "muster probe diff A B"),
        (["probe", "diff", "one.json"], "muster probe diff A B"),
        (["probe", "diff", "none.json", "none.json"], "none.json cannot be read as a record"),
        (["probe", "--replay", "none.json"], "none.json cannot be read as a recording"),
        (["probe", "--svg", "no/such/folder.svg"], "cannot be written"),
        (["probe", "--measure=soon"], "'soon' is no number of seconds"),
        (["probe", "--folder", "data"], "ROLE=PATH"),
        (["check"], "--node"),
        (["check", "--node", "--wait", "0"], "'0' is no number of seconds"),
    ],
)
def test_what_cannot_be_asked(muster, words, told):
    ended = muster(*words)
    assert ended.code == 2
    assert told in ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err


def test_a_record_of_another_format_and_no_record_at_all(muster, tmp_path):
    later, nothing = tmp_path / "later.json", tmp_path / "nothing.json"
    later.write_text('{"format": 99, "nodes": []}')
    nothing.write_text("[1, 2]")
    assert "format 99" in muster("probe", "diff", later, later).err
    assert "no record of a probe" in muster("probe", "diff", nothing, later).err
    run = tmp_path / "run"
    run.mkdir()
    assert "topology.json" in muster("probe", "diff", run, later).err


def test_a_run_and_its_checkpoints_hold_the_record(muster, recipe_of, tmp_path):
    run = tmp_path / "run"
    trained = muster("train", recipe_of(), "--run", run)
    assert trained.code == 0, trained.err
    for reason in ("threads ", "CPUs not bound", "loader threads 0"):
        assert reason in trained.err + (run / "logs" / "attempt-000" / "rank-0.log").read_text()
    (checkpoint,) = [folder for folder in (run / "checkpoints").iterdir() if folder.name == "000020"]
    for record in (run / "topology.json", checkpoint / "topology.json"):
        assert json.loads(record.read_bytes())["nodes"][0]["cpu"]["model"]
    assert muster("probe", "diff", run, run).out == "Nothing has changed.\n"
