"""Files of examples: what is read, and what is refused with its line."""

import csv
import gzip
import json

import pytest

from cluster.compat.torchtext import Field, LabelField, TabularDataset
from cluster.errors import DataError, InputError


@pytest.fixture
def text():
    return Field(lower=True)


@pytest.fixture
def label():
    return LabelField()


def found(data):
    return [vars(example) for example in data]


def write(path, words):
    path.write_text(words)
    return str(path)


TWO = [{"text": ["good", "film"], "label": "pos"}, {"text": ["bad"], "label": "neg"}]


@pytest.mark.parametrize("packed", [False, True])
def test_json_lines(tmp_path, text, label, packed):
    lines = '{"t": "Good film", "l": "pos", "other": 3}\n\n{"t": ["Bad"], "l": "neg"}\n'
    path = tmp_path / f"data.json{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(lines.encode()) if packed else lines.encode())
    data = TabularDataset(path, "JSON", {"t": ("text", text), "l": ("label", label), "other": None})
    assert found(data) == TWO and data.fields == {"text": text, "label": label} and len(data) == 2
    assert list(data.label) == ["pos", "neg"] and data[1].text == ["bad"]


def test_one_value_for_several_columns_and_values_inside_others(tmp_path, text):
    row = {"foods": {"fruits": ["Fig"], "vegetables": [{"name": "Leek"}, {"name": "Kale"}]}}
    path = write(tmp_path / "data.json", json.dumps(row))
    letters = Field(preprocessing=lambda words: list("".join(words)))
    fields = {"foods.fruits": [("fruits", text), ("letters", letters)], "foods.vegetables.name": ("names", text)}
    data = TabularDataset(path, "json", fields)
    assert found(data) == [{"fruits": ["fig"], "letters": ["F", "i", "g"], "names": ["leek", "kale"]}]
    with pytest.raises(DataError, match=r"data.json:1: there is no key 'nuts'; there is: 'fruits', 'vegetables'"):
        TabularDataset(path, "json", {"foods.nuts": ("nuts", text)})


@pytest.mark.parametrize("kind, mark", [("csv", ","), ("tsv", "\t")])
def test_tables_by_place_and_by_name(tmp_path, text, label, kind, mark):
    rows = [["id", "l", "t"], ["1", "pos", "Good\nfilm"], ["2", "neg", "Bad"]]
    with open(tmp_path / "data", "w", newline="") as file:
        csv.writer(file, delimiter=mark).writerows(rows)
    by_place = [(None, None), ("label", label), ("text", text)]
    assert found(TabularDataset(tmp_path / "data", kind, by_place, skip_header=True)) == TWO
    by_name = {"t": ("text", text), "l": ("label", label)}
    assert found(TabularDataset(tmp_path / "data", kind, by_name)) == TWO
    kept = TabularDataset(tmp_path / "data", kind, by_name, filter_pred=lambda one: one.label == "neg")
    assert found(kept) == TWO[1:]
    with pytest.raises(DataError, match="no column 'x'; its first line names 'id', 'l', 't'"):
        TabularDataset(tmp_path / "data", kind, {"x": ("text", text)})


def test_arguments_of_csvs_reader(tmp_path, text, label):
    path = write(tmp_path / "data.txt", 'pos;"Good film\nneg;Bad\n')
    fields = [("label", label), ("text", text)]
    params = {"delimiter": ";", "quoting": csv.QUOTE_NONE}
    data = TabularDataset(path, "csv", fields, csv_reader_params=params)
    assert [one.text for one in data] == [['"good', "film"], ["bad"]]
    with pytest.raises(DataError, match="data.txt:1: a quote opened in this row is never closed.*QUOTE_NONE"):
        TabularDataset(path, "csv", fields, csv_reader_params={"delimiter": ";"})
    with pytest.raises(InputError, match="none of csv.reader's"):
        TabularDataset(path, "csv", fields, csv_reader_params={"delimeter": ";"})


def test_splits(tmp_path, text):
    for name in ("a", "b"):
        write(tmp_path / name, f"{name}\n")
    train, test = TabularDataset.splits(path=str(tmp_path), train="a", test="b", format="tsv", fields=[("text", text)])
    assert (train[0].text, test[0].text) == (["a"], ["b"])
    with pytest.raises(InputError, match="needs path, .*nothing is fetched"):
        TabularDataset.splits(train="a", format="tsv", fields=[("text", text)])


def test_columns_that_no_field_names_are_said(tmp_path, text):
    path = write(tmp_path / "data.csv", "a,1,2\nb,3,4\n")
    with pytest.warns(UserWarning, match="has 3 columns, fields names 1"):
        assert found(TabularDataset(path, "csv", [("text", text)])) == [{"text": ["a"]}, {"text": ["b"]}]


@pytest.mark.parametrize(
    "kind, words, message",
    [
        ("json", '{"text": "a"}\n{"text": \n', r"data:2: broken JSON"),
        ("json", '["a"]\n', r"data:1: a line must hold one JSON object, but holds a list.*jq"),
        ("json", '{"text": "a"}\n{"x": "a"}\n', r"data:2: there is no key 'text'; there is: 'x'"),
        ("json", '{"text": 5}\n', r"data:1: column 'text': a sequential field takes a string"),
        ("csv", "text,b\na,1\na,b,1\n", r"data:3: 3 cells, the first row has 2. Put a cell"),
        ("csv", "text,b\n\na,\udcff\n", r"data:3: .*iconv"),
        ("csv", 'text\n"a\nb\n', r"data:2: a quote opened in this row is never closed"),
    ],
)
def test_bad_rows_are_named_with_their_line(tmp_path, text, kind, words, message):
    (tmp_path / "data").write_bytes(words.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message):
        TabularDataset(tmp_path / "data", kind, {"text": ("text", text)})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"format": "xml", "fields": []}, "must be .*but is 'xml'"),
        ({"format": "json", "fields": [("text", Field())]}, "needs fields by key"),
        ({"format": "json", "fields": {}, "csv_reader_params": {"delimiter": ";"}}, "csv_reader_params are for"),
        ({"format": "csv", "fields": {"text": ("text", Field())}, "skip_header": True}, "leave skip_header out"),
        ({"format": "csv", "fields": [("text", "Field")]}, "'text' has a str"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        TabularDataset(write(tmp_path / "data", "a\n"), **arguments)


def test_a_row_of_too_few_cells_and_a_file_that_is_not_there(tmp_path, text):
    with pytest.raises(DataError, match="data:1: 1 values for 2 fields"):
        TabularDataset(write(tmp_path / "data", "a\n"), "csv", [("text", text), ("b", text)])
    with pytest.raises(DataError, match="cannot read .*missing"):
        TabularDataset(tmp_path / "missing", "csv", [("text", text)])
