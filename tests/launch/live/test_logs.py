import signal

import pytest

from launch.cli import main
from launch.live.logs import CHUNK_BYTES, Log
from tests.waiting import until


@pytest.fixture
def logged(run):
    """Two attempts; the last one with two ranks, of which the second was killed in the middle of a line."""
    for attempt, texts in enumerate((["first\n"], ["one\ntwo\n", "eins\nzw"])):
        run.attempt_logs(attempt).mkdir(parents=True)
        for rank, text in enumerate(texts):
            run.rank_log(attempt, rank).write_text(text)
    return run


@pytest.mark.parametrize(
    "words, shown",
    [
        ([], "[rank 0] one\n[rank 0] two\n[rank 1] eins\n[rank 1] zw\n"),
        (["--rank", "1"], "eins\nzw\n"),
        (["--attempt", "0"], "[rank 0] first\n"),
        (["--attempt", "0", "--rank", "0"], "first\n"),
        (["-f", "--rank", "0"], "one\ntwo\n"),  # it is not going: there is nothing to follow
    ],
)
def test_what_the_ranks_wrote(logged, words, shown, capsys):
    assert main(["logs", str(logged.path), *words]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    "words, said",
    [
        (["--rank", "7"], "no log of rank 7: its ranks are 0 to 1"),
        (["--attempt", "7"], "no attempt 7: its attempts are 0, 1"),
        (["-f", "--attempt", "0"], "leave one of them out"),
        (["--rank", "-1"], "at least 0"),
        (["--rank", "x"], "at least 0"),
    ],
)
def test_what_is_not_there_is_named(logged, words, said, capsys):
    assert main(["logs", str(logged.path), *words]) == 2
    assert said in capsys.readouterr().err


def test_before_the_first_attempt_the_job_speaks(run, capsys):
    run.logs.mkdir()
    run.job_log("12").write_text("job 12, restart 0\npreparing")
    assert main(["logs", str(run.path)]) == 0
    written = capsys.readouterr()
    assert written.out == "[job] job 12, restart 0\n[job] preparing\n" and "is not started" in written.err
    assert main(["logs", str(run.path), "--attempt", "0"]) == 2
    assert "it has none yet" in capsys.readouterr().err


def test_a_log_of_any_bytes_is_shown_once(tmp_path, capsys):
    path = tmp_path / "log"
    log = Log(path, "")
    log.show()
    path.write_bytes(b"a\n\xff\n" + b"x" * (CHUNK_BYTES + 10) + b"\nhalf")
    log.show()
    log.show()
    with open(path, "ab") as file:
        file.write(b" and half\n")
    log.show()
    shown = capsys.readouterr().out
    assert (
        shown.startswith("a\n\ufffd\n") and shown.count("x") == CHUNK_BYTES + 10 and shown.endswith("half and half\n")
    )
    path.write_bytes(b"anew\n")  # shorter: another file in its place
    log.show()
    assert capsys.readouterr().out == "anew\n"


def test_a_follower_sees_every_line_of_every_attempt_until_the_end(run, looked_after, started):
    looked_after(20, "fails")
    follower = started("-m", "launch", "logs", run.path, "-f")
    out, err = follower.communicate(timeout=60)
    assert follower.returncode == 0
    for rank in (0, 1):
        mine = [line.partition("] ")[2] for line in out.splitlines() if line.startswith(f"[rank {rank}]")]
        steps = [int(line.split()[-1]) for line in mine]
        assert steps == list(range(steps[0], 21)) and steps[0] < 10  # none twice, none left out
        assert "attempt 1 step 20" in mine
    assert "attempt 1 begins" in err and "is finished" in err and "Finished after 20 steps" in err


def test_ctrl_c_leaves_the_run_alone(run, looked_after, started):
    process = looked_after(1000)
    follower = started("-m", "launch", "logs", run.path, "-f")
    assert follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=30)
    assert follower.returncode == 0 and "goes on" in err
    before = run.metrics.read_text()
    until(lambda: run.metrics.read_text() != before)
    assert process.poll() is None
