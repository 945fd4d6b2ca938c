import os

import pytest

from cluster.data.durable import fsync_file, fsync_folder, rename_folder, write_atomically


def test_a_file_is_created_and_replaced(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_write_that_fails_leaves_the_old_bytes_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_everything_is_on_disk_before_a_folder_gets_its_name(tmp_path, monkeypatch):
    work, deep = tmp_path / "x.partial", tmp_path / "x.partial" / "train"
    deep.mkdir(parents=True)
    (deep / "lengths").write_bytes(b"1234")
    (work / "manifest.json").write_bytes(b"{}")
    (work / "link").symlink_to("/nowhere")  # left alone
    synced, real_fsync, real_rename = [], os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real_fsync(fd)))
    monkeypatch.setattr(os, "rename", lambda a, b: (synced.append("rename"), real_rename(a, b)))
    rename_folder(work, tmp_path / "x")
    assert (tmp_path / "x" / "train" / "lengths").read_bytes() == b"1234"
    before = set(synced[: synced.index("rename")])
    assert {str(p) for p in (work, deep, deep / "lengths", work / "manifest.json")} <= before
    assert synced[-1] == str(tmp_path)


def test_a_folder_is_never_renamed_over_another(tmp_path):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(OSError, match="not empty"):
        rename_folder(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "file").read_text() == "old"


def test_missing_paths_are_errors(tmp_path):
    for call in (fsync_file, fsync_folder):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        rename_folder(tmp_path / "absent", tmp_path / "b")
