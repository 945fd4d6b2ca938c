"""JSON files that hold an array of objects, or one object a line under the name `.json`."""

import gzip
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.raw import arrays
from cluster.text.raw.arrays import elements
from cluster.text.raw.read import Row, read_rows

DATA = Data(train="unused")
GOOD = '{"text": "a film", "label": "pos"}'


def read(tmp_path, content, name="a.json", data=DATA):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_rows(path, data, "classify"))


@pytest.mark.parametrize(
    "name, pack", [("a.json", bytes), ("a.json.gz", gzip.compress), ("a.JSON.zst", zstandard.compress)]
)
@pytest.mark.parametrize("indent", [None, 0, 4])
def test_arrays(tmp_path, name, pack, indent):
    rows = [{"id": [i, {"deep": "]}"}], "text": f'film "{i}" \u2028 é', "label": i % 3} for i in range(500)]
    for escaped in (True, False):
        content = json.dumps(rows, indent=indent, ensure_ascii=escaped).encode()
        found = read(tmp_path, pack(b"\xef\xbb\xbf" + content + b"\r\n"), name)
        assert found == [Row(i + 1, row["text"], (str(row["label"]),), 0.0, "") for i, row in enumerate(rows)]


def test_elements_that_are_no_examples_are_lost_alone(tmp_path):
    content = f'[{GOOD}, 12, null, ["text"], {{"text": "x"}}, {{"text": 5, "label": 1}}, {{}}, {GOOD}]'
    found = read(tmp_path, content)
    assert [type(row).__name__ for row in found] == ["Row", *["Rejected"] * 6, "Row"]
    assert [(row.line, row.reason) for row in found[1:-1]] == [
        (2, "the element is a number (12), not an object"),
        (3, "the element is null, not an object"),
        (4, "the element is a list, not an object"),
        (5, "no field 'label' (there are: 'text')"),
        (6, "field 'text' is a number (5), not a string"),
        (7, "no field 'text' (there are: none)"),
    ]


def test_bytes_that_are_no_utf_8_lose_their_element_alone(tmp_path):
    bad = b'{"text": "caf\xe9", "label": "pos"}'
    first, lost, last = read(tmp_path, b"[%b, %b, %b]" % (GOOD.encode(), bad, GOOD.encode()))
    assert isinstance(first, Row) and isinstance(last, Row) and last.line == 3
    assert "invalid UTF-8" in lost.reason


@pytest.mark.parametrize(
    "content, message",
    [
        ("[]", "it holds no rows"),
        (" [ ] ", "it holds no rows"),
        ("", "it holds no rows"),
        (" \n\n", "it holds no rows"),
        (f"[{GOOD}", "ends inside the array: it was cut off"),
        (f"[{GOOD},", "broken JSON in element 2: Expecting value"),
        (f"[{GOOD}, ]", "broken JSON in element 2"),
        (f"[{GOOD}, " + '{"text": "cut', r"broken JSON in element 2: Unterminated string .*\(the file ends there\)"),
        (f"[{GOOD} {GOOD}]", "'{' stands where ',' should"),
        (f"[{GOOD}] {GOOD}", "goes on after the array: '{' follows element 1"),
        (f"[{GOOD}, {{text: 1}}, {GOOD}]", "broken JSON in element 2: Expecting property name.*mend the file"),
        ("[" * 100_000, "broken JSON in element 1"),
        ("[" + "1" * 5000 + "]", "broken JSON in element 1: Exceeds the limit"),
        ('"text"', "neither an array of objects nor one object a line: it begins with '\"'"),
        ("text\nmore", "neither an array"),
        (json.dumps({"data": [GOOD]}), "a single object without a field 'text' .*'data'.*list into a file of its own"),
        (json.dumps({"data": [1]}, indent=1), "begins with an object of several lines"),
        (json.dumps({"text": "x", "label": "a"}, indent=1), "begins with an object of several lines"),
    ],
)  # fmt: skip
def test_files_refused_as_a_whole(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_utf_16_and_damage_are_named(tmp_path):
    with pytest.raises(DataError, match="is UTF-16"):
        read(tmp_path, f"[{GOOD}]".encode("utf-16"))
    with pytest.raises(DataError, match="damaged or cut off after byte"):
        read(tmp_path, gzip.compress(f"[{GOOD}]".encode())[:-9], "a.json.gz")


def test_one_object_a_line(tmp_path):
    found = read(tmp_path, f"\n{GOOD}\n\n not JSON\n{GOOD}")
    assert [row.line for row in found] == [2, 4, 5]
    assert "broken JSON" in found[1].reason
    assert [type(row).__name__ for row in read(tmp_path, f"{{broken\n{GOOD}\n")] == ["Rejected", "Row"]
    assert read(tmp_path, GOOD) == [Row(1, "a film", ("pos",), 0.0, "")]


def test_an_element_too_long_to_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LINE_LIMIT_BYTES", 3 << 20)
    assert len(read(tmp_path, json.dumps([{"text": "x" * (2 << 20), "label": "a"}] * 3))) == 3
    with pytest.raises(DataError, match="element 2 is longer than 3 MiB"):
        read(tmp_path, f"[{GOOD}, " + json.dumps({"text": "x" * (9 << 20), "label": "a"}) + "]")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=8), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
def test_any_array_in_any_pieces_is_what_json_loads(tmp_path_factory, values, size, indent, escaped):
    path = tmp_path_factory.mktemp("array") / "a.json"
    path.write_bytes(json.dumps(values, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))
    whole = arrays.pieces
    try:
        arrays.pieces = lambda path, size_bytes=size: whole(path, size)
        assert list(elements(path)) == list(enumerate(values, start=1))
    finally:
        arrays.pieces = whole
