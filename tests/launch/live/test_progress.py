import json

import pytest

from launch.live.course import Course
from launch.live.progress import progress, progress_of, tail


def step(number, **more):
    times = {"data": 0.5, "compute": 3.0, "communication": 1.5}
    return {
        "kind": "step",
        "step": number,
        "epoch": 0,
        "loss": 1 / number,
        "tokens_per_second": 9e3,
        "seconds": times,
    } | more


def evaluation(number, **more):
    return {
        "kind": "evaluation",
        "step": number,
        "split": "validation",
        "accuracy": 0.5,
        "loss": 0.7,
        "seconds": 5.0,
    } | more


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_the_time_that_is_left_counts_what_stands_between_the_steps():
    records = [step(10), step(20), evaluation(20), {"kind": "checkpoint", "step": 20, "seconds": 1.0}, step(30)]
    found = progress(records, 130, {}, {})
    assert found.seconds_per_step == pytest.approx((5 + 5 + 1 + 5) / 20)  # of steps 10 to 30
    assert found.seconds_left == pytest.approx(100 * 0.8)
    assert found.shares == pytest.approx({"data": 0.1, "compute": 0.6, "communication": 0.3})
    assert (found.step, found.epoch, found.evaluation["step"]) == (30, 1, 20)


@pytest.mark.parametrize(
    "records, signs, expected",
    [
        ([], {}, None),
        ([step(10)], {}, 10),
        ([step(10)], {"ranks": [{"rank": 0, "step": 17}, {"rank": 1, "step": 16}]}, 17),  # logged every ten steps
        ([step(10)], {"ranks": [{"rank": 0, "step": None}, "damaged"]}, 10),
        ([step(10)], {"ranks": None}, 10),
    ],
)
def test_a_step_is_known_from_the_log_or_from_the_ranks(records, signs, expected):
    found = progress(records, None, signs, {})
    assert found.step == expected and found.seconds_left is None
    assert progress(records, None, signs, {"step": 18}).step == 18  # of the checkpoint that the run was stopped with


def test_records_of_other_versions_are_taken_as_far_as_they_go():
    found = progress(
        [{"kind": "step", "step": 3, "loss": None, "seconds": 4}, {"kind": "new"}, {}], 10, {}, {"step": 2}
    )
    assert (found.step, found.loss, found.seconds_per_step, dict(found.shares)) == (3, None, None, {})


def test_only_the_end_of_a_long_file_is_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert tail(path) == []
    write(path, *(step(number) for number in range(1, 2001)))
    with open(path, "a") as file:
        file.write("not json\n[1]\n" + json.dumps(step(2001)) + '\n{"torn')
    found = tail(path, 1000)
    assert found[-1]["step"] == 2001 and 1 < len(found) < 10
    assert len(tail(path, 1 << 30)) == 2001


def test_the_metric_of_the_recipe_is_told(run):
    write(run.metrics, step(10), evaluation(10))
    assert progress_of(run, {}, {}).metric == "accuracy"
    run.recipe.write_text("not toml [")
    assert progress_of(run, {}, {}).metric == "loss"


def test_what_a_resumed_run_has_lost_is_not_shown(run):
    course = Course(run)
    write(run.metrics, step(10), step(20), evaluation(20), step(30), evaluation(30))
    course.look()
    assert [x for x, _ in course.losses] == [10, 20, 30] and len(course.evaluations) == 2
    write(run.metrics, step(10), step(20), evaluation(20), step(25, loss=0.125))
    course.look()
    assert course.losses[1:] == [(20, 0.05), (25, 0.125)]
    assert [one["step"] for one in course.evaluations] == [20]
    assert course.progress({}, {}).evaluation["step"] == 20
