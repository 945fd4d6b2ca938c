"""Rows from raw files: what is read, what is refused row by row, what is refused as a whole."""

import gzip
import json
import os
import pickle
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.keys import normalised
from cluster.text.raw import lines as lines_module
from cluster.text.raw import plain, tables
from cluster.text.raw import read as read_module
from cluster.text.raw.lines import kind_of, lines
from cluster.text.raw.read import Rejected, Row, blocks, blocks_of, parse, read_rows, resolve, share_of, text_key

DATA = Data(train="unused")
GROUPED = Data(train="unused", group="author")
ROW = b'{"text": "a fine film", "label": "pos"}\n'


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(path: Path, data: Data = DATA, task="classify") -> tuple[list[Row], list[Rejected]]:
    together = list(read_rows(path, data, task))
    assert [row.line for row in together] == sorted(row.line for row in together)
    return [row for row in together if isinstance(row, Row)], [row for row in together if isinstance(row, Rejected)]


@pytest.mark.parametrize(
    "written_label, label",
    [
        ('"pos"', "pos"),
        ('" pos "', "pos"),
        ("3", "3"),
        ("-3", "-3"),
        ("3.0", "3"),
        ("-0.0", "0"),
        ("true", "true"),
        ("false", "false"),
        ('"\\u00e9"', "é"),
    ],
)
def test_labels_become_text(tmp_path, written_label, label):
    path = written(tmp_path, "a.jsonl", b'{"text": "x", "label": %s}\n' % written_label.encode())
    assert read(path) == ([Row(1, "x", (label,), 0.0, "")], [])


@pytest.mark.parametrize(
    "line, reason",
    [
        (b'{"text": "x", "label": "a"', "broken JSON at column"),
        (b"not JSON", "broken JSON at column 1"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"text": "x", "label": ' + b"1" * 5000 + b"}", "broken JSON: Exceeds the limit"),
        (b'["x", "a"]', "the line is a list, not an object"),
        (b"null", "the line is null, not an object"),
        (b'{"text": "x"}', "no field 'label' (there are: 'text')"),
        (b"{}", "no field 'text' (there are: none)"),
        (b'{"text": 5, "label": "a"}', "field 'text' is a number (5), not a string"),
        (b'{"text": null, "label": "a"}', "field 'text' is null, not a string"),
        (b'{"text": "x", "label": null}', "field 'label' is null, not"),
        (b'{"text": "x", "label": ["a"]}', "field 'label' is a list; only"),
        (b'{"text": "x", "label": {"a": 1}}', "field 'label' is an object, not"),
        (b'{"text": "x", "label": 2.5}', "field 'label' is a number (2.5); only"),
        (b'{"text": "x", "label": NaN}', "field 'label' is a number (nan), not"),
        (b'{"text": "x", "label": 1e300}', "field 'label' is a number (1e+300), not"),
        (b'{"text": "x", "label": " "}', "empty label"),
        (b'{"text": "", "label": "a"}', "empty text"),
        (b'{"text": " \\t\\u3000", "label": "a"}', "empty text"),
        (b'{"text": "caf\xe9", "label": "a"}', "invalid UTF-8 at byte 14"),
        (b'{"text": "\\ud800", "label": "a"}', "a lone surrogate"),
        (b'{"text": "x", "label": "\\udc00"}', "a lone surrogate"),
    ],
)
def test_a_bad_line_rejects_itself_alone(tmp_path, line, reason):
    path = written(tmp_path, "a.jsonl", ROW + line + b"\n" + ROW)
    rows, rejected = read(path)
    assert [row.line for row in rows] == [1, 3]
    assert [(bad.file, bad.line) for bad in rejected] == [(str(path), 2)]
    assert reason in rejected[0].reason


def test_group_is_read_when_asked_for(tmp_path):
    content = b'{"text": "x", "label": 1, "author": 7}\n{"text": "y", "label": 1}\n'
    rows, rejected = read(written(tmp_path, "a.jsonl", content), GROUPED)
    assert rows == [Row(1, "x", ("1",), 0.0, "7")]
    assert "no field 'author'" in rejected[0].reason


def test_lines_end_at_line_feeds_only(tmp_path):
    text = "one\u2028two\u2029three\x85four\x0bfive\x0csix"
    content = json.dumps({"text": text, "label": "a"}, ensure_ascii=False).encode() + b"\n" + ROW
    rows, rejected = read(written(tmp_path, "a.jsonl", content))
    assert [row.text for row in rows] == [text, "a fine film"] and not rejected


def test_carriage_returns_marks_and_blank_lines(tmp_path):
    crlf = ROW.replace(b"\n", b"\r\n")
    content = b"\xef\xbb\xbf" + crlf + b"\r\n  \n" + crlf + ROW.rstrip()
    rows, rejected = read(written(tmp_path, "a.jsonl", content))
    assert [row.line for row in rows] == [1, 4, 5] and not rejected  # a blank line is no row, but has a number


@pytest.mark.parametrize(
    "name, pack", [("a.jsonl", bytes), ("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", zstandard.compress)]
)
def test_packed_files(tmp_path, name, pack):
    path = written(tmp_path, name, pack(ROW * 1000) + pack(ROW * 1000))  # two members, as `cat` makes them
    rows, rejected = read(path)
    assert len(rows) == 2000 and not rejected


@pytest.mark.parametrize("name, pack", [("a.csv.gz", gzip.compress), ("a.CSV.ZST", zstandard.compress)])
def test_packed_csv(tmp_path, name, pack):
    assert len(read(written(tmp_path, name, pack(b"text,label\n" + b"x,a\n" * 10)))[0]) == 10


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("name, pack", [("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", zstandard.compress)])
def test_a_packed_file_that_was_cut_off(tmp_path, name, pack, kept):
    whole = pack(
        "".join(json.dumps({"text": str(hash((i, "x"))), "label": "a"}) + "\n" for i in range(20_000)).encode()
    )
    with pytest.raises(DataError, match="damaged or cut off after line"):
        read(written(tmp_path, name, whole[: int(len(whole) * kept)]))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_packed_file_that_is_none(tmp_path, name):
    with pytest.raises(DataError, match="damaged or cut off after line 0"):
        read(written(tmp_path, name, ROW))


def test_zstd_skippable_frame(tmp_path):
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    rows, _ = read(written(tmp_path, "a.jsonl.zst", skippable + zstandard.compress(ROW)))
    assert len(rows) == 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_empty_files_are_refused(tmp_path, name, content):
    with pytest.raises(DataError, match="it holds no rows"):
        read(written(tmp_path, name, content))


def test_csv_with_names_alone_is_refused(tmp_path):
    with pytest.raises(DataError, match="it holds no rows"):
        read(written(tmp_path, "a.csv", b"text,label\n"))


@pytest.mark.parametrize("name", ["a.text", "a", "a.jsonl.bz2", "a.parquet.gz"])
def test_unknown_extensions_list_the_known(name):
    with pytest.raises(DataError, match=r"\.jsonl, \.jsonl\.gz, \.jsonl\.zst, \.json, .*\.csv\.gz, .*\.parquet"):
        kind_of(Path(name))


def test_utf_16_is_named(tmp_path):
    with pytest.raises(DataError, match="is UTF-16"):
        read(written(tmp_path, "a.jsonl", ROW.decode().encode("utf-16")))


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot read .*No such file"):
        list(blocks(tmp_path / "a.jsonl", DATA))


def test_a_line_over_the_limit_is_skipped(tmp_path):
    path = written(tmp_path, "a.jsonl", b"short\n" + b"x" * 3_000_000 + b"\nend\n" + b"y" * 101)
    assert list(lines(path, limit_bytes=100)) == [b"short\n", None, b"end\n", None]
    assert list(lines(path, limit_bytes=101))[-1] == b"y" * 101


def test_a_huge_line_rejects_itself_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    with open(path, "wb") as file:
        file.write(ROW)
        file.seek(lines_module.LINE_LIMIT_BYTES + 100, 1)  # a hole: nothing is written
        file.write(b"\n" + ROW)
    rows, rejected = read(path)
    assert [row.line for row in rows] == [1, 3]
    assert [(bad.line, bad.reason) for bad in rejected] == [(2, "longer than 64 MiB")]


def test_csv_rows(tmp_path):
    content = (
        b"\xef\xbb\xbfid, label ,text\r\n"
        b'1,pos,"two\r\nlines, ""quoted"" \xe2\x80\xa8 here"\r\n'
        b"\r\n"
        b"2, neg ,plain\r\n"
        b"3,neg\r\n"
        b"4,neg,too,many\r\n"
        b"5,neg,caf\xe9\r\n"
        b"6,,no label\r\n"
        b"7,neg,  \r\n"
        b'8,neg,"closed" too early\r\n'
        b"9,3.0,last"
    )
    rows, rejected = read(written(tmp_path, "a.csv", content))
    assert rows == [
        Row(2, 'two\r\nlines, "quoted" \u2028 here', ("pos",), 0.0, ""),
        Row(5, "plain", ("neg",), 0.0, ""),
        Row(12, "last", ("3.0",), 0.0, ""),  # CSV has no numbers: a label stays as it is written
    ]
    assert [(bad.line, bad.reason.split(" (")[0]) for bad in rejected] == [
        (6, "broken CSV: 2 cells, the line of column names has 3"),
        (7, "broken CSV: 4 cells, the line of column names has 3"),
        (8, "field 'text' holds invalid UTF-8 or a lone surrogate"),
        (9, "empty label"),
        (10, "empty text"),
        (11, "broken CSV: ',' expected after '\"'"),
    ]


def test_tsv_rows(tmp_path):
    content = (
        b'id\ttext\tlabel\r\n1\ta, film\tpos\r\n2\t"two\ttabs ""here"""\tneg\n3\tshort\n4\tlast\t 1 \n'
        b'5\t"Hello\tpos\n6\tworld"\tneg\n7\t"Great" he said\tpos\n8\t"all ""quoted"""\tneg\n'
    )
    rows, rejected = read(written(tmp_path, "a.tsv", content))
    assert [(row.line, row.text, row.labels) for row in rows] == [
        (2, "a, film", ("pos",)),
        (3, 'two\ttabs "here"', ("neg",)),
        (5, "last", ("1",)),
        (6, '"Hello', ("pos",)),
        (7, 'world"', ("neg",)),
        (8, '"Great" he said', ("pos",)),
        (9, 'all "quoted"', ("neg",)),
    ]
    reason = "broken TSV: 2 cells, the line of column names has 3; a row is one line"
    assert [(bad.line, bad.reason) for bad in rejected] == [(4, reason)]
    assert len(read(written(tmp_path, "a.tsv.gz", gzip.compress(b"text\tlabel\nx\ta\n")))[0]) == 1


def test_csv_group_and_long_cells(tmp_path):
    content = b"text,label,author\n" + b"x" * 1_000_000 + b",a,me\n"  # csv's own limit is 131,072 characters
    rows, _ = read(written(tmp_path, "a.csv", content), GROUPED)
    assert len(rows[0].text) == 1_000_000 and rows[0].group == "me"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"body,label\nx,a\n", r"no column for data\.text = 'text'; its columns are \['body', 'label'\]"),
        (b"a,b\nx,a\n", r"data\.text = 'text', data\.label = 'label'"),
        (b"text;label\nx;a\n", "separated by commas"),
        (b"text\tlabel\nx\ta\n", r"by tabs in \.tsv"),
        (b"t\xffxt,label\nx,a\n", "the line of column names is not UTF-8"),
        (b"text,label,text\nx,a,y\n", "more than one column named 'text'"),
        (b'text,label\nx,a\n"open,a\nx,a\nx,a\n', "the row that begins on line 3 is never closed"),
        (b'"text,label\nx,a\n', "never closed"),
    ],
)
def test_csv_refused_as_a_whole(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, "a.csv", content))


def test_csv_an_open_quote_before_a_long_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LINE_LIMIT_BYTES", 200_000)
    limit = tables.csv.field_size_limit(0)
    try:
        with pytest.raises(DataError, match="line 2 is never closed"):
            read(written(tmp_path, "a.csv", b'text,label\n"open,a\n' + b"x,a\n" * 100_000))
    finally:
        tables.csv.field_size_limit(limit)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_blocks_hold_every_row_once_and_travel(tmp_path, name):
    rows = [f"text {i}" for i in range(25)]
    if name == "a.csv":
        content = "text,label\n" + "".join(f"{row},a\n" for row in rows)
    else:
        content = "".join(json.dumps({"text": row, "label": "a"}) + "\n" for row in rows)
    path = written(tmp_path, name, content.encode())
    cut = list(blocks(path, DATA, rows_per_block=10))
    assert [len(block.rows) for block in cut] == [10, 10, 5]
    assert list(blocks(path, DATA, rows_per_block=10)) == cut
    travelled = [pickle.loads(pickle.dumps(block)) for block in cut]
    assert [row.text for block in travelled for row in parse(block, DATA, "classify")[0]] == rows


def test_invalid_utf_8_of_csv_travels(tmp_path):
    [block] = blocks(written(tmp_path, "a.csv", b"text,label\n\xff,a\n"), DATA)
    assert len(parse(pickle.loads(pickle.dumps(block)), DATA, "classify")[1]) == 1


def test_blocks_of_long_rows_are_short(tmp_path, monkeypatch):
    monkeypatch.setattr(read_module, "BLOCK_BYTES", 100)
    path = written(tmp_path, "a.jsonl", ROW * 10)
    assert [len(block.rows) for block in blocks(path, DATA)] == [3, 3, 3, 1]


def test_resolve_paths_and_globs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["b.jsonl", "a.jsonl", "sub/c.csv.gz", "odd[1].jsonl"]
    (tmp_path / "sub").mkdir()
    for name in names:
        written(tmp_path, name, ROW)
    assert resolve("a.jsonl", "train") == [Path("a.jsonl")]
    assert resolve(("*.jsonl", "a.jsonl", "sub/*"), "train") == sorted(map(Path, names))
    assert resolve("**/*.gz", "train") == [Path("sub/c.csv.gz")]
    assert resolve("odd[1].jsonl", "train") == [Path("odd[1].jsonl")]  # a file of that name beats the glob


def test_resolve_folders_of_texts(tmp_path):
    for name in ("train/pos/1.txt", "train/pos/deep/2.txt", "train/neg/1.txt", "train/readme.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        written(tmp_path, name, b"a text\n")
    found = resolve(str(tmp_path / "train/**/*.txt"), "train")
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "train/neg/1.txt",
        "train/pos/1.txt",
        "train/pos/deep/2.txt",
    ]
    with pytest.raises(
        DataError, match=r'names the folder .*train/\*\.jsonl.*train/\*\*/\*\.txt with data.txt = "files"'
    ):
        resolve(str(tmp_path / "train"), "train")


def test_many_small_files_share_a_block(tmp_path):
    data = Data(train="unused", txt="files")
    names = ["0.jsonl", *(f"pos/{n}.txt" for n in range(10, 35)), "q.csv", "z.txt"]
    (tmp_path / "pos").mkdir()
    for name in names:
        content = {"l": ROW, "v": b"text,label\nx,a\n"}.get(name[-1], f"text of {name}".encode())
        written(tmp_path, name, b"" if name == "pos/20.txt" else content)
    paths = [tmp_path / name for name in names]
    cut = list(blocks_of(paths, data, rows_per_block=10))
    assert [(first, len(block.rows)) for first, block in cut] == [(0, 1), (1, 10), (11, 10), (21, 5), (26, 1), (27, 1)]
    together = {}
    for first, block in cut:
        rows, rejected = parse(pickle.loads(pickle.dumps(block)), data, "classify")
        for row in rows:
            number = (first << 40) + row.line
            together[number >> 40] = (number & (1 << 40) - 1, row.text, row.labels)
        assert [bad for bad in rejected if bad.file != str(tmp_path / "pos/20.txt")] == []
    apart = {}
    for number, path in enumerate(paths):
        for row in read_rows(path, data, "classify"):
            if isinstance(row, Row):
                apart[number] = (row.line, row.text, row.labels)
            else:
                assert (row.file, row.line) == (str(tmp_path / "pos/20.txt"), 1)
    assert together == apart and len(apart) == len(names) - 1


def test_a_file_too_long_for_one_text(tmp_path, monkeypatch):
    monkeypatch.setattr(plain, "LINE_LIMIT_BYTES", 100)
    path = written(tmp_path, "a.txt", b"x" * 101)
    rows, [bad] = read(path, Data(train="unused", txt="files"))
    assert not rows and bad == Rejected(str(path), 1, "longer than 64 MiB")


@pytest.mark.parametrize(
    "source, message",
    [
        ("none.jsonl", "there is no file none.jsonl"),
        ("none/*.jsonl", "no file matches none/"),
        (".", "names the folder"),
        ("reuters-r9", "did you mean reuters-r8"),
        ("movie_sentence", "did you mean movie-sentences"),
        ("a.text", "known are"),
        ("*.text", "known are"),
        ("pipe.jsonl", "pipe.jsonl is no regular file"),  # opening it would wait for ever
    ],
)
def test_resolve_refuses(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.jsonl")
    written(tmp_path, "a.text", ROW)
    with pytest.raises(DataError, match=message):
        resolve(source, "train")


def test_keys_see_through_case_space_and_form():
    assert normalised("  A\u00a0Film\n\ufb01ne ") == "a film fine"
    assert text_key("A  film") == text_key("a film ") != text_key("a films")
    assert text_key("cafe\u0301") == text_key("CAFÉ")
    assert text_key("a film") == 0xF629ADC212850C2C  # kept in prepared data and behind every split: it may never change
    text_key("\ud800")  # a lone surrogate has a key, too


@given(st.integers(0, 2**64 - 1))
def test_shares_lie_below_one(key):
    assert 0.0 <= share_of(key) < 1.0
    assert 0.0 <= share_of(key, "test") < 1.0


def test_shares_of_two_purposes_are_independent():
    keys = [text_key(str(number)) for number in range(20_000)]
    left = [key for key in keys if share_of(key, "test") >= 0.2]
    assert len(left) == pytest.approx(16_000, rel=0.02)
    assert sum(share_of(key, "validation") < 0.1 for key in left) == pytest.approx(1600, rel=0.1)
    assert share_of(2**64 - 1) < 1.0
