import dataclasses

import pytest

from cluster.config.load import load
from cluster.errors import DataError
from launch import check


@pytest.mark.parametrize(
    "gpus, wish, expected",
    [
        (4, None, 4),
        (4, "", 0),
        (4, "-1", 0),
        (4, "0,2", 2),
        (4, "0,9,1", 1),  # CUDA stops at the first entry that is not there
        (4, "GPU-1234,GPU-5678", 2),
        (0, "0", 0),
        (2, " 1 ", 1),
    ],
)
def test_gpus_that_cuda_shows(gpus, wish, expected):
    assert check.visible(gpus, wish) == expected


def recipe(**data):
    loaded = load("sentiment")
    return dataclasses.replace(loaded, data=dataclasses.replace(loaded.data, **data))


def test_files_and_globs_need_no_catalogue(tmp_path, monkeypatch):
    monkeypatch.setattr(check.local, "answer", lambda *_: pytest.fail("asked the catalogue"))
    (tmp_path / "a.jsonl").touch()
    path = str(tmp_path / "a.jsonl")
    check.check_sources(recipe(train=(path, f"{tmp_path}/*.jsonl"), validation="none", test="auto"))


def test_missing_sources_are_all_named(tmp_path, monkeypatch):
    catalogue = [
        {"name": "reuters-r8", "splits": {"train": "", "test": ""}},
        {"name": "poems", "splits": {"train": ""}},
    ]
    monkeypatch.setattr(check.local, "answer", lambda *_: catalogue)
    check.check_sources(recipe(train="reuters-r8", test="reuters-r8"))
    with pytest.raises(DataError) as caught:
        check.check_sources(recipe(train=("reuters-8", f"{tmp_path}/*.csv"), validation="nothing", test="poems"))
    message = str(caught.value)
    assert "did you mean reuters-r8?" in message
    assert "/*.csv" in message and 'data.validation = "nothing"' in message
    assert "poems has no test split, only train" in message
    with pytest.raises(DataError, match='data.train = "none"'):
        check.check_sources(recipe(train="none", test="none"))


def test_this_machine_is_seen_without_torch():
    machine = check.machine()
    assert machine.cores >= 1 and machine.gpus >= 0 and bool(machine.gpu_name) == bool(machine.gpus)
