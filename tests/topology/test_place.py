"""Who a process is among those that probe, by the environments that torchrun and Slurm give."""

import pytest

from cluster.errors import InfrastructureError, MusterError
from cluster.topology.fact import Unread
from cluster.topology.place import (
    CANDIDATE_PORTS,
    FIRST_PORT,
    LAST_PORT,
    addresses_of,
    candidate_ports,
    place_among_nodes,
    tasks_per_node,
)
from cluster.topology.source import Replay, key

TORCHRUN = {
    "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1",
    "GROUP_WORLD_SIZE": "2", "MASTER_ADDR": "n1", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "7.0",
    "TORCHELASTIC_RESTART_COUNT": "0",
}  # fmt: skip
BATCH = {
    "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-4]", "SLURM_JOB_NUM_NODES": "4", "SLURM_NNODES": "4",
    "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURMD_NODENAME": "n1",
}  # fmt: skip
STEP = BATCH | {
    "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "n[2-3]", "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_NODEID": "1", "SLURM_PROCID": "2", "SLURMD_NODENAME": "n3",
}  # fmt: skip


def test_alone():
    place = place_among_nodes({})
    assert (place.launcher, place.ranks, place.nodes, place.allocation) == ("none", 1, 1, ())
    assert place.is_head and place.probes


def test_a_rank_of_torchrun():
    place = place_among_nodes(TORCHRUN)
    assert (place.launcher, place.ranks, place.node, place.nodes) == ("torchrun", 8, 1, 2)
    assert (place.local_rank, place.local_ranks, place.head) == (1, 4, "n1")
    assert not place.probes and not place.is_head
    assert place_among_nodes(TORCHRUN | {"RANK": "4", "LOCAL_RANK": "0"}).probes
    assert place_among_nodes(TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}).is_head


def test_a_launcher_of_torchs_kind_that_knows_no_groups():
    plain = {name: words for name, words in TORCHRUN.items() if not name.startswith("GROUP")}
    assert (place_among_nodes(plain).node, place_among_nodes(plain).nodes) == (1, 2)


def test_torchrun_in_a_step_knows_the_schedulers_names():
    place = place_among_nodes(STEP | TORCHRUN)
    assert (place.launcher, place.names, place.node_name) == ("torchrun", ("n2", "n3"), "n3")
    other = place_among_nodes(STEP | TORCHRUN | {"GROUP_WORLD_SIZE": "3"})
    assert other.names == ()  # another number of nodes: these are not its own


def test_a_task_of_a_step():
    place = place_among_nodes(STEP)
    assert (place.launcher, place.ranks, place.node, place.nodes) == ("srun", 3, 1, 2)
    assert (place.node_name, place.names, place.head) == ("n3", ("n2", "n3"), "n2")
    assert (place.local_rank, place.local_ranks, place.allocation) == (0, 1, ())
    first = place_among_nodes(STEP | {"SLURM_NODEID": "0", "SLURM_LOCALID": "1", "SLURM_PROCID": "1"})
    assert (first.local_ranks, first.probes, first.is_head) == (2, False, False)


def test_a_step_on_one_node_needs_no_name_that_resolves():
    one = {"SLURM_STEP_NODELIST": "n3", "SLURM_NODEID": "0", "SLURM_STEP_TASKS_PER_NODE": "3"}
    assert place_among_nodes(STEP | one).head == "127.0.0.1"


@pytest.mark.parametrize("environment", [BATCH, STEP | {"SLURM_STEP_ID": "4294967290"}])
def test_a_batch_script_and_an_interactive_shell_are_no_tasks(environment):
    place = place_among_nodes(environment)
    assert (place.launcher, place.nodes, place.is_head) == ("none", 1, True)
    assert place.allocation == ("n1", "n2", "n3", "n4")


def test_a_variable_that_a_script_exported_makes_no_torchrun():
    exported = {"WORLD_SIZE": "4", "MASTER_ADDR": "n1", "MASTER_PORT": "29500"}  # as many batch scripts do
    assert place_among_nodes(STEP | exported).launcher == "srun"
    assert place_among_nodes(exported).launcher == "none"


@pytest.mark.parametrize(
    "environment, words",
    [
        (TORCHRUN | {"RANK": "x"}, "invalid literal"),
        (TORCHRUN | {"RANK": "8"}, "rank 8 of 8"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "0"}, "local rank"),
        (TORCHRUN | {"GROUP_RANK": "2"}, "node 2 of 2"),
        (TORCHRUN | {"MASTER_PORT": "http"}, "invalid literal"),
        (STEP | {"SLURM_STEP_NODELIST": "n[2-"}, "n[2-"),
        (STEP | {"SLURM_NODEID": "2"}, "2 of 2"),
        (STEP | {"SLURM_STEP_TASKS_PER_NODE": "two"}, "two"),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, "SLURM_NODEID"),
    ],
)
def test_variables_that_contradict_each_other_are_refused(environment, words):
    with pytest.raises(MusterError) as refused:
        place_among_nodes(environment)
    assert words in str(refused.value) and refused.value.exit_code == 2


@pytest.mark.parametrize("words, counts", [("1", [1]), ("2(x3),1", [2, 2, 2, 1]), ("4,2(x2)", [4, 2, 2])])
def test_tasks_per_node(words, counts):
    assert tasks_per_node(words) == counts


def test_all_processes_of_a_step_agree_on_ports_and_name_and_others_do_not():
    one, other = place_among_nodes(STEP), place_among_nodes(STEP | {"SLURM_NODEID": "0", "SLURM_PROCID": "0"})
    assert (one.ports, one.name) == (other.ports, other.name)
    for change in ({"SLURM_STEP_ID": "1"}, {"SLURM_JOB_ID": "8"}, {"SLURM_RESTART_COUNT": "1"}):
        assert place_among_nodes(STEP | change).name != one.name
    assert place_among_nodes(TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "1"}).name != place_among_nodes(TORCHRUN).name


def test_ports_are_below_the_ephemeral_range_and_never_the_masters():
    for step in range(300):
        ports = candidate_ports(f"srun 7 {step}", taken=0)
        assert len(set(ports)) == CANDIDATE_PORTS
        assert min(ports) >= FIRST_PORT and max(ports) <= LAST_PORT
        for taken in ports:
            spared = candidate_ports(f"srun 7 {step}", taken)
            assert taken not in spared and len(set(spared)) == CANDIDATE_PORTS


SHOWN = "NodeName=h1 Arch=x86_64\n   NodeAddr=127.0.0.3 NodeHostName=vm Version=22.05.8\n   OS=Linux"
NOWHERE = "h1.invalid"  # a name that never resolves (RFC 2606)


def test_a_name_that_resolves():
    assert addresses_of("127.0.0.1", Replay({})) == ["127.0.0.1"]


def test_a_name_that_slurm_alone_knows():
    source = Replay({key("call", "program", "scontrol", "show", "node", NOWHERE): {"value": SHOWN}})
    assert addresses_of(NOWHERE, source) == ["127.0.0.3"]


class NoSlurm:
    def call(self, name, *arguments):
        raise Unread("absent", "there is no program scontrol here")


def test_a_name_that_nobody_knows_is_refused_with_the_way_out():
    with pytest.raises(InfrastructureError) as refused:
        addresses_of(NOWHERE, NoSlurm())
    for words in (NOWHERE, "no program scontrol", "/etc/hosts"):
        assert words in str(refused.value)


@pytest.mark.parametrize("words", ["." * 70, "a" * 300, "ü" * 70])
def test_what_is_no_name_is_refused_too(words):
    with pytest.raises(InfrastructureError):
        addresses_of(words, NoSlurm())
