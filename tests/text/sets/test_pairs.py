"""Sets of pairs: what is inside Debian's packages, and which texts belong together."""

import io
import lzma
import struct
import tarfile
from collections import Counter

import pytest

from cluster.errors import DataError
from cluster.text.sets import debian, pairs

PAGE = """<html><body><h1 id="hd_id1" dir="auto"><a name="x"></a>Saving <b>files</b></h1>
<p id="par_id2" class="paragraph">Press <span class="switchinline"><span hidden="true" class="MAC">Command</span>
<span hidden="true" id="default">Ctrl</span></span>+S<br>to save &amp; close.</p>
<p class="other">not named</p><p id="par_id3">Writer<img src="x.png"></p></body></html>"""


def test_named_paragraphs_of_a_page_are_read_without_what_is_of_one_system():
    found = pairs.paragraphs(PAGE.encode())
    assert found == {"hd_id1": "Saving files", "par_id2": "Press Ctrl+S to save & close.", "par_id3": "Writer"}


def page(**texts):
    return "".join(f'<p id="par_{name}">{text}</p>' for name, text in texts.items()).encode()


def test_whole_pages_are_held_out_and_no_source_is_on_both_sides():
    english = {f"{n}.html": page(a=f"Page number {n}", b="The same text") for n in range(300)}
    german = {f"{n}.html": page(a=f"Seite Nummer {n}", b="Derselbe Text") for n in range(300)}
    english["0.html"] += page(c="Not translated text", d="word")
    german["0.html"] += page(c="Not translated text", d="Wort")
    dropped = Counter()
    messages = [("The same text", "Ein Text"), ("~Open file...", "Datei ö~ffnen..."), ("Page number 1", "Seite 1")]
    splits = pairs.help_pages(english, german, messages, dropped, han=False)
    sources = [one["text"] for split in splits.values() for one in split]
    assert len(sources) == len(set(sources)) == 302
    assert {"text": "Open file...", "target": "Datei öffnen...", "page": ""} in splits["train"]
    pages = {split: {one["page"] for one in its} for split, its in splits.items()}
    assert 5 < len(pages["test"]) < 30 and 5 < len(pages["validation"]) < 30
    assert not pages["test"] & pages["train"] and not pages["test"] & pages["validation"]
    assert dropped["not translated"] == 1 and dropped["not of 2 to 60 words"] == 1


def test_chinese_translations_need_a_chinese_character():
    dropped = Counter()
    splits = pairs.help_pages({}, {}, [("Open file", "Open-file"), ("Close file", "关闭文件")], dropped, han=True)
    assert [one["target"] for one in splits["train"]] == ["关闭文件"]
    assert dropped == {"without a Chinese character": 1}


def mo(messages):
    """A .mo file, as msgfmt writes it."""
    count = len(messages)
    tables, data = [], b""
    for side in (0, 1):
        for message in messages:
            content = message[side].encode()
            tables.append((len(content), 28 + 16 * count + len(data)))
            data += content + b"\0"
    flat = [number for pair in tables for number in pair]
    return struct.pack(f"<7I{len(flat)}I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0, *flat) + data


def deb(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(packed.getvalue())}
    found = b"!<arch>\n"
    for name, content in members.items():
        found += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        found += content + b"\n" * (len(content) % 2)
    return found


def test_messages_come_out_of_a_package_that_is_not_installed():
    catalogue = mo([("", "header"), ("menu\x04Open", "Öffnen"), ("one\0many", "eins\0viele"), ("Close", "Schließen")])
    package = deb({"./usr/x.mo": catalogue, "./usr/other": b"?"})
    ((name, content),) = debian.files_of(package, r"\./usr/.*[.]mo")
    assert name == "./usr/x.mo" and list(debian.messages_of(content)) == [("Open", "Öffnen"), ("Close", "Schließen")]


@pytest.mark.parametrize("damage", [lambda it: it[:200], lambda it: b"x" + it[1:], lambda it: it[:-40]])
def test_a_damaged_package_is_said_to_be_so(damage):
    with pytest.raises(DataError, match="damaged"):
        list(debian.files_of(damage(deb({"./a.mo": bytes(range(256)) * 40})), ".*"))


def test_without_apt_the_way_out_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="no apt-get here"):
        debian.Apt().package("x", "1", tmp_path)


def test_where_apt_knows_no_such_release_the_way_out_is_said(monkeypatch, tmp_path):
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/none"; Dir::Etc::sourceparts "{tmp_path}/no";'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.delenv("MUSTER_DEBIAN_ARCHIVE", raising=False)
    with pytest.raises(DataError, match="MUSTER_DEBIAN_ARCHIVE=URL, or copy the folder"):
        debian.Apt().package("x", "1", tmp_path)
