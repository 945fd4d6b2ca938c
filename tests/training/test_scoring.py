"""Every example exactly once, on any number of ranks."""

import json

import numpy as np
import pytest

from cluster.training.scoring import cut

SIZES = [1, 2, 3, 4, 5, 7, 50]


def scores_here(folder, model, tokens):
    """Runs on each rank of the pool: the scores of a split, as this rank has them."""
    import torch

    from cluster.config.models import Lstm, Mlp
    from cluster.config.schema import Data, Launch, Recipe, Train
    from cluster.data.shards import ShardReader
    from cluster.models.build import build_model
    from cluster.plan.plan import make_plan
    from cluster.tasks.classify import Classify
    from cluster.training.parallel import environment, machine, started
    from cluster.training.pulse import Pulse
    from cluster.training.scoring import evaluate

    config = Mlp(hidden=(16,)) if model == "mlp" else Lstm(embedding=8, hidden=16)
    recipe = Recipe(data=Data(train="-"), model=config, launch=Launch(device="cpu"), train=Train())
    plan = make_plan(recipe, machine(), ranks=environment())
    from pathlib import Path

    with started(plan, strict=False) as world:
        torch.manual_seed(7)
        network = build_model(config, 40, 3)
        reader = ShardReader(Path(folder), "test")
        figures = evaluate(network, Classify(["a", "b", "c"]), reader, world, plan, tokens, Pulse())
    return figures


def write_split(folder, documents, weighted):
    from cluster.data.manifest import write_manifest
    from cluster.data.writing import SplitWriter

    chance = np.random.default_rng(documents)
    folder.mkdir()
    with SplitWriter(folder, "test", vocabulary_rows=40, layout="bag" if weighted else "sequence") as writer:
        lengths = chance.integers(1, 30, documents).astype(np.uint32)
        tokens = chance.integers(2, 40, lengths.sum()).astype(np.uint32)
        labels = chance.integers(-1, 3, documents).astype(np.int32)
        weights = chance.random(len(tokens)).astype(np.float32) if weighted else None
        writer.append(tokens, lengths, labels, np.arange(documents, dtype=np.uint64), weights)
        entry = writer.close()
    layout = "bag" if weighted else "sequence"
    contents = {"fingerprint": "f" * 16, "layout": layout, "vocabulary_rows": 40, "labels": ["a", "b", "c"]}
    write_manifest(folder, contents | {"splits": {"test": entry}, "report": {}})
    return labels


@pytest.mark.parametrize("model", ["mlp", "lstm"])
@pytest.mark.parametrize("documents", SIZES)
def test_figures_are_the_same_on_1_2_and_3_ranks(pool, tmp_path, model, documents):
    labels = write_split(tmp_path / "data", documents, weighted=model == "mlp")
    arguments = {"folder": str(tmp_path / "data"), "model": model, "tokens": 64}
    one = pool.run(1, scores_here, **arguments)[0]
    assert one["examples"] == documents
    assert sum(map(sum, one["confusion"])) == documents
    assert one["unknown_label_examples"] == int((labels < 0).sum())
    loss = one.pop("loss")
    for ranks in (2, 3):
        answers = pool.run(ranks, scores_here, **arguments)
        for answer in answers:
            theirs = answer.pop("loss")
            assert theirs == pytest.approx(loss, abs=1e-6) if loss is not None else theirs is None
        assert all(json.dumps(answer) == json.dumps(one) for answer in answers)


@pytest.mark.parametrize(
    "lengths, budget, padded, expected",
    [
        ([3, 1, 2], 6, True, [[0, 2], [1]]),  # longest first: 2 rows x 3, then the rest
        ([3, 1, 2], 6, False, [[0, 1, 2]]),  # a bag has no padding: 3 + 1 + 2
        ([9, 1], 4, True, [[0], [1]]),  # too long for the budget: alone
        ([9, 1, 1], 4, False, [[0], [1, 2]]),
        ([0, 0], 4, False, [[0, 1]]),  # documents without a known word take part
        ([], 4, True, []),
    ],
)
def test_cut(lengths, budget, padded, expected):
    micro_batches = cut(np.array(lengths, dtype=np.uint32), budget, padded)
    assert [ids.tolist() for ids in micro_batches] == expected
