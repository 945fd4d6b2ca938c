"""What each task makes of a label, wherever it stands: in JSON, in a cell, in a line of text."""

import json
from pathlib import Path

import pytest

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.raw.read import Rejected, Row, read_rows

DATA = Data(train="unused")


def read_one(tmp_path, name, content, task, data=DATA):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    [found] = read_rows(path, data, task)
    return found


def json_label(label):
    return f'{{"text": "x", "label": {label}}}\n'


@pytest.mark.parametrize(
    "label, labels",
    [
        ('["a", "b"]', ("a", "b")),
        ('["b", " a ", "b"]', ("b", "a")),  # the order of the source, each once
        ("[1, 2.0, true]", ("1", "2", "true")),
        ('["1", 1]', ("1",)),
        ("[]", ()),
        ('["a, b"]', ("a, b",)),  # what stands in a list is whole
        ('"a, b,,a ,"', ("a", "b")),
        ('""', ()),
        ('","', ()),
        ("7", ("7",)),
        ("false", ("false",)),
    ],
)
def test_several_labels(tmp_path, label, labels):
    assert read_one(tmp_path, "a.jsonl", json_label(label), "multilabel") == Row(1, "x", labels, 0.0, "")
    array = read_one(tmp_path, "a.json", f"[{json_label(label)}]", "multilabel")
    assert array == Row(1, "x", labels, 0.0, "")


@pytest.mark.parametrize(
    "label, reason",
    [
        ("null", "field 'label' is null, not a list of labels"),
        ("{}", "field 'label' is an object, not a list of labels"),
        ("2.5", "field 'label' is a number (2.5), not"),
        ('["a", null]', "field 'label' holds null, not a list of strings"),
        ('["a", ["b"]]', "field 'label' holds a list, not"),
        ('["a", 0.5]', "field 'label' holds a number (0.5), not"),
        ('["a", " "]', "empty label"),
        ('["a", "\\ud800"]', "a lone surrogate"),
    ],
)
def test_several_labels_refused(tmp_path, label, reason):
    assert reason in read_one(tmp_path, "a.jsonl", json_label(label), "multilabel").reason
    assert reason in read_one(tmp_path, "a.json", f"[{json_label(label)}]", "multilabel").reason


@pytest.mark.parametrize("cell, labels", [("a", ("a",)), ("a; b", ("a", "b")), ("", ()), ("a,b", ("a,b",)), (";;", ())])
def test_labels_of_one_cell(tmp_path, cell, labels):
    data = Data(train="unused", label_separator=";")
    found = read_one(tmp_path, "a.tsv", f"label\ttext\n{cell}\tx\n", "multilabel", data)
    assert found == Row(2, "x", labels, 0.0, "")


NUMBERS = [("2", 2.0), ("-2.5", -2.5), ("1e3", 1000.0), ("0.1", 0.1)]


@pytest.mark.parametrize("written, target", [*NUMBERS, ('" 2.5 "', 2.5), ('"+.5"', 0.5), ('"3."', 3.0)])
def test_a_number_to_predict(tmp_path, written, target):
    assert read_one(tmp_path, "a.jsonl", json_label(written), "regress") == Row(1, "x", (), target, "")
    cell = read_one(tmp_path, "a.csv", f"text,label\nx,{json.loads(written)}\n", "regress")
    assert cell == Row(2, "x", (), target, "")
    line = read_one(tmp_path, "a.txt", f"__label__{str(json.loads(written)).strip()} x\n", "regress")
    assert line == Row(1, "x", (), target, "")


@pytest.mark.parametrize(
    "written, reason",
    [
        ("NaN", "field 'label' is nan, not a finite number"),
        ("-Infinity", "field 'label' is -inf, not a finite number"),
        ("1e999", "not a finite number"),
        ("1" + "0" * 400, "not a finite number"),
        ('"1e999"', "not a finite number"),
        ("true", "field 'label' is a boolean (True), not a number"),
        ("null", "field 'label' is null, not a number"),
        ("[2.5]", "field 'label' is a list, not a number"),
        ('"good"', "field 'label' is 'good', not a number"),
        ('"nan"', "not a number"),
        ('"1_000"', "not a number"),
        ('"2,5"', "field 'label' is '2,5', not a number"),
        ('"\\u0663"', "not a number"),  # a digit of another script
        ('""', "field 'label' is '', not a number"),
    ],
)
def test_no_number_to_predict(tmp_path, written, reason):
    assert reason in read_one(tmp_path, "a.jsonl", json_label(written), "regress").reason


def read_txt(tmp_path, content, task="classify", name="pos.txt", data=DATA):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return list(read_rows(path, data, task))


def test_lines_of_fasttext(tmp_path):
    found = read_txt(tmp_path, b"\n__label__pos a  fine film\r\n__label__b-1\tanother \n\n__label__pos last")
    assert found == [
        Row(2, "a  fine film", ("pos",), 0.0, ""),
        Row(3, "another ", ("b-1",), 0.0, ""),
        Row(5, "last", ("pos",), 0.0, ""),
    ]


def test_several_labels_of_fasttext(tmp_path):
    content = b"__label__a __label__b two\n__label__a one\nthe label __label__c is in the midst\n"
    assert [(row.text, row.labels) for row in read_txt(tmp_path, content, "multilabel")] == [
        ("two", ("a", "b")),
        ("one", ("a",)),
        (
            "the label is in the midst",
            ("c",),
        ),  # fastText looks at every word; left there, it would give the answer away
    ]


@pytest.mark.parametrize(
    "line, task, reason",
    [
        (b"__label__a __label__b two", "classify", '2 labels on one line; only task.kind = "multilabel"'),
        (b"no label", "classify", "no __label__, which the file's first line has"),
        (b"no label", "multilabel", "no __label__"),
        (b"__label__ text", "classify", "empty label"),
        (b"__label__a", "classify", "empty text"),
        (b"__label__a caf\xe9", "classify", "invalid UTF-8 at byte 15"),
        (b"__label__good text", "regress", "is 'good', not a number"),
    ],
)
def test_a_line_that_breaks_the_habit_of_fasttext(tmp_path, line, task, reason):
    good = b"__label__1 text\n"
    first, bad, last = read_txt(tmp_path, good + line + b"\n" + good, task)
    assert isinstance(first, Row) and isinstance(last, Row)
    assert isinstance(bad, Rejected) and bad.line == 2 and reason in bad.reason


@pytest.mark.parametrize("name, label", [("pos.txt", "pos"), ("very.good.TXT", "very.good"), ("neg.txt", "neg")])
def test_the_name_of_the_file_labels_its_lines(tmp_path, name, label):
    content = "ein\u2028Film\n  \r\nzwei\r\n__label__a three\n".encode()
    first, second, bad = read_txt(tmp_path, content, name=name)
    assert [first, second] == [Row(1, "ein\u2028Film", (label,), 0.0, ""), Row(3, "zwei", (label,), 0.0, "")]
    assert bad.line == 4 and "begins with __label__" in bad.reason


def test_lines_without_a_number_say_how_to_write_it(tmp_path):
    [bad] = read_txt(tmp_path, b"a film\n", "regress")
    assert "'pos' is none" in bad.reason and "__label__2.5" in bad.reason
    assert read_txt(tmp_path, b"a film\n", "regress", "2.5.txt") == [Row(1, "a film", (), 2.5, "")]


FILES = Data(train="unused", txt="files")


def test_a_file_is_a_text_and_its_folder_the_label(tmp_path, monkeypatch):
    content = b"\xef\xbb\xbfone\n\ntwo\n"
    assert read_txt(tmp_path, content, name="pos/1.txt", data=FILES) == [Row(1, "one\n\ntwo", ("pos",), 0.0, "")]
    monkeypatch.chdir(tmp_path / "pos")
    assert list(read_rows(Path("1.txt"), FILES, "classify")) == [Row(1, "one\n\ntwo", ("pos",), 0.0, "")]
    [bad] = read_txt(tmp_path, content, "regress", "pos/1.txt", FILES)
    assert "'pos' is none" in bad.reason
    assert read_txt(tmp_path, b"x", "regress", "4.5/1.txt", FILES) == [Row(1, "x", (), 4.5, "")]


@pytest.mark.parametrize("content, reason", [(b"", "empty text"), (b" \n", "empty text"), (b"\xff", "invalid UTF-8")])
def test_a_file_that_is_no_text(tmp_path, content, reason):
    [bad] = read_txt(tmp_path, content, name="pos/1.txt", data=FILES)
    assert reason in bad.reason


@pytest.mark.parametrize("txt", ["lines", "files"])
def test_plain_text_has_no_groups(tmp_path, txt):
    with pytest.raises(DataError, match="data.group = 'author', but .*pos.txt is plain text"):
        read_txt(tmp_path, b"a film\n", data=Data(train="unused", txt=txt, group="author"))
