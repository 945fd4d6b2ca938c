"""Wrong input through the real command: one clear message, the right exit code, nothing destroyed.

Each case works in a house of its own (data, recipe, cache with prepared data, two runs), which must come out as it was.
"""

import ctypes
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}


@dataclass(frozen=True)
class House:
    """Everything a case may damage before the command runs, and may not find changed after it."""

    root: Path

    @property
    def recipe(self):
        return self.root / "recipe.toml"

    @property
    def data(self):
        return self.root / "data"

    @property
    def finished(self):
        return self.root / "runs" / "finished"

    @property
    def stopped(self):
        """A run that was killed after its checkpoint of step 10."""
        return self.root / "runs" / "stopped"

    @property
    def fresh(self):
        return self.root / "runs" / "fresh"

    @property
    def prepared(self):
        return next(path for path in (self.root / "cache" / "prepared").iterdir())

    def write(self, name, content):
        path = self.data / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def with_row(self, row):
        """The training data with one more row: the first that is bad."""
        return self.write("more.jsonl", (self.data / "train.jsonl").read_bytes() + row + b"\n")

    def contents(self):
        """Every file with its hash, and every folder."""
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in sorted(self.root.rglob("*"))
        }


@pytest.fixture(scope="session")
def first_house(tmp_path_factory, corpus, recipe_of, muster):
    """Trained once; the cases take copies, in which only the paths are others."""
    house = House(tmp_path_factory.mktemp("house") / "first")
    shutil.copytree(corpus, house.data)
    sections = {"data": {name: str(house.data / f"{name}.jsonl") for name in ("train", "validation", "test")}}
    shutil.copy(recipe_of(**sections), house.recipe)
    (house.root / "cache").mkdir()
    ended = muster("train", house.recipe, "--run", house.finished, MUSTER_CACHE=str(house.root / "cache"))
    assert ended.code == 0, ended.err
    shutil.copytree(house.finished, house.stopped)
    shutil.rmtree(house.stopped / "model")
    shutil.rmtree(house.stopped / "checkpoints" / "000020")
    for name in ("evaluation.json", "verdict.json"):
        (house.stopped / name).unlink()
    return house


@pytest.fixture
def house(first_house, tmp_path):
    house = House(tmp_path / "house")
    shutil.copytree(first_house.root, house.root)
    paths = [house.recipe, *house.root.glob("runs/*/recipe.toml"), *house.root.glob("runs/*/run.json")]
    for path in paths:
        path.write_text(path.read_text().replace(str(first_house.root), str(house.root)))
    return house


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-2])


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


Words = tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """`command`: what is typed, from the house as prepared by `damage`; `says`: words that the message must hold."""

    name: str
    command: Callable[[House], list]
    says: Words
    damage: Callable[[House], object] = lambda house: None
    environment: dict = dataclasses.field(default_factory=dict)


def train(name, *overrides, says, damage=lambda house: None, run=None, **environment):
    """A case of `muster train`; in overrides {data} is the folder of the raw data."""
    return Case(
        name,
        lambda house: [
            *("train", house.recipe),
            *(override.format(data=house.data, root=house.root) for override in overrides),
            *("--run", run(house) if run else house.fresh),
        ],
        says,
        damage,
        environment,
    )


def use(name, command, says, damage=lambda house: None, **environment):
    return Case(name, command, says, damage, environment)


RECIPES = [
    use("missing recipe", lambda h: ["train", h.root / "none.toml"], ("none.toml", "Shipped recipes", "sentiment")),
    use("misspelt recipe", lambda h: ["train", "sentimnt"], ("'sentimnt'", "did you mean sentiment?")),
    use("a folder as recipe", lambda h: ["train", h.finished], ("is a folder", "did you mean", "recipe.toml")),
    use("unknown command", lambda h: ["trian", h.recipe], ("'trian'", "Did you mean `muster train`?")),
    train("unknown key", "train.epoch=3", says=("train.epoch = 3", "did you mean train.epochs?")),
    train("unknown section", "trian.steps=3", says=("trian", "The sections are data, text, task, model")),
    train("wrong type", 'train.steps="3"', says=('train.steps = "3"', "whole number", "without quotes")),
    train("out of range", "train.seed=-1", says=("train.seed = -1", "at least 0")),
    train("unknown model", "model.kind=llama", says=('model.kind = "llama"', '"skipgram" or "custom"')),
    train("no key=value", "train.steps", says=("train.steps: an override is SECTION.SETTING=VALUE",)),
    train("settings at odds", "text.weights=none", says=("text.weights", "bag of words", '"auto"')),
    train(
        "many mistakes at once",
        *("train.epoch=3", "optim.learning_rate=0", "launch.ranks=x"),
        says=("3 mistakes", "train.epochs", "optim.learning_rate = 0", 'launch.ranks = "x"'),
    ),
    train("broken TOML", damage=lambda h: h.recipe.write_text("[data\n"), says=("recipe.toml", "not TOML", "line 1")),
    train("empty recipe", damage=lambda h: h.recipe.write_text(""), says=("data is missing", "model is missing")),
    train(
        "recipe in another encoding",
        damage=lambda h: h.recipe.write_bytes(b"# caf\xe9\n"),
        says=("recipe.toml", "not UTF-8", "line 1"),
    ),
    train("more ranks than max_ranks", "launch.ranks=17", says=("launch.ranks (17)", "train.max_ranks (16)", "larger")),
    train(
        "a GPU where there is none",
        "launch.device=cuda",
        says=("cuda", "no GPU", "launch.device=auto or cpu"),
        **NO_GPU,
    ),
    use("explain what is not", lambda h: ["explain", "train.epoch"], ("train.epoch", "did you mean train.epochs?")),
    use(
        "unknown language", lambda h: ["prepare", h.recipe, "text.language=qq"], ("text.language = 'qq'", "such as en")
    ),
]

DATA = [
    train("missing data file", "data.train={data}/none.jsonl", says=("data.train", "none.jsonl", "muster data list")),
    train("glob without match", "data.train={data}/none*.jsonl", says=("data.train", "no file matches", "none*.jsonl")),
    train("a folder as data", "data.train={data}", says=("data.train", "names the folder", "*.jsonl")),
    train("unknown catalogue name", "data.train=reuters-r9", says=("'reuters-r9'", "did you mean reuters-r8")),
    train(
        "unknown extension",
        "data.train={data}/train.xlsx",
        damage=lambda h: h.write("train.xlsx", "x"),
        says=("train.xlsx", "known are .jsonl", ".csv.zst"),
    ),
    train(
        "empty data file",
        "data.train={data}/empty.jsonl",
        damage=lambda h: h.write("empty.jsonl", ""),
        says=("empty.jsonl is empty", "Name another"),
    ),
    train("missing text field", "data.text=body", says=("no field 'body'", "train.jsonl:1", "'text'", "and 541 more")),
    train(
        "missing CSV column",
        "data.train={data}/train.csv",
        damage=lambda h: h.write("train.csv", "body,label\na,b\n"),
        says=("train.csv", "data.text = 'text'", "columns are ['body', 'label']"),
    ),
    train(
        "all labels equal",
        "data.train={data}/same.jsonl",
        damage=lambda h: h.write("same.jsonl", '{"text": "a film", "label": "good"}\n' * 9),
        says=("one label only, 'good'", "two or more"),
    ),
    train(
        "broken JSON",
        "data.train={data}/more.jsonl",
        damage=lambda h: h.with_row(b'{"text": "x", '),
        says=("1 of 562 rows", "data.bad_rows = 0", "more.jsonl:401: broken JSON"),
    ),
    train(
        "broken JSON beyond the share",
        *("data.train={data}/more.jsonl", "data.bad_rows=0.001"),
        damage=lambda h: h.with_row(b"{"),
        says=("data.bad_rows = 0.001 accepts 0", "more.jsonl:401"),
    ),
    train(
        "invalid UTF-8",
        "data.train={data}/more.jsonl",
        damage=lambda h: h.with_row(b'{"text": "\xff", "label": "good"}'),
        says=("more.jsonl:401: invalid UTF-8", "data.bad_rows"),
    ),
    train(
        "a gz file that was cut off",
        "data.train={data}/train.jsonl.gz",
        damage=lambda h: h.write("train.jsonl.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3"),
        says=("train.jsonl.gz", "damaged or cut off"),
    ),
    train(
        "not fetched and offline",
        "data.train=reuters-r8",
        MUSTER_OFFLINE="1",
        says=("reuters-r8 is not in the cache", "MUSTER_OFFLINE"),
    ),
    use(
        "fetch offline",
        lambda h: ["data", "fetch", "reuters-r8"],
        ("reuters-r8 is not in the cache", "MUSTER_OFFLINE forbids", "unset it"),
        MUSTER_OFFLINE="1",
    ),
    use("unknown set", lambda h: ["data", "path", "reuters"], ("'reuters'", "did you mean reuters-r8")),
    use(
        "all sources that are missing",
        lambda h: ["check", h.recipe, "data.train=none.jsonl", "data.test=reuters-r9"],
        (
            "data.train: there is no file none.jsonl",
            "data.test: there is no file reuters-r9",
            "did you mean reuters-r8",
        ),
    ),
    use(
        "baseline of missing data",
        lambda h: ["baseline", h.recipe, "data.test=none.jsonl"],
        ("data.test", "none.jsonl"),
    ),
]

PREPARED = [
    train(
        "zero-byte shard",
        damage=lambda h: (h.prepared / "train/00000.tokens").write_bytes(b""),
        says=("train/00000.tokens has 0 bytes", "the manifest says", "Remove the folder"),
    ),
    train(
        "truncated shard",
        damage=lambda h: cut(h.prepared / "train/00000.weights"),
        says=("train/00000.weights has", "the manifest says", "Remove the folder"),
    ),
    train(
        "flipped bit",
        damage=lambda h: flip(h.prepared / "test/00000.tokens"),
        says=("test/00000.tokens is damaged in 4 MiB block 0", "Remove the folder"),
    ),
    train(
        "missing column",
        damage=lambda h: (h.prepared / "test/labels").unlink(),
        says=("test/labels", "cannot be opened", "Remove the folder and prepare the data again."),
    ),
    train(
        "missing manifest",
        damage=lambda h: (h.prepared / "manifest.json").unlink(),
        says=("holds no manifest.json", "remove it"),
    ),
    train(
        "broken manifest",
        damage=lambda h: cut(h.prepared / "manifest.json"),
        says=("manifest.json cannot be read as JSON", "Remove the folder"),
    ),
    train(
        "a manifest that leads outside",
        damage=lambda h: (h.prepared / "manifest.json").write_text(
            (h.prepared / "manifest.json").read_text().replace("train/00000.tokens", "../../../recipe.toml")
        ),
        says=("'../../../recipe.toml'", "stay inside the folder"),
    ),
    train(
        "a file in place of the cache",
        damage=lambda h: h.write("cache", ""),
        MUSTER_CACHE="{data}/cache",
        says=("cache folder", "MUSTER_CACHE=FOLDER"),
    ),
]

RUNS = [
    train("a file in place of the run", run=lambda h: h.recipe, says=("recipe.toml is a file", "--run DIR")),
    train("a run below a file", run=lambda h: h.recipe / "run", says=("recipe.toml is a file", "--run DIR")),
    train("no rights for the run", run=lambda h: "/proc/run", says=("/proc/run cannot be written", "--run DIR")),
    train("a folder that is not empty", run=lambda h: h.data, says=("data is not empty", "--run DIR")),
    train("a finished run again", run=lambda h: h.finished, says=("finished run (test accuracy 0.", "muster predict")),
    train("a stopped run again", run=lambda h: h.stopped, says=("checkpoint of step 10", "Go on with: muster resume")),
    use("resume of nothing", lambda h: ["resume", h.fresh], ("There is no run at", "muster train RECIPE")),
    use("resume of no run", lambda h: ["resume", h.data], ("data is no run of muster", "run.json", "muster train")),
    use(
        "resume with a new setting",
        lambda h: ["resume", h.stopped, "train.steps=50"],
        ("train.steps", "takes launch.* settings only", "muster train"),
    ),
    use(
        "resume on too many ranks", lambda h: ["resume", h.stopped, "launch.ranks=17"], ("(17)", "train.max_ranks (16)")
    ),
    use("resume on a GPU", lambda h: ["resume", h.stopped, "launch.device=cuda"], ("no GPU", "auto or cpu"), **NO_GPU),
    use(
        "cut run.json",
        lambda h: ["resume", h.stopped],
        ("run.json is not whole JSON", "restore it"),
        lambda h: cut(h.stopped / "run.json"),
    ),
    use(
        "run.json without its data",
        lambda h: ["resume", h.stopped],
        ("run.json", "prepared is None", "restore it"),
        lambda h: edit(h.stopped / "run.json", prepared=None),
    ),
    use(
        "run.json of another format",
        lambda h: ["resume", h.stopped],
        ("format 99", "reads 1", "the version that began it"),
        lambda h: edit(h.stopped / "run.json", format=99),
    ),
    use(
        "damaged recipe of a run",
        lambda h: ["resume", h.stopped],
        ("recipe.toml is not TOML",),
        lambda h: (h.stopped / "recipe.toml").write_text("["),
    ),
]

MODELS = [
    use("evaluate nothing", lambda h: ["evaluate", h.fresh], ("There is no run at",)),
    use("evaluate unfinished", lambda h: ["evaluate", h.stopped], ("has no model yet", "muster resume")),
    use("evaluate missing data", lambda h: ["evaluate", h.finished, "--data", h.data / "none.jsonl"], ("none.jsonl",)),
    use(
        "evaluate broken data",
        lambda h: ["evaluate", h.finished, "--data", h.data / "bad.jsonl"],
        ("2 of 2 rows", "bad.jsonl:1: broken JSON", "data.bad_rows"),
        lambda h: h.write("bad.jsonl", "{\n}\n"),
    ),
    use(
        "evaluate a damaged model",
        lambda h: ["evaluate", h.finished],
        ("weights.safetensors does not have the SHA-256",),
        lambda h: flip(h.finished / "model/weights.safetensors"),
    ),
    use("predict nothing", lambda h: ["predict", h.fresh, "a"], ("There is no run at", "muster train RECIPE")),
    use(
        "predict unfinished",
        lambda h: ["predict", h.stopped, "a"],
        ("has no model yet", "interrupted", "muster resume"),
    ),
    use(
        "predict with flipped weights",
        lambda h: ["predict", h.finished, "a"],
        ("weights.safetensors does not have the SHA-256", "copy it again"),
        lambda h: flip(h.finished / "model/weights.safetensors"),
    ),
    use(
        "predict with cut weights",
        lambda h: ["predict", h.finished, "a"],
        ("weights.safetensors has", "its manifest says", "copy it again"),
        lambda h: cut(h.finished / "model/weights.safetensors"),
    ),
    use(
        "predict with an empty description",
        lambda h: ["predict", h.finished, "a"],
        ("model.json has 2 bytes", "copy it again"),
        lambda h: (h.finished / "model/model.json").write_text("{}"),
    ),
    use(
        "predict without an encoder",
        lambda h: ["predict", h.finished, "a"],
        ("encoder.json", "copy it again"),
        lambda h: (h.finished / "model/encoder.json").unlink(),
    ),
    use("predict a missing file", lambda h: ["predict", h.finished, "--input", h.data / "none.txt"], ("none.txt",)),
    use(
        "predict to a missing folder",
        lambda h: ["predict", h.finished, "--input", h.data / "test.jsonl", "--output", h.data / "none/out.jsonl"],
        ("none/out.jsonl", "there is no folder"),
    ),
    use(
        "predict onto its input",
        lambda h: ["predict", h.finished, "--input", h.data / "test.jsonl", "--output", h.data / "test.jsonl"],
        ("is the input itself", "name another file"),
    ),
    use("steps backwards", lambda h: ["inspect", "order", h.recipe, "--steps", "5:2"], ("'5:2' is not A:B", "0:10")),
    use("no ranks", lambda h: ["inspect", "order", h.recipe, "--ranks", "0"], ("'0'", "at least 1")),
    use(
        "too many ranks",
        lambda h: ["inspect", "order", h.recipe, "--ranks", "17"],
        ("17 ranks", "train.max_ranks (16)"),
    ),
]


@pytest.mark.parametrize("case", [*RECIPES, *DATA, *PREPARED, *RUNS, *MODELS], ids=lambda case: case.name)
def test_bad_input(case, house, muster):
    case.damage(house)
    before = house.contents()
    environment = {"MUSTER_CACHE": str(house.root / "cache")} | {
        name: value.format(data=house.data) for name, value in case.environment.items()
    }
    ended = muster(*case.command(house), **environment)
    assert ended.code == 2, ended
    missing = [words for words in case.says if words not in ended.err]
    assert not missing, f"{missing} not in: {ended.err}"
    assert ended.err.count("muster:") + ended.err.count(": error:") == 1, ended.err
    assert "Traceback" not in ended.err and not ended.out
    assert house.contents() == before


def drop_rights():
    """Root may read all; without these two capabilities it has the rights of any user (man 7 capabilities)."""
    cap_dac_override, cap_dac_read_search, pr_capbset_drop = 1, 2, 24
    for capability in (cap_dac_override, cap_dac_read_search):
        ctypes.CDLL(None).prctl(pr_capbset_drop, capability, 0, 0, 0)


@pytest.mark.parametrize(
    "command, barred",
    [
        (["prepare", "{root}/recipe.toml"], "{root}"),
        (["prepare", "{root}/recipe.toml"], "{root}/data"),
        (["train", "{root}/recipe.toml", "--run", "{root}/runs/new"], "{prepared}"),
        (["evaluate", "{root}/runs/finished", "--data", "{root}/data/test.jsonl"], "{root}/data"),
        (["verify", "{prepared}"], "{prepared}"),
        (["verify", "{prepared}"], "{prepared}/train"),
        (["prepare", "{root}/recipe.toml", "train.seed=1"], "{prepared}/manifest.json"),
    ],
)
def test_what_the_user_has_no_right_to(house, command, barred):
    places = {"root": house.root, "prepared": house.prepared}
    path = Path(barred.format(**places))
    rights = path.stat().st_mode
    path.chmod(0)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "launch", *(word.format(**places) for word in command)],
            env=os.environ | {"MUSTER_CACHE": str(house.root / "cache"), "PYTHONPATH": str(Path(__file__).parents[1])},
            preexec_fn=drop_rights,
            capture_output=True,
            text=True,
        )
    finally:
        path.chmod(rights)
    assert ended.returncode == 2 and not ended.stdout
    assert "Permission denied" in ended.stderr and str(path) in ended.stderr
    assert ended.stderr.count("muster:") == 1 and "Traceback" not in ended.stderr


def test_data_that_cannot_be_made_again_is_no_reason_to_touch_the_run(house, muster):
    house.prepared.rename(house.root / "gone")
    house.with_row(b"").rename(house.data / "train.jsonl")
    before = house.contents()
    ended = muster("resume", house.stopped, MUSTER_CACHE=str(house.root / "cache"))
    assert (ended.code, ended.out) == (2, "")
    assert "the sources have changed" in ended.err and "Restore them, or begin a new run" in ended.err
    after = house.contents()
    assert {name: after[name] for name in before} == before
    added = after.keys() - before.keys()  # prepared, whole, and of use to a new run
    assert added and all(name.startswith(str(Path("cache", "prepared", house.prepared.name))) for name in added)


def test_the_way_out_is_as_the_message_says(house, muster):
    """Damaged data: remove it; a damaged checkpoint or a lost model: resume. The result is the same to the last bit."""
    cache = {"MUSTER_CACHE": str(house.root / "cache")}
    weights = (house.finished / "model/weights.safetensors").read_bytes()
    (house.prepared / "train/00000.tokens").write_bytes(b"")
    ended = muster("resume", house.stopped, **cache)
    assert ended.code == 2 and "train/00000.tokens has 0 bytes" in ended.err and "Remove the folder" in ended.err
    assert "Traceback" not in ended.err and (house.stopped / "checkpoints/000010/manifest.json").exists()
    shutil.rmtree(house.prepared)
    flip(house.stopped / "checkpoints/000010/optimizer.safetensors")  # its only one: to begin anew is for us to decide
    ended = muster("resume", house.stopped, **cache)
    assert ended.code == 2 and "set aside as .bad" in ended.err and "would now begin at step 0" in ended.err
    shutil.rmtree(house.finished / "model")
    for run in (house.stopped, house.finished):
        ended = muster("resume", run, **cache)
        assert ended.code == 0, ended.err
        assert (run / "model/weights.safetensors").read_bytes() == weights
    assert (house.stopped / "checkpoints/000010.bad").is_dir()
