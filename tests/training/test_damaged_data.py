"""Damaged data never becomes a checkpoint or a score: every rank ends, and file and block are named."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from cluster.config.load import load, to_toml
from cluster.runs import RunFolder, create_run
from tests.conftest import SOAK

TRAIN = {"steps": 60, "step_size": "16 examples", "checkpoint_steps": 5, "log_steps": 1}


@pytest.fixture(scope="module")
def prepared(recipe_of, here):
    """A recipe for bags and one for sequences, each with its prepared folder."""
    found = {}
    for kind in ("mlp", "lstm"):
        recipe = recipe_of(kind, train=TRAIN, launch={"device": "cpu", "ranks": 2}, evaluate={"steps": 5})
        ended = here("prepare", recipe)
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
SAMPLE = ["a weight that is no number"]


@pytest.mark.parametrize("case", CASES if SOAK else SAMPLE)
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


def settle_here(folder, damaged):
    """Rank by rank, what `settle` raises: each of the `damaged` ranks has read the damaged column of a copy of its own,
    the others no damaged one."""
    from cluster.config.models import Mlp
    from cluster.config.schema import Data, Launch, Recipe
    from cluster.data.shards import ShardReader
    from cluster.errors import DataError
    from cluster.plan.plan import make_plan
    from cluster.training.parallel import environment, machine, started
    from cluster.training.settling import settle

    recipe = Recipe(data=Data(train="-"), model=Mlp(), launch=Launch(device="cpu"))
    with started(make_plan(recipe, machine(), ranks=environment()), strict=False) as world:
        reader = ShardReader(Path(folder) / f"rank-{world.rank}", "train")
        settle(reader, world)
        if world.rank in damaged:
            assert len(reader.sources)
        try:
            settle(reader, world)
        except DataError as error:
            return str(error)
    return ""


@pytest.mark.parametrize("damaged", [[], [0], [2], [1, 2]])
def test_what_one_rank_finds_is_raised_by_all(pool, prepared, tmp_path, damaged):
    """Words of any letters and length travel, also by a rank that is not the first."""
    copies = tmp_path / os.fsdecode(b"\xff") / "données 資料 🗂" / ("x" * 200)
    for rank in range(3):
        shutil.copytree(prepared["mlp"][1], copies / f"rank-{rank}")
        source = copies / f"rank-{rank}" / "train" / "source"
        source.write_bytes(bytes(source.stat().st_size))
    told = pool.run(3, settle_here, folder=str(copies), damaged=damaged)
    if damaged:
        said = f"{copies / f'rank-{damaged[0]}'}/train/source is damaged in 4 MiB block 0"
        assert told[0].startswith(said) and told == told[:1] * 3
    else:
        assert told == ["", "", ""]


def test_nothing_in_the_house_travels_as_a_pickle():
    """An object collective, or `torch.load`, runs what it is sent; so does a pickle that is read."""
    refused = re.compile(
        r"(gather|broadcast|scatter|send|recv)_object|torch\.(load|save)\(|allow_pickle=True"
        r"|import (pickle|dill|shelve|marshal|joblib)"
    )
    root = Path(__file__).parents[2]
    for path in (path for room in ("cluster", "launch") for path in (root / room).rglob("*.py")):
        assert not refused.search(path.read_text()), path
