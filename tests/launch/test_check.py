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


def test_a_file_of_word_vectors_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(check.local, "answer", lambda *_: ["data.test: a mistake of its own"])
    recipe, vectors = load("sentiment"), tmp_path / "vectors.txt"
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, embedding=8, vectors=str(vectors)))
    with pytest.raises(DataError) as caught:
        check.check_sources(recipe, "sentiment", [])
    assert "a mistake of its own" in str(caught.value) and 'vectors.txt": no such file' in str(caught.value)
    vectors.touch()
    monkeypatch.setattr(check.local, "answer", lambda *_: [])
    check.check_sources(recipe, "sentiment", [])


def test_this_machine_is_seen_without_torch():
    seen = check.machine()
    assert seen.cores >= 1 and seen.gpus >= 0 and bool(seen.gpu_name) == bool(seen.gpus)
