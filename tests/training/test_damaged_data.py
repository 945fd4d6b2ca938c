"""Damaged data never becomes a checkpoint or a score: every rank ends, and file and block are named."""

import json
import shutil
from pathlib import Path

import pytest

from cluster.config.load import load, to_toml
from cluster.runs import RunFolder, create_run

TRAIN = {"steps": 60, "step_size": "16 examples", "checkpoint_steps": 5, "log_steps": 1}


@pytest.fixture(scope="module")
def prepared(recipe_of, muster):
    """A recipe for bags and one for sequences, each with its prepared folder."""
    found = {}
    for kind in ("mlp", "lstm"):
        recipe = recipe_of(kind, train=TRAIN, launch={"device": "cpu", "ranks": 2}, evaluate={"steps": 5})
        ended = muster("prepare", recipe, "--json")
        assert ended.code == 0, ended.err
        found[kind] = recipe, Path(ended.json["prepared"])
    return found


@pytest.fixture
def damaged_run(prepared, tmp_path):
    """A run that was made and not started, on a copy of its data in which some bytes of a file are others."""

    def make(kind, name, place, data):
        recipe, whole = prepared[kind]
        folder = tmp_path / "data"
        shutil.copytree(whole, folder)
        with open(folder / name, "r+b") as file:
            file.seek(place)
            assert file.read(len(data)) != data
            file.seek(place)
            file.write(data)
        run = RunFolder(tmp_path / "run")
        create_run(run, to_toml(load(str(recipe), [])), folder)
        return run

    return make


CASES = {
    "another token": ("lstm", "train/00000.tokens", b"\2\0\3\0"),
    "a token outside the vocabulary": ("lstm", "train/00000.tokens", b"\xff\xff"),  # the model fails first
    "a weight that is no number": ("mlp", "train/00000.weights", b"\0\0\xc0\x7f" * 300),  # the loss fails first
    "a label": ("mlp", "train/labels", b"\1\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0"),
    "a length": ("lstm", "train/lengths", b"\xff\xff"),
    "the validation split": ("lstm", "validation/00000.tokens", b"\2\0\3\0"),
    "the test split": ("lstm", "test/00000.tokens", b"\2\0\3\0"),
    "the encoder": ("lstm", "encoder.json", b"[]"),
}


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_end_and_name_file_and_block(damaged_run, muster, case):
    kind, name, data = CASES[case]
    run = damaged_run(kind, name, 0, data)
    ended = muster("resume", run.path)
    said = f"{name} is damaged in 4 MiB block 0 (bytes 0 to "
    assert ended.code == 2, ended.err
    assert said in ended.err and "muster verify" in ended.err and "Traceback" not in ended.err
    verdict = json.loads(run.verdict.read_text())
    assert verdict["verdict"] == "wrong input" and said in verdict["message"]
    failures = [json.loads(path.read_text()) for path in run.attempt_logs(0).glob("rank-*.failure.json")]
    assert failures and all(said in failure["message"] for failure in failures if not failure["because_of_a_peer"])
    assert not run.evaluation.exists() and not run.model.exists()
    if name.startswith("train/"):
        assert not run.checkpoint_steps()


def settle_here(folder):
    """Rank 1 reads the damaged column, rank 0 does not."""
    from cluster.config.schema import Data, Launch, Mlp, Recipe
    from cluster.data.shards import ShardReader
    from cluster.errors import DataError
    from cluster.plan.plan import make_plan
    from cluster.training.parallel import environment, machine, started
    from cluster.training.settling import settle

    recipe = Recipe(data=Data(train="-"), model=Mlp(), launch=Launch(device="cpu"))
    with started(make_plan(recipe, machine(), ranks=environment()), strict=False) as world:
        reader = ShardReader(Path(folder), "train")
        settle(reader, world)
        if world.rank == 1:
            assert len(reader.sources)
        try:
            settle(reader, world)
        except DataError as error:
            return str(error)
    return ""


def test_what_one_rank_finds_is_raised_by_all(pool, prepared, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(prepared["mlp"][1], folder)
    assert pool.run(2, settle_here, folder=str(folder)) == ["", ""]
    (folder / "train" / "source").write_bytes(bytes((folder / "train" / "source").stat().st_size))
    told = pool.run(2, settle_here, folder=str(folder))
    assert told[0] == told[1] and "train/source is damaged in 4 MiB block 0" in told[0]
