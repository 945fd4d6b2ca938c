import json

import pytest

from cluster.errors import RunError
from cluster.runs import RunFolder, create_run, is_reserved


def test_a_folder_that_was_reserved_for_a_job_takes_the_run_of_that_job(tmp_path):
    run = RunFolder(tmp_path / "run")
    assert not is_reserved(run)
    run.logs.mkdir(parents=True)
    assert is_reserved(run)
    run.job.write_text(json.dumps({"job": "7"}))
    run.job_log("7").write_text("job 7\n")
    assert is_reserved(run)
    create_run(run, "", tmp_path)
    assert not is_reserved(run)
    assert run.job_log("7").exists() and run.job.exists()


@pytest.mark.parametrize("name", ["mine.txt", "alive.json", "checkpoints", "logs/attempt-000"])
def test_a_folder_that_holds_more_is_not_reserved(tmp_path, name):
    run = RunFolder(tmp_path)
    run.job.write_text("{}")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert not is_reserved(run)
    with pytest.raises(RunError, match="not empty"):
        create_run(run, "", tmp_path)


def test_a_file_is_not_reserved(tmp_path):
    (tmp_path / "file").touch()
    assert not is_reserved(RunFolder(tmp_path / "file"))
