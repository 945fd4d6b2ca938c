import argparse
import json
import subprocess
import sys

import pytest

from launch import cli
from launch.cli import ARGUMENTS, main, parser
from launch.teach import COMMANDS

HEAVY = {"torch", "spacy", "pydantic", "rich", "numpy", "pynvml"}
LIMIT_SECONDS = 0.1  # what a person takes for "at once"


def fresh(arguments):
    """Modules loaded by a fresh interpreter after `muster ARGUMENTS`, and the seconds it took."""
    code = (
        "import sys, time; began = time.perf_counter()\n"
        "from launch.cli import main\n"
        f"sys.stdout = open('/dev/null', 'w'); code = main({arguments!r}); sys.stdout = sys.__stdout__\n"
        "import json; print(json.dumps([code, time.perf_counter() - began, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["nonsense"]])
def test_help_is_light(arguments):
    seconds = []
    for _ in range(3):  # the best of three: other tests may hold the cores
        code, took, modules = fresh(arguments)
        seconds.append(took)
        assert code == (2 if arguments == ["nonsense"] else 0)
        assert not HEAVY & set(modules)
    assert min(seconds) < LIMIT_SECONDS


def test_commands_load_neither_torch_nor_spacy():
    for arguments in (
        ["recipes"],
        ["explain", "train"],
        ["check", "reuters-r8", "data.train=/dev/null", "data.test=none"],
    ):
        assert not {"torch", "spacy", "rich"} & set(fresh(arguments)[2])


def test_every_command_teaches_by_examples(capsys):
    assert set(ARGUMENTS) == set(COMMANDS)
    main(["--help"])
    overview = capsys.readouterr().out
    for name in COMMANDS:
        assert name in overview
        assert main([name, "--help"]) == 0
        assert f"muster {name} " in capsys.readouterr().out.split("examples:")[1] + " "


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "usage: muster"),
        (["trian"], "Did you mean `muster train`?"),
        (["xyz"], "The commands are train"),
        (["train"], "required: RECIPE"),
        (["train", "sentiment", "--rum", "x"], "unrecognized arguments: --rum"),
        (["train", "sentiment", "--run"], "expected one argument"),
        (["resume"], "required: RUN"),
        (["data", "lsit"], "invalid choice"),
        (["inspect", "order", "sentiment", "--steps", "3"], "A:B"),
        (["inspect", "order", "sentiment", "--steps", "3:3"], "A:B"),
        (["inspect", "order", "sentiment", "--ranks", "0"], "at least 1"),
        (["train", "sentimant"], "did you mean sentiment?"),
        (["train", "sentiment", "train.epoch=3"], "did you mean train.epochs?"),
        (["check", "sentiment", "launch.ranks=32"], "exceeds train.max_ranks (16)"),
        (["explain", "train.epoch"], "did you mean train.epochs?"),
        (["resume", "/nonexistent"], "There is no run at /nonexistent"),
        (["evaluate", "/nonexistent"], "There is no run at /nonexistent"),
    ],
)
def test_wrong_usage_ends_with_two_and_says_why(arguments, said, capsys):
    assert main(arguments) == 2
    written = capsys.readouterr()
    assert said in written.err or (not arguments and said in written.out)
    assert "Traceback" not in written.err
    assert not arguments or not written.out


def test_settings_and_options_stand_in_any_order():
    orders = (
        ["sentiment", "train.epochs=1", "--run", "r", "train.seed=2", "--json"],
        ["--json", "sentiment", "--run", "r", "train.epochs=1", "train.seed=2"],
        ["--run=r", "sentiment", "train.epochs=1", "--json", "train.seed=2"],
    )
    parsed = [parser("train").parse_intermixed_args(order) for order in orders]
    expected = argparse.Namespace(recipe="sentiment", overrides=["train.epochs=1", "train.seed=2"], run="r", json=True)
    assert parsed == [expected] * 3


def test_predict_and_data_hand_their_words_on_as_they_are(monkeypatch):
    handed = []

    def become(module, arguments):
        handed.append((module, arguments))
        raise SystemExit(0)

    monkeypatch.setattr("launch.local.become", become)
    words = ["runs/x", "--json", "good", "--", "-5 stars", "--input"]
    assert main(["predict", *words]) == 0
    assert main(["data", "fetch", "reuters-r8", "--json"]) == 0
    assert main(["inspect", "data", "a.csv", "--json", "data.label=topic"]) == 0
    assert handed == [
        ("cluster.predict", words),
        ("cluster.text.sets.catalogue", ["fetch", "reuters-r8", "--json"]),
        ("cluster.survey", ["a.csv", "data.label=topic", "--json"]),
    ]


def test_data_has_no_ranks(capsys):
    assert main(["inspect", "data", "sentiment", "--ranks", "2"]) == 2
    assert "muster inspect order" in capsys.readouterr().err


def test_reports_are_one_json_document(capsys):
    for arguments in (["recipes"], ["schema"], ["explain", "train"], ["explain"], ["explain", "model.hidden"]):
        assert main([*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)


def test_every_recipe_says_what_it_is(capsys):
    main(["recipes", "--json"])
    for recipe in json.loads(capsys.readouterr().out):
        assert len(recipe["about"]) > 20
        with open(recipe["path"]) as file:
            head = file.read().split("[data]")[0]
        assert f"muster train {recipe['name']}" in head and "licence" in head


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m launch explain | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stdout.startswith("[data]") and not done.stderr


def test_module_and_command_are_the_same(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["muster", "--version"])
    with pytest.raises(SystemExit) as caught:
        cli.entry()
    assert caught.value.code == 0
