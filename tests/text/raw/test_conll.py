"""Sentences of words in columns: what is read, what is passed over, what is refused and how it is named."""

import gzip

import pytest

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.raw.conll import BadSentence, from_brackets
from cluster.text.raw.read import Rejected, blocks, parse, read_rows

CONLLU = """\
# sent_id = 1
# text = Das geht im Haus.
1\tDas\tder\tPRON\tPDS\t_\t2\tnsubj\t_\t_
2\tgeht\tgehen\tVERB\tVVFIN\t_\t0\troot\t_\t_
3-4\tim\t_\t_\t_\t_\t_\t_\t_\t_
3\tin\tin\tADP\tAPPR\t_\t5\tcase\t_\t_
4\tdem\tder\tDET\tART\t_\t5\tdet\t_\t_
5\tHaus\tHaus\tNOUN\tNN\t_\t2\tobl\t_\t_
5.1\tist\tsein\tAUX\t_\t_\t_\t_\t_\t_

# sent_id = 2
1\t10\u00a0000\t10\u00a0000\tNUM\tCARD\t_\t0\troot\t_\t_
"""
CONLL_2003 = """\
-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC

Peter NNP B-NP B-PER
"""
CONLL_2005 = """\
The     DT   (S*   -       (A0*   *
cat     NN   *     -       *)     (A0*)
sat     VBD  *     sit     (V*)   *
and     CC   *     -       *      *
slept   VBD  *     sleep   *      (V*)
there   RB   *)    -       *      (AM-LOC*)

Nothing NN   *     -
"""
CONLL_2012 = """\
#begin document (bc/cctv/00); part 000
bc/00 0 0 John  NNP (TOP* -   -  - sp (PERSON* (ARG0* (12
bc/00 0 1 Smith NNP *     -   -  - sp *)       *)     12)
bc/00 0 2 left  VBD *     leave 01 1 sp *      (V*)   -

#end document
"""
DATA = {"train": "unused"}


def read(path, contents, **settings):
    path.write_text(contents, encoding="utf-8")
    return list(read_rows(path, Data(**DATA, **settings), "tag"))


def pairs(row):
    return list(zip(row.words, row.labels, strict=True))


def test_conllu_has_form_and_upos_without_ranges_and_empty_nodes(tmp_path):
    first, second = read(tmp_path / "a.conllu", CONLLU)
    assert pairs(first) == [("Das", "PRON"), ("geht", "VERB"), ("in", "ADP"), ("dem", "DET"), ("Haus", "NOUN")]
    assert (first.text, first.line) == ("Das geht in dem Haus", 1)
    assert pairs(second) == [("10\u00a0000", "NUM")] and second.line == 11


def test_other_columns_by_name_and_packed_files(tmp_path):
    path = tmp_path / "a.conllu.gz"
    path.write_bytes(gzip.compress(CONLLU.encode()))
    first, _ = read_rows(path, Data(**DATA, text="lemma", label="XPOS"), "tag")
    assert pairs(first)[:2] == [("der", "PDS"), ("gehen", "VVFIN")]


@pytest.mark.parametrize(
    "settings, labels",
    [
        ({}, ["B-ORG", "O", "B-MISC"]),
        ({"columns": ("word", "pos", "chunk", "name"), "text": "word", "label": "pos"}, ["NNP", "VBZ", "JJ"]),
        ({"label": "3"}, ["B-NP", "B-VP", "B-NP"]),
        ({"label": "-3"}, ["NNP", "VBZ", "JJ"]),
    ],
)
def test_columns_by_name_and_number(tmp_path, settings, labels):
    first, second = read(tmp_path / "eng.conll", CONLL_2003, **settings)
    assert (first.words, list(first.labels)) == (("EU", "rejects", "German"), labels)
    assert (first.line, second.words) == (3, ("Peter",))


def test_each_predicate_makes_an_example_of_its_own(tmp_path):
    sat, slept = read(tmp_path / "a.conll", CONLL_2005, roles="5:")
    assert (sat.predicate, sat.line, slept.predicate, slept.line) == (2, 3, 4, 5)
    assert sat.words == slept.words and sat.identity != slept.identity
    assert sat.labels == ("B-A0", "I-A0", "O", "O", "O", "O")  # the predicate itself is given, and no argument
    assert slept.labels == ("O", "B-A0", "O", "O", "O", "B-AM-LOC")


def test_roles_and_names_of_conll_2012(tmp_path):
    (left,) = read(tmp_path / "a.conll", CONLL_2012, text="4", roles="12:-2")
    assert (left.words, left.labels) == (("John", "Smith", "left"), ("B-ARG0", "I-ARG0", "O"))
    (names,) = read(tmp_path / "a.conll", CONLL_2012, text="4", label="11", brackets=True)
    assert names.labels == ("B-PERSON", "I-PERSON", "O")


@pytest.mark.parametrize(
    "cells, labels",
    [
        ("* (A* * *) (B*)", "O B-A I-A I-A B-B"),
        ("(A* *A) *", "B-A I-A O"),  # CoNLL-2004 names what it closes
    ],
)
def test_brackets_become_bio(cells, labels):
    assert from_brackets(cells.split()) == labels.split()


@pytest.mark.parametrize("cells", ["(A* (B*", "*)", "(A* *", "(A(B*))", "O", "(A"])
def test_brackets_that_spell_no_spans_are_refused(cells):
    with pytest.raises(BadSentence):
        from_brackets(cells.split())


@pytest.mark.parametrize(
    "name, text, settings, line, says",
    [
        ("a.conllu", "1\tDas\tPRON\n", {}, 1, "line 1 has 3 columns; CoNLL-U has 10"),
        ("a.conll", "a X\nb\n\nc X\n", {"label": "2"}, 1, "line 2 has 1 columns, and no column 2"),
        ("a.conll", "a X\nb X Y\n", {"roles": "2:"}, 1, "line 2 has 3 columns, the sentence's first 2"),
        ("a.conll", "a (A*)\n", {"roles": "2:"}, 1, "column 2 marks no predicate"),
        ("a.conll", "a (V*) (V*)\n", {"roles": "2:"}, 1, "two columns mark 'a'"),
        ("a.conll", "a (A*\n", {"brackets": True}, 1, "the span (A* is never closed"),
    ],
)
def test_a_sentence_that_cannot_be_read_is_named_by_its_first_line(tmp_path, name, text, settings, line, says):
    bad = next(row for row in read(tmp_path / name, text, **settings) if isinstance(row, Rejected))
    assert bad.line == line and says in bad.reason


def test_bytes_that_are_no_utf_8_cost_one_sentence(tmp_path):
    path = tmp_path / "a.conll"
    path.write_bytes(b"a X\n\nb\xff X\n\nc X\n")
    first, bad, last = read_rows(path, Data(**DATA), "tag")
    assert (first.words, last.words) == (("a",), ("c",)) and "invalid UTF-8 in line 3" in bad.reason


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"label": "ner"}, "data.label = 'ner': .* has no such column .none has a name"),
        ({"columns": ("word", "tag"), "text": "token"}, r"data.text = 'token': .* \(word, tag\)"),
        ({"group": "speaker"}, "data.group"),
        ({"predicate": "verb"}, "data.roles"),
    ],
)
def test_settings_that_a_file_of_columns_cannot_follow(tmp_path, settings, says):
    with pytest.raises(DataError, match=says):
        read(tmp_path / "a.conll", "a X\n", **settings)


def test_only_a_tagger_reads_such_files(tmp_path):
    path = tmp_path / "a.conllu"
    path.write_text(CONLLU)
    (block,) = blocks(path, Data(**DATA))
    rows, rejected = parse(block, Data(**DATA), "classify")
    assert not rows and len(rejected) == 2 and 'only task.kind = "tag" reads it' in rejected[0].reason


JSON_ROWS = [
    ('{"tokens": ["a", "b"], "tags": ["X", 3], "at": 1}', None),
    ('{"tokens": "a b", "tags": ["X", "Y"], "at": 0}', "field 'tokens' is a string, not a list of words"),
    ('{"tokens": [], "tags": [], "at": 0}', "field 'tokens' holds no word"),
    ('{"tokens": ["a", " "], "tags": ["X", "Y"], "at": 0}', "word 1 of field 'tokens' is without a letter or sign"),
    ('{"tokens": ["a", null], "tags": ["X", "Y"], "at": 0}', "word 1 of field 'tokens' is null"),
    ('{"tokens": ["a", "b"], "tags": "X", "at": 0}', "field 'tags' is a string, not a list of labels"),
    ('{"tokens": ["a", "b"], "tags": ["X"], "at": 0}', "2 words (field 'tokens'), but 1 labels (field 'tags')"),
    ('{"tokens": ["a", "b"], "tags": ["X", ""], "at": 0}', "empty label"),
    ('{"tokens": ["a", "b"], "tags": ["X", {}], "at": 0}', "field 'tags' holds an object"),
    ('{"tokens": ["a", "b"], "tags": ["X", "Y"], "at": 2}', "field 'at' is 2, but the 2 words stand at 0 to 1"),
    ('{"tokens": ["a", "b"], "tags": ["X", "Y"], "at": "b"}', "field 'at' is a string, not the place"),
    ('{"tokens": ["a", "b"], "tags": ["X", "Y"]}', "no field 'at'"),
    ('{"tokens": ["a\\ud800"], "tags": ["X"], "at": 0}', "a lone surrogate"),
]


@pytest.mark.parametrize("line, reason", JSON_ROWS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_lists_of_words_in_json(tmp_path, name, line, reason):
    settings = {"text": "tokens", "label": "tags", "predicate": "at"}
    text = line + "\n" if name == "a.jsonl" else f"[{line}]"
    (row,) = read(tmp_path / name, text, **settings)
    if reason is None:
        assert (row.words, row.labels, row.predicate, row.text) == (("a", "b"), ("X", "3"), 1, "a b")
    else:
        assert reason in row.reason or (name == "a.json" and "surrogate" in row.reason)


def test_lists_of_words_in_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"tokens": [["a", "b"], ["c"]], "tags": [["X", "Y"], ["X"]], "verb": [1, 5]})
    pq.write_table(table, tmp_path / "a.parquet")
    data = Data(**DATA, text="tokens", label="tags", predicate="verb")
    first, bad = read_rows(tmp_path / "a.parquet", data, "tag")
    assert (pairs(first), first.predicate) == ([("a", "X"), ("b", "Y")], 1)
    assert "field 'verb' is 5" in bad.reason


def test_a_table_has_no_lists(tmp_path):
    (bad,) = read(tmp_path / "a.csv", "text,label\na b,X Y\n")
    assert "not a list of words" in bad.reason
