import json

import numpy as np
import pytest

from cluster.config.models import Lstm, Mlp
from cluster.config.schema import Data, Recipe, Train
from cluster.data.inspect import order_report, print_order
from cluster.data.manifest import write_manifest
from cluster.data.writing import SplitWriter
from cluster.errors import PlanError


def prepared(folder, documents, weighted):
    lengths = np.random.default_rng(3).integers(1, 40, documents).astype(np.uint32)
    tokens = np.zeros(int(lengths.sum()), dtype=np.uint32)
    weights = np.ones(len(tokens), dtype=np.float32) if weighted else None
    layout = "bag" if weighted else "sequence"
    with SplitWriter(folder, "train", vocabulary_rows=10, layout=layout) as writer:
        writer.append(tokens, lengths, np.zeros(documents, np.int32), np.arange(documents, dtype=np.uint64), weights)
    contents = {"fingerprint": "f", "layout": layout, "vocabulary_rows": 10, "labels": ["a", "b"]}
    write_manifest(folder, {**contents, "splits": {"train": writer.close()}, "report": {}})
    return folder


def recipe(model, **train):
    return Recipe(data=Data(train="x.jsonl"), model=model, train=Train(**train))


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("step_size", ["64 examples", "512 tokens", "20000 tokens"])
def test_any_number_of_ranks_reads_the_same(tmp_path, weighted, step_size):
    folder = prepared(tmp_path, 300, weighted)
    chosen = recipe(Mlp() if weighted else Lstm(), step_size=step_size, micro_batch_tokens=1024)
    reports = {ranks: order_report(folder, chosen, ranks, 0, 9) for ranks in (1, 2, 3, 16)}
    for ranks, report in reports.items():
        assert [step["step"] for step in report["steps"]] == list(range(9))
        for step, alone in zip(report["steps"], reports[1]["steps"], strict=True):
            assert len(step["ranks"]) == ranks
            together = sorted(ids for rank in step["ranks"] for ids in rank)
            assert together == sorted(alone["ranks"][0])
    assert json.loads(json.dumps(reports[3])) == reports[3]


@pytest.mark.parametrize("step_size", ["64 examples", "512 tokens"])
def test_a_later_start_shows_the_same_steps(tmp_path, step_size):
    folder = prepared(tmp_path, 300, weighted=False)
    chosen = recipe(Lstm(), step_size=step_size, window_documents=128)
    everything = order_report(folder, chosen, 2, 0, 40)["steps"]
    assert order_report(folder, chosen, 2, 31, 40)["steps"] == everything[31:]
    assert order_report(folder, chosen, 2, 7, 7) == {"steps": []}


def test_fewer_documents_than_ranks_leaves_some_idle(tmp_path):
    report = order_report(prepared(tmp_path, 2, weighted=False), recipe(Lstm()), 4, 0, 1)
    assert sorted(report["steps"][0]["ranks"]) == [[], [], [[0]], [[1]]]
    assert "idle" in print_order(report)


def test_the_text_for_people(tmp_path):
    text = print_order(order_report(prepared(tmp_path, 5, weighted=True), recipe(Mlp()), 2, 0, 2))
    lines = text.splitlines()
    assert lines[0] == "step 0: 5 documents in 5 micro-batches"
    assert lines[1].startswith("  rank 0: [")
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("ranks", "first", "last", "message"),
    [(17, 0, 1, r"train\.max_ranks \(16\)"), (0, 0, 1, "ranks"), (1, 3, 2, "A:B"), (1, -1, 2, "A:B")],
)
def test_what_cannot_be_shown(tmp_path, ranks, first, last, message):
    with pytest.raises(PlanError, match=message):
        order_report(tmp_path, recipe(Lstm()), ranks, first, last)
