import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.data import shards
from cluster.data.manifest import open_prepared, write_manifest
from cluster.data.shards import ShardReader
from cluster.data.verify import verify
from cluster.data.writing import SplitWriter
from cluster.errors import DataError


def prepared(folder, lengths, *, rows=100, layout="sequence", tags=(), shard_tokens=1 << 26, pieces=1, name="train"):
    """A prepared folder of chance tokens, and the documents as lists, the slow and sure way."""
    rng = np.random.default_rng(len(lengths))
    documents = [rng.integers(0, rows, length) for length in lengths]
    if layout == "bag":
        beside = [rng.random(length).astype(np.float32) for length in lengths]
    else:
        beside = [rng.integers(0, len(tags) + 1, length).astype(np.uint8) for length in lengths] if tags else None
    labels = rng.integers(-1, 2, len(lengths)).astype(np.int32)
    sources = (np.uint64(3) << np.uint64(40)) | np.arange(len(lengths), dtype=np.uint64)
    sizes = {"vocabulary_rows": rows, "tag_rows": len(tags) + 1 if tags else 0, "shard_tokens": shard_tokens}
    with SplitWriter(folder, name, layout=layout, **sizes) as writer:
        for part in np.array_split(np.arange(len(lengths)), pieces):
            writer.append(
                np.concatenate([documents[i] for i in part] or [[]]).astype(np.uint32),
                np.array([lengths[i] for i in part], dtype=np.uint32),
                labels[part],
                sources[part],
                None if beside is None else np.concatenate([beside[i] for i in part] or [[]]).astype(STORED[layout]),
            )
    contents = {"fingerprint": "f", "layout": layout, "vocabulary_rows": rows, "labels": ["a", "b"], "tags": list(tags)}
    write_manifest(folder, {**contents, "splits": {name: writer.close()}, "report": {"in": len(lengths)}})
    return documents, beside, labels, sources


STORED = {"bag": np.float32, "sequence": np.uint8}


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.sampled_from([100, 1 << 16, (1 << 16) + 1]),
    st.sampled_from([("bag", ()), ("sequence", ()), ("sequence", ("ADJ", "NOUN"))]),
    st.sampled_from([1, 7, 1 << 26]),
    st.integers(1, 4),
    st.sampled_from([0, 256]),
    st.data(),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_what_was_written_is_read(tmp_path_factory, lengths, rows, layout_and_tags, shard_tokens, pieces, long, data):
    """However it is copied: rows in windows or one by one, flat tokens by documents or by places."""
    folder = tmp_path_factory.mktemp("prepared")
    layout, tags = layout_and_tags
    options = {"rows": rows, "layout": layout, "tags": tags, "shard_tokens": shard_tokens, "pieces": pieces}
    documents, beside, labels, sources = prepared(folder, lengths, **options)
    verify(folder)
    reader = ShardReader(folder, "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "LONG_DOCUMENT", long)
        check_reading(reader, documents, beside, labels, sources, data)


def check_reading(reader, documents, beside, labels, sources, data):
    lengths = [len(one) for one in documents]
    layout = "bag" if reader.weighted else "sequence"
    tags = reader.manifest.tags
    rows = reader.manifest.vocabulary_rows
    assert (reader.documents, reader.tokens) == (len(lengths), sum(lengths))
    assert (reader.weighted, reader.tagged) == (layout == "bag", bool(tags))
    assert reader.lengths.tolist() == lengths
    assert reader.labels.tolist() == labels.tolist()
    assert reader.sources.tolist() == sources.tolist()

    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=20))  # repeated, in any order, or none
    ids = np.array(chosen, dtype=np.int64)
    stored = np.uint16 if rows <= 1 << 16 else np.uint32
    flat, found_lengths, found_beside = reader.flat(ids)
    assert flat.dtype == stored
    assert flat.tolist() == [int(token) for i in ids for token in documents[i]]
    assert found_lengths.tolist() == [lengths[i] for i in ids]
    rows_found, _, beside_rows = reader.padded(ids)
    longest = max((lengths[i] for i in ids), default=0)
    assert rows_found.dtype == stored
    assert rows_found.tolist() == [documents[i].tolist() + [0] * (longest - lengths[i]) for i in ids]
    if beside is None:
        assert found_beside is None
        assert beside_rows is None
    else:
        assert found_beside.dtype == beside_rows.dtype == STORED[layout]
        assert found_beside.tolist() == [item.item() for i in ids for item in beside[i]]
        assert beside_rows.tolist() == [beside[i].tolist() + [0] * (longest - lengths[i]) for i in ids]
    packed = reader.packed(ids)
    assert packed.tokens.tolist() == flat.tolist() and packed.longest == longest
    assert packed.cu_seqlens.dtype == np.int32 and packed.cu_seqlens[0] == 0
    assert np.diff(packed.cu_seqlens).tolist() == [lengths[i] for i in ids]
    assert (packed.beside is None) == (beside is None)
    assert beside is None or packed.beside.tolist() == found_beside.tolist()


def test_what_lies_behind_a_document_in_memory_is_never_seen(tmp_path, monkeypatch):
    """It may be no number, which stays none however often it is multiplied by 0."""
    prepared(tmp_path, [1, 9, 1, 9], layout="bag", shard_tokens=9)
    reader = ShardReader(tmp_path, "train")
    monkeypatch.setattr(shards.np, "empty", lambda shape, dtype=float: np.full(shape, 255).astype(dtype) * np.nan
                        if np.dtype(dtype).kind == "f" else np.full(shape, 1).astype(dtype))  # fmt: skip
    _, lengths, weights = reader.padded(np.array([0, 1]))
    assert lengths.tolist() == [1, 9] and weights[0, 1:].tolist() == [0.0] * 8


def test_batches_of_many_shards_are_read(tmp_path):
    """Shards that no batch before asked for, rows of shards shorter than the batch is wide, and no token at all."""
    documents, *_ = prepared(tmp_path, [1, 9, 2, 9, 0, 5, 7], shard_tokens=1)
    reader = ShardReader(tmp_path, "train")
    for ids, counts in (([0], [1]), ([3, 0, 1, 2, 3, 4], [1, 1, 1, 2, 1]), ([6, 5, 4, 3, 2, 1, 0], [2, 5]), ([4], [1])):
        found = [rows.tolist() for rows, _, _ in reader.padded_each(np.array(ids), counts)]
        groups = np.split(np.array(ids), np.cumsum(counts)[:-1])
        widths = [max(len(documents[i]) for i in group) for group in groups]
        assert found == [
            [documents[i].tolist() + [0] * (width - len(documents[i])) for i in group]
            for group, width in zip(groups, widths, strict=True)
        ]


def test_shards_hold_whole_documents_and_keep_their_size(tmp_path):
    prepared(tmp_path, [4, 4, 4, 25, 1, 9, 0], shard_tokens=10)
    entry = open_prepared(tmp_path).splits["train"]
    assert [(shard.documents, shard.tokens.count) for shard in entry.shards] == [(2, 8), (1, 4), (1, 25), (3, 10)]
    assert sorted(path.name for path in (tmp_path / "train").glob("*.tokens")) == [f"0000{i}.tokens" for i in range(4)]


def test_an_empty_split_can_be_opened(tmp_path):
    prepared(tmp_path, [])
    reader = ShardReader(tmp_path, "train")
    assert reader.documents == 0
    assert reader.padded(np.array([], dtype=np.int64))[0].shape == (0, 0)
    verify(tmp_path)


def test_what_a_broken_attempt_left_is_replaced(tmp_path):
    prepared(tmp_path, [5] * 10, shard_tokens=5, layout="bag")
    prepared(tmp_path, [2, 3])
    assert sorted(p.name for p in (tmp_path / "train").iterdir()) == [
        "00000.tokens", "labels", "lengths", "offsets", "source",
    ]  # fmt: skip
    verify(tmp_path)


GOOD = {
    "tokens": np.array([1, 2, 3], dtype=np.uint32),
    "lengths": np.array([1, 2], dtype=np.uint32),
    "labels": np.array([0, 1], dtype=np.int32),
    "sources": np.array([0, 1], dtype=np.uint64),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": np.array([1, 1], dtype=np.uint32)}, "add up"),
        ({"labels": np.array([0], dtype=np.int32)}, r"classify needs \(2,\)"),
        ({"labels": np.array([0, -2], dtype=np.int32)}, "not below -1"),
        ({"labels": np.array([0.0, 1.0])}, "whole numbers"),
        ({"sources": np.array([0], dtype=np.uint64)}, "differ"),
        ({"tokens": np.array([1, 2, 10], dtype=np.uint32)}, "vocabulary"),
        ({"beside": np.ones(3, dtype=np.float32)}, "neither weights nor tags"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(tmp_path, change, message):
    with (
        pytest.raises(ValueError, match=message),
        SplitWriter(tmp_path, "train", vocabulary_rows=10, layout="sequence") as writer,
    ):
        writer.append(**{**GOOD, **change})


@pytest.mark.parametrize("weights", [None, np.ones(2, dtype=np.float32), np.array([1, np.nan, 1], dtype=np.float32)])
def test_a_bag_needs_a_finite_weight_for_each_token(tmp_path, weights):
    with (
        pytest.raises(ValueError, match="weight"),
        SplitWriter(tmp_path, "train", vocabulary_rows=10, layout="bag") as writer,
    ):
        writer.append(**GOOD, beside=weights)


def test_a_tag_outside_its_rows_is_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="tag 3 is outside the 3 rows"),
        SplitWriter(tmp_path, "train", vocabulary_rows=10, layout="sequence", tag_rows=3) as writer,
    ):
        writer.append(**GOOD, beside=np.array([0, 1, 3], dtype=np.uint8))


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("regress", np.array([0.25, -1e300])),
        ("multilabel", np.array([[0, 1, 1], [0, 0, 0]], dtype=np.uint8)),
    ],
)
def test_numbers_and_sets_of_labels_are_read_as_written(tmp_path, task, labels):
    names = ["a", "b", "c"] if task == "multilabel" else []
    kind = {"layout": "sequence", "task": task}
    with SplitWriter(tmp_path, "train", vocabulary_rows=10, classes=len(names), **kind) as writer:
        writer.append(**{**GOOD, "labels": labels})
    contents = {"fingerprint": "f", "vocabulary_rows": 10, "labels": names, **kind}
    write_manifest(tmp_path, {**contents, "splits": {"train": writer.close()}, "report": {}})
    reader = ShardReader(tmp_path, "train")
    assert reader.labels.tolist() == labels.tolist()
    assert reader.manifest.outputs == (3 if task == "multilabel" else 1)
    verify(tmp_path)


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("regress", np.array([0.25, np.nan]), "not finite"),
        ("multilabel", np.array([0, 1]), r"needs \(2, 3\)"),
        ("multilabel", np.array([[0, 1, 2], [0, 0, 0]]), "0 and 1"),
    ],
)
def test_labels_that_are_not_the_tasks_are_refused(tmp_path, task, labels, message):
    with (
        pytest.raises(ValueError, match=message),
        SplitWriter(tmp_path, "train", vocabulary_rows=10, layout="sequence", task=task, classes=3) as writer,
    ):
        writer.append(**{**GOOD, "labels": labels})


def test_nothing_is_added_to_a_closed_split(tmp_path):
    with SplitWriter(tmp_path, "train", vocabulary_rows=10, layout="sequence") as writer:
        writer.append(**GOOD)
    assert writer.close() == writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.append(**GOOD)


@pytest.mark.parametrize("ids", [[-1], [3], [0, 2**40]])
def test_ids_outside_the_split_are_refused(tmp_path, ids):
    prepared(tmp_path, [1, 2, 3])
    with pytest.raises(IndexError, match=r"0\.\.2"):
        ShardReader(tmp_path, "train").flat(np.array(ids))


def test_a_split_that_is_not_there(tmp_path):
    prepared(tmp_path, [1, 2, 3])
    with pytest.raises(DataError, match="no split 'test', only: train"):
        ShardReader(tmp_path, "test")


def test_long_documents_are_read(tmp_path):
    """Longer than what counts as long, in one shard and in many, to the last token of the last shard."""
    for shard_tokens in (400, 1 << 26):
        documents, *_ = prepared(
            tmp_path / str(shard_tokens), [300, 20, 1000, 301, 0, 700] * 5, shard_tokens=shard_tokens
        )
        reader = ShardReader(tmp_path / str(shard_tokens), "train")
        ids = np.random.default_rng(1).permutation(30)
        assert reader.flat(ids)[0].tolist() == np.concatenate([documents[i] for i in ids]).tolist()
        assert reader.padded(ids)[0].tolist() == [documents[i].tolist() + [0] * (1000 - len(documents[i])) for i in ids]


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, 10), (7, 3)])
def test_a_stretch_outside_the_split_is_refused(tmp_path, start, length):
    prepared(tmp_path, [3, 3, 3])
    with pytest.raises(IndexError, match=f"0..{9 - length}"):
        ShardReader(tmp_path, "train").stretches(np.array([start]), length)


def test_more_tokens_than_boundaries_can_count_are_refused():
    with pytest.raises(DataError, match="smaller train.micro_batch_tokens"):
        shards.boundaries_of(np.array([1 << 30, 1 << 30], dtype=np.uint32))


@pytest.mark.parametrize(("column", "value"), [("lengths", 4_000_000_000), ("offsets", 2**63 + 1), ("offsets", 10)])
def test_a_damaged_column_does_not_become_other_tokens(tmp_path, column, value):
    prepared(tmp_path, [3, 3, 3], shard_tokens=6)
    path = tmp_path / "train" / column
    dtype = {"lengths": "<u4", "offsets": "<u8"}[column]
    array = np.fromfile(path, dtype=dtype)
    array[1] = value
    array.tofile(path)
    for read in (ShardReader.flat, ShardReader.padded, ShardReader.packed):
        with pytest.raises(DataError, match="damaged"):
            read(ShardReader(tmp_path, "train"), np.array([0, 1, 2]))


def test_no_file_stays_open(tmp_path):
    documents, *_ = prepared(tmp_path, [3] * 200, shard_tokens=3)
    before = open_files()
    reader = ShardReader(tmp_path, "train")
    assert reader.flat(np.arange(200))[0].tolist() == np.concatenate(documents).tolist()
    assert reader.padded(np.arange(200))[0].tolist() == [document.tolist() for document in documents]
    assert open_files() - before <= 1  # the file that is being checked


def test_what_nobody_reads_any_more_is_unmapped(tmp_path):
    prepared(tmp_path, [3] * 20, shard_tokens=3)
    reader = ShardReader(tmp_path, "train")
    kept = reader.lengths
    reader.padded(np.arange(20))
    reader.settle()
    assert mappings(tmp_path) == 20 + 4  # tokens, and the columns
    del reader
    gc.collect()
    assert mappings(tmp_path) == 1 and kept.tolist() == [3] * 20


def mappings(folder):
    return Path("/proc/self/maps").read_text().count(str(folder.resolve()))


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_threads_share_a_reader(tmp_path):
    documents, *_ = prepared(tmp_path, [3] * 60, shard_tokens=6)
    reader, wrong = ShardReader(tmp_path, "train"), []

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(30):
            ids = rng.integers(0, 60, 8)
            if reader.flat(ids)[0].tolist() != np.concatenate([documents[i] for i in ids]).tolist():
                wrong.append(seed)
            if reader.padded(ids)[0].tolist() != [documents[i].tolist() for i in ids]:
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
