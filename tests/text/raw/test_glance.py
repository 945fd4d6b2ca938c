"""What is wrong with the first rows of a recipe's files."""

import json

import pytest

from cluster.config.schema import Data
from cluster.text.raw.glance import glance
from tests.text.raw.test_columnar import ROWS, saved

GOOD = "".join(json.dumps({"text": f"film {n}", "label": "good"}) + "\n" for n in range(150))
BAD = json.dumps({"text": "film", "label": None}) + "\n"


@pytest.fixture
def data(tmp_path):
    def write(train, name="train.jsonl", **settings):
        path = tmp_path / name
        path.write_text(train)
        return Data(**{"train": str(path), "validation": "auto", "test": "none"} | settings)

    return write


def test_files_that_can_be_read_are_passed_over(data):
    assert glance(data(GOOD), "classify") == []
    assert glance(data("a text\nanother\n", "a.txt"), "language") == []


def test_every_split_is_told_by_its_first_bad_row(data, tmp_path):
    one = data(GOOD, label="lable", test=str(tmp_path / "*.jsonl"))
    train, test = glance(one, "classify")
    assert train.startswith("data.train: ") and ":1: no field 'lable' (there are: 'text', 'label')" in train
    assert test.startswith("data.test: ")
    assert "number" in glance(data(GOOD), "regress")[0]


def test_bad_rows_are_for_the_preparation_to_count_where_some_are_accepted(data):
    assert ":2: " in glance(data(GOOD[: GOOD.index("\n") + 1] + BAD + GOOD), "classify")[0]
    assert glance(data(BAD + GOOD, bad_rows=0.1), "classify") == []


def test_files_that_cannot_be_read_at_all_are_told(data):
    assert "is empty" in glance(data("", "a.csv"), "classify")[0]
    assert "no column" in glance(data("words,label\na,b\n", "a.csv"), "classify")[0]


def test_sources_that_are_not_there_are_all_named(tmp_path, monkeypatch):
    monkeypatch.setattr("cluster.text.sets.catalogue.fetch", lambda *_: pytest.fail("fetched"))
    assert glance(Data(train="reuters-r8", validation="auto", test="reuters-r8"), "classify") == []
    one = Data(train=("reuters-8", str(tmp_path / "*.csv")), validation="reuters-r8", test=str(tmp_path / "none"))
    train, pattern, validation, test = glance(one, "classify")
    assert train.startswith("data.train: there is no file reuters-8") and "did you mean reuters-r8" in train
    assert pattern.startswith("data.train: no file matches") and "*.csv" in pattern
    assert validation.startswith("data.validation: the set reuters-r8 has no validation split")
    assert test.startswith("data.test: there is no file")
    assert "there is no file none" in glance(Data(train="none", test="none"), "classify")[0]


def test_a_folder_that_datasets_saved_is_a_source(tmp_path):
    assert glance(Data(train=str(saved(tmp_path / "set", ROWS[:2])), test="none"), "classify") == []
