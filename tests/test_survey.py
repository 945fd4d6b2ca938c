import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cluster.errors import DataError, RecipeError
from cluster.survey import main, recipe_of, survey

WORDS = [f"word{number}" for number in range(40)]


def write(path, rows):
    with open(path, "w") as file:
        file.writelines((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    return str(path)


def text(number):
    """Words of Zipf's kind, another text for each number."""
    return " ".join(WORDS[(number * 7 + place * place) % (3 + 37 * (place % 2))] for place in range(1 + number % 9))


def quiet(*_):
    pass


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """train.jsonl and test.jsonl with a recipe for them: two texts on both sides, three words that training lacks, rows
    that cannot be read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    train = [{"text": f"{text(number)} t{number}", "label": "ab"[number % 2]} for number in range(200)]
    test = [
        {"text": "Word1  word2 t7 newcomer", "label": "a"},
        {"text": "newcomer stranger <b>", "label": "b"},
        {"text": train[5]["text"].upper(), "label": "a"},
        {"text": train[150]["text"], "label": "z"},
        '{"text": "cut',
        '{"text": "cut off',
        {"text": "no label"},
        {"text": " ", "label": "a"},
    ]
    write("train.jsonl", train)
    write("test.jsonl", test)
    Path("mine.toml").write_text(
        '[data]\ntrain = "train.jsonl"\nvalidation = "none"\ntest = "test.jsonl"\n'
        '[text]\nvocabulary_size = 20\n[model]\nkind = "linear"\n'
    )
    return train, test


def test_every_figure_is_what_was_written(sets):
    train, _ = sets
    found = survey("mine.toml", say=quiet)
    assert (found["recipe"], found["task"], found["rows"]) == ("mine", "classify", 208)
    split = found["splits"]["train"]
    assert split["documents"] == 200 and split["labels"] == {"a": 100, "b": 100}
    lengths = [len(row["text"].split()) for row in train]
    assert split["tokens"] == sum(lengths) and split["lengths"]["max"] == max(lengths)
    counts = Counter(word for row in train for word in row["text"].split())
    vocabulary = found["vocabulary"]
    assert (vocabulary["distinct"], vocabulary["kept"]) == (len(counts), 20)
    covered = sum(count for _, count in counts.most_common(20)) / counts.total()
    assert vocabulary["coverage"]["train"] == pytest.approx(covered)
    assert vocabulary["growth"][-1]["train"] == 1.0 and vocabulary["growth"][0]["kept"]
    assert found["splits"]["test"]["unknown_labels"] == {"z": 1}


def test_unknown_words_are_named(sets):
    unknown = {one["word"]: one for one in survey("mine.toml", say=quiet)["vocabulary"]["unknown"]["test"]}
    assert unknown["newcomer"] == {"word": "newcomer", "count": 2, "in_train": 0}
    assert unknown["stranger"]["count"] == 1
    assert unknown["t7"] == {"word": "t7", "count": 1, "in_train": 1}  # training met it, the vocabulary has no room


def test_examples_are_decoded_as_the_model_reads_them(sets):
    found = survey("mine.toml", say=quiet)
    first = found["examples"]["test"][0]
    assert (first["file"], first["line"], first["label"]) == ("test.jsonl", 1, "a")
    assert first["text"] == "Word1  word2 t7 newcomer" and first["decoded"].endswith("<unk> <unk>")
    assert [len(examples) for examples in found["examples"].values()] == [3, 3]


def test_texts_on_both_sides_are_shown_with_their_places(sets):
    found = survey("mine.toml", say=quiet)["duplicates"]
    assert found["test_also_in_train"] == 2
    pairs = [(one["line"], one["label"], one["train"]["line"], one["train"]["label"]) for one in found["shown"]["test"]]
    assert pairs == [(3, "a", 6, "b"), (4, "z", 151, "a")]


def test_rejected_rows_are_counted_by_reason(sets):
    found = survey("mine.toml", say=quiet)["rejected"]
    assert found["rows"] == 4
    reasons = {one["first"].split(" at")[0]: (one["rows"], one["file"], one["line"]) for one in found["reasons"]}
    assert reasons["broken JSON"] == (2, "test.jsonl", 5)
    assert len(found["reasons"]) == 3


def test_overrides_hold(sets):
    found = survey("mine.toml", ["text.vocabulary_size=3", "data.test=none"], quiet)
    assert found["vocabulary"]["kept"] == 3 and list(found["splits"]) == ["train"]


def test_a_source_is_split_for_the_look(sets):
    found = survey("train.jsonl", say=quiet)
    assert found["recipe"] == "" and set(found["splits"]) == {"train", "test"}
    assert found["splits"]["train"]["documents"] + found["splits"]["test"]["documents"] == 200
    few = write(Path("few.jsonl"), [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}])
    assert survey(few, say=quiet)["splits"]["train"]["documents"] == 2


def test_numbers_and_several_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": text(n) + f" t{n}", "stars": n / 10, "label": ["x", "y"][: n % 3]} for n in range(120)]
    write("rows.jsonl", rows)
    found = survey("rows.jsonl", ["task.kind=regress", "data.label=stars", "data.test=none"], quiet)
    targets = found["splits"]["train"]["targets"]
    assert targets["max"] == 11.9 and sum(row["documents"] for row in targets["histogram"]) == 120
    assert found["examples"]["train"][-1]["target"] == 11.9
    found = survey("rows.jsonl", ["task.kind=multilabel", "data.test=none"], quiet)
    assert found["splits"]["train"]["labels"] == {"x": 80, "y": 40}
    assert found["splits"]["train"]["labels_per_document"] == {"0": 40, "1": 40, "2": 40}
    for settings in (["task.kind=regress", "data.label=stars"], ["task.kind=multilabel"]):
        assert main(["rows.jsonl", *settings]) == 0
        assert "train: " in capsys.readouterr().out


def test_pieces_of_words_are_readable(sets, capsys):
    settings = ["text.tokens=bpe", "text.vocabulary_size=300"]
    found = survey("train.jsonl", settings, quiet)
    example = found["examples"]["train"][0]
    assert example["decoded"].replace("|", "").strip() == example["text"]
    assert main(["train.jsonl", *settings]) == 0
    assert "300 pieces" in capsys.readouterr().out


def test_a_person_sees_it(sets, capsys):
    assert main(["mine.toml"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    twins = "test.jsonl:3 a = train.jsonl:6 b"
    unknown = ("newcomer (2, 0)", "labels that training lacks: z (1)", "<unk>")
    for words in ("recipe mine: 208 rows", "█", "<- these settings", "rejected rows: 4", twins, *unknown):
        assert words in shown


def test_json_is_one_document(sets, capsys):
    assert main(["mine.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 208


def test_a_text_cannot_speak_to_the_terminal(tmp_path, capsys):
    rows = [{"text": f"\x1b[31mred\x07 {n}", "label": "ab"[n % 2] + "\x1b[0m"} for n in range(30)]
    assert main([write(tmp_path / "hostile.jsonl", rows)]) == 0
    assert not {"\x1b", "\x07"} & set(capsys.readouterr().out)


@pytest.mark.parametrize(
    "name, kind, label", [("movie-ratings", "regress", "rating"), ("movie-sentences", "classify", "label")]
)
def test_the_catalogue_says_what_its_sets_hold(name, kind, label):
    recipe, _ = recipe_of(name, [])
    assert (recipe.task.kind, recipe.data.label, recipe.data.test) == (kind, label, name)


@pytest.mark.parametrize(
    "content, arguments, message",
    [
        (None, ["nowhere.jsonl"], "neither a file"),
        (None, ["sentimen"], "did you mean sentiment?"),
        (None, ["nowhere.toml"], "neither a shipped recipe nor a file"),
        (None, ["*.jsonl"], "no file matches"),
        (None, ["."], "names the folder"),
        ("", ["in.jsonl"], "is empty"),
        ('{"body": "x", "label": "a"}\n', ["in.jsonl"], "data.text=FIELD"),
        ('{"text": "x", "label": "a"}\n', ["in.jsonl"], "one label only"),
        ('{"text": "x", "label": "a"}\n', ["in.jsonl", "text.nothing=1"], "text.nothing"),
        ('{"text": "x", "label": "a"}\n', ["in.jsonl", "nonsense"], "SECTION.SETTING=VALUE"),
        ("not = a [recipe", ["in.toml"], "is not TOML"),
        ("x", ["in.docx"], "unknown"),
    ],
)
def test_wrong_input_is_said(tmp_path, monkeypatch, capsys, content, arguments, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(arguments[0]).write_text(content)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err and not shown.out and "/tmp/tmp" not in shown.err


def test_errors_are_of_the_users(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        survey("nowhere")
    with pytest.raises(RecipeError):
        survey("nowhere.toml")


def test_a_reader_that_leaves_ends_it_quietly(sets):
    command = f"{sys.executable} -m cluster.survey train.jsonl 2>/dev/null | head -1; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=120)
    line, status = found.stdout.splitlines()
    assert line.startswith("train.jsonl: 200 rows") and status == "0"


def test_a_file_of_another_name_is_called_by_its_own(sets):
    survey("train.jsonl", say=quiet)
    os.rename("train.jsonl", "renamed.jsonl")
    found = survey("renamed.jsonl", say=quiet)
    assert [Path(source["path"]).name for source in found["sources"]] == ["renamed.jsonl"]
