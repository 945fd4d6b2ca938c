"""Descriptions of Debian's packages as examples."""

from collections import Counter

from cluster.text.sets import descriptions

LONG = " ".join(["many"] * 30)


def test_descriptions_and_synopses_of_one_source_are_in_one_split():
    packages = "\n\n".join(f"Package: p{n}-{part}\nSource: p{n} (1.0)" for n in range(200) for part in "ab")
    texts = "\n\n".join(
        f"Package: p{n}-{part}\nDescription-en: tool {n} {part}\n {LONG} {n} {part}\n .\n List:\n  * one\n  * two"
        for n in range(200)
        for part in "ab"
    )
    dropped = Counter()
    splits = descriptions.synopses(texts + "\n\nPackage: q\nDescription-en: short\n few words\n", packages, dropped)
    one = splits["train"][0]
    assert one["text"].split("\n")[1:] == ["List:", "* one", "* two"] and one["target"].startswith("tool ")
    of = {split: {one["package"].split("-")[0] for one in its} for split, its in splits.items()}
    assert sum(map(len, splits.values())) == 400 and 2 < len(of["test"]) < 25
    assert not of["test"] & of["train"] and dropped == {"fewer than 25 words": 1}


def test_tags_that_many_packages_have_are_labels_and_sources_stay_together():
    packages = "\n\n".join(
        f"Package: p{n}-{part}\nSource: p{n} (1.0)\nTag: use::editing, role::program, use::TODO,\n works-with::{part}"
        for n in range(110)
        for part in "ab"
    )
    texts = "\n\n".join(
        f"Package: p{n}-{part}\nDescription-en: tool {n} {part}\n It is\n one." for n in range(110) for part in "ab"
    )
    dropped = Counter()
    rare = "\n\nPackage: q\nTag: use::flying\n\nPackage: r"
    more = "\n\nPackage: q\nDescription-en: flies\n It flies.\n\nPackage: r\nDescription-en: none\n Nothing."
    splits = descriptions.topics(texts + more, packages + rare, dropped)
    assert {tuple(one["label"]) for one in splits["train"]} == {("use::editing", f"works-with::{x}") for x in "ab"}
    assert splits["train"][0]["text"] == "tool 0 a\nIt is one."
    of = {split: {one["package"].split("-")[0] for one in its} for split, its in splits.items()}
    assert sum(map(len, splits.values())) == 220 and of["test"] and not of["test"] & of["train"]
    assert dropped == {"without one of the tags": 2}
