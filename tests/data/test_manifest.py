import copy
import json
import os

import numpy as np
import pytest

from cluster.data.manifest import describe_file, file_inside, open_prepared, write_manifest
from cluster.data.shards import ShardReader
from cluster.data.verify import verify
from cluster.data.writing import SplitWriter
from cluster.errors import DataError


@pytest.fixture
def folder(tmp_path):
    """Two shards and an encoder in a prepared folder; shard 0 has more than one block of 4 MiB."""
    folder = tmp_path / "prepared"
    counts = [2_200_000, 2_200_000]
    with SplitWriter(folder, "train", vocabulary_rows=9, layout="sequence", shard_tokens=2_300_000) as writer:
        for number, count in enumerate(counts):
            tokens = np.full(count, 2 + number, dtype=np.uint32)
            writer.append(tokens, np.array([count]), np.array([number]), np.array([number]))
    (folder / "encoder.json").write_text("{}")
    write_manifest(
        folder,
        {
            "fingerprint": "abc", "layout": "sequence", "vocabulary_rows": 9, "labels": ["neg", "pos"],
            "splits": {"train": writer.close()}, "report": {"rejected": 0},
            "files": [describe_file(folder, "encoder.json")],
        },
    )  # fmt: skip
    return folder


def edit(folder, change):
    path = folder / "manifest.json"
    contents = json.loads(path.read_text())
    change(contents)
    path.write_text(json.dumps(contents))


def test_a_manifest_comes_back(folder):
    manifest = open_prepared(folder)
    assert (manifest.fingerprint, manifest.layout, manifest.vocabulary_rows) == ("abc", "sequence", 9)
    assert manifest.labels == ("neg", "pos")
    assert manifest.report == {"rejected": 0}
    assert manifest.splits["train"].documents == 2
    assert [file.name for file in manifest.files()] == [
        "train/00000.tokens", "train/00001.tokens", "train/lengths", "train/offsets", "train/labels", "train/source",
        "encoder.json",
    ]  # fmt: skip
    verify(folder)


def first_file(contents):
    return contents["splits"]["train"]["shards"][0]["tokens"]


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "train/../../outside", "", ".", "a\0b", "..\\x", "\ud800"]
)
def test_names_stay_inside(folder, name):
    (folder.parent / "outside").write_bytes(b"x" * 4_400_000)
    edit(folder, lambda contents: first_file(contents).update(name=name))
    with pytest.raises(DataError, match="stay inside"):
        ShardReader(folder, "train")
    with pytest.raises(DataError):
        file_inside(folder, name)


def replaced(folder, by):
    path = folder / "train" / "00000.tokens"
    path.rename(folder.parent / "moved")
    by(path)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (lambda path: path.symlink_to(path.parent.parent.parent / "moved"), "leads out"),
        (lambda path: path.symlink_to(path.name), "00000.tokens"),
        (lambda path: path.mkdir(), "regular file"),
        (lambda path: os.mkfifo(path), "regular file"),
        (lambda path: None, "cannot be opened"),
        (lambda path: path.touch(), "0 bytes, the manifest says 4,400,000"),
        (lambda path: path.write_bytes(bytes(4_399_999)), "4,399,999 bytes"),
        (lambda path: path.write_bytes(bytes(4_400_001)), "4,400,001 bytes"),
    ],
    ids=["link out", "link to itself", "folder", "pipe", "missing", "empty", "shorter", "longer"],
)
def test_files_are_regular_inside_and_of_the_right_size(folder, by, message):
    replaced(folder, by)
    for call in (lambda: ShardReader(folder, "train"), lambda: verify(folder)):
        with pytest.raises(DataError, match=message):
            call()


def test_a_folder_of_links_that_leads_out_is_refused(folder):
    (folder / "train").rename(folder.parent / "elsewhere")
    (folder / "train").symlink_to(folder.parent / "elsewhere")
    with pytest.raises(DataError, match="leads out"):
        ShardReader(folder, "train")


def test_the_folder_itself_may_be_reached_by_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert ShardReader(tmp_path / "link", "train").documents == 2


def dropped(*path):
    def change(contents):
        for key in path[:-1]:
            contents = contents[key]
        del contents[path[-1]]

    return change


def changed(*path, to):
    def change(contents):
        for key in path[:-1]:
            contents = contents[key]
        contents[path[-1]] = copy.deepcopy(to)

    return change


TRAIN = ("splits", "train")
TOKENS = (*TRAIN, "shards", 0, "tokens")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("format", to=99), "format must be 1"),
        (changed("format", to=True), "format"),
        (dropped("fingerprint"), "fingerprint must be a string, but is 'missing'"),
        (changed("layout", to="tree"), "one of sequence, bag"),
        (changed("vocabulary_rows", to="9"), "vocabulary_rows"),
        (changed("vocabulary_rows", to=-1), "vocabulary_rows"),
        (changed("vocabulary_rows", to=100_000), "dtype"),  # tokens would be u32
        (changed("labels", to=["a", "a"]), "repeat"),
        (changed("labels", to="ab"), "labels"),
        (changed("splits", to=[]), "splits must be an object"),
        (changed("report", to=None), "report"),
        (dropped("splits", "train", "shards"), "splits.train.shards"),
        (changed(*TRAIN, "layout", to="bag"), "layout"),
        (changed(*TRAIN, "documents", to=3), "sum over the shards"),
        (changed(*TRAIN, "tokens", to=3), "sum over the shards"),
        (dropped(*TRAIN, "columns", "labels"), "columns.labels"),
        (changed(*TRAIN, "columns", "labels", "count", to=1), "count must be 2"),
        (changed(*TRAIN, "columns", "labels", "dtype", to="<f4"), "dtype"),
        (changed(*TOKENS, "dtype", to="|O"), "dtype"),
        (changed(*TOKENS, "bytes", to=17), "bytes must be the count times 2"),
        (changed(*TOKENS, "blocks", to=[]), "one per 4 MiB"),
        (changed(*TOKENS, "blocks", to=[1, 2]), "list of strings"),
        (changed("files", 0, "name", to=7), r"files\[0\].name"),
    ],
)
def test_a_manifest_that_does_not_hold(folder, change, message):
    edit(folder, change)
    with pytest.raises(DataError, match=message):
        open_prepared(folder)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null", b'{"format": 1' + b"0" * 5000]
)
def test_a_manifest_that_is_none(folder, text):
    (folder / "manifest.json").write_bytes(text)
    with pytest.raises(DataError, match=r"manifest\.json"):
        open_prepared(folder)


def test_a_folder_without_a_manifest(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match="not prepared data, or damaged"):
            open_prepared(path)


def test_a_manifest_that_does_not_hold_is_not_written(tmp_path):
    with pytest.raises(DataError, match="fingerprint"):
        write_manifest(tmp_path, {"layout": "bag", "labels": [], "vocabulary_rows": 3, "splits": {}, "report": {}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "byte", "message"),
    [
        ("train/00000.tokens", 0, r"00000\.tokens is damaged in 4 MiB block 0 \(bytes 0 to 4,194,303\)"),
        ("train/00000.tokens", 4_194_304, r"block 1 \(bytes 4,194,304 to 4,399,999\)"),
        ("train/00001.tokens", 4_399_999, r"00001\.tokens is damaged in 4 MiB block 1"),
        ("train/lengths", 3, "lengths is damaged"),
        ("train/offsets", 3, "offsets is damaged"),
        ("train/labels", 5, "labels is damaged"),
        ("train/source", 9, "source is damaged"),
        ("encoder.json", 1, "encoder.json is damaged"),
    ],
)
def test_a_flipped_bit_is_found_and_named(folder, name, byte, message):
    with open(folder / name, "r+b") as file:
        file.seek(byte)
        old = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([old ^ 4]))
    with pytest.raises(DataError, match=message):
        verify(folder)


def test_swapped_shards_are_found(folder):
    one, two = (folder / "train" / f"0000{i}.tokens" for i in (0, 1))
    one.rename(folder / "x")
    two.rename(one)
    (folder / "x").rename(two)
    with pytest.raises(DataError, match=r"00000\.tokens is damaged in 4 MiB block 0"):
        verify(folder)


def test_a_manifest_that_contradicts_itself_is_found(folder):
    edit(folder, changed(*TOKENS, "sha256", to="0" * 64))
    with pytest.raises(DataError, match="contradicts itself"):
        verify(folder)
