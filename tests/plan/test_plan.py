import dataclasses
from types import SimpleNamespace

import pytest

from cluster.config.models import Mlp
from cluster.config.schema import Data, Launch, Recipe, Train
from cluster.errors import DeviceError, PlanError
from cluster.plan.plan import Machine, describe, keep_stored, make_plan

LAPTOP = Machine(cores=8, gpus=0, gpu_name="", processor="A CPU", torch="2.13.0", bfloat16_gains=False)
SERVER = Machine(cores=64, gpus=4, gpu_name="A GPU", processor="A GPU", torch="2.13.0", bfloat16_gains=True)
OLD_SERVER = dataclasses.replace(SERVER, bfloat16_gains=False)


def recipe(launch=None, **train):
    return Recipe(data=Data(train="x.jsonl"), model=Mlp(), launch=launch or Launch(), train=Train(**train))


@pytest.mark.parametrize(
    "machine, launch, train, expected",
    [
        (LAPTOP, Launch(), {}, ("cpu", 1, 8, "float32")),
        (LAPTOP, Launch(ranks=2), {}, ("cpu", 2, 4, "float32")),
        (LAPTOP, Launch(ranks=3), {}, ("cpu", 3, 2, "float32")),
        (LAPTOP, Launch(ranks=12), {}, ("cpu", 12, 1, "float32")),  # more ranks than cores: one thread each
        (LAPTOP, Launch(ranks=2, threads=1), {}, ("cpu", 2, 1, "float32")),
        (SERVER, Launch(), {}, ("cuda", 4, 16, "bfloat16")),
        (SERVER, Launch(ranks=1), {}, ("cuda", 1, 64, "bfloat16")),
        (SERVER, Launch(device="cpu"), {}, ("cpu", 1, 64, "float32")),
        (SERVER, Launch(), {"strict": True}, ("cuda", 4, 16, "float32")),
        (SERVER, Launch(), {"precision": "float64", "strict": True}, ("cuda", 4, 16, "float64")),
        (OLD_SERVER, Launch(), {}, ("cuda", 4, 16, "float32")),
        (OLD_SERVER, Launch(), {"precision": "bfloat16"}, ("cuda", 4, 16, "bfloat16")),
    ],
)
def test_plan(machine, launch, train, expected):
    plan = make_plan(recipe(launch, **train), machine)
    assert (plan.device, plan.ranks, plan.threads, plan.precision) == expected


@pytest.mark.parametrize(
    "machine, launch, train, error, words",
    [
        (LAPTOP, Launch(device="cuda"), {}, DeviceError, "no GPU"),
        (SERVER, Launch(ranks=5), {}, DeviceError, "launch.ranks=4"),
        (LAPTOP, Launch(ranks=17), {}, PlanError, "exceeds train.max_ranks (16)"),
        (LAPTOP, Launch(), {"strict": True, "precision": "bfloat16"}, PlanError, "train.strict"),
    ],
)
def test_what_cannot_be_planned(machine, launch, train, error, words):
    with pytest.raises(error) as raised:
        make_plan(recipe(launch, **train), machine)
    assert words in str(raised.value)


def test_a_later_attempt_keeps_threads_and_says_what_it_cannot_keep():
    stored = dataclasses.asdict(make_plan(recipe(Launch(ranks=2)), LAPTOP))
    smaller = dataclasses.replace(LAPTOP, cores=2)
    again = keep_stored(make_plan(recipe(Launch(ranks=2)), smaller), stored, recipe(Launch(ranks=2)))
    assert again.differences(stored) == []
    upgraded = make_plan(recipe(Launch(ranks=2)), dataclasses.replace(LAPTOP, torch="2.14.0"))
    assert upgraded.differences(stored) == ["torch 2.13.0 -> 2.14.0"]
    other = keep_stored(make_plan(recipe(Launch(ranks=1)), smaller), stored, recipe(Launch(ranks=1)))
    assert other.differences(stored) == ["ranks 2 -> 1", "threads 4 -> 2"]


def test_ranks_that_torchrun_started_share_the_cores_of_their_node():
    place = SimpleNamespace(size=4, ranks_of_node=2)  # two nodes of two ranks
    plan = make_plan(recipe(), LAPTOP, ranks=place)
    assert (plan.ranks, plan.threads) == (4, 4)


def test_a_number_of_ranks_that_was_not_started_is_refused():
    place = SimpleNamespace(size=1, ranks_of_node=1)
    with pytest.raises(PlanError, match="launch.ranks is 2, but the number of processes started is 1"):
        make_plan(recipe(Launch(ranks=2)), LAPTOP, ranks=place)
    assert make_plan(recipe(Launch(ranks=1)), LAPTOP, ranks=place).ranks == 1


def test_the_line_that_says_what_is_used():
    assert describe(make_plan(recipe(), LAPTOP), LAPTOP) == "CPU (no GPU found): 1 rank with 8 threads each, float32"
    assert describe(make_plan(recipe(), SERVER), SERVER) == "4 ranks on 4 x A GPU, NCCL, bfloat16"
