"""Labels and affixes of words: what was written is read, padded with zeros, whichever shards it lies in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.data.manifest import open_prepared, write_manifest
from cluster.data.shards import ShardReader
from cluster.data.verify import verify
from cluster.data.writing import SplitWriter
from cluster.errors import DataError

CLASSES = 3


def prepared(folder, lengths, *, affixes=True, shard_tokens=1 << 26):
    """A prepared folder of chance words, and what went into it, one array a document."""
    rng = np.random.default_rng(sum(lengths))
    documents = [rng.integers(0, 50, length).astype(np.uint32) for length in lengths]
    targets = [np.append(rng.integers(0, CLASSES + 2, n - 1), 2).astype(np.uint16) for n in lengths]
    beside = [rng.integers(0, 1 << 63, length, dtype=np.uint64) for length in lengths] if affixes else None
    settings = {"vocabulary_rows": 50, "layout": "sequence", "affixes": affixes, "task": "tag", "classes": CLASSES}
    with SplitWriter(folder, "train", **settings, shard_tokens=shard_tokens) as writer:
        writer.append(
            np.concatenate(documents),
            np.array(lengths, dtype=np.uint32),
            np.array([np.count_nonzero(one) for one in targets], dtype=np.uint32),
            np.arange(len(lengths), dtype=np.uint64),
            None if beside is None else np.concatenate(beside),
            np.concatenate(targets),
        )
    contents = {"fingerprint": "f", "layout": "sequence", "vocabulary_rows": 50, "labels": ["a", "b", "c"]}
    contents |= {"task": "tag", "affixes": affixes, "splits": {"train": writer.close()}, "report": {}}
    write_manifest(folder, contents)
    return documents, targets, beside


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=20),
    st.booleans(),
    st.sampled_from([1, 7, 1 << 26]),
    st.data(),
)
def test_labels_stand_beside_their_tokens(tmp_path_factory, lengths, affixes, shard_tokens, data):
    folder = tmp_path_factory.mktemp("prepared")
    documents, targets, beside = prepared(folder, lengths, affixes=affixes, shard_tokens=shard_tokens)
    verify(folder)
    reader = ShardReader(folder, "train")
    ids = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=9)))
    cut = data.draw(st.integers(0, len(ids)))
    counts = [count for count in (cut, len(ids) - cut) if count]
    padded = zip(reader.padded_each(ids, counts), reader.labels_each(ids, counts, packed=False), strict=True)
    place = 0
    for (tokens, _, found), labels in padded:
        assert tokens.shape == labels.shape
        for row in range(len(tokens)):
            document = ids[place]
            length = lengths[document]
            assert tokens[row, :length].tolist() == documents[document].tolist()
            assert labels[row, :length].tolist() == targets[document].tolist()
            assert not labels[row, length:].any()
            assert found is None or found[row, :length].tolist() == beside[document].tolist()
            place += 1
    assert place == len(ids)
    assert reader.targets(ids).tolist() == np.concatenate([targets[i] for i in ids]).tolist()
    assert reader.labels.tolist() == [np.count_nonzero(one) for one in targets]


@pytest.mark.parametrize("file", ["train/00000.targets", "train/00000.affixes"])
def test_a_flipped_bit_is_found(tmp_path, file):
    prepared(tmp_path, [4, 5])
    content = bytearray((tmp_path / file).read_bytes())
    content[3] ^= 1
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=file):
        verify(tmp_path)
    reader = ShardReader(tmp_path, "train")
    with pytest.raises(DataError, match=file):  # at once, or at the latest when it is settled
        next(reader.padded_each(np.array([0]), [1]))
        next(reader.labels_each(np.array([0]), [1], packed=False))
        reader.settle()


def wrong(**changes):
    whole = {"tokens": [1, 2], "lengths": [2], "labels": [2], "sources": [0], "targets": [2, 3]} | changes
    types = {"targets": np.uint16, "sources": np.uint64}
    return [None if v is None else np.array(v, dtype=types.get(name, np.uint32)) for name, v in whole.items()]


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"targets": None}, "have labels"),
        ({"targets": [2]}, "do not fit"),
        ({"targets": [2, 0]}, "do not fit"),  # the column says two
        ({"targets": [2, 5]}, "label 5 is outside the 3 classes"),
        ({"targets": [0, 0], "labels": [0]}, "needs a word with a label"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path, changes, says):
    settings = {"vocabulary_rows": 9, "layout": "sequence", "task": "tag", "classes": CLASSES}
    tokens, lengths, labels, sources, targets = wrong(**changes)
    with SplitWriter(tmp_path, "train", **settings) as writer, pytest.raises(ValueError, match=says):
        writer.append(tokens, lengths, labels, sources, None, targets)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"affixes": "yes"}, "affixes must be true or false"),
        ({"layout": "bag"}, "affixes must be empty in a bag"),
        ({"task": "classify"}, "labels.dtype must be one of <i4"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path, change, says):
    import json

    prepared(tmp_path, [3])
    contents = json.loads((tmp_path / "manifest.json").read_bytes()) | change
    (tmp_path / "manifest.json").write_text(json.dumps(contents))
    with pytest.raises(DataError, match=says):
        open_prepared(tmp_path)
