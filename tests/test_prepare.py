import contextlib
import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from cluster import prepare as prepare_module
from cluster.config.models import Linear, Lstm, Mlp
from cluster.config.schema import Data, Recipe, Text
from cluster.config.tasks import Multilabel, Regress
from cluster.data.manifest import open_prepared
from cluster.data.shards import ShardReader
from cluster.data.verify import verify
from cluster.errors import DataError, InfrastructureError, Interrupted, PlanError, RecipeError
from cluster.prepare import prepare, prepare_evaluation
from cluster.text.preparation import progress as progress_module
from cluster.text.preparation import team as team_module
from cluster.text.preparation.budget import Budget
from cluster.text.preparation.claim import claimed
from cluster.text.preparation.team import Team, team_of
from cluster.text.tokens.pipeline import Encoder

SOAK = bool(os.environ.get("MUSTER_SOAK"))
WORDS = "film plot actor scene bad good dull warm funny slow quick the a of and very not great :) don't".split()  # noqa: SIM905


def rows(count, seed=0, labels=("neg", "pos")):
    chance = np.random.default_rng(seed)
    return [
        {"text": " ".join(chance.choice(WORDS, 8)) + f" number{i}", "label": labels[i % len(labels)]}
        for i in range(count)
    ]


def write(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(path)


def recipe(train, model=None, text=None, task=None, **data):
    sections = {} if task is None else {"task": task}
    return Recipe(data=Data(train=train, **data), model=model or Mlp(), text=text or Text(), **sections)


def done(a_recipe, **settings):
    said = []
    folder = prepare(a_recipe, said.append, **settings)
    return folder, open_prepared(folder), said


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def left(cache):
    return list((cache / "prepared").iterdir()) if (cache / "prepared").exists() else []


def test_prepared_documents_are_what_the_encoder_makes_of_the_texts(tmp_path):
    items = rows(300)
    for model in (Mlp(), Lstm()):
        folder, manifest, _ = done(recipe(write(tmp_path / "a.jsonl", items), model), rows_per_block=70)
        encoder = Encoder.load(folder)
        assert manifest.layout == ("bag" if model.kind == "mlp" else "sequence") and manifest.labels == ("neg", "pos")
        for split in manifest.splits:
            reader = ShardReader(folder, split)
            lines = (reader.sources & np.uint64((1 << 40) - 1)).astype(int)
            expected = encoder.encode([items[line - 1]["text"] for line in lines])
            tokens, lengths, weights = reader.flat(np.arange(reader.documents))
            assert tokens.tolist() == expected.tokens.tolist() and lengths.tolist() == expected.lengths.tolist()
            if weights is not None:
                assert weights.tobytes() == expected.beside.tobytes()
            assert [manifest.labels[label] for label in reader.labels] == [items[line - 1]["label"] for line in lines]


def test_a_second_preparation_has_nothing_to_do_and_checks_the_first(tmp_path):
    source = recipe(write(tmp_path / "a.jsonl", rows(200)))
    folder, _, _ = done(source)
    again, _, said = done(source)
    assert again == folder and said[-1].startswith("already prepared")
    shard = folder / "train" / "00000.tokens"
    shard.write_bytes(b"\xff" + shard.read_bytes()[1:])
    with pytest.raises(DataError, match=r"00000\.tokens is damaged"):
        done(source)


def test_splits_are_disjoint_and_repeated_texts_are_dropped(tmp_path):
    items = rows(400)
    items += [{"text": "  " + items[3]["text"].upper(), "label": items[3]["label"]}, {**items[5], "label": "neg"}]
    folder, manifest, said = done(recipe(write(tmp_path / "a.jsonl", items)), rows_per_block=90)
    report = manifest.report
    assert report["duplicates"]["dropped"] == 2 and report["duplicates"]["repeated_with_other_label"] == 1
    assert report["rows"] == 402 and report["documents"] == 400
    seen = [set(ShardReader(folder, split).sources.tolist()) for split in ("train", "validation", "test")]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 400
    assert 50 < len(seen[2]) < 110 and 15 < len(seen[1]) < 50
    assert any("2 training rows repeat" in line for line in said)


def test_a_group_stays_on_one_side(tmp_path):
    items = [{**row, "author": f"author{i // 5}"} for i, row in enumerate(rows(300))]
    folder, manifest, _ = done(recipe(write(tmp_path / "a.jsonl", items), group="author"))
    side = {}
    for split in manifest.splits:
        for source in ShardReader(folder, split).sources.tolist():
            author = items[(source & ((1 << 40) - 1)) - 1]["author"]
            assert side.setdefault(author, split) == split


def test_published_splits_stay_and_their_duplicates_are_counted(tmp_path):
    train, test = rows(120), rows(30, seed=1)
    train.append(train[0])
    test += [train[1], {"text": "a new thing", "label": "odd"}, {"text": "another", "label": "odd"}]
    _, manifest, said = done(
        recipe(write(tmp_path / "a.jsonl", train), test=write(tmp_path / "b.jsonl", test), validation="none")
    )
    assert {name: split.documents for name, split in manifest.splits.items()} == {"train": 121, "test": 33}
    duplicates = manifest.report["duplicates"]
    assert (duplicates["dropped"], duplicates["repeated_in_train"], duplicates["test_also_in_train"]) == (0, 1, 1)
    assert manifest.report["unknown_labels"] == {"test": {"odd": 2}} and "odd" not in manifest.labels
    assert (ShardReader(manifest.folder, "test").labels == -1).sum() == 2
    assert any("'odd' (2)" in line for line in said)


@pytest.mark.parametrize(
    "labels, expected",
    [
        ([10, 9, 2], ["2", "9", "10"]),  # whole numbers are sorted as numbers
        (["10", 9.0, 2], ["2", "9", "10"]),
        ([True, False], ["false", "true"]),
        (["b", "a", 3], ["3", "a", "b"]),
    ],
)
def test_labels_may_be_strings_numbers_or_booleans(tmp_path, labels, expected):
    source = write(tmp_path / "a.jsonl", rows(60, labels=labels))
    _, manifest, _ = done(recipe(source, test="none", validation="none"))
    assert list(manifest.labels) == expected and set(manifest.splits) == {"train"}


def test_bad_rows_are_listed_and_nothing_is_left_behind(tmp_path, cache):
    path = tmp_path / "a.jsonl"
    write(path, rows(100))
    good = path.read_bytes()
    bad = [b'{"text": "x"', b'{"text": "x"}', b'{"text": 3, "label": "a"}', b'{"text": " ", "label": "a"}', b"\xff\xfe"]
    path.write_bytes(good + b"\n".join(bad * 5) + b"\n")
    with pytest.raises(DataError) as caught:
        done(recipe(str(path)), rows_per_block=30)
    message = str(caught.value)
    assert "25 of 125 rows" in message and f"{path}:101: broken JSON" in message and "and 5 more" in message
    assert left(cache) == []
    _, manifest, said = done(recipe(str(path), bad_rows=0.2))
    report = manifest.report
    assert report["documents"] + report["rejected"] + report["duplicates"]["dropped"] == report["rows"] == 125
    assert report["rejected"] == 25 and report["rejected_rows"][1][1] == 102
    assert any(":102:" in line for line in said)
    with pytest.raises(DataError):
        done(recipe(str(path), bad_rows=0.1))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"labels": ("same",)}, "one label only"),
        ({"count": 3}, r'data\.(validation|test) = "auto" took no document'),
        ({"text": Text(min_count=1000)}, "min_count = 1000"),
        ({"text": Text(language="qq")}, "text.language = 'qq'"),
        ({"data": {"test": "missing.jsonl"}}, "no file missing.jsonl"),
        ({"data": {"label": "body"}}, "no field 'body'"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(tmp_path, cache, settings, message):
    source = write(tmp_path / "a.jsonl", rows(settings.get("count", 80), labels=settings.get("labels", ("a", "b"))))
    with pytest.raises((DataError, RecipeError), match=message):
        done(recipe(source, text=settings.get("text"), **settings.get("data", {})))
    assert left(cache) == []


def test_an_empty_file_is_refused(tmp_path, cache):
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(DataError, match="is empty"):
        done(recipe(str(tmp_path / "a.jsonl")))
    assert left(cache) == []


def test_a_source_that_changes_meanwhile_is_refused(tmp_path, cache, monkeypatch):
    source = write(tmp_path / "a.jsonl", rows(80))
    make = prepare_module.make_parts

    def change(*arguments):
        make(*arguments)
        with open(source, "a") as file:
            file.write('{"text": "late", "label": "neg"}\n')

    monkeypatch.setattr(prepare_module, "make_parts", change)
    with pytest.raises(DataError, match="was changed while"):
        done(recipe(source))
    assert left(cache) == []


def test_vocabulary_comes_from_train_alone_and_long_texts_are_cut(tmp_path):
    train = [{"text": "b b a a c " * 3, "label": i % 2} for i in range(4)]
    test = [{"text": "z " * 20, "label": 0}]
    _, manifest, said = done(
        recipe(
            write(tmp_path / "a.jsonl", train),
            text=Text(vocabulary_size=2, max_tokens=10, weights="none"),
            validation="none",
            test=write(tmp_path / "b.jsonl", test),
        )
    )
    assert Encoder.load(manifest.folder).words == ["a", "b"] and manifest.report["distinct_words"] == 3
    assert [split["cut"] for split in manifest.report["splits"].values()] == [4, 1]
    assert manifest.report["splits"]["test"]["without_known_word"] == 1
    assert any("were cut to text.max_tokens = 10" in line for line in said)


def test_several_packed_files_are_one_set(tmp_path):
    items = rows(100)
    (tmp_path / "part-1.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps(i) + "\n" for i in items[:50]).encode())
    )
    write(tmp_path / "part-2.jsonl", items[50:])
    folder, manifest, _ = done(recipe(str(tmp_path / "part-*")))
    assert manifest.report["documents"] == 100
    assert {source >> 40 for source in ShardReader(folder, "train").sources.tolist()} == {0, 1}


SCRIPT = """
import os, sys
from pathlib import Path
import cluster.prepare as module
from cluster.config.models import Mlp
from cluster.config.schema import Data, Recipe

if __name__ == "__main__":
    source, workers = sys.argv[1], int(sys.argv[2])
    if workers:
        module.SMALL_INPUT_BYTES = 0
        os.sched_getaffinity = lambda process: set(range(workers))
    make_parts, made = module.make_parts, []

    def counted(jobs, data, text, task, workers, done, tokenizer):
        make_parts(jobs, data, text, task, workers, made.append, tokenizer)
        print("parts made:", len(made))

    module.make_parts = counted
    print(module.prepare(Recipe(data=Data(train=source), model=Mlp()), print, rows_per_block=50))
"""


def start(tmp_path, workers, cache):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "MUSTER_CACHE": str(tmp_path / cache), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(script), str(tmp_path / "a.jsonl"), str(workers)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finished(process):
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return contents(Path(output.splitlines()[-1]))


def contents(folder):
    verify(folder)
    assert list(folder.parent.iterdir()) == [folder]
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_preparation_goes_on_where_it_was(tmp_path, workers):
    undisturbed = contents(done(recipe(write(tmp_path / "a.jsonl", rows(3000))))[0])
    killed = start(tmp_path, workers, "killed")
    parts = tmp_path / "killed" / "prepared"
    while len(found := list(parts.glob("*.partial/parts-50/part-*.npz"))) < 8:
        assert killed.poll() is None
        time.sleep(0.002)
    helpers = psutil.Process(killed.pid).children(recursive=True)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert psutil.wait_procs(helpers, timeout=10)[1] == []  # workers go with it
    assert list(parts.iterdir()) == [found[0].parents[1]]
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("*.partial/parts-50/part-*.npz")}
    # The last part of those in the making may be torn only beside its name; a torn one is made again.
    damaged = sorted(kept)[2]
    damaged.write_bytes(damaged.read_bytes()[:100])

    made = parts_made(tmp_path, workers, kept)
    assert made == 60 - len(kept) + 1
    assert contents(next(parts.iterdir())) == undisturbed


def parts_made(tmp_path, workers, kept):
    """Goes on with the preparation; how many parts did that make?"""
    again = start(tmp_path, workers, "killed")
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0 and f"going on with the {len(kept):,} parts" in output
    return int(output.split("parts made: ")[1].split()[0])


@pytest.mark.timeout(3600 if SOAK else 300)
def test_killed_at_any_moment_and_finished_it_is_what_it_would_have_been(tmp_path):
    """Again and again at moments of chance, from the first import to the last rename, with workers and without."""
    write(tmp_path / "a.jsonl", rows(2000))
    undisturbed = contents(done(recipe(str(tmp_path / "a.jsonl")), rows_per_block=50)[0])
    chance = random.Random(1)
    whole_seconds = {}
    for workers in (0, 2):
        began = time.monotonic()
        assert finished(start(tmp_path, workers, f"timed-{workers}")) == undisturbed
        whole_seconds[workers] = time.monotonic() - began
    kills = finishes = 0
    while kills < (100 if SOAK else 5):
        cache, workers, left = f"chain-{finishes}", chance.choice([0, 2]), chance.randint(1, 6)
        while left:
            began = time.monotonic()
            process = start(tmp_path, workers, cache)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.3, 1.1) * whole_seconds[workers])
            was_running = process.poll() is None
            process.kill()
            process.communicate()
            if not was_running:  # the kills that follow keep to the quicker time
                whole_seconds[workers] = min(whole_seconds[workers], time.monotonic() - began)
                break
            kills, left = kills + 1, left - 1
        assert finished(start(tmp_path, workers, cache)) == undisturbed
        finishes += 1
    print(f"killed {kills} times, finished {finishes}: the same bytes each time")


def test_one_and_two_workers_write_the_same(tmp_path):
    write(tmp_path / "a.jsonl", rows(300))
    both = [start(tmp_path, workers, f"by-{workers}") for workers in (1, 2)]
    one, two = (finished(process) for process in both)
    assert one == two


TEAM = """
import sys
import cluster.prepare as module
from cluster.text.preparation import team

module.ROWS_PER_BLOCK = 50
module.prepare.__defaults__ = (50, *module.prepare.__defaults__[1:])
if len(sys.argv) > 2:
    team.SILENCE_SECONDS = float(sys.argv.pop())
sys.exit(module.main([sys.argv[1]]))
"""


@pytest.fixture
def team(tmp_path):
    """Starts tasks of a team of three, as torchrun's environment makes one."""
    write(tmp_path / "a.jsonl", rows(3000))
    (tmp_path / "recipe.toml").write_text(f'[data]\ntrain = "{tmp_path / "a.jsonl"}"\n[model]\nkind = "mlp"\n')
    (tmp_path / "task.py").write_text(TEAM)
    shared = {
        **os.environ, "MUSTER_CACHE": str(tmp_path / "team"), "PYTHONPATH": str(Path(__file__).parents[1]),
        "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3", "TORCHELASTIC_RUN_ID": "a", "MASTER_PORT": "1",
    }  # fmt: skip
    started = []

    def start(task, *arguments):
        command = [sys.executable, str(tmp_path / "task.py"), str(tmp_path / "recipe.toml"), *map(str, arguments)]
        environment = shared | {"RANK": str(task)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_progress_tells_rate_and_time_left(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_module, "PLAIN_LINE_SECONDS", 0.0)
    _, _, said = done(recipe(write(tmp_path / "a.jsonl", rows(3010))), rows_per_block=50)
    tokenizing = [line for line in said if line.startswith("tokenizing: ")]
    assert tokenizing[0] == "tokenizing: 50 rows"
    assert re.fullmatch(r"tokenizing: 3,010 rows, [\d,]+ a second, 100%, 0 s left", tokenizing[-1])
    shares = [int(match[1]) for line in tokenizing if (match := re.search(r"(\d+)%", line))]
    assert shares == sorted(shares)
    assert any(line.startswith("writing shards, ") for line in said)


def test_what_has_no_room_in_memory_changes_nothing(tmp_path, cache, monkeypatch):
    write(tmp_path / "a.jsonl", rows(800) + rows(300))
    wanted = recipe(str(tmp_path / "a.jsonl"), Mlp(), Text(weights="tfidf"))
    whole = contents(done(wanted, rows_per_block=50)[0])
    shutil.rmtree(cache / "prepared")
    for name in ("chunks", "words", "rows"):
        monkeypatch.setattr(Budget, name, 37)
    assert contents(done(wanted, rows_per_block=50)[0]) == whole


def test_three_tasks_prepare_what_one_does(tmp_path, team):
    alone = contents(done(recipe(str(tmp_path / "a.jsonl")), rows_per_block=50)[0])
    outputs = [process.communicate(timeout=90) for process in [team(2), team(1), team(0)]]
    found = [json.loads(output) for output, _ in outputs]
    assert found[0] == {"prepared": found[2]["prepared"], "task": 2, "tasks": 3}
    assert contents(Path(found[2]["prepared"])) == alone
    again = team(1).communicate(timeout=60)[0]  # late, or started again: there is nothing left to do
    assert json.loads(again)["prepared"] == found[2]["prepared"]


def test_what_a_task_that_died_left_is_made_by_task_0(tmp_path, team):
    alone = contents(done(recipe(str(tmp_path / "a.jsonl")), rows_per_block=50)[0])
    first, second, third = team(0, 1.0), team(1), team(2)
    parts = tmp_path / "team" / "prepared"
    while second.poll() is None and not list(parts.glob("*.partial/parts-50/part-00001.npz")):
        time.sleep(0.002)
    second.kill()
    output, said = first.communicate(timeout=90)
    assert first.returncode == 0, said
    assert third.wait(timeout=60) == 0
    assert contents(Path(json.loads(output)["prepared"])) == alone


def test_a_task_whose_task_0_does_not_come_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(team_module, "BEGIN_SECONDS", 0.3)
    (tmp_path / team_module.TEAM).write_text("another team")
    with pytest.raises(InfrastructureError, match="Task 2 waited 0 s for task 0"):
        team_module.wait_for_hold(tmp_path, Team(2, 3, 1, "ours"), lambda: False)


@pytest.mark.parametrize(
    "environment, team",
    [
        ({}, Team()),
        ({"WORLD_SIZE": "1", "RANK": "0"}, Team()),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, Team()),  # a batch script
        (
            {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "1", "SLURM_STEP_NUM_TASKS": "6", "SLURM_PROCID": "5",
             "SLURM_STEP_TASKS_PER_NODE": "2(x3)"},
            Team(5, 6, 2, "srun 7.1"),
        ),
    ],
)  # fmt: skip
def test_who_is_in_a_team(environment, team):
    assert team_of(environment) == team


@pytest.mark.parametrize(
    "environment, said",
    [
        ({"WORLD_SIZE": "2"}, "RANK is not set, but it must be a whole number from 0 to 1:"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE = 'two', but it must be a whole number from 1 on:"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE = ''"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK = '2', but it must be a whole number from 0 to 1:"),  # nobody's part
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK = '-1'"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE = '0'"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "SLURM_PROCID is not set"),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "7"}, "SLURM_PROCID = '7', but it must be a whole number from"),
    ],
)
def test_an_environment_that_no_launcher_makes_is_refused(environment, said):
    with pytest.raises(PlanError, match=f"^{said}.* --alone"):
        team_of(environment)


@pytest.mark.filterwarnings("ignore:Dictionary.create:DeprecationWarning")  # spaCy's use of sudachipy
@pytest.mark.parametrize("language", ["ja", "th"])
def test_a_tokenizer_of_another_kind_is_said(tmp_path, language):
    _, _, said = done(recipe(write(tmp_path / "a.jsonl", rows(60)), text=Text(language=language)))
    assert sum("its tokenizer looks at whole texts" in line for line in said) == 1
    _, _, said = done(recipe(write(tmp_path / "a.jsonl", rows(60)), text=Text(language="de")))
    assert not any("whole texts" in line for line in said)


def test_of_two_preparations_at_once_one_does_the_work(tmp_path):
    write(tmp_path / "a.jsonl", rows(1000))
    both = [start(tmp_path, 0, "shared"), start(tmp_path, 0, "shared")]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    left = sum(process.returncode != 0 for process in both)
    # The second may come so late that the first is done: then it finds its work.
    assert left + sum("already prepared" in output for output in outputs) == 1
    assert len(list((tmp_path / "shared" / "prepared").iterdir())) == 1


def test_who_comes_second_says_so_and_leaves(tmp_path):
    work, final = tmp_path / "x.partial", tmp_path / "x"
    with claimed(work, final) as held:
        assert held == work
        second = claimed(work, final)
        with pytest.raises(InfrastructureError, match="Another process prepares the same data"):
            second.__enter__()
        final.mkdir()
        (final / "manifest.json").touch()
        shutil.rmtree(work)
    with claimed(work, final) as held:
        assert held is None
    assert not work.exists()


@pytest.mark.parametrize("left", ["lock", "parts"])
def test_what_a_kill_after_the_last_rename_left_is_swept_up(tmp_path, left):
    made = recipe(write(tmp_path / "a.jsonl", rows(100)))
    folder = prepare_module.prepare(made, lambda _: None)
    work = folder.with_suffix(".partial")
    work.mkdir()
    (work / left).touch()
    assert prepare_module.prepare(made, lambda _: None) == folder
    assert list(folder.parent.glob(f"{folder.name}*")) == [folder]


def test_who_comes_second_may_wait(tmp_path):
    made = recipe(write(tmp_path / "a.jsonl", rows(1000)))
    first = prepare_module.prepare(made, lambda _: None)
    work, final = first.with_suffix(".partial"), first.rename(tmp_path / "aside")
    said = []
    with claimed(work, first), ThreadPoolExecutor() as threads:
        second = threads.submit(prepare_module.prepare, made, said.append, waits=True)
        while not said:
            time.sleep(0.01)
        final.rename(first)
    assert second.result() == first
    assert said[0].startswith("another process prepares the same data") and "already prepared" in said[-1]


def test_a_foreign_file_is_encoded_as_the_model_was_trained_on(tmp_path):
    folder, manifest, _ = done(recipe(write(tmp_path / "a.jsonl", rows(200))))
    encoder = Encoder.load(folder)
    foreign = [*rows(20, seed=5), {"text": "unseen things", "label": "odd"}]
    path = Path(write(tmp_path / "foreign.jsonl", foreign))
    said = []
    labels, out = list(manifest.labels), tmp_path / "out"
    report = prepare_evaluation(encoder, labels, [path], Data(train="x"), out, said.append, task="classify")
    verify(tmp_path / "out")
    reader = ShardReader(tmp_path / "out", "test")
    expected = encoder.encode([row["text"] for row in foreign])
    tokens, lengths, weights = reader.flat(np.arange(21))
    assert (tokens.tolist(), lengths.tolist()) == (expected.tokens.tolist(), expected.lengths.tolist())
    assert weights.tobytes() == expected.beside.tobytes()
    assert reader.labels.tolist() == [0, 1] * 10 + [-1] and report["unknown_labels"] == {"odd": 1}
    assert any("'odd' (1)" in line for line in said)


def test_a_foreign_file_with_bad_rows_leaves_nothing(tmp_path):
    path = tmp_path / "foreign.jsonl"
    path.write_text('{"text": "a"}\n')
    encoder = Encoder(Text(weights="none"), ["a"], None)
    with pytest.raises(DataError, match=r"foreign\.jsonl:1"):
        prepare_evaluation(encoder, ["a", "b"], [path], Data(train="x"), tmp_path / "out", print, task="classify")
    assert [entry.name for entry in tmp_path.iterdir()] == ["foreign.jsonl"]


def test_the_command_ends_with_one_json_line(tmp_path, capsys):
    source = write(tmp_path / "a.jsonl", rows(100))
    (tmp_path / "r.toml").write_text(f'[data]\ntrain = "{source}"\n[model]\nkind = "mlp"\n')
    assert prepare_module.main([str(tmp_path / "r.toml"), "text.min_count=2"]) == 0
    output = capsys.readouterr()
    assert Path(json.loads(output.out)["prepared"]).is_dir() and "vocabulary" in output.err
    assert prepare_module.main([str(tmp_path / "r.toml"), "data.train=nowhere.jsonl"]) == 2
    assert capsys.readouterr().err.startswith("muster: ")


def test_ctrl_c_keeps_the_parts_and_says_so(tmp_path, cache, monkeypatch):
    make = prepare_module.make_parts

    def stop(*arguments):
        make(*arguments)
        raise KeyboardInterrupt

    source = recipe(write(tmp_path / "a.jsonl", rows(100)))
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "make_parts", stop)
        with pytest.raises(Interrupted, match="are kept"):
            done(source, rows_per_block=50)
    _, _, said = done(source, rows_per_block=50)
    assert said[0].startswith("going on with the 2 parts") and len(left(cache)) == 1


def places(reader):
    return (reader.sources & np.uint64((1 << 40) - 1)).astype(int) - 1


TOPICS = [["film", "war"], ["war"], [], ["film"], ["film", "sea", "war"]]


def topical(count, seed=0):
    return [{**row, "label": TOPICS[i % 5]} for i, row in enumerate(rows(count, seed))]


def test_documents_may_have_several_labels_or_none(tmp_path):
    items = topical(300)
    test = [{"text": "a new thing", "label": ["sea", "moon"]}, {"text": "another", "label": ["moon"]}]
    source = write(tmp_path / "a.jsonl", items), write(tmp_path / "b.jsonl", test)
    folder, manifest, said = done(recipe(source[0], task=Multilabel(), test=source[1]), rows_per_block=70)
    assert (manifest.task, manifest.labels) == ("multilabel", ("film", "sea", "war"))
    reader = ShardReader(folder, "train")
    for row, place in zip(reader.labels.tolist(), places(reader), strict=True):
        assert [name for name, has in zip(manifest.labels, row, strict=True) if has] == items[place]["label"]
    assert ShardReader(folder, "test").labels.tolist() == [[0, 1, 0], [0, 0, 0]]
    split = manifest.report["splits"]["train"]
    assert split["labels"]["war"] == sum("war" in items[place]["label"] for place in places(reader))
    assert split["unlabelled"] == sum(not items[place]["label"] for place in places(reader))
    assert manifest.report["unknown_labels"] == {"test": {"moon": 2}}
    assert any("'moon' (2)" in line for line in said)


def test_a_repeated_text_with_the_same_labels_in_another_order_has_the_same_labels(tmp_path):
    items = topical(100)
    items += [{**items[0], "label": ["war", "film"]}, {**items[1], "label": ["sea"]}]
    _, manifest, _ = done(recipe(write(tmp_path / "a.jsonl", items), task=Multilabel()))
    duplicates = manifest.report["duplicates"]
    assert (duplicates["repeated_in_train"], duplicates["repeated_with_other_label"]) == (2, 1)


def test_numbers_to_be_predicted(tmp_path):
    items = [{**row, "label": i / 7 - 3} for i, row in enumerate(rows(300))]
    folder, manifest, said = done(recipe(write(tmp_path / "a.jsonl", items), Lstm(), task=Regress()), rows_per_block=70)
    assert (manifest.task, manifest.labels, manifest.outputs) == ("regress", (), 1)
    for split in manifest.splits:
        reader = ShardReader(folder, split)
        expected = np.array([items[place]["label"] for place in places(reader)])
        assert reader.labels.tolist() == expected.tolist()
        figures = manifest.report["splits"][split]["targets"]
        assert figures == pytest.approx(
            {"min": expected.min(), "max": expected.max(), "mean": expected.mean(), "std": expected.std()}
        )
    assert any("numbers from -3" in line for line in said)


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_numbers_whose_spread_is_no_number_are_refused(tmp_path, size):
    items = [{**row, "label": size * (-1) ** i} for i, row in enumerate(rows(300))]
    with pytest.raises(DataError, match="their spread cannot be computed"):
        done(recipe(write(tmp_path / "a.jsonl", items), task=Regress()))


@pytest.mark.parametrize(
    "task, label, message",
    [
        (Multilabel(), [], "no document of the training split has a label"),
        (Regress(), 2.5, r"the same number, 2\.5"),
        (Regress(), "good", "label"),
    ],
)
def test_what_teaches_nothing_is_refused(tmp_path, cache, task, label, message):
    source = write(tmp_path / "a.jsonl", [{**row, "label": label} for row in rows(80)])
    with pytest.raises(DataError, match=message):
        done(recipe(source, task=task))
    assert left(cache) == []


@pytest.mark.parametrize(
    "text, model",
    [
        (Text(tokens="bpe", vocabulary_size=300), Mlp()),
        (Text(tokens="bpe", vocabulary_size=300, max_tokens=20), Lstm()),
        (Text(tokens="characters", stop_words="drop", punctuation="drop"), Lstm()),
        (Text(stop_words="drop", punctuation="drop", lemmas="table"), Linear()),
    ],
    ids=["bpe in a bag", "bpe in a row", "characters", "lemmas"],
)
def test_every_way_to_split_gives_what_the_encoder_makes(tmp_path, text, model):
    items = rows(200)
    folder, manifest, _ = done(recipe(write(tmp_path / "a.jsonl", items), model, text), rows_per_block=70)
    encoder = Encoder.load(folder)
    for split in manifest.splits:
        reader = ShardReader(folder, split)
        expected = encoder.encode([items[place]["text"] for place in places(reader)])
        tokens, lengths, beside = reader.flat(np.arange(reader.documents))
        assert tokens.tolist() == expected.tokens.tolist() and lengths.tolist() == expected.lengths.tolist()
        assert (beside is None) == (expected.beside is None) and (beside is None or (beside == expected.beside).all())
        assert manifest.report["splits"][split]["cut"] == expected.cut


def test_idf_of_pieces_counts_training_documents(tmp_path):
    items = rows(150)
    text = Text(tokens="bpe", vocabulary_size=280)
    folder, _, _ = done(recipe(write(tmp_path / "a.jsonl", items), Linear(), text))
    encoder, reader = Encoder.load(folder), ShardReader(folder, "train")
    tokens, lengths, _ = reader.flat(np.arange(reader.documents))  # of a bag: each distinct piece once
    frequency = np.bincount(tokens, minlength=encoder.rows)[2:]
    np.testing.assert_allclose(encoder.idf, np.log((1 + reader.documents) / (1 + frequency)) + 1)


def test_other_settings_are_another_preparation(tmp_path):
    source = write(tmp_path / "a.jsonl", rows(150))
    changes = [
        {},
        {"text": Text(stop_words="drop")},
        {"text": Text(tokens="characters")},
        {"task": Multilabel()},
        {"task": Multilabel(), "label_separator": ";"},
        {"txt": "files"},
    ]
    assert len({done(recipe(source, **change))[0] for change in changes}) == len(changes)


def run_with_encoder(tmp_path, text):
    (tmp_path / "run" / "model").mkdir(parents=True)
    encoder = Encoder(text, ["film", "good", "bad"], np.array([1.0, 2.0, 3.0]) if text.weights == "tfidf" else None)
    encoder.save(tmp_path / "run" / "model")
    return str(tmp_path / "run")


def test_a_run_that_starts_from_another_has_its_vocabulary_and_labels_of_its_own(tmp_path):
    before = run_with_encoder(tmp_path, Text(weights="none"))
    source = write(tmp_path / "a.jsonl", rows(150, labels=("x", "y", "z")))
    folder, manifest, said = done(recipe(source, Lstm(start_from=before), Text(max_tokens=7)))
    encoder = Encoder.load(folder)
    assert encoder.words == ["film", "good", "bad"] and encoder.text.max_tokens == 7
    assert manifest.labels == ("x", "y", "z") and manifest.vocabulary_rows == 5
    assert any("vocabulary 3 words" in line for line in said)
    assert done(recipe(source, Lstm(), Text(max_tokens=7)))[0] != folder


def test_other_text_settings_than_those_of_the_run_before_are_named(tmp_path, cache):
    before = run_with_encoder(tmp_path, Text(weights="none"))
    source = write(tmp_path / "a.jsonl", rows(150))
    with pytest.raises(RecipeError, match=r"text\.lower = False, there True\n.*text\.min_count = 2, there 1"):
        done(recipe(source, Lstm(start_from=before), Text(lower=False, min_count=2)))
    with pytest.raises(RecipeError, match="Name the folder of a run"):
        done(recipe(source, Lstm(start_from=str(tmp_path / "nothing"))))
    assert left(cache) == []
