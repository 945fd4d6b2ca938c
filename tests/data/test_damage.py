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

READ = """
import sys
from pathlib import Path
import numpy as np
from cluster.data.shards import ShardReader
from cluster.errors import exit_code_of

def read():
    reader = ShardReader(Path(sys.argv[1]), "train")
    for first in range(0, reader.documents, 100):
        ids = np.arange(first, min(first + 100, reader.documents))
        reader.padded(ids)
        reader.flat(ids)
    assert len(reader.sources) == reader.documents
    reader.settle()

sys.exit(exit_code_of(read))
"""
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


def run_reader(folder):
    """Reads every document, as training does."""
    command = [sys.executable, "-c", READ, str(folder)]
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


def edit_manifest(old, new):
    def damage(folder):
        text = (folder / "manifest.json").read_text()
        assert old in text
        (folder / "manifest.json").write_text(text.replace(old, new, 1))

    return damage


def flipped(name, place):
    return lambda folder: flip(folder / name, place)


def foreign_manifest(folder):
    other = made(folder.parent / "other", seed=5)
    (folder / "manifest.json").write_bytes((other / "manifest.json").read_bytes())


def circle(folder):
    os.rename(folder / "train", folder / "elsewhere")
    (folder / "train").symlink_to("train")


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
    "a circle of folders": (circle, "cannot be opened|leads to itself"),
    "a deep manifest": (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "cannot be read as JSON"),
    "a deep value": (edit_manifest('"report": {}', f'"report": {"[" * 100_000}'), "cannot be read as JSON"),
    "a huge number": (edit_manifest('"documents": 3000', f'"documents": 3{"0" * 5000}'), "cannot be read as JSON"),
    "a large number": (edit_manifest('"documents": 3000', '"documents": 1e999'), "must be a whole number"),
    "a large file": (edit_manifest('"bytes": 2096000', '"bytes": 4000000000000000000'), "bytes must be the count"),
    "a pipe as manifest": (replace("manifest.json", os.mkfifo), "manifest.json must be a regular file"),
    "a byte of a shard": (flipped(SHARD, 77), "00001.tokens is damaged in 4 MiB block 0"),
    "the last byte of a shard": (flipped("train/00002.tokens", 1_807_999), "00002.tokens is damaged in 4 MiB block 0"),
    "a byte of the lengths": (flipped("train/lengths", 4), "lengths is damaged in 4 MiB block 0"),
    "a byte of the last length": (flipped("train/lengths", 11_999), "lengths is damaged in 4 MiB block 0"),
    "a byte of the offsets": (flipped("train/offsets", 12), "offsets is damaged in 4 MiB block 0"),
    "a byte of the labels": (flipped("train/labels", 400), "labels is damaged in 4 MiB block 0"),
    "a byte of the sources": (flipped("train/source", 5), "source is damaged in 4 MiB block 0"),
}  # fmt: skip


@pytest.mark.parametrize("run", [run_verify, run_reader])
@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named_and_nothing_hangs(tmp_path, kind, run):
    damage, said = DAMAGES[kind]
    folder = made(tmp_path / "data")
    damage(folder)
    ended = run(folder)
    assert ended.returncode == EXIT_WRONG_INPUT, ended.stderr
    assert any(words in ended.stderr for words in said.split("|")) and "Traceback" not in ended.stderr


def test_what_is_whole_is_read(prepared):
    assert run_reader(prepared).returncode == 0
