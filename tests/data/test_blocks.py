"""A damaged block is found when it is read, by the next gather or by `settle`, and no other is looked at."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.data import blocks, manifest, verify, writing
from cluster.data.manifest import describe_file, open_prepared, write_manifest
from cluster.data.shards import ShardReader
from cluster.data.writing import SplitWriter
from cluster.errors import DataError

SMALL_BLOCK = 64  # bytes: small data has many blocks


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (blocks, manifest, verify, writing):
        monkeypatch.setattr(module, "BLOCK_BYTES", SMALL_BLOCK)


def made(folder, lengths, shard_tokens=150):
    """Sequences with tags: two files a shard, four columns, and a file that nobody maps."""
    chance = np.random.default_rng(len(lengths))
    tokens = int(np.sum(lengths))
    with SplitWriter(
        folder, "train", vocabulary_rows=50, layout="sequence", tag_rows=4, shard_tokens=shard_tokens
    ) as writer:
        writer.append(
            chance.integers(0, 50, tokens).astype(np.uint32),
            np.array(lengths, dtype=np.uint32),
            chance.integers(0, 2, len(lengths)).astype(np.int32),
            np.arange(len(lengths), dtype=np.uint64),
            chance.integers(0, 4, tokens).astype(np.uint8),
        )
    (folder / "encoder.json").write_text("{" + " " * 200 + "}")
    contents = {"fingerprint": "f", "layout": "sequence", "vocabulary_rows": 50, "labels": ["a", "b"], "report": {}}
    files = {"splits": {"train": writer.close()}, "files": [describe_file(folder, "encoder.json")]}
    write_manifest(folder, {**contents, "tags": ["ADJ", "NOUN", "VERB"], **files})
    return folder


def flip(path, place):
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def read_by(entry, lengths, ids):
    """The bytes of a file that must have been checked once the documents `ids` were read, the slow and sure way."""
    starts = np.cumsum([0, *lengths])
    name = entry.name.removeprefix("train/")
    if name in ("lengths", "labels", "encoder.json"):
        return set(range(entry.bytes))
    if name == "source":
        return set()
    if name == "offsets":
        return {8 * i + byte for i in {*ids, len(lengths) - 1} for byte in range(8)}
    shard, size = int(name[:5]), manifest.ITEM_BYTES[entry.dtype]
    before = read_by.before[shard]
    mine = set()
    for i in ids:
        first, last = int(starts[i]) - before, int(starts[i + 1]) - before
        if 0 <= first < entry.count:
            mine |= set(range(first * size, last * size))
    return mine


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=30),  # a block holds 32 tokens: documents of up to four blocks
    st.sampled_from([40, 150, 1 << 20]),
    st.sampled_from(["flat", "padded", "packed"]),
    st.data(),
)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=60)
def test_what_is_read_is_checked_and_nothing_else(small_blocks, tmp_path_factory, lengths, shard_tokens, how, data):
    folder = made(tmp_path_factory.mktemp("prepared"), lengths, shard_tokens)
    counts = [shard.tokens.count for shard in open_prepared(folder).splits["train"].shards]
    read_by.before = np.cumsum([0, *counts]).tolist()
    ids = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=5))
    entry = data.draw(st.sampled_from(list(open_prepared(folder).files())))
    place = data.draw(st.integers(0, entry.bytes - 1))
    block = place // SMALL_BLOCK
    read = {byte // SMALL_BLOCK for byte in read_by(entry, lengths, ids)}
    flip(folder / entry.name, place)

    def use():
        reader = ShardReader(folder, "train")
        getattr(reader, how)(np.array(ids))
        reader.settle()

    if block in read:
        with pytest.raises(DataError, match=f"{entry.name} is damaged in 4 MiB block {block} "):
            use()
    else:
        use()


def test_the_next_gather_raises_what_was_found(small_blocks, tmp_path):
    made(tmp_path, [10] * 40)
    flip(tmp_path / "train" / "00000.tokens", 70)
    reader = ShardReader(tmp_path, "train")
    reader.flat(np.array([0, 20]))
    reader.settle()  # what is sound is no news
    with pytest.raises(DataError, match=r"block 1 \(bytes 64 to 127\).*prepare the data again.*muster verify"):
        reader.flat(np.array([4]))
        reader.settle()
    for gather in (reader.flat, reader.padded, reader.packed):
        with pytest.raises(DataError, match="block 1 "):
            gather(np.array([20]))


def test_stretches_across_shards_and_sources_are_checked(small_blocks, tmp_path):
    made(tmp_path, [10] * 40, shard_tokens=40)
    flip(tmp_path / "train" / "00001.tags", 0)
    flip(tmp_path / "train" / "source", 0)
    reader = ShardReader(tmp_path, "train")
    reader.stretches(np.array([0]), 40)
    reader.settle()
    with pytest.raises(DataError, match="00001.tags is damaged in 4 MiB block 0"):
        reader.stretches(np.array([30]), 30)
        reader.settle()
    reader = ShardReader(tmp_path, "train")
    assert len(reader.sources) == 40
    with pytest.raises(DataError, match="source is damaged"):
        reader.settle()


def test_a_block_is_checked_once(small_blocks, tmp_path):
    made(tmp_path, [10] * 40)
    reader = ShardReader(tmp_path, "train")
    reader.flat(np.arange(40))
    reader.settle()
    flip(tmp_path / "train" / "00000.tokens", 70)
    reader.flat(np.arange(40))
    reader.settle()


def test_a_file_that_is_cut_or_goes_meanwhile_is_named(tmp_path):
    made(tmp_path, [10] * 40)
    reader = ShardReader(tmp_path, "train")
    os.truncate(tmp_path / "train" / "source", 100)
    assert reader.sources.size == 40  # looked at no further: reading behind the end would kill the process
    with pytest.raises(DataError, match="source has 100 bytes, the manifest says 320"):
        reader.settle()
    reader = ShardReader(made(tmp_path / "other", [10] * 40), "train")
    (tmp_path / "other" / "train" / "source").unlink()
    os.mkfifo(tmp_path / "other" / "train" / "source")
    assert reader.sources.size == 40
    with pytest.raises(DataError, match="source must be a regular file"):
        reader.settle()


def test_a_disk_that_fails_is_named_with_the_block(small_blocks, tmp_path, monkeypatch):
    made(tmp_path, [10] * 40)
    reader = ShardReader(tmp_path, "train")
    reader.settle()

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(DataError, match=r"is damaged in 4 MiB block \d .*cannot be read \(Input/output error\)"):
        reader.flat(np.array([4]))
        reader.settle()


def test_what_ends_the_thread_is_raised_and_nobody_waits_for_it(tmp_path, monkeypatch):
    made(tmp_path, [10] * 40)
    reader = ShardReader(tmp_path, "train")
    reader.settle()

    def out_of_memory(*_):
        raise MemoryError("none left")

    monkeypatch.setattr(blocks.hashlib, "sha256", out_of_memory)
    for _ in range(2):
        with pytest.raises(MemoryError, match="none left"):
            reader.flat(np.array([0]))
            reader.settle()
    with pytest.raises(MemoryError, match="none left"):
        reader.flat(np.array([0]))


def checking():
    return [thread for thread in threading.enumerate() if thread.name == "block checks"]


def test_threads_end_with_the_work_and_with_the_reader(small_blocks, tmp_path):
    made(tmp_path, [10] * 2000)
    readers = [ShardReader(tmp_path, "train") for _ in range(5)]
    for reader in readers:
        reader.flat(np.arange(2000))
    assert len(checking()) <= len(readers)
    readers[0].settle()
    left = checking()
    del reader, readers
    for thread in left:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_many_threads_mark_at_once(small_blocks, tmp_path):
    made(tmp_path, [10] * 400, shard_tokens=100)
    reader = ShardReader(tmp_path, "train")
    flip(tmp_path / "train" / "00039.tokens", 199)
    told = []

    def read(seed):
        try:
            for ids in np.random.default_rng(seed).permutation(400).reshape(-1, 8):
                reader.padded(ids)
            reader.settle()
        except DataError as error:
            told.append(str(error))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 4 and all("00039.tokens is damaged in 4 MiB block 3" in words for words in told)


FORKED = """
import os, sys
from pathlib import Path
import numpy as np
from cluster.data.shards import ShardReader
from cluster.errors import DataError
reader = ShardReader(Path(sys.argv[1]), "train")  # its thread has begun with the columns
reader.flat(np.arange(40))
child = os.fork()
found = ""
try:
    reader.flat(np.arange(40))
    reader.settle()
except DataError as error:
    found = str(error)
if not child:
    os._exit(7 if "source" not in found and "00000.tokens is damaged" in found else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), found)
"""


def test_a_forked_reader_checks_for_itself(tmp_path):
    made(tmp_path, [10] * 40)
    flip(tmp_path / "train" / "00000.tokens", 3)
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("7 ") and "00000.tokens is damaged in 4 MiB block 0" in done.stdout, done.stderr


def test_documents_that_do_not_fit_are_told_by_the_damaged_block(small_blocks, tmp_path):
    made(tmp_path, [10] * 40)
    flip(tmp_path / "train" / "offsets", 8 * 20 + 7)
    with pytest.raises(DataError, match="offsets is damaged in 4 MiB block 2"):
        ShardReader(tmp_path, "train").flat(np.array([20]))
