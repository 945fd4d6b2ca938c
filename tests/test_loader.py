"""What a rank loads: the same steps on any number of ranks, with any number of threads, from any step on."""

import itertools
import os
import threading

import numpy as np
import pytest
import torch

from cluster.config.schema import Train
from cluster.data.order import Order, OrderSettings, StepSize
from cluster.data.sequences import Sequences
from cluster.data.shards import ShardReader
from cluster.errors import DataError
from cluster.loader import Gather, PackedBatch, Ring, StepLoader
from cluster.plan.placement import loader_threads
from tests.data.test_shards import prepared

SOAK = bool(os.environ.get("MUSTER_SOAK"))
CPU = torch.device("cpu")
RANKS = [1, 2, 3, 4, 6, 8, 12, 16]
THREADS = [0, 1, 2, 5]
LAST = 14
KINDS = ["padded", "packed", "tagged", "bag", "sequences", "packed sequences"]


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """One split of each kind: 300 documents of 0 to 40 tokens, in one shard and in many."""
    lengths = np.random.default_rng(3).integers(0, 41, 300).tolist()
    readers = {}
    for kind, layout, tags in [("padded", "sequence", ()), ("tagged", "sequence", ("A", "B")), ("bag", "bag", ())]:
        folder = tmp_path_factory.mktemp(kind)
        prepared(
            folder, lengths, layout=layout, tags=tags, rows=60_000, shard_tokens=700 if kind == "padded" else 1 << 26
        )
        readers[kind] = ShardReader(folder, "train")
    readers["packed"] = readers["padded"]
    readers["sequences"] = readers["packed sequences"] = Sequences(readers["padded"], 19)
    return readers


def order_of(reader, step_size):
    settings = OrderSettings(
        seed=5,
        step=StepSize.parse(step_size),
        micro_batch_tokens=128,
        window_documents=100,
        max_ranks=16,
        padded=not reader.weighted,
    )
    return Order(settings, reader.lengths)


def loader_of(reader, order, start, last, *, rank=0, ranks=1, threads=0, fuse_tokens=0, packed=False, weigh=len):
    return StepLoader(
        reader, order, start, last, rank=rank, ranks=ranks, fuse_tokens=fuse_tokens, device=CPU, weigh=weigh,
        threads=threads, packed=packed,
    )  # fmt: skip


def documents_of(batch):
    """Each document of a batch as bytes: its tokens, what stands beside them, its label."""
    lengths = batch.lengths.tolist()
    if batch.tokens.ndim == 1:
        rows = zip(*(pieces(array, lengths) for array in (batch.tokens, batch.beside)), strict=True)
    else:
        assert batch.tokens.shape[1] == max(lengths)
        behind = torch.arange(batch.tokens.shape[1]) >= batch.lengths[:, None]
        assert not batch.tokens[behind].any() and (batch.beside is None or not batch.beside[behind].any())
        rows = (
            (batch.tokens[i, :length], b"" if batch.beside is None else batch.beside[i, :length])
            for i, length in enumerate(lengths)
        )
    for (tokens, beside), label in zip(rows, batch.labels, strict=True):
        yield tokens.numpy().tobytes(), bytes(beside if beside == b"" else beside.numpy().tobytes()), label.item()


def pieces(array, lengths):
    return [b""] * len(lengths) if array is None else array.split(lengths)


def loaded_steps(reader, order, start, last, ranks, threads, fuse_tokens, packed):
    """What all ranks together get of each step, and what they are told of it."""
    share = {"ranks": ranks, "threads": threads, "fuse_tokens": fuse_tokens, "packed": packed}
    of_ranks = []
    for rank in range(ranks):
        with loader_of(reader, order, start, last, rank=rank, **share) as loader:
            of_ranks.append(list(loader))
    steps = []
    for of_step in zip(*of_ranks, strict=True):
        told = {(one.step, one.documents, one.weight, one.tokens) for one in of_step}
        assert len(told) == 1
        batches = [batch for one in of_step for batch in one.batches if not batch.idle]
        steps.append((told.pop(), sorted(one for batch in batches for one in documents_of(batch))))
    return steps, of_step[0].planned.following


CELLS = [
    (ranks, threads, later, kind, step_size, fuse)
    for ranks, threads, later in itertools.product(RANKS, THREADS, RANKS)
    for kind in KINDS
    for step_size, fuse in [("40 examples", 0), ("40 examples", 256), ("600 tokens", 256), ("2600 tokens", 0)]
]


@pytest.mark.parametrize("cell", range(len(CELLS) if SOAK else 40))
def test_every_step_is_that_of_one_rank_without_threads_that_never_stopped(splits, cell):
    chance = np.random.default_rng(cell)
    ranks, threads, later, kind, step_size, fuse = CELLS[cell] if SOAK else CELLS[chance.integers(len(CELLS))]
    reader, packed = splits[kind], kind.startswith("packed")
    order = order_of(reader, step_size)
    told, _ = loaded_steps(reader, order, order.at(0), LAST, 1, 0, 0, packed)
    cut = int(chance.integers(1, LAST))
    before, position = loaded_steps(reader, order, order.at(0), cut, ranks, threads, fuse, packed)
    after, _ = loaded_steps(reader, order, position, LAST, later, threads, fuse, packed)
    assert before + after == told


def test_an_epoch_holds_each_document_once(splits):
    reader = splits["padded"]
    order = order_of(reader, "600 tokens")
    steps, _ = loaded_steps(reader, order, order.at(0), order.steps_per_epoch(0), 3, 2, 128, False)
    expected = [tokens.astype(np.int64).tobytes() for tokens in (reader.flat([i])[0] for i in range(300))]
    assert sorted(tokens for _, documents in steps for tokens, *_ in documents) == sorted(expected)


@pytest.mark.parametrize("kind", ["packed", "packed sequences", "bag"])
def test_packed_batches_hold_the_boundaries(splits, kind):
    reader = splits[kind]
    order = order_of(reader, "40 examples")
    with loader_of(reader, order, order.at(0), 5, packed=True, fuse_tokens=128) as loader:
        for batch in (batch for step in loader for batch in step.batches):
            assert isinstance(batch, PackedBatch)
            assert batch.cu_seqlens.dtype == torch.int32 and batch.tokens.dtype == torch.int64
            assert batch.cu_seqlens[0] == 0 and batch.cu_seqlens[-1] == len(batch.tokens)
            assert batch.cu_seqlens.diff().tolist() == batch.lengths.tolist()
            assert batch.longest == batch.lengths.max()


@pytest.mark.parametrize("threads", THREADS)
def test_a_batch_that_is_held_does_not_change(splits, threads):
    reader = splits["padded"]
    order = order_of(reader, "40 examples")
    held, copies = [], []
    with loader_of(reader, order, order.at(0), 30, threads=threads) as loader:
        for batch in (batch for step in loader for batch in step.batches):
            held.append(batch.tokens)
            copies.append(batch.tokens.clone())
    assert all(torch.equal(one, other) for one, other in zip(held, copies, strict=True))


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_is_raised_at_its_step(splits, threads):
    reader = splits["padded"]
    order = order_of(reader, "40 examples")
    documents = [set(np.concatenate(step.micro_batches).tolist()) for step in itertools.islice(order.steps(), 7)]
    marked = min(documents[5] - set().union(*documents[:5]))

    class Damaged:
        documents, lengths, labels, weighted = reader.documents, reader.lengths, reader.labels, False
        sizes = reader.lengths

        def padded_each(self, ids, counts):
            if marked in ids:
                raise DataError("block 17 does not hold what was written")
            return reader.padded_each(ids, counts)

        labels_each = staticmethod(reader.labels_each)

    seen = []
    with (
        loader_of(Damaged(), order, order.at(0), 30, threads=threads) as loader,
        pytest.raises(DataError, match="block 17"),
    ):
        seen.extend(step.step for step in loader)
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("threads", THREADS)
def test_a_weight_that_cannot_be_had_is_raised_at_its_step(splits, threads):
    order = order_of(splits["bag"], "40 examples")

    def weigh(labels):
        raise ZeroDivisionError("no label")

    with (
        loader_of(splits["bag"], order, order.at(0), 3, threads=threads, weigh=weigh) as loader,
        pytest.raises(ZeroDivisionError, match="no label"),
    ):
        next(iter(loader))


@pytest.mark.parametrize("threads", THREADS)
def test_leaving_in_the_middle_ends_the_threads(splits, threads):
    before = threading.active_count()
    order = order_of(splits["padded"], "40 examples")
    with loader_of(splits["padded"], order, order.at(0), 10**9, threads=threads) as loader:
        for step in loader:
            if step.step == 3:
                break
    assert threading.active_count() == before


def test_threads_do_not_belong_to_the_order():
    few, many = Train(loader_threads=0), Train(loader_threads=5)
    assert few != many
    assert OrderSettings.of(recipe_of_train(few), True) == OrderSettings.of(recipe_of_train(many), True)


def recipe_of_train(train):
    from cluster.config.models import Mlp
    from cluster.config.schema import Data, Recipe

    return Recipe(data=Data(train="-"), model=Mlp(), train=train)


@pytest.mark.parametrize(
    ("wanted", "device", "threads", "expected"),
    [
        ("auto", "cpu", 8, 0),
        ("auto", "cuda", 8, 2),
        ("auto", "cuda", 2, 1),  # one core is left to the rank itself
        ("auto", "cuda", 1, 1),
        (0, "cuda", 8, 0),
        (3, "cpu", 1, 3),
        (3, "cuda", 1, 3),
    ],
)
def test_threads_of_a_rank(wanted, device, threads, expected):
    assert loader_threads(Train(loader_threads=wanted), device, threads) == expected


def arrays_of(chance, rows):
    return {
        "tokens": chance.integers(0, 1 << 16, (rows, 7)).astype(np.uint16),
        "lengths": chance.integers(0, 1 << 31, rows).astype(np.uint32),
        "tags": chance.integers(0, 256, (rows, 7)).astype(np.uint8),
        "numbers": chance.random(rows),
        "labels": chance.integers(-1, 9, rows).astype(np.int32),
        "weights": chance.random(rows * 3).astype(np.float32),
        "none": np.empty((rows, 0), dtype=np.uint16),
    }


def test_a_ring_carries_arrays_of_any_type_and_size():
    ring, chance = Ring(CPU, None, 2), np.random.default_rng(1)
    carried = []
    for rows in [3, 100, 0, 1, 5000, 2]:
        arrays = arrays_of(chance, rows)
        carried.append((arrays, ring.send(arrays)))
    for arrays, tensors in carried:  # looked at in the end: what came out earlier is not written over
        assert [tensors[name].numpy().tobytes() for name in arrays] == [array.tobytes() for array in arrays.values()]
        assert [tuple(tensors[name].shape) for name in arrays] == [array.shape for array in arrays.values()]


def test_threads_share_a_ring():
    ring, wrong = Ring(CPU, None, 2), []

    def send(seed):
        chance = np.random.default_rng(seed)
        for rows in chance.integers(0, 300, 60).tolist():
            arrays = arrays_of(chance, rows)
            tensors = ring.send(arrays)
            wrong.extend(name for name in arrays if tensors[name].numpy().tobytes() != arrays[name].tobytes())

    threads = [threading.Thread(target=send, args=(seed,)) for seed in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gets_what_a_cpu_gets(splits, kind, threads):
    reader, packed = splits[kind], kind.startswith("packed")
    order = order_of(reader, "40 examples")
    on_cpu = Gather(reader, CPU, packed=packed)
    device = torch.device("cuda", 0)
    with StepLoader(
        reader, order, order.at(0), 60, rank=0, ranks=1, fuse_tokens=0, device=device, weigh=len, threads=threads,
        packed=packed,
    ) as loader:  # fmt: skip
        for step in loader:
            for found in step.batches:
                told = on_cpu.batch(step.planned.micro_batches[found.micro_batch], found.micro_batch)
                for name, value in vars(told).items():
                    other = getattr(found, name)
                    if isinstance(value, torch.Tensor):
                        assert other.dtype == value.dtype and other.device == device and torch.equal(other.cpu(), value)
                    else:
                        assert other == value
