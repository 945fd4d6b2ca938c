"""What language models are asked: every token once, chance that depends on seed, step and sequence alone."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.data.manifest import write_manifest
from cluster.data.marks import mark_of, mask_of
from cluster.data.questions import EVALUATION, NOTHING, MissingTokens, NextTokens
from cluster.data.shards import ShardReader
from cluster.data.writing import SplitWriter

ROWS = 60
MARK, MASK = mark_of(ROWS), mask_of(ROWS)


def spoken(folder, lengths, shard_tokens=1 << 26):
    """A prepared folder of marked documents of chance tokens; the documents as lists."""
    rng = np.random.default_rng(len(lengths))
    documents = [[MARK, *rng.integers(2, MARK, length).tolist()] for length in lengths]
    with SplitWriter(
        folder, "train", vocabulary_rows=ROWS, layout="sequence", task="language", shard_tokens=shard_tokens
    ) as writer:
        writer.append(
            np.array(sum(documents, []), dtype=np.uint32),
            np.array([len(one) for one in documents], dtype=np.uint32),
            np.array([3 * length for length in lengths], dtype=np.uint32),
            np.arange(len(lengths), dtype=np.uint64),
        )
    about = {"fingerprint": "f", "layout": "sequence", "vocabulary_rows": ROWS, "task": "language", "labels": []}
    write_manifest(folder, {**about, "splits": {"train": writer.close()}, "report": {}})
    return documents


documents_and_length = given(
    st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(8, 40), st.sampled_from([7, 1 << 26])
)


@documents_and_length
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_every_token_of_every_text_is_asked_for_once_and_every_end(tmp_path_factory, lengths, context, shard_tokens):
    folder = tmp_path_factory.mktemp("spoken")
    documents = spoken(folder, lengths, shard_tokens)
    reader = NextTokens(ShardReader(folder, "train"), context)
    ids = np.arange(reader.documents)
    (batch,) = reader.asked(ids, [len(ids)], step=5)
    asked = batch["labels"] != NOTHING
    # What stands in a place, and what follows it: the documents in a row, each behind its mark, one mark at the end.
    stream = sum(documents, []) + [MARK]
    assert batch["tokens"][asked].tolist() == stream[:-1] and batch["labels"][asked].tolist() == stream[1:]
    assert not batch["tokens"][~asked].any()
    assert reader.labels.tolist() == asked.sum(1).tolist() == batch["lengths"].tolist()
    assert reader.text_bytes == 3 * sum(lengths)
    starts = (batch["tokens"] == MARK)[:, 1:].any()
    assert ("beside" in batch) == starts
    if starts:
        assert (np.diff(batch["beside"], axis=1) == (batch["tokens"] == MARK)[:, 1:]).all()


@documents_and_length
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_exactly_the_promised_share_is_missing_and_the_same_however_it_is_cut(
    tmp_path_factory, lengths, context, shard_tokens
):
    folder = tmp_path_factory.mktemp("spoken")
    spoken(folder, lengths, shard_tokens)
    reader = MissingTokens(ShardReader(folder, "train"), context, 0.5, seed=3)
    whole, one_by_one = {}, {}
    ids = np.arange(reader.documents)
    for found, counts in ((whole, [len(ids)]), (one_by_one, [1] * len(ids))):
        place = 0
        for batch in reader.asked(ids, counts, step=4):
            for row in range(len(batch["lengths"])):
                length = int(batch["lengths"][row])
                found[place] = [batch[name][row, :length].tolist() for name in ("tokens", "labels")]
                place += 1
    assert whole == one_by_one
    for number, (_, labels) in whole.items():
        asked = sum(label != NOTHING for label in labels)
        assert asked == max(1, round(0.5 * len(labels))) == reader.labels[number]


def test_eight_in_ten_are_hidden_one_is_another_one_stays_and_no_mark_is_asked_for(tmp_path):
    documents = spoken(tmp_path, [99] * 400)
    reader = MissingTokens(ShardReader(tmp_path, "train"), 100, 0.15, seed=1)
    (batch,) = reader.asked(np.arange(400), [400], step=0)
    asked = batch["labels"] != NOTHING
    truth = np.array(documents)
    assert asked.sum() == 400 * 15
    assert (batch["labels"][asked] == truth[asked]).all() and (batch["tokens"][~asked] == truth[~asked]).all()
    assert (truth[asked] != MARK).all()
    shown = batch["tokens"][asked]
    assert (shown == MASK).mean() == pytest.approx(0.8, abs=0.02)
    stays = (shown == truth[asked]).mean()  # one in ten, and one in 56 of those that are another
    assert stays == pytest.approx(0.1 + 0.1 / 56, abs=0.02)
    others = shown[(shown != MASK) & (shown != truth[asked])]
    assert others.min() >= 2 and others.max() < MARK  # a word, never a mark or padding
    # every place, but for the mark's, is as likely as any
    assert asked[:, 1:].mean(0) == pytest.approx(0.15 * 100 / 99, abs=0.09)


def test_other_questions_at_each_step_and_the_same_in_every_evaluation(tmp_path):
    spoken(tmp_path, [50] * 20)

    def asked(step, seed=1):
        reader = MissingTokens(ShardReader(tmp_path, "train"), 32, 0.15, seed)
        (batch,) = reader.asked(np.arange(reader.documents), [reader.documents], step)
        return batch["tokens"].tobytes()

    assert asked(7) == asked(7) and asked(EVALUATION) == asked(EVALUATION)
    assert len({asked(7), asked(8), asked(EVALUATION), asked(7, seed=2)}) == 4
