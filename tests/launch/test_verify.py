import io
import json
import os

import numpy as np
import pytest

from cluster.data.manifest import describe_file, write_manifest
from cluster.data.writing import SplitWriter
from cluster.runs import RunFolder, create_run
from launch import checking
from launch.checking import Lines
from launch.cli import main


@pytest.fixture
def folder(tmp_path):
    """Prepared data with a shard of two blocks, and an encoder."""
    folder = tmp_path / "data"
    with SplitWriter(folder, "train", vocabulary_rows=9, layout="sequence", shard_tokens=2_300_000) as writer:
        for _ in range(2):
            one = np.ones(1, dtype=np.uint32)
            writer.append(np.full(2_200_000, 3, dtype=np.uint32), one * 2_200_000, one, one.astype(np.uint64))
    (folder / "encoder.json").write_text("{}")
    contents = {"fingerprint": "f", "layout": "sequence", "vocabulary_rows": 9, "labels": ["a", "b"], "report": {}}
    files = {"splits": {"train": writer.close()}, "files": [describe_file(folder, "encoder.json")]}
    write_manifest(folder, {**contents, **files})
    return folder


def overwrite(path, place, data=b"\1"):
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(data)


def damage(folder):
    overwrite(folder / "train/00000.tokens", 100)
    overwrite(folder / "train/00000.tokens", 4_300_000)
    overwrite(folder / "train/00001.tokens", 4_300_000)
    overwrite(folder / "train/labels", 3)
    os.truncate(folder / "train/source", 9)
    (folder / "encoder.json").unlink()


def test_data_that_is_whole(folder, capsys):
    assert main(["verify", str(folder)]) == 0
    shown = capsys.readouterr()
    assert f"{folder} is whole: 8,800,050 bytes in 9 blocks" in shown.out and not shown.err


def test_everything_that_is_damaged_is_named(folder, capsys):
    damage(folder)
    assert main(["verify", str(folder)]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    for words in (
        "train/00000.tokens is damaged in 4 MiB block 0 (bytes 0 to 4,194,303)",
        "train/00000.tokens is damaged in 4 MiB block 1 (bytes 4,194,304 to 4,399,999)",
        "train/00001.tokens is damaged in 4 MiB block 1",
        "train/labels is damaged in 4 MiB block 0",
        "train/source has 9 bytes, the manifest says 16",
        "encoder.json is in the manifest but cannot be opened",
    ):
        assert words in shown.err
    assert shown.err.count("\n") == 7 and shown.err.endswith("Remove the folder and prepare the data again.\n")


def test_the_report_as_json(folder, capsys):
    damage(folder)
    assert main(["verify", str(folder), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert [(one["file"], one["block"]) for one in report["damage"]] == [
        ("train/00000.tokens", 0), ("train/00000.tokens", 1), ("train/00001.tokens", 1), ("train/labels", 0),
        ("train/source", None), ("encoder.json", None),
    ]  # fmt: skip
    assert report["bytes"] == 8_800_050 and report["data"] == str(folder)


def test_files_that_do_not_belong_there_are_told_and_do_no_harm(folder, capsys):
    (folder / "train" / "notes.txt").touch()
    (folder / "link").symlink_to("link")
    (folder / "up").symlink_to("..")
    (folder / "baseline.json").write_text("{}")  # muster's own
    assert main(["verify", str(folder), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["unknown_files"] == ["link", "train/notes.txt", "up"]
    assert "train/notes.txt is not in the manifest" in shown.err and "baseline" not in shown.err


def test_the_data_of_a_run(folder, tmp_path, capsys):
    create_run(RunFolder(tmp_path / "run"), "", folder)
    assert main(["verify", str(tmp_path / "run")]) == 0
    assert f"{folder} is whole" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("named", "said"),
    [("absent", "absent is no folder: name one that `muster prepare` printed, or a run."), (".", "no manifest.json")],
)
def test_what_is_no_prepared_data(tmp_path, monkeypatch, capsys, named, said):
    monkeypatch.chdir(tmp_path)
    assert main(["verify", named]) == 2
    assert said in capsys.readouterr().err


def test_a_terminal_shows_a_bar(folder, monkeypatch, capsys):
    monkeypatch.setattr(checking, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["verify", str(folder)]) == 0
    shown = capsys.readouterr()
    assert "is whole" in shown.out and "checking" in shown.err and "8.8/8.8 MB" in shown.err


def test_lines_come_every_few_seconds():
    now, shown = [0.0], io.StringIO()
    lines = Lines(4000, shown, clock=lambda: now[0])
    for now[0] in (1.0, 16.0, 17.0):
        lines.add(1000)
    assert shown.getvalue() == "checked 2,000 of 4,000 bytes\n"
