import hashlib
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.models import Lstm
from cluster.config.schema import Data, Recipe, Train
from cluster.data.order import Order, OrderSettings, Position, StepSize, costs
from cluster.data.permutation import RUN, mix, permutation
from cluster.errors import DataError, RecipeError, RunError

BASE = OrderSettings(
    seed=1, step=StepSize(64, "examples"), micro_batch_tokens=16_384, window_documents=65_536, max_ranks=16, padded=True
)


def log_normal(count, mean=5.5, sigma=1.0, most=2048):
    rng = np.random.default_rng(0)
    return np.clip(rng.lognormal(mean, sigma, count), 1, most).astype(np.uint32)


def epoch_of(order, epoch=0):
    steps = []
    for planned in order.steps(Position(epoch=epoch)):
        steps.append(planned)
        if planned.ends_epoch:
            return steps


def content(planned):
    return (
        planned.position,
        planned.following,
        planned.ends_epoch,
        [ids.tolist() for ids in planned.micro_batches],
    )


def ids_of(planned):
    return np.concatenate(planned.micro_batches).tolist()


@st.composite
def orders(draw):
    """Small and odd: one document, fewer than a step or than ranks, empty ones, ones longer than any budget."""
    lengths = draw(st.lists(st.one_of(st.integers(0, 30), st.sampled_from([0, 1, 500])), min_size=1, max_size=200))
    if draw(st.booleans()):
        lengths = (lengths * 20)[: draw(st.integers(1, 1500))]
    unit, max_ranks = draw(st.sampled_from(["examples", "tokens"])), draw(st.integers(1, 16))
    micro_batch_tokens = draw(st.one_of(st.integers(1, 100), st.integers(100, 20_000)))
    count = draw(st.one_of(st.integers(1, 70), st.integers(1, 5000)))
    if unit == "tokens" and draw(st.booleans()):  # many full micro-batches
        micro_batch_tokens = draw(st.integers(1, 60))
        count = micro_batch_tokens * max_ranks * draw(st.integers(1, 3)) + draw(st.integers(0, micro_batch_tokens))
    chosen = OrderSettings(
        seed=draw(st.integers(0, 2**63 - 1)),
        step=StepSize(count, unit),
        micro_batch_tokens=micro_batch_tokens,
        window_documents=draw(st.one_of(st.integers(1, 300), st.just(65_536))),
        max_ranks=max_ranks,
        padded=draw(st.booleans()),
        shuffle=draw(st.sampled_from(["full", "block"])),
    )
    return Order(chosen, np.array(lengths, dtype=np.uint32))


@given(orders(), st.integers(0, 3))
def test_an_epoch_holds_each_document_exactly_once(order, epoch):
    steps = epoch_of(order, epoch)
    assert sorted(i for planned in steps for i in ids_of(planned)) == list(range(len(order.lengths)))
    assert len(steps) == order.steps_per_epoch(epoch)


@given(orders())
def test_steps_and_micro_batches_keep_their_sizes(order):
    chosen, steps = order.settings, epoch_of(order)
    for planned in steps:
        found = costs(planned.micro_batches, order.lengths, chosen.padded)
        rows = [len(ids) for ids in planned.micro_batches]
        assert planned.documents == sum(rows)
        assert len(rows) >= min(chosen.max_ranks, planned.documents)
        for ids, cost in zip(planned.micro_batches, found, strict=True):
            assert len(ids) >= 1
            assert len(ids) == 1 or cost <= chosen.micro_batch_tokens
            if chosen.padded:
                assert (np.diff(order.lengths[ids].astype(np.int64)) <= 0).all()
        longest = int(order.lengths.max())
        if chosen.step.unit == "examples":
            last = len(order.lengths) % chosen.step.count or chosen.step.count
            assert planned.documents == (last if planned.ends_epoch else chosen.step.count)
        elif longest <= min(chosen.step.count, chosen.micro_batch_tokens):
            assert sum(found) <= chosen.step.count


@given(orders(), st.data())
def test_any_position_goes_on_identically(order, data):
    straight = [content(planned) for planned in itertools.islice(order.steps(), 3 * order.steps_per_epoch(0))][:60]
    assert [fields[0].step for fields in straight] == list(range(len(straight)))
    at = data.draw(st.integers(0, len(straight) - 1))
    position = Position.from_json(json.loads(json.dumps(straight[at][0].to_json())))
    assert straight[at - 1][1] == position or at == 0
    fresh = Order(order.settings, order.lengths.copy())
    assert fresh.at(at) == position
    resumed = itertools.islice(fresh.steps(position), len(straight) - at)
    assert [content(planned) for planned in resumed] == straight[at:]


def test_jumping_between_positions_does_not_depend_on_what_was_asked_before():
    order = Order(replace(BASE, window_documents=256), log_normal(3000))
    straight = [content(planned) for planned in itertools.islice(order.steps(), 100)]
    for at in (90, 3, 47, 46, 0):
        assert content(next(order.steps(straight[at][0]))) == straight[at]


@pytest.mark.parametrize("step", ["64 examples", "16384 tokens", "262144 tokens", "1000 examples"])
def test_epochs_and_seeds_differ(step):
    lengths = log_normal(3000)
    one = Order(replace(BASE, step=StepSize.parse(step)), lengths)
    two = Order(replace(BASE, step=StepSize.parse(step), seed=2), lengths)
    first = ids_of(epoch_of(one, 0)[0])
    assert first != ids_of(epoch_of(one, 1)[0])
    assert first != ids_of(epoch_of(two, 0)[0])


@pytest.mark.parametrize("window", [100, 256, 1000, 65_536])
def test_64_examples_are_64_across_windows_too(window):
    steps = epoch_of(Order(replace(BASE, window_documents=window), log_normal(1003)))
    assert [planned.documents for planned in steps] == [64] * 15 + [43]


@pytest.mark.parametrize("padded", [True, False])
def test_the_short_last_step_takes_chance_documents(padded):
    lengths = np.arange(1, 1004, dtype=np.uint32)
    last = epoch_of(Order(replace(BASE, padded=padded), lengths))[-1]
    assert sorted(ids_of(last)) == sorted(permutation(np.arange(960, 1003), 1003, 1, 1, 0, 1003).tolist())
    assert last.documents == 43
    assert 300 < np.mean(lengths[ids_of(last)]) < 700


def test_a_bag_takes_consecutive_positions():
    order = Order(replace(BASE, padded=False, window_documents=200), log_normal(1000))
    expected = permutation(np.arange(1000), 1000, 1, 1, 0, 1000).tolist()
    assert [i for planned in epoch_of(order) for i in ids_of(planned)] == expected


@pytest.mark.parametrize(
    ("step", "documents", "least"),
    [
        ("64 examples", 30_000, 0.99),
        ("16384 tokens", 30_000, 0.99),
        ("1000000 tokens", 30_000, 0.98),
        ("4096 examples", 30_000, 0.98),
        ("4099 examples", 30_000, 0.98),  # a prime number of examples costs nothing
    ],
)
def test_padding_is_small(step, documents, least):
    lengths = log_normal(documents)
    order = Order(replace(BASE, step=StepSize.parse(step)), lengths)
    padded = sum(sum(costs(planned.micro_batches, lengths, True)) for planned in epoch_of(order))
    assert int(lengths.sum()) / padded > least


def test_steps_of_one_window_are_even_and_not_sorted():
    lengths = log_normal(20_000)
    order = Order(replace(BASE, step=StepSize(16_384, "tokens")), lengths)
    steps = epoch_of(order)
    found = np.array([planned.documents * int(lengths[ids_of(planned)].max()) for planned in steps])
    assert found.min() > 0.85 * found.mean()  # no left-over of the shortest
    longest = np.array([lengths[ids_of(planned)].max() for planned in steps], dtype=float)
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.15


def test_a_large_step_mixes_lengths():
    lengths = log_normal(30_000)
    order = Order(replace(BASE, step=StepSize(1 << 20, "tokens")), lengths)
    means = [lengths[ids_of(planned)].mean() for planned in epoch_of(order)]
    assert max(means) < 2.5 * min(means)
    assert {len(planned.micro_batches) for planned in epoch_of(order)} == {64}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("lengths", "micro_batches"),
    [
        ([10] * 20, [16, 4]),  # 20 micro-batches of one row cannot become 32: the second step is short
        ([10] * 15 + [5] * 10, None),  # nor can these 20 of one or two rows; the short step still serves many ranks
        ([5] * 5, [5]),  # one short step
        ([10] * 12 + [1] * 100, [16, 16]),  # 22 micro-batches are halved to 32
    ],
)
def test_a_large_step_with_too_few_documents_is_short(lengths, micro_batches, seed):
    chosen = replace(BASE, seed=seed, step=StepSize(160, "tokens"), micro_batch_tokens=10)
    steps = epoch_of(Order(chosen, np.array(lengths, dtype=np.uint32)))
    assert sorted(i for planned in steps for i in ids_of(planned)) == list(range(len(lengths)))
    assert all(len(planned.micro_batches) >= min(16, planned.documents) for planned in steps)
    assert min(len(ids) for planned in steps for ids in planned.micro_batches) == 1
    if micro_batches:
        assert [len(planned.micro_batches) for planned in steps] == micro_batches


def test_a_window_holds_several_steps_of_tokens_whatever_is_set():
    lengths = np.full(10_000, 10, dtype=np.uint32)
    order = Order(replace(BASE, step=StepSize(1000, "tokens"), window_documents=1), lengths)
    assert order.steps_per_epoch(0) <= 105  # not a step for each document


def test_tiny_sets():
    for documents in (1, 2, 5):
        for step in ("1 examples", "64 examples", "16384 tokens", "10000000 tokens"):
            order = Order(replace(BASE, step=StepSize.parse(step)), np.full(documents, 3, dtype=np.uint32))
            steps = epoch_of(order)
            assert sum(planned.documents for planned in steps) == documents
            if step != "1 examples":
                assert [len(ids) for ids in steps[0].micro_batches] == [1] * documents


def test_ids_cannot_be_changed_by_who_reads_them():
    planned = next(Order(BASE, log_normal(100)).steps())
    with pytest.raises(ValueError, match="read-only"):
        planned.micro_batches[0][0] = 7


@pytest.mark.parametrize("documents", [40_000, 40_960, 300])
def test_a_block_shuffle_reads_few_stretches(documents):
    order = Order(replace(BASE, shuffle="block", window_documents=8192), log_normal(documents))
    steps = epoch_of(order)
    assert sorted(i for planned in steps for i in ids_of(planned)) == list(range(documents))
    for first in range(0, len(steps) - 128, 128):
        window = np.sort([i for planned in steps[first : first + 128] for i in ids_of(planned)])
        assert np.count_nonzero(np.diff(window) > 1) <= 8192 / RUN + 1
    assert ids_of(steps[0]) != sorted(ids_of(steps[0]))


def test_a_block_shuffle_mixes_windows_and_not_the_whole():
    """Sorted documents of 64 topics: a step of a full shuffle has all of them, one of a block shuffle those of its
    window's runs, as many as chance picks of them."""
    size, topics = 1 << 20, 64
    chosen = replace(BASE, step=StepSize(512, "examples"), padded=False, window_documents=65_536)
    shares = {}
    for shuffle in ("full", "block"):
        order = Order(replace(chosen, shuffle=shuffle), np.full(size, 7, dtype=np.uint32))
        steps = [ids_of(planned) for planned in itertools.islice(order.steps(), 100)]
        shares[shuffle] = np.mean([len({i * topics // size for i in ids}) for ids in steps])
    assert shares["full"] > 63.9
    assert 50 < shares["block"] < 62  # 128 runs hold 64 * (1 - (1 - 1 / 64) ** 128) = 55.5 topics


class Lengths:
    """As many lengths as one likes, none of which is stored."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, ids):
        return (500 + np.asarray(ids, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(1001)).astype(np.uint32)


@pytest.mark.parametrize("shuffle", ["full", "block"])
@pytest.mark.parametrize("step", ["4194304 tokens", "2048 examples"])
def test_a_billion_documents_of_a_trillion_tokens(step, shuffle):
    size = 10**9 + 7
    chosen = replace(BASE, step=StepSize.parse(step), shuffle=shuffle)
    order = Order(chosen, Lengths(size), tokens=10**12)
    windows = -(-size // order._window_size)
    assert windows > 7000
    seen = set()
    for position in (Position(), Position(10**9, 3, windows // 2, 0), Position(10**9, 3, windows - 1, 0)):
        for planned in itertools.islice(order.steps(position), 3):
            ids = ids_of(planned)
            assert min(ids) >= 0 and max(ids) < size and len(set(ids)) == len(ids)
            assert max(costs(planned.micro_batches, order.lengths, True)) <= chosen.micro_batch_tokens
            if position.epoch:
                assert seen.isdisjoint(ids)
                seen.update(ids)
    assert order.steps_per_epoch(0) == -(-size // 2048) if step.endswith("examples") else True


def test_no_documents_is_an_error():
    with pytest.raises(DataError, match="no documents"):
        Order(BASE, np.array([], dtype=np.uint32))


@pytest.mark.parametrize("position", [Position(window=9), Position(step_in_window=99), Position(0, 3, 0, 16)])
def test_a_position_of_other_data_is_refused(position):
    with pytest.raises(RunError, match="outside the order"):
        next(Order(BASE, log_normal(1000)).steps(position))


@pytest.mark.parametrize(
    "fields",
    [{}, {"step": 1}, {"step": 1, "epoch": 0, "window": -1, "step_in_window": 0},
     {"step": True, "epoch": 0, "window": 0, "step_in_window": 0},
     {"step": 1, "epoch": 0, "window": 0, "step_in_window": 0, "more": 1}],
)  # fmt: skip
def test_a_damaged_position_is_refused(fields):
    with pytest.raises(RunError, match="position"):
        Position.from_json(fields)


@pytest.mark.parametrize("text", ["64", "0 examples", "64 documents", " 64 examples", "-1 tokens", "64 examples\n"])
def test_a_step_size_that_is_none(text):
    with pytest.raises(RecipeError, match="step_size"):
        StepSize.parse(text)


def test_settings_come_from_the_recipe():
    recipe = Recipe(data=Data(train="x.jsonl"), model=Lstm(), train=Train(step_size="16_384 tokens", seed=5))
    assert OrderSettings.of(recipe, padded=True) == replace(BASE, seed=5, step=StepSize(16_384, "tokens"))


def test_the_fingerprint_covers_every_setting_and_the_number_of_documents():
    changes = [
        BASE,
        replace(BASE, seed=2),
        replace(BASE, step=StepSize(64, "tokens")),
        replace(BASE, step=StepSize(65, "examples")),
        replace(BASE, micro_batch_tokens=1),
        replace(BASE, window_documents=1),
        replace(BASE, max_ranks=1),
        replace(BASE, padded=False),
    ]
    prints = [Order(chosen, log_normal(10)).fingerprint() for chosen in changes]
    assert len({*prints, Order(BASE, log_normal(11)).fingerprint()}) == len(changes) + 1
    assert prints[0] == Order(BASE, log_normal(10)).fingerprint()


GOLDEN = {
    "64 examples, padded": "08e9a8419156841f",
    "64 examples, bag": "7d7c3840a410d2e3",
    "1000 examples, padded": "feb04a29ef523e2e",
    "4096 tokens, padded": "8561fdf091e1c415",
    "4096 tokens, bag": "44d05b046f7dc6e4",
    "20000 tokens, padded": "e75e7dcfb4c634ba",
}


@pytest.mark.parametrize("case", GOLDEN)
def test_the_first_steps_never_change(case):
    """Resuming an old run hangs on this: a new hash here asks for a new PLAN_VERSION."""
    assert golden(case) == GOLDEN[case]


def golden(case):
    step, layout = case.split(", ")
    lengths = np.array([1 + mix(i) % 300 for i in range(5000)], dtype=np.uint32)
    chosen = replace(BASE, step=StepSize.parse(step), micro_batch_tokens=2048, window_documents=1500, max_ranks=4)
    order = Order(replace(chosen, padded=layout == "padded"), lengths)
    found = hashlib.sha256()
    for planned in itertools.islice(order.steps(), 200):
        found.update(json.dumps([list(planned.position.to_json().values()), *content(planned)[3]]).encode())
    return found.hexdigest()[:16]
