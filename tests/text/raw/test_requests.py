"""What `muster predict` is given: each kind of file, row by row, with bad rows as values."""

import datetime
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import DataError
from cluster.text.raw.requests import Request, from_file, from_stream


def requests(tmp_path, name, content, field=None):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(from_file(path, field))


ONE = {"text": "a film", "id": 1}
TWO = {"id": 2, "text": "é\nb"}


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.jsonl", f"{json.dumps(ONE)}\n{json.dumps(TWO)}\n"),
        ("a.json", f"{json.dumps(ONE)}\n{json.dumps(TWO)}\n"),
        ("a.json", json.dumps([ONE, TWO], indent=2)),
        ("a.json.gz", gzip.compress(json.dumps([ONE, TWO]).encode(), mtime=0)),
    ],
)
def test_objects(tmp_path, name, content):
    assert requests(tmp_path, name, content) == [Request(1, "a film", ONE), Request(2, "é\nb", TWO)]
    renamed = content if isinstance(content, bytes) else content.replace('"text"', '"body"')
    if isinstance(renamed, str):
        found = requests(tmp_path, name, renamed, "body")
        assert [request.text for request in found] == ["a film", "é\nb"]


@pytest.mark.parametrize("name, mark, between", [("a.csv", ",", "\n"), ("a.tsv", "\t", "\t")])
def test_tables_keep_their_columns(tmp_path, name, mark, between):
    content = mark.join(["id", " text "]) + "\n1" + mark + "a film\n" + f'2{mark}"é{between}b"\n'
    text = f"é{between}b"
    expected = [Request(2, "a film", {"id": "1", "text": "a film"}), Request(3, text, {"id": "2", "text": text})]
    assert requests(tmp_path, name, content) == expected
    assert requests(tmp_path, name + ".gz", gzip.compress(content.encode())) == expected


def test_parquet_keeps_its_columns(tmp_path):
    when = datetime.date(2020, 1, 2)
    columns = {"id": [1, 2, 3], "text": ["a film", None, "b"], "when": [when] * 3, "more": [{"a": [1]}] * 3}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    first, bad, last = from_file(tmp_path / "a.parquet", None)
    assert first == Request(1, "a film", {"id": 1, "text": "a film", "when": when, "more": {"a": [1]}})
    assert (bad.line, bad.error) == (2, "field 'text' is not a string with text in it")
    assert (last.line, last.text) == (3, "b")


def test_texts_one_a_line(tmp_path):
    expected = [Request(1, "a film"), Request(3, "b\u2028c"), Request(4, error="invalid UTF-8 at byte 1")]
    content = "a film\r\n \nb\u2028c\n".encode() + b"\xff\n"
    assert requests(tmp_path, "a.txt", content) == expected
    assert requests(tmp_path, "a.txt.gz", gzip.compress(content)) == expected
    assert requests(tmp_path, "a.log", content) == expected  # a name that says nothing
    assert list(from_stream(io.BytesIO(content), None)) == expected


def test_a_field_makes_lines_of_objects(tmp_path):
    content = '{"body": "x"}\n'
    assert requests(tmp_path, "a.txt", content, "body") == [Request(1, "x", {"body": "x"})]
    assert list(from_stream(io.BytesIO(content.encode()), "body")) == [Request(1, "x", {"body": "x"})]


@pytest.mark.parametrize(
    "name, good, bad, error",
    [
        ("a.jsonl", b'{"text": "x"}\n', b"{\n", "broken JSON"),
        ("a.jsonl", b'{"text": "x"}\n', b"[]\n", "the line is not a JSON object"),
        ("a.csv", b"", b"x,y\n", "broken CSV: 2 cells, the line of column names has 1"),
        ("a.csv", b"", b"caf\xe9\n", "invalid UTF-8"),
        ("a.csv", b"", b'"" \n', "broken CSV"),
        ("a.csv", b"", b'""\n', "field 'text' is not a string with text in it"),
    ],
)
def test_a_bad_row_in_the_middle_is_told(tmp_path, name, good, bad, error):
    good, head = (good, b"") if good else (b"x\n", b"text\n")
    first, told, last = requests(tmp_path, name, head + good + bad + good)
    assert (first.text, last.text) == ("x", "x")
    assert error in told.error and told.line == first.line + 1 == last.line - 1


@pytest.mark.parametrize(
    "element, error",
    [
        ("5", "the element is not a JSON object"),
        ("{}", "no field 'text' (there are: none); --field names another"),
        ('{"text": 5}', "field 'text' is not a string"),
        ('{"text": "caf\xe9"}', "invalid UTF-8"),
    ],
)
def test_a_bad_element_is_told(tmp_path, element, error):
    content = f'[{{"text": "x"}}, {element}, {{"text": "y"}}]'.encode("latin-1")
    first, told, last = requests(tmp_path, "a.json", content)
    assert (first.text, told.line, last.text) == ("x", 2, "y") and error in told.error


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", "body\nx\n", r"no column 'text'; its columns are \['body'\]\. --field names"),
        ("a.csv", "text,text\nx,y\n", "more than one column 'text'"),
        ("a.json", '{"body": "x"}', "a single object without a field 'text'"),
        ("a.json", '[{"text": "x"}, {"text": ', "broken JSON in element 2"),
        ("a.parquet", "no parquet", "damaged or cut off"),
        ("a.jsonl.gz", "no gzip", "damaged or cut off"),
        ("a.txt", "text".encode("utf-16"), "is UTF-16"),
    ],
)
def test_refused_as_a_whole(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        requests(tmp_path, name, content)


def test_a_file_that_is_not_there_is_refused_at_once(tmp_path):
    for name in ("gone.jsonl", "gone.parquet", "gone"):
        with pytest.raises(DataError, match="cannot read .*gone"):
            from_file(tmp_path / name, None)
    with pytest.raises(DataError, match="Is a directory"):
        from_file(tmp_path, None)


def test_a_parquet_column_that_holds_no_text(tmp_path):
    pq.write_table(pa.table({"text": [datetime.date(2020, 1, 2)]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column 'text' holds date32"):
        list(from_file(tmp_path / "a.parquet", None))


@pytest.mark.parametrize("name", ["a.txt", "a", "a.log"])
def test_a_byte_order_mark_is_no_text_wherever_it_comes_from(tmp_path, name):
    content = b'\xef\xbb\xbf{"text": "hello"}\nb\n'
    first = {None: '{"text": "hello"}', "text": "hello"}
    for field, text in first.items():
        assert requests(tmp_path, name, content, field)[0].text == text
        assert next(from_stream(io.BytesIO(content), field)).text == text


def test_utf_16_on_standard_input_is_named():
    with pytest.raises(DataError, match="standard input is UTF-16"):
        list(from_stream(io.BytesIO("hello\n".encode("utf-16")), None))
