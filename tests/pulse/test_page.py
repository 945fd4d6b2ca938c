"""A page is whole whoever is stopped while writing it, and private."""

import os
import stat
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import InfrastructureError
from cluster.pulse.page import PAGE_BYTES, Page, Pages, Record, page_path
from cluster.pulse.phase import Phase


@pytest.fixture
def pages():
    with Pages([0, 7]) as made:
        yield made


def test_a_new_page_is_of_a_rank_that_has_not_begun(pages):
    page = pages.pages[7].read()
    assert (page.rank, page.pid, page.phase, page.step, page.beat, page.allowed_seconds) == (7, 0, 0, 0, 0.0, 600.0)


def test_what_a_rank_writes_its_agent_reads(pages):
    rank = Page(page_path(pages.folder, 7))
    rank.begin(123, 456)
    rank.turn(Phase.SAVE, 9, 1.5, 300.0)
    rank.beat(2.5, 3)
    assert pages.pages[7].request() == 1 and pages.pages[7].request() == 2
    page = pages.pages[7].read()
    assert (page.pid, page.started_ticks, page.phase, page.step) == (123, 456, Phase.SAVE, 9)
    assert (page.since, page.allowed_seconds, page.beat, page.answered) == (1.5, 300.0, 2.5, 3)
    assert rank.requested() == 2
    assert pages.pages[0].read().pid == 0


def test_the_folder_is_private_and_goes():
    with Pages([0]) as pages:
        assert stat.S_IMODE(pages.folder.stat().st_mode) == 0o700
    assert not pages.folder.exists()


@pytest.mark.parametrize("content", [None, b"", b"muster p", b"x" * PAGE_BYTES, b"muster p\x09" + bytes(PAGE_BYTES)])
def test_no_page_or_another_one_is_refused(tmp_path, content):
    path = tmp_path / "rank-0.pulse"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InfrastructureError, match=str(path)):
        Page(path)


def test_a_full_folder_for_temporary_files_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    here = os.statvfs(tmp_path)
    assert here.f_bavail > 0
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from cluster.pulse.page import Pages\n"
        "from cluster.errors import InfrastructureError\n"
        "try: Pages([0])\n"
        "except InfrastructureError as error: print(error)\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert "cannot be written" in told.stdout and "TMPDIR" in told.stdout, told.stderr
    assert list(tmp_path.iterdir()) == []


def record_on(page):
    return Record(page, 0, "qd")


@given(
    st.lists(st.tuples(st.integers(-(2**62), 2**62), st.floats(allow_nan=False)), min_size=1, max_size=5),
    st.integers(0, 127),
    st.binary(min_size=1, max_size=64),
)
def test_a_record_torn_anywhere_is_an_earlier_one_or_the_newest(written, at, torn):
    """Its writer was stopped in the middle of the next: any bytes may lie in the copy that it was at."""
    page = bytearray(128)
    record = record_on(page)
    for numbers in written:
        record.write(*numbers)
    next_copy = slice(64, 128) if (len(written) + 1) % 2 else slice(0, 64)
    inside = page[next_copy]
    inside[at % 64 : at % 64 + len(torn)] = torn[: 64 - at % 64]
    page[next_copy] = inside
    assert record_on(page).read() == written[-1]


def test_readers_see_whole_numbers_while_another_process_writes(pages):
    """Step and time are written together: a reader never sees the one without the other."""
    code = (
        "import sys, pathlib; from cluster.pulse.page import Page; from cluster.pulse.phase import Phase\n"
        "page = Page(pathlib.Path(sys.argv[1]))\n"
        "for step in range(200_000): page.turn(Phase.STEP, step, step * 0.5, step * 2.0)\n"
    )
    path = str(page_path(pages.folder, 0))
    reads, last = 0, 0
    with subprocess.Popen([sys.executable, "-c", code, path]) as writer:
        while writer.poll() is None:
            page = pages.pages[0].read()
            if page.phase is Phase.STEP:
                assert (page.since, page.allowed_seconds) == (page.step * 0.5, page.step * 2.0)
                assert page.step >= last
                reads, last = reads + 1, page.step
    assert writer.returncode == 0
    assert pages.pages[0].read().step == 199_999
    assert reads > 100


def test_what_a_killed_agent_left_is_swept_and_what_lives_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, other = tmp_path / "muster-pulse-left", tmp_path / "something"
    left.mkdir(), other.mkdir()
    (left / "rank-0.pulse").write_bytes(b"x")
    with Pages([0]) as living:
        for folder in (left, other, living.folder):
            os.utime(folder, (1, 1))
        with Pages([1]):
            assert living.folder.exists() and other.exists() and not left.exists()
