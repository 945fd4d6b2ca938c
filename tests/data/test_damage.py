"""Whatever happens to a prepared folder is named, with file and block, and nothing hangs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from cluster.data.manifest import BLOCK_BYTES, open_prepared, write_manifest
from cluster.data.verify import verify
from cluster.data.writing import SplitWriter
from cluster.errors import EXIT_WRONG_INPUT, DataError

FLIPS = 1000 if os.environ.get("MUSTER_SOAK") else 60


def made(folder, seed=0, documents=3000):
    rng = np.random.default_rng(seed)
    lengths = np.full(documents, 1000, dtype=np.uint32)
    with SplitWriter(
        folder, "train", vocabulary_rows=100, layout="sequence", tag_rows=0, shard_tokens=1 << 20
    ) as writer:
        writer.append(
            rng.integers(0, 100, int(lengths.sum())).astype(np.uint32),
            lengths,
            np.zeros(documents, dtype=np.int32),
            np.arange(documents, dtype=np.uint64),
            None,
        )
    contents = {"fingerprint": "f", "layout": "sequence", "vocabulary_rows": 100, "labels": ["a", "b"], "report": {}}
    write_manifest(folder, {**contents, "splits": {"train": writer.close()}})
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return made(tmp_path_factory.mktemp("prepared") / "data")


def run_verify(folder, *more):
    command = [sys.executable, "-m", "launch", "verify", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def flip(path, place, bit=1):
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ bit]))


def test_every_flipped_byte_is_caught(prepared):
    rng = np.random.default_rng(1)
    files = list(open_prepared(prepared).files())
    ends = np.cumsum([entry.bytes for entry in files])
    for place in rng.integers(0, ends[-1], FLIPS).tolist():
        number = int(np.searchsorted(ends, place, side="right"))
        entry = files[number]
        inside = place - int(ends[number] - entry.bytes)
        bit = 1 << int(rng.integers(8))
        flip(prepared / entry.name, inside, bit)
        with pytest.raises(DataError, match=f"{entry.name} is damaged in 4 MiB block {inside // BLOCK_BYTES} "):
            verify(prepared)
        flip(prepared / entry.name, inside, bit)
    verify(prepared)


def test_the_command_says_that_all_is_whole(prepared):
    ended = run_verify(prepared)
    assert ended.returncode == 0 and "is whole" in ended.stdout


def test_the_command_names_every_damaged_file_and_block_and_strangers(tmp_path):
    folder = made(tmp_path / "data", documents=9000)
    flip(folder / "train/00000.tokens", 5)
    flip(folder / "train/lengths", 77)
    (folder / "notes.txt").write_text("not of muster")
    ended = run_verify(folder, "--json")
    assert ended.returncode == EXIT_WRONG_INPUT
    assert "train/00000.tokens is damaged in 4 MiB block 0" in ended.stderr
    assert "train/lengths is damaged in 4 MiB block 0" in ended.stderr
    assert "notes.txt is not in the manifest" in ended.stderr
    assert len(json.loads(ended.stdout)["damage"]) == 2


def swap(folder):
    os.rename(folder / "train/00000.tokens", folder / "swap")
    os.rename(folder / "train/00001.tokens", folder / "train/00000.tokens")
    os.rename(folder / "swap", folder / "train/00001.tokens")


def replace(name, make):
    def damage(folder):
        (folder / name).unlink()
        make(folder / name)

    return damage


def rename_in_manifest(name):
    def damage(folder):
        contents = json.loads((folder / "manifest.json").read_text())
        contents["splits"]["train"]["shards"][0]["tokens"]["name"] = name
        (folder / "manifest.json").write_text(json.dumps(contents))

    return damage


def foreign_manifest(folder):
    other = made(folder.parent / "other", seed=5)
    (folder / "manifest.json").write_bytes((other / "manifest.json").read_bytes())


SHARD = "train/00001.tokens"
DAMAGES = {
    "truncated": (lambda folder: os.truncate(folder / SHARD, 1000), "00001.tokens has 1,000 bytes"),
    "missing": (lambda folder: (folder / SHARD).unlink(), "00001.tokens is in the manifest but cannot be opened"),
    "swapped": (swap, "00000.tokens is damaged in 4 MiB block 0"),
    "of other data": (foreign_manifest, "00000.tokens is damaged in 4 MiB block 0"),
    "a way out": (rename_in_manifest("../secret"), "names must be relative and stay inside"),
    "absolute": (rename_in_manifest("/etc/passwd"), "names must be relative and stay inside"),
    "a FIFO": (replace(SHARD, os.mkfifo), "must be a regular file"),
    "a folder": (replace(SHARD, os.mkdir), "must be a regular file"),
    "a link out": (replace(SHARD, lambda path: path.symlink_to("/etc/hostname")), "leads out of the prepared folder"),
    "a circle": (replace(SHARD, lambda path: path.symlink_to(path.name)), "00001.tokens"),
    "a deep manifest": (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "cannot be read as JSON"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named_and_nothing_hangs(tmp_path, kind):
    damage, said = DAMAGES[kind]
    folder = made(tmp_path / "data")
    damage(folder)
    ended = run_verify(folder)
    assert ended.returncode == EXIT_WRONG_INPUT, ended.stderr
    assert said in ended.stderr and "Traceback" not in ended.stderr
