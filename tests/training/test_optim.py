import pytest

from cluster.config.schema import Optim
from cluster.training.optim import learning_rate


@pytest.mark.parametrize(
    "schedule, warmup, step, expected",
    [
        ("constant", 0, 0, 1.0),
        ("constant", 0, 99, 1.0),
        ("constant", 4, 0, 0.25),  # the first step already learns
        ("constant", 4, 3, 1.0),
        ("linear", 0, 0, 1.0),
        ("linear", 0, 50, 0.5),
        ("linear", 20, 60, 0.5),  # half way between the warm-up and the end
        ("linear", 0, 100, 0.0),
        ("cosine", 0, 0, 1.0),
        ("cosine", 0, 50, 0.5),
        ("cosine", 0, 100, 0.0),
        ("cosine", 100, 99, 1.0),  # nothing but warm-up
    ],
)
def test_learning_rate(schedule, warmup, step, expected):
    config = Optim(learning_rate=1.0, schedule=schedule, warmup_steps=warmup)
    assert learning_rate(config, step, total_steps=100) == pytest.approx(expected)
