import pytest

from cluster.config.models import Mlp
from cluster.config.schema import Data, Launch, Recipe, Train
from cluster.plan.placement import cores_of, place
from cluster.plan.plan import Machine, make_plan
from cluster.topology.cpu import Cpu, NumaNode
from cluster.topology.fact import Fact, unknown
from cluster.topology.gpu import Gpu, Gpus
from cluster.topology.host import Software
from cluster.topology.network import Network, Port
from cluster.topology.node import Node

LO = Port(name="lo", kind=Fact("loopback"), addresses=Fact(("127.0.0.1/8", "::1/128")))
MANAGEMENT = Port(
    name="eno1", state=Fact("up"), addresses=Fact(("10.0.0.5/24",)), speed_bits_per_second=Fact(1_000_000_000)
)
FABRIC = Port(
    name="ib0", state=Fact("up"), addresses=Fact(("10.9.0.5/16",)), speed_bits_per_second=Fact(400_000_000_000)
)


def node(usable, *, cores=None, numa=(), gpus=(), quota=None, ports=(LO,), environment=None):
    """A node whose hardware threads are `usable`; `cores`: those of each core; `numa`: the CPUs of each NUMA node."""
    return Node(
        name="n0",
        cpu=Cpu(
            usable=Fact(usable),
            siblings=Fact(tuple(cores)) if cores else unknown("absent", "/sys is hidden"),
            quota=Fact(quota) if quota else unknown("absent", "no control group"),
        ),
        numa=tuple(NumaNode(number=number, cpus=Fact(cpus)) for number, cpus in enumerate(numa)),
        gpus=Gpus(
            devices=tuple(
                Gpu(
                    index=index,
                    uuid=Fact(f"GPU-{index}"),
                    cuda_index=Fact(index),
                    name=Fact("A GPU"),
                    compute_capability=Fact("9.0"),
                    numa_node=Fact(home) if home is not None else unknown("unsupported", "-1"),
                )
                for index, home in enumerate(gpus)
            ),
            visible=Fact(tuple(f"GPU-{index}" for index in range(len(gpus)))),
        ),
        network=Network(ports=tuple(ports)),
        software=Software(environment=Fact(environment or {})),
    )


def placed(where, launch=None, ranks_of_node=None, address="", **train):
    recipe = Recipe(data=Data(train="x"), model=Mlp(), launch=launch or Launch(), train=Train(**train))
    gpus = len(where.gpus.devices)
    machine = Machine(cores=cores_of(where)[0], gpus=gpus, gpu_name="A GPU" if gpus else "", bfloat16_gains=False)
    plan = make_plan(recipe, machine)
    return place(where, plan, recipe, ranks_of_node=ranks_of_node or plan.ranks, address=address)


@pytest.mark.parametrize(
    ("where", "cores", "why"),
    [
        (node("0-7"), 8, "8 CPUs may be used"),
        (node("0"), 1, "1 CPU may be used"),
        (node("0-7", cores=["0,4", "1,5", "2,6", "3,7"]), 4, "two or more to a core"),
        (node("0,4", cores=["0,4", "1,5", "2,6", "3,7"]), 1, "two or more to a core"),
        (node("0-3", cores=["0,4", "1,5", "2,6", "3,7"]), 4, "4 CPUs may be used"),  # one thread of each core
        (node("0-7", quota=2.5), 2, "a quota of 2.5 CPUs' time"),
        (node("0-7", quota=0.5), 1, "a quota of 0.5 CPUs' time"),
        (node("0-7", quota="unlimited"), 8, "8 CPUs may be used"),
        (Node(name="n0"), 1, "not known"),
    ],
)
def test_cores_that_may_be_used(where, cores, why):
    found, reason = cores_of(where)
    assert found == cores
    assert why in reason


TWO_SOCKETS = {"usable": "0-15", "numa": ["0-7", "8-15"]}


@pytest.mark.parametrize(
    ("where", "launch", "cpus", "why"),
    [
        (node("0-7", numa=["0-7"]), Launch(ranks=2), ("", ""), "one NUMA node"),
        (node("0-7"), Launch(ranks=2), ("", ""), "not known"),
        (node(**TWO_SOCKETS), Launch(), ("",), "one rank has all 2 NUMA nodes"),
        (node(**TWO_SOCKETS), Launch(ranks=2), ("0-7", "8-15"), "rank 0 on NUMA node 0, rank 1 on NUMA node 1"),
        (node(**TWO_SOCKETS), Launch(ranks=4), ("0-7", "0-7", "8-15", "8-15"), "ranks 0-1 on NUMA node 0"),
        (node(**TWO_SOCKETS), Launch(ranks=3), ("0-7", "0-7", "8-15"), "ranks 0-1 on NUMA node 0"),
        (node("0-15", numa=["0-3", "4-7", "8-11", "12-15"]), Launch(ranks=2), ("0-7", "8-15"), "NUMA nodes 0-1"),
        (node("2-9", numa=["0-7", "8-15"]), Launch(ranks=2), ("2-7", "8-9"), "NUMA node 1"),  # a cpuset cuts both
        (node("0-7", numa=["0-7", "8-15"]), Launch(ranks=2), ("", ""), "one NUMA node"),  # the other one is not ours
        (node(**TWO_SOCKETS), Launch(ranks=2, bind="none"), ("", ""), "launch.bind=none"),
        (node(**TWO_SOCKETS, gpus=[0, 0, 1, 1]), Launch(), ("0-7", "0-7", "8-15", "8-15"), "with its GPU"),
        (node(**TWO_SOCKETS, gpus=[1, 0]), Launch(), ("8-15", "0-7"), "rank 0 on NUMA node 1"),
        (node(**TWO_SOCKETS, gpus=[None, 1]), Launch(), ("", "8-15"), "rank 0 free"),
        (node(**TWO_SOCKETS, gpus=[None, None]), Launch(), ("", ""), "of the GPUs are not known"),
    ],
)
def test_cpus_of_each_rank(where, launch, cpus, why):
    found = placed(where, launch)
    assert found.cpus == cpus
    assert any(why in reason for reason in found.reasons), found.reasons


@pytest.mark.parametrize(
    ("where", "launch", "address", "interface", "why"),
    [
        (node("0-1"), Launch(), "", "", ""),  # one rank talks to nobody
        (node("0-1"), Launch(ranks=2), "", "lo", "all ranks are on this node"),
        (node("0-1", ports=[MANAGEMENT]), Launch(ranks=2), "", "", ""),
        (node("0-1", gpus=[0, 0]), Launch(), "", "", ""),  # NCCL knows its ways within a node
        (node("0-1"), Launch(ranks=2, interface="eth7"), "", "eth7", "launch.interface"),
        (node("0-1", environment={"GLOO_SOCKET_IFNAME": "eth1"}), Launch(ranks=2), "", "eth1", "is set"),
        (node("0-1", ports=[LO, MANAGEMENT]), Launch(ranks=4), "10.0.0.5", "eno1", "the way to rank 0's node"),
        (node("0-1", ports=[LO, MANAGEMENT, FABRIC]), Launch(ranks=4), "10.0.0.5", "eno1", "ib0 is faster"),
        (node("0-1", ports=[LO, MANAGEMENT, FABRIC]), Launch(ranks=4), "10.9.0.5", "ib0", "the way to rank 0's node"),
        (node("0-1", ports=[LO, MANAGEMENT]), Launch(ranks=4), "192.0.2.1", "", "left to the library"),
        (node("0-1", ports=[LO, MANAGEMENT]), Launch(ranks=4), "", "", "left to the library"),
    ],
)
def test_the_interface(where, launch, address, interface, why):
    ranks_of_node = 2 if launch.ranks == 4 else None
    found = placed(where, launch, ranks_of_node, address)
    assert found.interface == interface
    told = [reason for reason in found.reasons if reason.startswith("interface")]
    assert (why in told[0]) if why else not told


def test_threads_and_loader_threads_say_why():
    assert "threads 4: 8 CPUs may be used, 2 ranks here" in placed(node("0-7"), Launch(ranks=2)).reasons
    assert "threads 3: launch.threads" in placed(node("0-7"), Launch(threads=3)).reasons
    on_a_gpu = placed(node("0-7", gpus=[0]))
    assert on_a_gpu.loader_threads == 2
    assert placed(node("0-7")).loader_threads == 0
    chosen = placed(node("0-7"), loader_threads=1)
    assert chosen.loader_threads == 1
    assert "loader threads 1: train.loader_threads" in chosen.reasons
