import dataclasses

import pytest

from cluster.config.load import load
from cluster.errors import DataError
from launch import check
from tests.topology.machines import machine


@pytest.mark.parametrize(
    "kind, faults, gpus, gains",
    [
        ("h100x8", [], 8, True),
        ("h100x8", ["environment:CUDA_VISIBLE_DEVICES=6,2"], 2, True),
        ("h100x8", ["environment:CUDA_VISIBLE_DEVICES="], 0, False),
        ("h100x8", ["lost:3"], 7, True),
        ("h100x8", ["handle:0:NoPermission", "handle:1:NoPermission"], 6, True),  # not granted to this job
        ("a100-mig", ["environment:CUDA_VISIBLE_DEVICES=MIG-00000000-0000-4000-8000-000000000002"], 1, True),
        ("geforce", [], 1, True),
        ("no-gpu", [], 0, False),
        ("h100x8", ["init:LibRmVersionMismatch"], 0, False),
    ],
)
def test_gpus_that_this_process_may_use(kind, faults, gpus, gains):
    names, gain = check.gpus(machine(kind, faults))
    assert (len(names), gain) == (gpus, gains)


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
    seen = check.machine()
    assert seen.cores >= 1 and seen.gpus >= 0 and bool(seen.gpu_name) == bool(seen.gpus)
