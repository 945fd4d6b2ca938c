import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.data.order import Order, OrderSettings, StepSize
from cluster.data.sequences import Sequences
from cluster.data.shards import ShardReader
from cluster.errors import DataError
from tests.data.test_shards import prepared


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.sampled_from([(), ("ADJ", "NOUN")]),
    st.sampled_from([1, 7, 1 << 26]),
    st.integers(1, 30),  # longer than a document, and than a small shard
    st.data(),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_sequences_are_the_documents_in_a_row_cut_evenly(tmp_path_factory, lengths, tags, shard_tokens, length, data):
    folder = tmp_path_factory.mktemp("prepared")
    documents, beside, *_ = prepared(folder, lengths, tags=tags, shard_tokens=shard_tokens)
    reader = ShardReader(folder, "train")
    stream = np.concatenate(documents).tolist()
    if not stream:
        with pytest.raises(DataError, match="holds no tokens"):
            Sequences(reader, length)
        return
    sequences = Sequences(reader, length)
    assert sequences.documents == len(sequences.lengths) == len(sequences.labels) == -(-len(stream) // length)
    chosen = data.draw(st.lists(st.integers(0, sequences.documents - 1), max_size=20))
    ids = np.array(chosen, dtype=np.int64)
    tokens, found_lengths, found_tags = sequences.padded(ids)
    told = [stream[i * length : (i + 1) * length] for i in chosen]
    longest = max(map(len, told), default=0)
    assert tokens.tolist() == [row + [0] * (longest - len(row)) for row in told]
    assert found_lengths.tolist() == [len(row) for row in told]
    if tags:
        tag_stream = np.concatenate(beside).tolist()
        told_tags = [tag_stream[i * length : (i + 1) * length] for i in chosen]
        assert found_tags.tolist() == [row + [0] * (longest - len(row)) for row in told_tags]
    else:
        assert found_tags is None
    packed = sequences.packed(ids)
    assert packed.tokens.tolist() == sum(told, [])
    assert packed.cu_seqlens.tolist() == [sum(map(len, told[:i])) for i in range(len(chosen) + 1)]

    begins, place = set(), 0
    for one in documents:
        begins |= {place} if len(one) else set()
        place += len(one)
    places, counts = sequences.boundaries(ids)
    told = [[place for place in range(length) if i * length + place in begins] for i in chosen]
    assert counts.tolist() == [len(one) for one in told]
    assert places.tolist() == sum(told, [])


def test_sequences_are_planned_each_once(tmp_path):
    prepared(tmp_path, [7] * 100, shard_tokens=90)
    sequences = Sequences(ShardReader(tmp_path, "train"), 16)
    settings = OrderSettings(
        seed=1, step=StepSize(8, "examples"), micro_batch_tokens=64, window_documents=16, max_ranks=2, padded=True
    )
    order = Order(settings, sequences.lengths, sequences.planned_tokens)
    seen = []
    for planned in order.steps():
        seen += np.concatenate(planned.micro_batches).tolist()
        if planned.ends_epoch:
            break
    assert sorted(seen) == list(range(-(-700 // 16)))
    read = np.concatenate([sequences.flat(np.array([i]))[0] for i in range(sequences.documents)])
    assert read.tolist() == ShardReader(tmp_path, "train").flat(np.arange(100))[0].tolist()


def test_a_bag_has_no_sequences(tmp_path):
    prepared(tmp_path, [7] * 10, layout="bag")
    with pytest.raises(DataError, match="no order of words"):
        Sequences(ShardReader(tmp_path, "train"), 4)


@pytest.mark.parametrize("length", [0, -1])
def test_a_length_below_one_is_refused(tmp_path, length):
    prepared(tmp_path, [7] * 10)
    with pytest.raises(ValueError, match=f"1 or more, but is {length}"):
        Sequences(ShardReader(tmp_path, "train"), length)


@pytest.mark.parametrize("ids", [[-1], [18], [0, 2**40]])
def test_ids_outside_are_refused(tmp_path, ids):
    prepared(tmp_path, [7] * 10)
    sequences = Sequences(ShardReader(tmp_path, "train"), 4)
    for read in (sequences.padded, sequences.flat, sequences.packed, sequences.boundaries):
        with pytest.raises(IndexError, match=r"0\.\.17"):
            read(np.array(ids))
