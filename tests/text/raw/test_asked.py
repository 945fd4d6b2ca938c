"""Files of SQuAD 1.1 and 2.0, rows in JSON lines, JSON arrays and Parquet; what is rejected, and how it is named."""

import json

import pytest

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.raw.read import Rejected, Row, read_rows

CONTEXT = "Die Brücke — 橋 🌉 — was built in 1890 by Ada Lind."
DATA = {"train": "x", "text": "context", "label": "answers", "question": "question"}


def answer(text, start=None):
    return {"text": text, "answer_start": CONTEXT.index(text) if start is None else start}


def squad(*questions, version="v2.0", context=CONTEXT, title="Bridges"):
    return {
        "version": version,
        "data": [{"title": title, "paragraphs": [{"context": context, "qas": list(questions)}]}],
    }


def read(path, **settings):
    return list(read_rows(path, Data(**DATA | settings), "answer"))


def written(tmp_path, contents, name="dev.json", indent=None):
    (tmp_path / name).write_text(json.dumps(contents, ensure_ascii=False, indent=indent))
    return tmp_path / name


@pytest.mark.parametrize("indent", [None, 2])
def test_squad_2_is_read_as_it_stands(tmp_path, indent):
    when = {"id": "a1", "question": "When?", "answers": [answer("1890"), answer("in 1890")], "is_impossible": False}
    why = {"id": "a2", "question": "Why?", "answers": [], "is_impossible": True, "plausible_answers": [answer("Ada")]}
    first, second = read(written(tmp_path, squad(when, why), indent=indent))
    assert (first.line, first.question.id, first.question.question) == (1, "a1", "When?")
    assert first.question.context == CONTEXT and first.labels == ()
    assert [tuple(one) for one in first.question.references] == [("1890", CONTEXT.index("1890")),
                                                                 ("in 1890", CONTEXT.index("in 1890"))]  # fmt: skip
    assert second.line == 2 and second.question.references == () and second.target == -1
    assert first.group == second.group == "Bridges"


def test_squad_1_has_no_word_on_impossible_questions(tmp_path):
    when = {"id": "a1", "question": "When?", "answers": [answer("1890")]}
    contents = {"data": squad(when)["data"], "version": "1.1"}  # in this order, too
    (row,) = read(written(tmp_path, contents))
    assert row.question.references[0].text == "1890"


def test_every_article_and_paragraph_is_read_in_order(tmp_path):
    data = [
        {"title": f"t{a}", "paragraphs": [
            {"context": f"c{a}{p} x", "qas": [{"id": f"{a}{p}{q}", "question": "q?", "answers": []} for q in range(2)]}
            for p in range(2)
        ]}
        for a in range(3)
    ]  # fmt: skip
    rows = read(written(tmp_path, {"version": "v2.0", "data": data}))
    assert [row.question.id for row in rows] == [f"{a}{p}{q}" for a in range(3) for p in range(2) for q in range(2)]
    assert [row.line for row in rows] == list(range(1, 13))


@pytest.mark.parametrize(
    "change, says",
    [
        ({"answers": [answer("1890", 5)]}, "the answer '1890' does not stand at answer_start 5"),
        ({"answers": [answer("1890", -4)]}, "does not stand at answer_start -4"),
        ({"answers": [answer("Lind!", CONTEXT.index("Lind"))]}, "where the context has 'Lind.'"),
        ({"answers": [{"text": "1890"}]}, "needs text and answer_start"),
        ({"answers": [{"text": "1890", "answer_start": "33"}]}, "needs text and answer_start"),
        ({"answers": [{"text": " ", "answer_start": 3}]}, "is empty"),
        ({"answers": "1890"}, "is not a list of answers"),
        ({"answers": [answer("1890")], "is_impossible": True}, "'is_impossible' is true, but there are answers"),
        ({"answers": [], "is_impossible": False}, "'is_impossible' is false, but there is no answer"),
        ({"question": " "}, "empty text (field 'question')"),
        ({"question": None}, "field 'question' is not a string"),
        ({"question": "\ud800"}, "lone surrogate"),
    ],
)
def test_a_bad_question_is_rejected_by_name_and_place(tmp_path, change, says):
    good = {"id": "a1", "question": "When?", "answers": [answer("1890")]}
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(squad(good, good | {"id": "bad-one"} | change)))
    first, bad = read(path)
    assert isinstance(first, Row) and isinstance(bad, Rejected)
    assert (bad.file, bad.line) == (str(path), 2) and says in bad.reason
    if "surrogate" not in says:
        assert "article 1 'Bridges', paragraph 1, question bad-one" in bad.reason


@pytest.mark.parametrize(
    "contents, says",
    [
        ({"data": [{"title": "x"}]}, "article 1 holds no list 'paragraphs'"),
        ({"data": [{"paragraphs": [{"context": "c"}]}]}, "article 1, paragraph 1 holds no list 'qas'"),
        ({"data": ["x"]}, "article 1 holds no list 'paragraphs'"),
    ],
)
def test_a_file_that_only_looks_like_squad_is_refused(tmp_path, contents, says):
    with pytest.raises(DataError, match=says):
        read(written(tmp_path, contents))


def test_a_file_that_was_cut_off_is_refused(tmp_path):
    whole = json.dumps(squad({"id": "a", "question": "q?", "answers": []}))
    (tmp_path / "dev.json").write_text(whole[:-30])
    with pytest.raises(DataError, match="dev.json"):
        read(tmp_path / "dev.json")


def test_rows_in_json_lines_and_arrays_have_both_forms_of_answers(tmp_path):
    start = CONTEXT.index("Ada")
    rows = [
        {"id": 7, "question": "Who?", "context": CONTEXT, "answers": {"text": ["Ada"], "answer_start": [start]}},
        {"question": "Who?", "context": CONTEXT, "answers": {"text": "Ada", "answer_start": start}},
        {"question": "Who?", "context": CONTEXT, "answers": {"text": [], "answer_start": []}},
        {"question": "Who?", "context": CONTEXT, "answers": {"text": ["Ada"], "answer_start": []}},
        {"question": "Who?", "context": CONTEXT},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read(tmp_path / "a.jsonl")
    assert [isinstance(row, Row) for row in found] == [True, True, True, False, False]
    assert found[0].question.id == "7" and found[0].question.references == found[1].question.references
    assert "two lists of equal length" in found[3].reason and "no field 'answers'" in found[4].reason
    assert [type(row) for row in read(written(tmp_path, rows, "b.json"))] == [type(row) for row in found]


def test_parquet_as_datasets_has_it(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    answers = [{"text": ["Ada"], "answer_start": [CONTEXT.index("Ada")]}, {"text": [], "answer_start": []}]
    columns = {"id": ["x", "y"], "title": ["t", "t"], "context": [CONTEXT] * 2, "question": ["Who?", "Why?"]}
    pq.write_table(pa.table(columns | {"answers": answers}), tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet", group="title")
    assert first.question.references[0] == ("Ada", CONTEXT.index("Ada")) and first.question.id == "x"
    assert second.question.references == () and first.group == "t"


def test_what_cannot_hold_answers_says_so(tmp_path):
    (tmp_path / "a.csv").write_text("question,context,answers\nq,c,a\n")
    with pytest.raises(DataError, match="no cell of a table holds"):
        read(tmp_path / "a.csv")
    (tmp_path / "a.txt").write_text("some text\n")
    (bad,) = read(tmp_path / "a.txt")
    assert "not plain text" in bad.reason
