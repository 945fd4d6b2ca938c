"""Parquet files, and folders that Hugging Face `datasets` saved."""

import datetime
import decimal
import json
import pickle
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.raw.read import Row, blocks, parse, read_rows, resolve, told_by_place

DATA = Data(train="unused")
TEXTS = ["a film", "another", "x"]


def parquet(tmp_path, columns, **options):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(path, task="classify", data=DATA):
    return list(read_rows(path, data, task))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary()])
def test_texts_of_any_string_type(tmp_path, kind):
    text = (
        pa.array(["é", "b\nc", "é"], pa.string()).cast(kind)
        if kind != pa.binary()
        else pa.array([b"\xc3\xa9", b"b\nc", b"\xc3\xa9"])
    )
    path = parquet(tmp_path, {"other": [[1], [2], [3]], "label": ["p", " n ", "p"], "text": text})
    assert read(path) == [
        Row(1, "é", ("p",), 0.0, ""),
        Row(2, "b\nc", ("n",), 0.0, ""),
        Row(3, "é", ("p",), 0.0, ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "label, task, expected",
    [
        (pa.array([1, 2, 3], pa.uint8()), "classify", ["1", "2", "3"]),
        (pa.array([1.0, 2.0, -3.0], pa.float32()), "classify", ["1", "2", "-3"]),
        (pa.array([True, False, True]), "classify", ["true", "false", "true"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "classify", ["a", "b", "a"]),
        (pa.array([["a"], [], ["b", "a"]]), "multilabel", [("a",), (), ("b", "a")]),
        (pa.array([[1], [], [2]], pa.large_list(pa.int64())), "multilabel", [("1",), (), ("2",)]),
        (pa.array([[1, 1], [1, 2], [2, 1]], pa.list_(pa.int8(), 2)), "multilabel", [("1",), ("1", "2"), ("2", "1")]),
        (pa.array(["a, b", "", "b"]), "multilabel", [("a", "b"), (), ("b",)]),
        (pa.array([1, 2, 3], pa.int32()), "regress", [1.0, 2.0, 3.0]),
        (pa.array([0.5, 1e300, -2.0]), "regress", [0.5, 1e300, -2.0]),
        (pa.array([decimal.Decimal("2.50")] * 3), "regress", [2.5, 2.5, 2.5]),
        (pa.array(["2.5", "1", "0"]), "regress", [2.5, 1.0, 0.0]),
    ],
)
def test_labels_of_any_type(tmp_path, label, task, expected):
    rows = read(parquet(tmp_path, {"text": TEXTS, "label": label}), task)
    if task == "regress":
        assert [row.target for row in rows] == expected
    else:
        assert [row.labels for row in rows] == [one if isinstance(one, tuple) else (one,) for one in expected]


@pytest.mark.parametrize(
    "column, values, task, reason",
    [
        ("text", pa.array(["x", None, "x"]), "classify", "field 'text' is null, not a string"),
        ("text", pa.array(["x", " ", "x"]), "classify", "empty text"),
        ("text", pa.array([b"x", b"caf\xe9", b"x"]).view(pa.string()), "classify", "field 'text' holds invalid UTF-8"),
        ("text", pa.array([b"x", b"caf\xe9", b"x"]), "classify", "field 'text' holds invalid UTF-8"),
        ("label", pa.array(["a", None, "b"]), "classify", "field 'label' is null"),
        ("label", pa.array([1, None, 1]), "regress", "field 'label' is null, not a number"),
        ("label", pa.array([1.0, float("nan"), 1.0]), "regress", "not a finite number"),
        ("label", pa.array([1.0, 2.5, 1.0]), "classify", "field 'label' is a number (2.5); only"),
        ("label", pa.array([["a"], None, []]), "multilabel", "field 'label' is null, not a list"),
        ("label", pa.array([["a"], [None], []]), "multilabel", "field 'label' holds null"),
    ],
)
def test_a_bad_row_is_lost_alone(tmp_path, column, values, task, reason):
    good = {"text": pa.array(TEXTS), "label": pa.array(["1", "1", "1"])}
    first, bad, last = read(parquet(tmp_path, good | {column: values}), task)
    assert isinstance(first, Row) and isinstance(last, Row) and last.line == 3
    assert bad.line == 2 and reason in bad.reason


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"body": TEXTS, "label": TEXTS}, r"no column for data\.text = 'text'; its columns are \['body', 'label'\]"),
        (
            {"text": [1, 2], "label": [datetime.date(2020, 1, 1)] * 2},
            "column 'label' holds date32.*should hold strings",
        ),
        ({"text": [{"a": 1}], "label": ["x"]}, "column 'text' holds struct"),
        ({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}, "it holds no rows"),
    ],
)
def test_files_refused_as_a_whole(tmp_path, columns, message):
    with pytest.raises(DataError, match=message):
        read(parquet(tmp_path, columns))


def test_damage_is_named(tmp_path):
    path = parquet(tmp_path, {"text": [f"text {i}" for i in range(9999)], "label": ["a"] * 9999})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="a.parquet is damaged or cut off"):
        read(path)
    path.write_bytes(b"no parquet at all")
    with pytest.raises(DataError, match="a.parquet is damaged or cut off"):
        read(path)
    path.write_bytes(whole[:40] + bytes(1000) + whole[1040:])
    with pytest.raises(DataError, match="a.parquet"):
        read(path)
    with pytest.raises(DataError, match="cannot read .*gone.parquet"):
        read(tmp_path / "gone.parquet")


def test_groups_blocks_and_row_groups(tmp_path):
    path = parquet(
        tmp_path, {"text": [f"t{i}" for i in range(2500)], "label": [0] * 2500, "by": range(2500)}, row_group_size=700
    )
    data = Data(train="unused", group="by")
    cut = list(blocks(path, data, rows_per_block=1000))
    assert [len(block.rows) for block in cut] == [1000, 1000, 500]
    rows = [row for block in cut for row in parse(pickle.loads(pickle.dumps(block)), data, "classify")[0]]
    assert rows == [Row(i + 1, f"t{i}", ("0",), 0.0, str(i)) for i in range(2500)]


def test_a_text_that_is_the_label_too(tmp_path):
    path = parquet(tmp_path, {"text": TEXTS})
    assert [row.labels for row in read(path, data=Data(train="unused", label="text"))] == [(text,) for text in TEXTS]


def test_pyarrow_is_not_imported_before_it_is_needed(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x", "label": "a"}\n')
    code = f"""
import sys
from pathlib import Path
from cluster.config.schema import Data
from cluster.text.raw.read import read_rows, resolve
from cluster.text.raw.requests import from_file
data = Data(train="unused")
assert len(list(read_rows(*resolve({str(tmp_path / "a.jsonl")!r}, "train"), data, "classify"))) == 1
assert "pyarrow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# what `datasets` 5.2.0 wrote for a set with these columns
FEATURES = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
    "topics": {"feature": {"names": ["a", "b", "c"], "_type": "ClassLabel"}, "_type": "List"},
    "stars": {"dtype": "float32", "_type": "Value"},
}


def saved(folder, rows, features=FEATURES, shards=1):
    """The folder of one split, as save_to_disk leaves it."""
    folder.mkdir(parents=True)
    kinds = {"text": pa.string(), "label": pa.int64(), "topics": pa.list_(pa.int64()), "stars": pa.float32()}
    names = [f"data-{number:05d}-of-{shards:05d}.arrow" for number in range(shards)]
    for number, name in enumerate(names):
        own = rows[number * len(rows) // shards : (number + 1) * len(rows) // shards]
        schema = pa.schema(kinds.items(), {"huggingface": json.dumps({"info": {"features": FEATURES}})})
        table = pa.Table.from_pylist([dict(zip(kinds, row, strict=True)) for row in own], schema)
        with pa.ipc.new_stream(folder / name, schema) as stream:
            stream.write_table(table, max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    if features:
        (folder / "dataset_info.json").write_text(json.dumps({"citation": "", "features": features}))
    return folder


ROWS = [
    ("one", 0, [0, 2], 0.5),
    ("two", 1, [], 1.0),
    ("three", -1, [1], 2.5),
    ("four", 1, None, 4.0),
    ("five", 0, [2], 5),
]


def read_saved(source, slot="train", task="classify", **settings):
    data = Data(train="unused", **settings)
    return [row for path in resolve(str(source), slot) for row in read_rows(path, data, task)]


def test_a_saved_dataset(tmp_path):
    folder = saved(tmp_path / "set", ROWS, shards=2)
    rows = read_saved(folder)
    assert [row.labels[0] for row in rows if isinstance(row, Row)] == ["neg", "pos", "pos", "neg"]
    [unlabelled] = [row for row in rows if not isinstance(row, Row)]
    assert (unlabelled.line, unlabelled.file) == (1, str(folder / "data-00001-of-00002.arrow"))
    assert "field 'label' is null" in unlabelled.reason  # -1: `datasets` has no label for it
    rows = read_saved(folder, task="multilabel", label="topics")
    assert [row.labels for row in rows if isinstance(row, Row)] == [("a", "c"), (), ("b",), ("c",)]
    assert [row.target for row in read_saved(folder, task="regress", label="stars")] == [0.5, 1.0, 2.5, 4.0, 5.0]


def test_the_slot_picks_the_split(tmp_path):
    for split, rows in (("train", ROWS[:2]), ("test", ROWS[4:])):
        saved(tmp_path / "set" / split, rows)
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert [row.text for row in read_saved(tmp_path / "set")] == ["one", "two"]
    assert [row.text for row in read_saved(tmp_path / "set", "test")] == ["five"]
    assert [row.text for row in read_saved(tmp_path / "set" / "test")] == ["five"]
    with pytest.raises(DataError, match='no split named validation .it has train, test.*data.validation = "auto"'):
        read_saved(tmp_path / "set", "validation")


def test_class_names_come_from_the_folder_then_from_the_file(tmp_path):
    renamed = FEATURES | {"label": {"names": ["bad", "good"], "_type": "ClassLabel"}}
    assert read_saved(saved(tmp_path / "renamed", ROWS, renamed))[0].labels == ("bad",)
    assert read_saved(saved(tmp_path / "bare", ROWS, features=None))[0].labels == ("neg",)
    older = FEATURES | {"topics": [FEATURES["topics"]["feature"]]}
    assert read_saved(saved(tmp_path / "older", ROWS, older), task="multilabel", label="topics")[0].labels == ("a", "c")


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("state.json", "{", "state.json is damaged"),
        ("state.json", "[]", "state.json is damaged"),
        ("state.json", "{}", "state.json is damaged: it names no data files"),
        ("state.json", '{"_data_files": [{"filename": "../x.arrow"}]}', "outside its folder"),
        ("state.json", '{"_data_files": [{"filename": "gone.arrow"}]}', "cannot read .*gone.arrow"),
        ("state.json", '{"_data_files": [], "_indices_data_files": [{}]}', "load it with `datasets` and save it again"),
        ("dataset_dict.json", "{}", "it names no splits"),
        ("data-00000-of-00001.arrow", "ARROW1 nothing", "Arrow's file format"),
    ],
)
def test_a_damaged_folder(tmp_path, file, content, message):
    folder = saved(tmp_path / "set", ROWS)
    (folder / file).write_text(content)
    with pytest.raises(DataError, match=message):
        read_saved(folder)


def test_an_arrow_file_that_was_cut_off(tmp_path):
    folder = saved(tmp_path / "set", ROWS)
    file = folder / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(DataError, match="damaged or cut off"):
        read_saved(folder)


def test_what_datasets_itself_saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["neg", "pos"]),
        topics=datasets.Sequence(datasets.ClassLabel(names=["a", "b", "c"])),
    )
    columns = {"text": ["one", "two"] * 600, "label": [0, 1] * 600, "topics": [[0, 2], []] * 600}
    split = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict(train=split, test=split.select([1, 3])).save_to_disk(
        tmp_path / "set", num_shards={"train": 3, "test": 1}
    )
    assert [(row.text, row.labels) for row in read_saved(tmp_path / "set")] == [
        ("one", ("neg",)),
        ("two", ("pos",)),
    ] * 600
    rows = read_saved(tmp_path / "set", "test", task="multilabel", label="topics")
    assert [(row.text, row.labels) for row in rows] == [("two", ()), ("two", ())]


def test_what_a_file_owes_to_its_place(tmp_path):
    def told(path, **settings):
        return told_by_place(path, Data(train="unused", **settings))

    (tmp_path / "pos.txt").write_text("a film\n")
    (tmp_path / "own.txt").write_text("__label__pos a film\n")
    assert told(tmp_path / "pos.txt") == [".txt", "pos"]
    assert told(tmp_path / "own.txt") == [".txt", ""]
    assert told(tmp_path / "pos.txt", txt="files") == [".txt", tmp_path.name]
    assert told(tmp_path / "some.name.CSV.gz") == [".csv.gz"]
    one = saved(tmp_path / "one", ROWS) / "data-00000-of-00001.arrow"
    other = saved(tmp_path / "other", ROWS, FEATURES | {"label": {"names": ["n", "p"], "_type": "ClassLabel"}})
    assert told(one) != told(other / one.name)
