"""Pairs of texts: what was written is read, one token behind, and a budget holds for each side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.data.manifest import open_prepared, write_manifest
from cluster.data.marks import mark_of
from cluster.data.order import Order, OrderSettings, StepSize
from cluster.data.pairs import Pairs
from cluster.data.questions import NOTHING
from cluster.data.shards import ShardReader
from cluster.data.writing import SplitWriter
from cluster.errors import DataError

ROWS = 50
END = ROWS - 1


def prepared(folder, lengths, shard_tokens=1 << 26):
    """A prepared folder of chance pairs of these lengths, ends included; and the pairs."""
    rng = np.random.default_rng(len(lengths))
    pairs = [tuple(np.append(rng.integers(2, ROWS - 2, n - 1), END).tolist() for n in both) for both in lengths]
    with SplitWriter(
        folder, "train", vocabulary_rows=ROWS, layout="sequence", task="rewrite", shard_tokens=shard_tokens
    ) as writer:
        writer.append(
            np.concatenate([np.array(side, dtype=np.uint32) for pair in pairs for side in pair]),
            np.array([sum(both) for both in lengths], dtype=np.uint32),
            np.array([target for _, target in lengths], dtype=np.uint32),
            np.arange(len(lengths), dtype=np.uint64),
        )
    contents = {"fingerprint": "f", "layout": "sequence", "vocabulary_rows": ROWS, "labels": [], "task": "rewrite"}
    write_manifest(folder, contents | {"splits": {"train": writer.close()}, "report": {}})
    return pairs


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12),
    st.sampled_from([1, 7, 1 << 26]),
    st.data(),
)
def test_both_texts_of_a_pair_are_read(tmp_path_factory, lengths, shard_tokens, data):
    folder = tmp_path_factory.mktemp("prepared")
    pairs = prepared(folder, lengths, shard_tokens)
    reader = Pairs(ShardReader(folder, "train"))
    assert reader.sizes.tolist() == [sum(both) for both in lengths]
    assert reader.lengths.tolist() == [max(both) for both in lengths]
    ids = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=9)))
    cut = data.draw(st.integers(0, len(ids)))
    place = 0
    for batch in reader.asked(ids, [count for count in (cut, len(ids) - cut) if count], step=5):
        for row in range(len(batch["tokens"])):
            source, target = pairs[ids[place]]
            assert batch["lengths"][row] == len(source)
            assert batch["tokens"][row].tolist() == source + [0] * (batch["tokens"].shape[1] - len(source))
            padding = batch["labels"].shape[1] - len(target)
            assert batch["labels"][row].tolist() == target + [NOTHING] * padding
            assert batch["beside"][row].tolist() == [mark_of(ROWS), *target[:-1]] + [0] * padding
            place += 1
    assert place == len(ids)


@pytest.mark.parametrize("size", ["8 examples", "60 tokens", "400 tokens"])
def test_neither_side_of_a_micro_batch_exceeds_the_budget(tmp_path, size):
    rng = np.random.default_rng(7)
    prepared(tmp_path, rng.integers(1, 20, (300, 2)).tolist())
    reader = Pairs(ShardReader(tmp_path, "train"))
    settings = OrderSettings(
        seed=1, step=StepSize.parse(size), micro_batch_tokens=60, window_documents=128, max_ranks=2, padded=True
    )
    order = Order(settings, reader.lengths, reader.planned_tokens)
    seen = []
    for planned in order.steps():
        if planned.position.epoch:
            break
        for ids in planned.micro_batches:
            seen += ids.tolist()
            (batch,) = reader.asked(ids, [len(ids)], planned.position.step)
            assert batch["tokens"].size <= 60 and batch["labels"].size <= 60
    assert sorted(seen) == list(range(300))


def test_a_document_without_a_token_to_be_written_is_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="to be written"),
        SplitWriter(tmp_path, "train", vocabulary_rows=ROWS, layout="sequence", task="rewrite") as writer,
    ):
        one = np.array([1], dtype=np.uint32)
        writer.append(one, one, np.array([0], dtype=np.uint32), one.astype(np.uint64))


def test_bags_are_no_pairs(tmp_path):
    prepared(tmp_path, [(2, 2)])
    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text.replace('"sequence"', '"bag"'))
    with pytest.raises(DataError, match="order of the tokens"):
        open_prepared(tmp_path)
