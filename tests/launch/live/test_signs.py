import json
import os
import time

import pytest

from launch.live import signs
from launch.live.signs import Heart, age_seconds


def give(run, beat, age=0.0):
    run.alive.write_text(json.dumps({"host": "h1", "pid": 7, "beat": beat}))
    now = run.alive.stat().st_mtime - age
    os.utime(run.alive, (now, now))


def test_no_signs_have_no_age(run):
    assert age_seconds(run) is None and Heart(run).age_seconds() is None


@pytest.mark.parametrize("skew", [-3600, 3600])
def test_the_age_does_not_depend_on_the_clock_of_this_node(run, monkeypatch, skew):
    give(run, 1, age=20)
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + skew)
    assert 19 < age_seconds(run) < 40
    assert sorted(path.name for path in run.path.iterdir()) == ["alive.json", "plan.json", "recipe.toml", "run.json"]


def test_where_no_file_can_be_made_a_sign_that_moves_is_a_young_one(run, monkeypatch, looked_after):
    def refused(**_):
        raise PermissionError("read only")

    looked_after()
    monkeypatch.setattr(signs.tempfile, "TemporaryFile", refused)
    assert age_seconds(run) == 0.0


def test_where_no_file_can_be_made_and_nothing_moves_the_age_is_the_nodes_word(run, monkeypatch):
    def refused(**_):
        raise PermissionError("read only")

    give(run, 1, age=100)
    monkeypatch.setattr(signs.tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(signs, "MOVES_WITHIN_SECONDS", 0.1)
    assert 99 < age_seconds(run) < 200


def test_a_heart_counts_by_itself(run):
    now = [100.0]
    heart = Heart(run, lambda: now[0])
    give(run, 1, age=30)
    assert heart.age_seconds() == pytest.approx(30, abs=5)  # it was old when it was first seen
    now[0] += 10
    assert heart.age_seconds() == pytest.approx(40, abs=5)
    give(run, 2)
    assert heart.age_seconds() == 0
    now[0] += 3
    assert heart.age_seconds() == 3
    run.alive.unlink()
    assert heart.age_seconds() is None
    give(run, 1)  # another supervisor
    assert heart.age_seconds() == pytest.approx(0, abs=2)
